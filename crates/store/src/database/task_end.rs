//! Waiting for threads and tasks to end.

use std::sync::Arc;
use tokio::sync::Semaphore;

/// Tells when some workers have ended: each of them holds an [`TaskGuard`].
#[derive(Clone)]
pub(super) struct TaskEnd {
    gone: Arc<Semaphore>,
    workers: u32,
}

/// Says that its worker has ended, however it did.
pub(super) struct TaskGuard(Arc<Semaphore>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl TaskEnd {
    pub(super) fn new(workers: u32) -> Self {
        TaskEnd { gone: Arc::new(Semaphore::new(0)), workers }
    }

    pub(super) fn guard(&self) -> TaskGuard {
        TaskGuard(self.gone.clone())
    }

    /// Waits until all workers have ended; any number of times, by any number of callers.
    pub(super) async fn wait(&self) {
        // The permits go back at once, and this semaphore is never closed: there is no error to handle.
        let _ = self.gone.acquire_many(self.workers).await;
    }
}
