//! Work on large values, on separate threads.

use crate::database::DatabaseError;
use crate::{Error, Result};
use std::num::NonZero;
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// The size from which a value counts as large, in bytes.
const LARGE: usize = 256 << 10;

/// Bounds the work at one time: half of the cores stay free for short requests.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Semaphore::new((cores / 2).max(1))
});

/// Runs work on a value of `bytes` bytes. Large values are handled on a separate thread, because they would block the
/// tasks of the runtime.
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
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|error| Error::Database(DatabaseError::Failed(error.to_string())))
}
