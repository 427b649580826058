//! `GET /tenure/v1/sessions/{session}/timeline`: what happened in a session.

use super::visible::{SessionPath, VisibleTo, check_names};
use super::{HandlerResult, shapes};
use crate::app::App;
use crate::failure::Failure;
use crate::http::cursor::CursorBinding;
use crate::http::query::Query;
use crate::operations::sessions::timeline::{TimelinePosition, list_timeline};
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use domain::Refusal;
use domain::ids::{OrganizationId, SessionId};
use domain::refusal::Thing;
use protocol::timeline::{DEFAULT_MOMENTS, MAX_MOMENTS, Timeline, TimelineEntry};
use store::Caller;

/// `GET /sessions/{session}/timeline`: oldest first.
pub async fn list(
    VisibleTo(caller, visible): VisibleTo,
    State(app): State<App>,
    path: SessionPath,
    query: Query,
) -> HandlerResult {
    check_names(&query, &["limit", "cursor", "scope"])?;
    let id = path.0.ok_or_else(|| Failure::from(Refusal::NotFound(Thing::Session)))?;
    let limit = query.number("limit", 1..=MAX_MOMENTS.into())?;
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_MOMENTS);
    let binding = bind_cursor(&app, &caller, id);
    let position = match query.text("cursor")? {
        Some(cursor) => read_position(&binding, cursor)?,
        None => TimelinePosition::default(),
    };
    let page = list_timeline(&app, &caller, &visible, id, position, limit).await?;
    let data = page.moments.into_iter().map(|moment| TimelineEntry {
        at: shapes::time(moment.at),
        moment_type: moment.kind.to_owned(),
        actor: moment.actor.map(|actor| shapes::write_principal(&page.names, actor)),
        text: moment.text,
        details: moment.details,
    });
    let next = page.next.map(|next| write_position(&binding, next)).transpose()?;
    Ok(Json(Timeline { data: data.collect(), next }).into_response())
}

/// A cursor belongs to its reader and to the session.
fn bind_cursor(app: &App, caller: &Caller, id: SessionId) -> CursorBinding {
    let (key, reader) = (app.keys.derive_key("tenure cursors"), caller.principal().0);
    CursorBinding::new(key, "timeline", reader, OrganizationId::ACCOUNT.0, &id.to_string())
}

fn write_position(binding: &CursorBinding, position: TimelinePosition) -> Result<String, Failure> {
    let bytes = position.after.to_be_bytes().into_iter().chain([position.told]).collect::<Vec<_>>();
    binding.write(&bytes)
}

fn read_position(binding: &CursorBinding, cursor: &str) -> Result<TimelinePosition, Failure> {
    let position = binding.read(cursor).and_then(|bytes| {
        let (told, after) = bytes.split_last()?;
        Some(TimelinePosition { after: u64::from_be_bytes(after.try_into().ok()?), told: *told })
    });
    let expected = "a cursor that the timeline of this session gave you";
    Ok(position.ok_or_else(|| Refusal::invalid("cursor", expected))?)
}
