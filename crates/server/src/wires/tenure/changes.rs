//! `GET /tenure/v1/changes`: the change feed of an organization.

use super::errors::TenureError;
use super::extractors::Authorized;
use crate::app::App;
use crate::http::query::Query;
use crate::operations::feed;
use axum::Json;
use axum::extract::State;
use domain::session::FeedEntry;
use serde::Serialize;
use store::access::ViewSessions;
use uuid::Uuid;

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

/// A range of the change feed.
#[derive(Debug, Serialize)]
pub struct Feed {
    changes: Vec<ChangeEntry>,
    /// The newest sequence of the feed.
    latest: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeEntry {
    sequence: i64,
    kind: &'static str,
    session: Uuid,
    revision: i64,
    what: &'static str,
    /// Microseconds since 1970.
    at_us: i64,
}

impl From<FeedEntry> for ChangeEntry {
    fn from(line: FeedEntry) -> ChangeEntry {
        ChangeEntry {
            sequence: line.sequence,
            kind: line.session.kind.name(),
            session: line.session.id.uuid(),
            revision: line.revision,
            what: line.change.name(),
            at_us: line.at.0,
        }
    }
}

/// Lists at most `limit` entries after `after` (0 is the beginning), in commit order and without gaps. Answers 410 with code
/// `resync` when some of them are deleted: then list the sessions and go on from `latest`.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    query: Query,
) -> Result<Json<Feed>, TenureError> {
    let after = query.number("after", 0..=i64::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let feed = feed::list_changes(&app, &granted, after, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
    Ok(Json(Feed { changes: feed.entries.into_iter().map(ChangeEntry::from).collect(), latest: feed.latest }))
}
