//! What a caller is told of itself.

use crate::app::App;
use crate::failure::Failure;
use domain::credential::Credential;
use domain::principal::Principal;
use store::{Caller, System};

/// Who calls.
///
/// # Errors
/// Those of the store; [`Failure::Unauthenticated`] for who was deleted meanwhile.
pub async fn load_caller_principal(app: &App, caller: &Caller) -> Result<Principal, Failure> {
    Ok(app.store.load_caller_principal(caller).await?)
}

/// With which key.
///
/// # Errors
/// Those of the store; [`Failure::Unauthenticated`] for one that is no more.
pub async fn load_caller_key(app: &App, caller: &Caller) -> Result<Credential, Failure> {
    // The caller is the proof, of itself only.
    let keys = app.store.list_principal_credentials(&System::background_jobs(), caller.principal()).await?;
    keys.into_iter().find(|key| key.id == caller.credential()).ok_or(Failure::Unauthenticated)
}
