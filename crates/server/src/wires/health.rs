//! The service endpoints: health, readiness, metrics and the OpenAPI documents.

use super::openapi;
use super::tenure::errors::TenureError;
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use crate::http::route::Callers::Anyone;
use crate::http::route::{Route, get};
use crate::http::wire::WireSpec;
use crate::services::metrics::METRICS_CONTENT_TYPE;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Headers that proxies add. With one of them, the peer is a proxy and not the client.
const FORWARDED: [&str; 2] = ["x-forwarded-for", "forwarded"];

/// The service endpoints. Health checks are never rate-limited.
pub const WIRE: WireSpec = WireSpec {
    rate_limited: false,
    ..WireSpec::new("house", routes, |failure| TenureError::from(failure).into_response())
};

fn routes() -> Vec<Route> {
    vec![
        get("/healthz", Anyone, async || "ok\n"),
        get("/readyz", Anyone, ready),
        // For clients on this machine.
        get("/metrics", Anyone, metrics),
        get("/openapi/{document}", Anyone, document),
    ]
}

/// `GET /readyz`: ready when the sessions are loaded, the database answers and the server is not stopping.
async fn ready(State(app): State<App>) -> Response {
    if app.stop.is_cancelled() {
        return unready("stopping");
    }
    let database = app.store.database();
    if database.damage_report().is_some() {
        return unready("the database is damaged: restore a backup");
    }
    if !app.sessions.is_ready() {
        return unready("loading the sessions");
    }
    let answers = async {
        database.ping().await?;
        database.newer_schema().await
    };
    match answers.await {
        Ok(Some(schema)) => {
            tracing::error!(schema, "a newer tenure has changed the database: stop this one");
            unready("a newer tenure has changed the database: stop this server, and start the newer program")
        }
        Ok(None) => match app.clocks.distrust_reason() {
            Some(doubt) => format!("ready\n{doubt}\n").into_response(),
            None => "ready\n".into_response(),
        },
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            unready("the database does not answer")
        }
    }
}

fn unready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

/// `GET /metrics` beside the wires: for clients on this machine, unless metrics have their own listener. For others the path
/// does not exist, because numbers of sessions, devices and requests are for the operator.
async fn metrics(State(app): State<App>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let elsewhere = peer.is_some_and(|ConnectInfo(peer)| !peer.ip().to_canonical().is_loopback());
    let passed_on = FORWARDED.iter().any(|header| request.headers().contains_key(*header));
    if app.settings.metrics_listen.is_some() || passed_on || elsewhere {
        return TenureError::from(Failure::from(RequestFailure::NoRoute)).into_response();
    }
    metrics_response(&app)
}

/// Serves only `/metrics` on a separate listener, until the server stops.
pub async fn serve_metrics(app: App, listener: TcpListener) {
    let stop = app.stop.clone();
    let routes = Router::new()
        .route("/metrics", routing::get(async |State(app): State<App>| metrics_response(&app)))
        .with_state(app);
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the listener of metrics failed");
    }
}

fn metrics_response(app: &App) -> Response {
    let database = app.store.database();
    app.metrics.set_database(database.write_counts(), database.damage_report().is_some());
    let (remembered, read) = app.callers.counts();
    app.metrics.set_callers(remembered, read);
    app.metrics.set_index(app.sessions.state());
    match app.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], text).into_response(),
        Err(error) => TenureError::from(Failure::internal(error)).into_response(),
    }
}

/// `GET /openapi/{document}`: the OpenAPI document of a wire, such as `probe.json`. Public, as the source is.
async fn document(path: Result<Path<String>, PathRejection>) -> Result<Response, TenureError> {
    let found = path.ok().and_then(|Path(file)| openapi::document(&file));
    let bytes = found.ok_or(Failure::from(RequestFailure::NoRoute))?;
    Ok(middleware::json_response(StatusCode::OK, bytes.to_vec()))
}
