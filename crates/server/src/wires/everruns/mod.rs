//! Everruns' wire: agent sessions as its SDKs and its command line know them.
//!
//! Sources: the vendor's page of "list sessions" and its OpenAPI document of February 2026, and for the rest what its
//! published clients send and read (everruns-sdk 0.1.0 to 0.3.1, everruns-cli 0.50.1).

mod agents;
mod auth;
mod commands;
pub mod errors;
mod event_shapes;
mod events;
mod extractors;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod ids;
mod message_content;
mod messages;
mod output;
mod query;
mod session_extras;
mod sessions;
mod shapes;
mod sse;
mod stats;

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware::{self, WireSpec};
use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::IntoResponse;
use axum::routing::{any, get, post, put};
use errors::EverrunsError;

/// The routes, for the tests' table of callers. Each is also served below [`ALIAS`].
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/agents"),
    ("POST", "/v1/agents"),
    ("GET", "/v1/agents/{agent}"),
    ("PATCH", "/v1/agents/{agent}"),
    ("DELETE", "/v1/agents/{agent}"),
    ("GET", "/v1/sessions"),
    ("POST", "/v1/sessions"),
    ("GET", "/v1/sessions/stats"),
    ("GET", "/v1/sessions/facets"),
    ("GET", "/v1/sessions/{session}"),
    ("PATCH", "/v1/sessions/{session}"),
    ("DELETE", "/v1/sessions/{session}"),
    ("POST", "/v1/sessions/{session}/cancel"),
    ("PUT", "/v1/sessions/{session}/pin"),
    ("DELETE", "/v1/sessions/{session}/pin"),
    ("PUT", "/v1/sessions/{session}/archive"),
    ("DELETE", "/v1/sessions/{session}/archive"),
    ("GET", "/v1/sessions/{session}/messages"),
    ("POST", "/v1/sessions/{session}/messages"),
    ("GET", "/v1/sessions/{session}/export"),
    ("GET", "/v1/sessions/{session}/events"),
    ("GET", "/v1/sessions/{session}/sse"),
    ("POST", "/v1/commands/{name}"),
    ("GET", "/v1/auth/me"),
];

/// The second prefix of this wire, for clients whose base URL ends with `/everruns/api`. The vendor's own `/api/v1` is
/// Mobile Next's here.
pub const ALIAS: &str = "/everruns/api";

const WIRE: WireSpec = WireSpec {
    name: "everruns",
    error_response: |failure| EverrunsError::from(failure).into_response(),
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
    let routes = Router::new().merge(paths()).nest(ALIAS, paths());
    middleware::wrap_routes(routes, app, WIRE)
}

fn paths() -> Router<App> {
    Router::new()
        .route("/v1/agents", get(agents::list).post(agents::create))
        .route("/v1/agents/{agent}", get(agents::get).patch(agents::update).delete(agents::delete))
        .route("/v1/sessions", get(sessions::list).post(sessions::create))
        .route("/v1/sessions/stats", get(stats::stats))
        .route("/v1/sessions/facets", get(stats::facets))
        .route("/v1/sessions/{session}", get(sessions::get).patch(sessions::update).delete(sessions::delete))
        .route("/v1/sessions/{session}/cancel", post(sessions::cancel))
        .route("/v1/sessions/{session}/pin", put(sessions::pin).delete(sessions::unpin))
        .route("/v1/sessions/{session}/archive", put(sessions::archive).delete(sessions::unarchive))
        .route("/v1/sessions/{session}/messages", get(messages::list).post(messages::create))
        .route("/v1/sessions/{session}/export", get(messages::export))
        .route("/v1/sessions/{session}/events", get(events::list))
        .route("/v1/sessions/{session}/sse", get(sse::open))
        .route("/v1/commands/{name}", post(commands::run))
        .route("/v1/auth/me", get(auth::me))
        .route("/v1/{*rest}", any(no_route))
        .method_not_allowed_fallback(|| async { EverrunsError::from(Failure::from(RequestFailure::Method)) })
}

async fn no_route() -> EverrunsError {
    Failure::from(RequestFailure::NoRoute).into()
}
