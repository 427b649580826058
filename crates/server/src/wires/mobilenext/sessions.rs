//! `/api/v1/sessions`: list, create, get, end.

use super::errors::MobileError;
use super::extractors::Authorized;
use super::shapes::{List, Session};
use crate::app::App;
use crate::failure::Failure;
use crate::http::conditional::{KnownTags, Tag, respond_with_session};
use crate::http::middleware::{encode_list, json_response};
use crate::http::query::Query;
use crate::operations::devices;
use crate::operations::devices::sessions::{LoadedHolds, OrganizationDevices};
use crate::operations::sessions::{self, Encoding};
use crate::services::session_bodies::BodyShape;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use domain::device::DeviceSession;
use domain::ids::SessionId;
use domain::page::ListRange;
use domain::refusal::Thing;
use domain::session::Filter;
use domain::time::Micros;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use store::access::{UseSessions, ViewSessions};

/// Sessions of a page without `limit`.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 500;

type HandlerResult = Result<Response, MobileError>;

/// `GET /sessions`: newest first. `before` selects sessions created strictly before that time.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    query: Query,
) -> HandlerResult {
    let range = read_range(&query)?;
    let source = OrganizationDevices::new(&app, &granted, LoadedHolds::Newest);
    let encoding = Encoding { shape: BodyShape::MobileNext, encode: &encode };
    let found = sessions::list_sessions(&app, &source, Filter::EVERY, range, encoding).await?;
    let next = found.items.last().filter(|_| found.more);
    let list = List::new(&found.items, next.map(|listed| listed.session.key.id.creation_time()));
    let tag = Tag::new(granted.principal(), &found.items, found.more);
    Ok(known.respond(tag, || encode_list(&list, &found.items))?)
}

fn read_range(query: &Query) -> Result<ListRange, Failure> {
    let limit = query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    // No session with this time has a smaller id.
    let position = query.time("before")?.map(|before| (before, SessionId::new(before, 0)));
    Ok(ListRange::Before { position, limit: u32::try_from(limit).unwrap_or(u32::MAX) })
}

fn encode(session: &DeviceSession, _: Micros) -> serde_json::Result<Box<RawValue>> {
    to_raw_value(&Session::from(session))
}

/// `POST /sessions`: clients send no body, so none is read.
pub async fn create(Authorized(granted): Authorized<UseSessions>, State(app): State<App>) -> HandlerResult {
    let session = devices::sessions::create_device_session(&app, &granted).await?;
    respond(StatusCode::CREATED, &Session::from(&session))
}

/// `GET /sessions/{session}`.
pub async fn get(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    known: KnownTags,
    id: SessionPath,
) -> HandlerResult {
    let source = OrganizationDevices::new(&app, &granted, LoadedHolds::All);
    let encoding = Encoding { shape: BodyShape::MobileNextWhole, encode: &encode };
    let found = sessions::find_session(&app, &source, session_id(id)?, encoding).await?;
    Ok(respond_with_session(&known, &found)?)
}

/// `DELETE /sessions/{session}`: ends the session and releases its devices. No known client sends it, but the vendor's
/// roles mention it ("delete sessions").
pub async fn end(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    id: SessionPath,
) -> Result<StatusCode, MobileError> {
    devices::sessions::end_device_session(&app, &granted, session_id(id)?, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A session's id in a path, before it is parsed.
pub type SessionPath = Result<Path<String>, PathRejection>;

/// Parses a session's id in a path. A malformed id is reported as not found.
pub fn session_id(path: SessionPath) -> Result<SessionId, Failure> {
    let id = path.ok().and_then(|Path(text)| SessionId::parse(&text));
    id.ok_or_else(|| Refusal::NotFound(Thing::Session).into())
}

/// A JSON response.
pub fn respond(status: StatusCode, body: &impl Serialize) -> HandlerResult {
    let bytes = serde_json::to_vec(body).map_err(Failure::internal)?;
    Ok(json_response(status, bytes))
}
