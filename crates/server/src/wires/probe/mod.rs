//! Probe.dev's wire: login sessions, API tokens and sub users.
//!
//! Sources: the vendor's OpenAPI documents of 2025-06-24 and 2025-07-30. No public client of this part is known. Where the
//! documents are silent, the behaviour is Tenure's own choice, and the code says so.

pub mod errors;
mod extractors;
mod fields;
mod passwords;
mod sessions;
mod shapes;
mod tokens;
mod users;

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware::{self, WireSpec};
use axum::Router;
use axum::extract::FromRequestParts;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{any, delete, get, post, put};
use errors::ProbeError;

/// The routes, for the tests' table of callers.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/frontend/api/v1/auth/session"),
    ("DELETE", "/frontend/api/v1/auth/session"),
    ("GET", "/frontend/api/v1/auth/session/{session}"),
    ("DELETE", "/frontend/api/v1/auth/session/{session}"),
    ("POST", "/frontend/api/v1/auth/sign-in"),
    ("DELETE", "/frontend/api/v1/auth/sign-out"),
    ("POST", "/frontend/api/v1/auth/jwt"),
    ("GET", "/frontend/api/v1/auth/api-token"),
    ("POST", "/frontend/api/v1/auth/api-token"),
    ("GET", "/frontend/api/v1/auth/api-token/{token}"),
    ("PUT", "/frontend/api/v1/auth/api-token/{token}"),
    ("DELETE", "/frontend/api/v1/auth/api-token/{token}"),
    ("PUT", "/frontend/api/v1/auth/current/password"),
    ("PUT", "/frontend/api/v1/auth/{user}/password"),
    ("POST", "/frontend/api/v1/auth/password-restore"),
    ("POST", "/frontend/api/v1/auth/password-restore-verify"),
    ("POST", "/frontend/api/v1/auth/verify"),
    ("GET", "/frontend/api/v1/user"),
    ("GET", "/frontend/api/v1/user/current"),
    ("PUT", "/frontend/api/v1/user/current"),
    ("POST", "/frontend/api/v1/user/current"),
    ("GET", "/frontend/api/v1/user/{user}"),
    ("PUT", "/frontend/api/v1/user/{user}"),
];

const WIRE: WireSpec = WireSpec {
    name: "probe",
    error_response: |failure| ProbeError::from(failure).into_response(),
    authorize: Some(|app, parts| {
        Box::pin(async {
            extractors::Authenticated::from_request_parts(parts, app)
                .await
                .ok()
                .map(|authenticated| authenticated.caller)
        })
    }),
};

/// Builds the routes of this wire.
pub fn routes(app: &App) -> Router<App> {
    let token = get(tokens::get).put(tokens::change).delete(tokens::revoke);
    let auth = Router::new()
        .route("/session", get(sessions::list).delete(sessions::end_all))
        .route("/session/{session}", get(sessions::get).delete(sessions::end))
        .route("/sign-in", post(sessions::sign_in))
        .route("/sign-out", delete(sessions::sign_out))
        .route("/jwt", post(sessions::jwt))
        .route("/api-token", get(tokens::list).post(tokens::create))
        .route("/api-token/{token}", token)
        .route("/current/password", put(passwords::change_own))
        .route("/{user}/password", put(passwords::change_of))
        .route("/password-restore", post(passwords::forgot))
        .route("/password-restore-verify", post(passwords::restore))
        .route("/verify", post(passwords::verify));
    let routes = Router::new()
        .nest("/frontend/api/v1/auth", auth)
        .route("/frontend/api/v1/user", get(users::list))
        .route(
            "/frontend/api/v1/user/current",
            get(users::current).put(users::change_own).post(users::create),
        )
        .route("/frontend/api/v1/user/{user}", get(users::get).put(users::change_of))
        .route("/frontend/{*rest}", any(no_route))
        .method_not_allowed_fallback(|| async { ProbeError::from(Failure::from(RequestFailure::Method)) })
        .layer(from_fn_with_state(app.clone(), extractors::deprecate));
    middleware::wrap_routes(routes, app, WIRE)
}

async fn no_route() -> ProbeError {
    Failure::from(RequestFailure::NoRoute).into()
}
