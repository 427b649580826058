//! Numbers the runs of the device queue, so that whoever committed a request can wait for a run that began after it.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// Requests for runs of the queue, and which run has ended last.
pub struct QueueRunner {
    requested: AtomicU64,
    wake: Notify,
    finished: watch::Sender<u64>,
}

impl Default for QueueRunner {
    fn default() -> Self {
        QueueRunner { requested: AtomicU64::new(0), wake: Notify::new(), finished: watch::Sender::new(0) }
    }
}

impl QueueRunner {
    /// Requests a run without waiting for it. Returns the run's number.
    pub fn request_run(&self) -> u64 {
        let number = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        number
    }

    /// Requests a run and waits until one that began after this call has ended, or the server stops.
    pub async fn run(&self) {
        let number = self.request_run();
        let mut finished = self.finished.subscribe();
        // An error means that the server is stopping; the request stands and is served after the restart.
        let _ = finished.wait_for(|finished| *finished >= number).await;
    }

    /// Waits for a request. Returns the number of the newest one, which the next run serves together with all before it.
    pub async fn wait_for_request(&self) -> u64 {
        self.wake.notified().await;
        self.requested.load(Ordering::SeqCst)
    }

    /// Notes that the run for all requests up to this number has ended.
    pub fn finish_run(&self, number: u64) {
        self.finished.send_replace(number);
    }
}
