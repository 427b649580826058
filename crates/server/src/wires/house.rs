//! What no wire owns: health, readiness, metrics.

use super::layers::{self, Wire};
use super::tenure::errors::TenureError;
use crate::failure::{Failure, RequestFailure};
use crate::observe::METRICS_CONTENT_TYPE;
use crate::state::App;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The routes, for the table of callers.
pub const ROUTES: &[(&str, &str)] = &[("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")];

const WIRE: Wire = Wire { name: layers::HOUSE, word: |failure| TenureError::from(failure).into_response() };

/// The routes.
pub fn routes(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        // Any path that no wire has: the layers are around this one too.
        .fallback(no_route)
        .method_not_allowed_fallback(|| async { TenureError::from(Failure::from(RequestFailure::Method)) });
    layers::around(routes, app, WIRE)
}

/// What any path gets that no wire has.
pub async fn no_route() -> TenureError {
    Failure::from(RequestFailure::NoRoute).into()
}

/// Whether requests can be served: the database answers and the server is not stopping.
async fn ready(State(app): State<App>) -> Response {
    if app.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match app.store.database().ping().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}

async fn metrics(State(app): State<App>) -> Response {
    app.metrics.set_written(app.store.database().written());
    match app.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], text).into_response(),
        Err(error) => TenureError::from(Failure::internal(error)).into_response(),
    }
}
