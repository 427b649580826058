//! `/api/v1/sessions/{session}/devices`: request, list and release devices.

use super::errors::MobileError;
use super::extractors::Authorized;
use super::sessions::{SessionPath, respond, session_id};
use super::shapes::{Allocation, AllocationResponse, List};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::WholeRequest;
use crate::http::object;
use crate::operations::devices;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use domain::device::{DeviceFilter, DeviceFilters, HoldState};
use domain::refusal::Thing;
use serde::Deserialize;
use store::access::{UseSessions, ViewSessions};

/// A request for a device, over HTTP and over the WebSocket.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with filters")]
pub struct DeviceRequest {
    /// The device must match all of them.
    #[serde(deserialize_with = "object::list")]
    pub filters: Vec<DeviceFilter>,
}

/// `GET …/devices`: mobilewright polls it until `status` is `in_use` and `info.serial` is present.
pub async fn list(
    Authorized(granted): Authorized<ViewSessions>,
    State(app): State<App>,
    session: SessionPath,
) -> Result<Response, MobileError> {
    let session = devices::sessions::load_device_session(&app, &granted, session_id(session)?).await?;
    respond(StatusCode::OK, &List::new(session.holds.iter().map(Allocation::from).collect::<Vec<_>>(), None))
}

/// `POST …/devices`: 201 with the device, or 202 with a place in the queue. It never waits for a device: clients time out
/// after 30 s and poll.
pub async fn request(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    session: SessionPath,
    WholeRequest(body): WholeRequest,
) -> Result<Response, MobileError> {
    let session = session_id(session)?;
    let ask: DeviceRequest = middleware::read_json(&app, body).await?;
    let filters = DeviceFilters::new(ask.filters).map_err(Failure::from)?;
    let hold = devices::sessions::request_device(&app, &granted, session, filters).await?;
    let status = if hold.state() == HoldState::InUse { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    respond(status, &AllocationResponse::new(session, &hold))
}

/// `POST …/devices/{device}/release`: `device` is a device's id, or the allocation's id of a request. Answers with a body,
/// because mobilewright reads one.
pub async fn release(
    Authorized(granted): Authorized<UseSessions>,
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, MobileError> {
    let Ok(Path((session, device))) = path else {
        return Err(Failure::from(Refusal::NotFound(Thing::Session)).into());
    };
    let session = session_id(Ok(Path(session)))?;
    let hold = devices::sessions::release_device(&app, &granted, session, &device).await?;
    respond(StatusCode::ACCEPTED, &Allocation::from(&hold))
}
