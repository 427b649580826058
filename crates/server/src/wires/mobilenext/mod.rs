//! Mobile Next's wire: device sessions as `mobilecli` and related clients know them.
//!
//! Sources: the vendor's pages for "list sessions", "get a session", keys, members and invitations; for the rest, what its
//! open-source clients send and read (mobilecli 1.0.9 and 1.0.0, mobilewright 0.0.57).

mod device_login;
mod device_page;
mod devices;
pub mod errors;
mod extractors;
mod keys;
mod members;
mod organizations;
mod rpc;
mod sessions;
mod shapes;
mod socket;

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware::{self, WireSpec};
use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use errors::MobileError;

/// The routes, for the tests' table of callers.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api/v1/sessions"),
    ("POST", "/api/v1/sessions"),
    ("GET", "/api/v1/sessions/{session}"),
    ("DELETE", "/api/v1/sessions/{session}"),
    ("GET", "/api/v1/sessions/{session}/devices"),
    ("POST", "/api/v1/sessions/{session}/devices"),
    ("POST", "/api/v1/sessions/{session}/devices/{device}/release"),
    ("GET", "/api/v1/organizations"),
    ("POST", "/api/v1/organizations"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys"),
    ("DELETE", "/api/v1/keys/{key}"),
    ("GET", "/api/v1/members"),
    ("POST", "/api/v1/members"),
    ("DELETE", "/api/v1/members/{user}"),
    ("POST", "/api/v1/members/invitations"),
    ("DELETE", "/api/v1/members/invitations/{invitation}"),
    ("GET", "/api/v1/invitations"),
    ("POST", "/api/v1/invitations/{invitation}/accept"),
    ("POST", "/api/v1/invitations/{invitation}/reject"),
    ("POST", "/login/device/code"),
    ("POST", "/login/device/token"),
    ("GET", "/login/device"),
    ("POST", "/login/device"),
    ("GET", "/ws"),
];

const WIRE: WireSpec = WireSpec {
    name: "mobilenext",
    error_response: |failure| MobileError::from(failure).into_response(),
    authorize: Some(|app, parts| {
        Box::pin(async {
            extractors::Authenticated::from_request_parts(parts, app)
                .await
                .ok()
                .map(|authenticated| authenticated.0)
        })
    }),
};

/// Builds the routes of this wire.
pub fn routes(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/api/v1/sessions", get(sessions::list).post(sessions::create))
        .route("/api/v1/sessions/{session}", get(sessions::get).delete(sessions::end))
        .route("/api/v1/sessions/{session}/devices", get(devices::list).post(devices::request))
        .route("/api/v1/sessions/{session}/devices/{device}/release", post(devices::release))
        .route("/api/v1/organizations", get(organizations::list).post(organizations::create))
        .route("/api/v1/keys", get(keys::list).post(keys::create))
        .route("/api/v1/keys/{key}", delete(keys::revoke))
        .route("/api/v1/members", get(members::list).post(members::change))
        .route("/api/v1/members/{user}", delete(members::remove))
        .route("/api/v1/members/invitations", post(members::invite))
        .route("/api/v1/members/invitations/{invitation}", delete(members::take_back))
        .route("/api/v1/invitations", get(members::list_own))
        .route("/api/v1/invitations/{invitation}/accept", post(members::accept))
        .route("/api/v1/invitations/{invitation}/reject", post(members::reject))
        .route("/login/device/code", post(device_login::begin))
        .route("/login/device/token", post(device_login::ask))
        .route("/login/device", get(device_page::show).post(device_page::act))
        .route("/api/v1/{*rest}", axum::routing::any(no_route))
        .route("/ws", get(socket::open))
        .method_not_allowed_fallback(|| async { MobileError::from(Failure::from(RequestFailure::Method)) });
    middleware::wrap_routes(routes, app, WIRE)
}

async fn no_route() -> MobileError {
    Failure::from(RequestFailure::NoRoute).into()
}
