//! What a caller can learn about itself.

use crate::app::App;
use crate::failure::Failure;
use domain::credential::Credential;
use domain::principal::Principal;
use store::Caller;

/// The caller's principal.
///
/// # Errors
/// [`Failure::Unauthenticated`] when it was deleted meanwhile.
pub async fn load_caller_principal(app: &App, caller: &Caller) -> Result<Principal, Failure> {
    Ok(app.store.load_caller_principal(caller).await?)
}

/// The caller's API key.
///
/// # Errors
/// [`Failure::Unauthenticated`] when it was revoked meanwhile.
pub async fn load_caller_key(app: &App, caller: &Caller) -> Result<Credential, Failure> {
    Ok(app.store.load_caller_key(caller).await?)
}
