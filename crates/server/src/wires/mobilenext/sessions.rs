//! `/api/v1/sessions`: list, create, get, end.

use super::errors::MobileError;
use super::extractors::Authorized;
use super::shapes::{List, Session};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::json_response;
use crate::http::query::Query;
use crate::operations::devices;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use domain::device::DeviceSession;
use domain::ids::SessionId;
use domain::page::PageRequest;
use domain::refusal::Thing;
use serde::Serialize;
use store::access::{UseSessions, ViewSessions};

/// Sessions of a page without `limit`.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 500;

type HandlerResult = Result<Response, MobileError>;

/// `GET /sessions`: newest first. `before` selects sessions created strictly before that time.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let page = read_page(&query)?;
    let found = devices::sessions::list_device_sessions(&app, &granted, page).await?;
    let next = found.items.last().filter(|_| found.more).map(|session| session.id.creation_time());
    respond(StatusCode::OK, &List::new(found.items.iter().map(Session::from).collect(), next))
}

fn read_page(query: &Query) -> Result<PageRequest, Failure> {
    let limit = query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    Ok(PageRequest { limit: u32::try_from(limit).unwrap_or(u32::MAX), before: query.time("before")? })
}

/// `POST /sessions`: clients send no body, so none is read.
pub async fn create(Authorized(granted): Authorized<UseSessions>, State(app): State<App>) -> HandlerResult {
    let session = devices::sessions::create_device_session(&app, &granted).await?;
    respond_with_session(StatusCode::CREATED, &session)
}

/// `GET /sessions/{session}`.
pub async fn get(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    id: SessionPath,
) -> HandlerResult {
    respond_with_session(
        StatusCode::OK,
        &devices::sessions::load_device_session(&app, &granted, session_id(id)?).await?,
    )
}

/// `DELETE /sessions/{session}`: ends the session and releases its devices. No known client sends it, but the vendor's
/// roles mention it ("delete sessions").
pub async fn end(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    id: SessionPath,
) -> Result<StatusCode, MobileError> {
    devices::sessions::end_device_session(&app, &granted, session_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A session's id in a path, before it is parsed.
pub type SessionPath = Result<Path<String>, PathRejection>;

/// Parses a session's id in a path. A malformed id is reported as not found.
pub fn session_id(path: SessionPath) -> Result<SessionId, Failure> {
    let id = path.ok().and_then(|Path(text)| SessionId::parse(&text));
    id.ok_or_else(|| Refusal::NotFound(Thing::Session).into())
}

fn respond_with_session(status: StatusCode, session: &DeviceSession) -> HandlerResult {
    respond(status, &Session::from(session))
}

/// A JSON response.
pub fn respond(status: StatusCode, body: &impl Serialize) -> HandlerResult {
    let bytes = serde_json::to_vec(body).map_err(Failure::internal)?;
    Ok(json_response(status, bytes))
}
