//! The change feed.

use crate::app::App;
use crate::failure::Failure;
use store::access::ViewSessions;
use store::{FeedPage, Granted};

/// The lines of an organization's change feed after a position, at most `limit`.
///
/// # Errors
/// [`domain::Refusal::Resync`] when lines after the position are no longer kept.
pub async fn list_changes(
    app: &App,
    granted: &Granted<ViewSessions>,
    after: i64,
    limit: u32,
) -> Result<FeedPage, Failure> {
    Ok(app.store.list_changes(granted, after, limit).await?)
}
