//! `/api/v1/sessions`: list, create, get, end.

use super::errors::MobileError;
use super::extractors::May;
use super::shapes::{List, Session, parse_time};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::json_response;
use crate::http::middleware::query_number;
use crate::http::middleware::query_value;
use crate::operations::devices;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use domain::device::DeviceSession;
use domain::ids::SessionId;
use domain::page::PageRequest;
use domain::refusal::Thing;
use serde::Serialize;
use store::access::{UseSessions, ViewSessions};

/// Sessions of a page when the request does not say.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 500;

type Answer = Result<Response, MobileError>;

/// `GET /sessions`: newest first; `before` is a time, strictly before which sessions were created.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let page = page(query.as_deref())?;
    let found = devices::sessions::list_device_sessions(&app, &granted, page).await?;
    let next = found.items.last().filter(|_| found.more).map(|session| session.id.created());
    answer(StatusCode::OK, &List::new(found.items.iter().map(Session::from).collect(), next))
}

fn page(query: Option<&str>) -> Result<PageRequest, Failure> {
    let limit = query_number(query, "limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let before = match query_value(query, "before")? {
        None => None,
        Some(text) => {
            let expected = "an RFC 3339 time such as 2026-01-01T00:00:00Z";
            Some(parse_time(&text).ok_or_else(|| Refusal::invalid("before", expected))?)
        }
    };
    Ok(PageRequest { limit: u32::try_from(limit).unwrap_or(u32::MAX), before })
}

/// `POST /sessions`: clients send no body; one that is sent is not read.
pub async fn create(May(granted): May<UseSessions>, State(app): State<App>) -> Answer {
    let session = devices::sessions::create_device_session(&app, &granted).await?;
    shown(StatusCode::CREATED, &session)
}

/// `GET /sessions/{session}`.
pub async fn get(May(granted): May<ViewSessions>, State(app): State<App>, id: SessionPath) -> Answer {
    shown(StatusCode::OK, &devices::sessions::load_device_session(&app, &granted, session_id(id)?).await?)
}

/// `DELETE /sessions/{session}`: ends it and releases all that it holds. No client was seen to; the vendor's roles
/// name it ("delete sessions").
pub async fn end(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    id: SessionPath,
) -> Result<StatusCode, MobileError> {
    devices::sessions::end_device_session(&app, &granted, session_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The session's id as it stands in a path.
pub type SessionPath = Result<Path<String>, PathRejection>;

/// Reads it. What can be no id is an id that nothing has.
pub fn session_id(path: SessionPath) -> Result<SessionId, Failure> {
    let id = path.ok().and_then(|Path(text)| SessionId::parse(&text));
    id.ok_or_else(|| Refusal::NotFound(Thing::Session).into())
}

fn shown(status: StatusCode, session: &DeviceSession) -> Answer {
    answer(status, &Session::from(session))
}

/// A body of JSON.
pub fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).map_err(Failure::internal)?;
    Ok(json_response(status, bytes))
}
