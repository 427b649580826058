//! `/api/v1/sessions/{session}/devices`: ask for a device, look, release.

use super::errors::MobileError;
use super::extractors::May;
use super::sessions::{SessionPath, answer, session_id};
use super::shapes::{Allocated, Allocation, List};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::http::object;
use crate::operations::devices;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use domain::device::{Filter, HoldState, Wanted};
use domain::refusal::Thing;
use serde::Deserialize;
use store::access::{UseSessions, ViewSessions};

/// What a client asks for, over HTTP and over the WebSocket.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with filters")]
pub struct Ask {
    /// All of them must hold.
    #[serde(deserialize_with = "object::list")]
    pub filters: Vec<Filter>,
}

/// `GET …/devices`: mobilewright polls it until `status` is `in_use` and `info.serial` is there.
pub async fn list(
    May(granted): May<ViewSessions>,
    State(app): State<App>,
    session: SessionPath,
) -> Result<Response, MobileError> {
    let session = devices::sessions::load_device_session(&app, &granted, session_id(session)?).await?;
    answer(StatusCode::OK, &List::new(session.holds.iter().map(Allocation::from).collect(), None))
}

/// `POST …/devices`: 201 with the device, or 202 with a place in the queue. Never held open: clients give up
/// after 30 s and poll instead.
pub async fn request(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    session: SessionPath,
    Whole(body): Whole,
) -> Result<Response, MobileError> {
    let session = session_id(session)?;
    let ask: Ask = middleware::json(&app, body).await?;
    let wanted = Wanted::new(ask.filters).map_err(Failure::from)?;
    let hold = devices::sessions::request_device(&app, &granted, session, wanted).await?;
    let status = if hold.state() == HoldState::InUse { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    answer(status, &Allocated::new(session, &hold))
}

/// `POST …/devices/{device}/release`: a device by its id, or a request by its allocation's. Answers with a body,
/// since mobilewright reads one.
pub async fn release(
    May(granted): May<UseSessions>,
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, MobileError> {
    let Ok(Path((session, device))) = path else {
        return Err(Failure::from(Refusal::NotFound(Thing::Session)).into());
    };
    let session = session_id(Ok(Path(session)))?;
    let hold = devices::sessions::release_device(&app, &granted, session, &device).await?;
    answer(StatusCode::ACCEPTED, &Allocation::from(&hold))
}
