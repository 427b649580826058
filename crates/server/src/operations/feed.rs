//! Pages of the change feed.

use crate::app::App;
use crate::failure::Failure;
use store::access::ViewSessions;
use store::{FeedPage, Granted};

/// Lists at most `limit` entries of an organization's change feed after a position.
///
/// # Errors
/// [`domain::Refusal::Resync`] when entries after the position were deleted for their age.
pub async fn list_changes(
    app: &App,
    granted: &Granted<ViewSessions>,
    after: i64,
    limit: u32,
) -> Result<FeedPage, Failure> {
    Ok(app.store.list_changes(granted, after, limit).await?)
}
