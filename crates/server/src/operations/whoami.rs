//! What a caller is told of itself.

use crate::failure::Failure;
use crate::state::App;
use domain::credential::Credential;
use domain::principal::Principal;
use store::{Caller, System};

/// Who calls, and with which key.
///
/// # Errors
/// Those of the store; [`Failure::Unauthenticated`] for who was deleted meanwhile.
pub async fn whoami(app: &App, caller: &Caller) -> Result<(Principal, Credential), Failure> {
    // The caller is the proof, of itself only.
    let system = System::for_jobs();
    let principal = app.store.principal(&system, caller.principal()).await?;
    let keys = app.store.credentials_of(&system, caller.principal()).await?;
    let key = keys.into_iter().find(|key| key.id == caller.credential());
    Ok((principal, key.ok_or(Failure::Unauthenticated)?))
}
