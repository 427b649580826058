//! What follows from commits: here, on other servers, and by the command line.

use crate::operations::queue;
use crate::state::App;
use domain::ids::OrganizationId;
use store::Signal;

/// Runs the queue after every commit that concerns devices, until the server stops.
pub async fn follow(app: App) {
    let mut signals = app.store.database().signals();
    loop {
        let signal = tokio::select! {
            signal = signals.recv() => signal,
            () = app.stop.cancelled() => None,
        };
        match signal {
            Some(signal) if concerns(&signal, OrganizationId::ACCOUNT) => {
                queue::start(&app);
            }
            Some(_) => {}
            None => break,
        }
    }
}

/// Whether something may have changed in an organization; the account's own id stands for devices.
pub fn concerns(signal: &Signal, organization: OrganizationId) -> bool {
    match signal {
        Signal::Organizations(organizations) => organizations.contains(&organization.0),
        Signal::Everything => true,
    }
}
