//! Mobile Next's wire: device sessions as `mobilecli` and its kin know them.
//!
//! Sources: the vendor's page of "list sessions" and "get a session" for those two, and for the rest what its
//! open clients send and read (mobilecli 1.0.9 and 1.0.0, mobilewright 0.0.57).

mod caller;
mod devices;
mod errors;
mod organizations;
mod rpc;
mod sessions;
mod shapes;
mod socket;

use super::layers::{self, Wire};
use crate::failure::{Failure, RequestFailure};
use crate::state::App;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use errors::MobileError;

/// The routes, for the table of callers.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api/v1/sessions"),
    ("POST", "/api/v1/sessions"),
    ("GET", "/api/v1/sessions/{session}"),
    ("DELETE", "/api/v1/sessions/{session}"),
    ("GET", "/api/v1/sessions/{session}/devices"),
    ("POST", "/api/v1/sessions/{session}/devices"),
    ("POST", "/api/v1/sessions/{session}/devices/{device}/release"),
    ("GET", "/api/v1/organizations"),
    ("GET", "/ws"),
];

const WIRE: Wire = Wire { name: "mobilenext", word: |failure| MobileError::from(failure).into_response() };

/// The routes.
pub fn routes(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/api/v1/sessions", get(sessions::list).post(sessions::create))
        .route("/api/v1/sessions/{session}", get(sessions::get).delete(sessions::end))
        .route("/api/v1/sessions/{session}/devices", get(devices::list).post(devices::request))
        .route("/api/v1/sessions/{session}/devices/{device}/release", post(devices::release))
        .route("/api/v1/organizations", get(organizations::list))
        .route("/api/v1/{*rest}", axum::routing::any(no_route))
        .route("/ws", get(socket::open))
        .method_not_allowed_fallback(|| async { MobileError::from(Failure::from(RequestFailure::Method)) });
    layers::around(routes, app, WIRE)
}

async fn no_route() -> MobileError {
    Failure::from(RequestFailure::NoRoute).into()
}
