//! The wires: each one product's HTTP API as its clients know it.
//!
//! A wire's folder has its routes, its shapes and its words for failures. It names the use cases and the
//! domain, never another wire, and of the store only the proofs of access.

mod cookies;
mod cors;
mod credential;
pub mod devin;
pub mod everruns;
mod house;
mod layers;
pub mod mobilenext;
mod object;
pub mod openapi;
mod origin;
mod pacing;
pub mod pages;
pub mod probe;
mod quotas;
mod repeats;
pub mod tenure;
mod times;
mod unreadable;

pub use house::serve_metrics;

use crate::state::App;
use axum::Router;

/// All routes of the server: the one table.
pub fn router(app: App) -> Router {
    let cors = cors::layer(&app.settings);
    let router = Router::new()
        .merge(house::routes(&app))
        .merge(everruns::routes(&app))
        .merge(devin::routes(&app))
        .merge(mobilenext::routes(&app))
        .merge(probe::routes(&app))
        .merge(pages::routes(&app))
        .merge(tenure::routes(&app))
        .with_state(app);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// A route for people and tests: the method, the path and the wire it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The wire.
    pub wire: &'static str,
    /// The method.
    pub method: &'static str,
    /// The pattern of the path.
    pub path: &'static str,
}

/// Every route there is, as the wires' tables say. The table of callers must have a row for each.
pub fn routes() -> impl Iterator<Item = Route> {
    let wires = [
        ("everruns", everruns::ROUTES),
        ("house", house::ROUTES),
        ("devin", devin::ROUTES),
        ("mobilenext", mobilenext::ROUTES),
        ("pages", pages::ROUTES),
        ("probe", probe::ROUTES),
        ("tenure", tenure::ROUTES),
    ];
    wires
        .into_iter()
        .flat_map(|(wire, routes)| routes.iter().map(move |(method, path)| Route { wire, method, path }))
}
