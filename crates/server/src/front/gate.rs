//! Limits how many requests of one connection run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests at once on a connection that has shown no valid credential; more wait unread.
const UNAUTHENTICATED: u32 = 16;

/// The gate that all requests of one connection pass. HTTP/1 has one request at a time, HTTP/2 many.
#[derive(Clone)]
pub struct Gate(Arc<GateState>);

struct GateState {
    places: Arc<Semaphore>,
    most: u32,
    open: AtomicBool,
}

impl Gate {
    /// A gate that lets `most` requests run at once after a valid credential was shown.
    pub(super) fn new(most: u32) -> Gate {
        let places = Arc::new(Semaphore::new(UNAUTHENTICATED.min(most) as usize));
        Gate(Arc::new(GateState { places, most, open: AtomicBool::new(false) }))
    }

    /// Waits for a place and takes it until the permit is dropped.
    pub(super) async fn pass(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.places).acquire_owned().await.ok()
    }

    /// Lets more requests run: one of this connection has shown a valid credential.
    pub fn open(&self) {
        if !self.0.open.swap(true, Ordering::Relaxed) {
            self.0.places.add_permits(self.0.most.saturating_sub(UNAUTHENTICATED) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn more_requests_pass_after_a_valid_credential() {
        let gate = Gate::new(20);
        let pass = || gate.pass().now_or_never().flatten();
        let mut held = (0..16).map_while(|_| pass()).collect::<Vec<_>>();
        assert!(held.len() == 16 && pass().is_none());
        gate.open();
        gate.open();
        held.extend((0..5).map_while(|_| pass()));
        assert_eq!(held.len(), 20);
        held.pop();
        assert!(pass().is_some());
    }
}
