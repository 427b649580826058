//! Waiting for threads and tasks to end.

use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reports when some threads or tasks have ended. Each of them owns a [`TaskGuard`].
#[derive(Clone)]
pub(super) struct TaskEnd {
    ended: Arc<Semaphore>,
    workers: u32,
}

/// Dropped when its thread or task ends, for any reason.
pub(super) struct TaskGuard(Arc<Semaphore>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl TaskEnd {
    pub(super) fn new(workers: u32) -> Self {
        TaskEnd { ended: Arc::new(Semaphore::new(0)), workers }
    }

    pub(super) fn guard(&self) -> TaskGuard {
        TaskGuard(self.ended.clone())
    }

    /// Waits until all have ended. Any number of callers may wait, any number of times.
    pub(super) async fn wait(&self) {
        // The permits go back at once, and this semaphore is never closed: there is no error to handle.
        let _ = self.ended.acquire_many(self.workers).await;
    }
}
