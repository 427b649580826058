//! The wires: each one product's HTTP API as its clients know it.
//!
//! A wire's folder has its routes, its shapes and its error texts. It uses the operations and the domain, never
//! another wire, and of the store only the grants.

pub mod devin;
pub mod everruns;
mod health;
pub mod mobilenext;
pub mod openapi;
pub mod probe;
pub mod tenure;

pub use health::serve_metrics;

use crate::app::App;
use crate::console;
use crate::http::cors;
use axum::Router;

/// All routes of the server.
pub fn router(app: App) -> Router {
    let cors = cors::layer(&app.settings);
    let router = Router::new()
        .merge(health::routes(&app))
        .merge(everruns::routes(&app))
        .merge(devin::routes(&app))
        .merge(mobilenext::routes(&app))
        .merge(probe::routes(&app))
        .merge(console::routes(&app))
        .merge(tenure::routes(&app))
        .with_state(app);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// A route, for tests: its method, its path and its wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The wire's name.
    pub wire: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path's pattern, such as `/v1/sessions/{session}`.
    pub path: &'static str,
}

/// Every route of the server. The tests' table of callers must have a row for each.
pub fn routes() -> impl Iterator<Item = Route> {
    let wires = [
        ("everruns", everruns::ROUTES),
        ("house", health::ROUTES),
        ("devin", devin::ROUTES),
        ("mobilenext", mobilenext::ROUTES),
        ("pages", console::ROUTES),
        ("probe", probe::ROUTES),
        ("tenure", tenure::ROUTES),
    ];
    wires
        .into_iter()
        .flat_map(|(wire, routes)| routes.iter().map(move |(method, path)| Route { wire, method, path }))
}
