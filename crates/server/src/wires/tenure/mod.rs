//! Tenure's own wire: the change feed, sign-in and the caller's account, hosts, files between clients and hosts, and the work
//! of agents for their workers.

mod changes;
pub mod errors;
mod extractors;
mod files;
mod host;
mod login_sessions;
mod me;
mod sign_in;
mod users;
mod work;

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware::{self, WireSpec};
use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post, put};
use errors::TenureError;

/// The routes, for the tests' table of callers.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/tenure/v1/changes"),
    ("GET", "/tenure/v1/host"),
    ("GET", "/tenure/v1/host/files/{file}"),
    ("PUT", "/tenure/v1/host/files/{file}"),
    ("GET", "/tenure/v1/files/{token}"),
    ("PUT", "/tenure/v1/files/{token}"),
    ("POST", "/tenure/v1/sign-in"),
    ("POST", "/tenure/v1/sign-in/code"),
    ("GET", "/tenure/v1/me"),
    ("GET", "/tenure/v1/me/sessions"),
    ("DELETE", "/tenure/v1/me/sessions"),
    ("DELETE", "/tenure/v1/me/sessions/{session}"),
    ("DELETE", "/tenure/v1/me/keys"),
    ("PUT", "/tenure/v1/me/password"),
    ("POST", "/tenure/v1/me/authenticate"),
    ("POST", "/tenure/v1/me/totp"),
    ("POST", "/tenure/v1/me/totp/confirm"),
    ("POST", "/tenure/v1/me/totp/remove"),
    ("POST", "/tenure/v1/me/recovery-codes"),
    ("POST", "/tenure/v1/login-sessions/revoke"),
    ("PUT", "/tenure/v1/users/{user}/suspension"),
    ("DELETE", "/tenure/v1/users/{user}/suspension"),
    ("POST", "/tenure/v1/work/claim"),
    ("POST", "/tenure/v1/work/{session}/heartbeat"),
    ("POST", "/tenure/v1/work/{session}/report"),
    ("POST", "/tenure/v1/work/{session}/done"),
];

const WIRE: WireSpec = WireSpec {
    name: "tenure",
    error_response: |failure| TenureError::from(failure).into_response(),
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
        .route("/tenure/v1/changes", get(changes::list))
        .route("/tenure/v1/host", get(host::open))
        .route("/tenure/v1/host/files/{file}", get(files::send_to_host).put(files::receive_from_host))
        .route("/tenure/v1/files/{token}", get(files::fetch).put(files::receive))
        .merge(people())
        .route("/tenure/v1/work/claim", post(work::claim))
        .route("/tenure/v1/work/{session}/heartbeat", post(work::heartbeat))
        .route("/tenure/v1/work/{session}/report", post(work::report))
        .route("/tenure/v1/work/{session}/done", post(work::finish))
        .route("/tenure/{*rest}", axum::routing::any(super::health::no_route))
        .method_not_allowed_fallback(|| async { TenureError::from(Failure::from(RequestFailure::Method)) });
    middleware::wrap_routes(routes, app, WIRE)
}

fn people() -> Router<App> {
    Router::new()
        .route("/tenure/v1/sign-in", post(sign_in::sign_in))
        .route("/tenure/v1/sign-in/code", post(sign_in::code))
        .route("/tenure/v1/login-sessions/revoke", post(login_sessions::revoke))
        .route("/tenure/v1/users/{user}/suspension", put(users::suspend).delete(users::resume))
        .route("/tenure/v1/me", get(me::get))
        .route("/tenure/v1/me/sessions", get(me::sessions).delete(me::end_sessions))
        .route("/tenure/v1/me/sessions/{session}", delete(me::end_session))
        .route("/tenure/v1/me/keys", delete(me::revoke_keys))
        .route("/tenure/v1/me/password", put(me::password))
        .route("/tenure/v1/me/authenticate", post(me::authenticate))
        .route("/tenure/v1/me/totp", post(me::propose))
        .route("/tenure/v1/me/totp/confirm", post(me::confirm))
        .route("/tenure/v1/me/totp/remove", post(me::remove))
        .route("/tenure/v1/me/recovery-codes", post(me::recovery_codes))
}
