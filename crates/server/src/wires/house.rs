//! What no wire owns: health, readiness, metrics, and what the wires are.

use super::layers::{self, Wire};
use super::openapi;
use super::tenure::errors::TenureError;
use crate::failure::{Failure, RequestFailure};
use crate::observe::METRICS_CONTENT_TYPE;
use crate::state::App;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The routes, for the table of callers.
pub const ROUTES: &[(&str, &str)] =
    &[("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/openapi/{document}")];

const WIRE: Wire =
    Wire { name: layers::HOUSE, word: |failure| TenureError::from(failure).into_response(), authorize: None };

/// The routes.
pub fn routes(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi/{document}", get(document))
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
    if app.store.database().damaged().is_some() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the database is damaged: restore a backup\n")
            .into_response();
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
    let database = app.store.database();
    app.metrics.set_database(database.written(), database.damaged().is_some());
    match app.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], text).into_response(),
        Err(error) => TenureError::from(Failure::internal(error)).into_response(),
    }
}

/// The OpenAPI document of a wire: `probe.json`. It says nothing that the source does not say to everybody.
async fn document(path: Result<Path<String>, PathRejection>) -> Result<Response, TenureError> {
    let found = path.ok().and_then(|Path(file)| openapi::document(&file));
    let bytes = found.ok_or(Failure::from(RequestFailure::NoRoute))?;
    Ok(layers::json_response(StatusCode::OK, bytes.to_vec()))
}
