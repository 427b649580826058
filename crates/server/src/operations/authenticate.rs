//! Who is calling.

use crate::failure::Failure;
use crate::state::App;
use domain::credential::Secret;
use store::{Caller, Chosen, System};

/// Looks up who calls with a credential, and notes that it was used.
///
/// # Errors
/// [`Failure::Unauthenticated`] for whatever is no good key, without a look-up when it cannot be one;
/// [`domain::Refusal::NotAMember`] for an organization that is not the caller's.
pub async fn authenticate(app: &App, credential: Option<&str>, chosen: Chosen) -> Result<Caller, Failure> {
    let secret = credential.and_then(Secret::parse).ok_or(Failure::Unauthenticated)?;
    let now = app.now();
    let caller = app.store.caller(&secret.hash(), chosen, now).await?;
    if app.used.due(caller.credential().0, now) {
        let (app, credential) = (app.clone(), caller.credential());
        // Nobody waits for a note.
        tokio::spawn(async move {
            let system = System::for_jobs();
            if let Err(error) = app.store.credential_used(&system, credential, now).await {
                tracing::warn!(%error, "cannot note that a key was used");
            }
        });
    }
    Ok(caller)
}
