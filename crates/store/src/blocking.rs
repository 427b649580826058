//! Work on many bytes, which keeps nobody else waiting.

use crate::database::DatabaseError;
use crate::{Error, Result};
use std::num::NonZero;
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// From how many bytes on something is large.
const LARGE: usize = 256 << 10;

/// How much of it is done at once: half of the cores stay free for what is short.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Semaphore::new((cores / 2).max(1))
});

/// Reads or writes JSON of so many bytes. With many, it does so on a thread of its own: on the runtime's threads, everybody
/// else would wait for it.
///
/// # Errors
/// [`Error::Database`] when the work panics.
pub async fn run_by_size<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if bytes < LARGE {
        return Ok(work());
    }
    let _place = PLACES.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Database(DatabaseError::Failed(error.to_string())))
}
