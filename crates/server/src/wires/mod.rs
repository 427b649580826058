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

pub use crate::http::route::{BodyKind, Callers, Route};
pub use health::serve_metrics;

use crate::app::App;
use crate::console;
use crate::failure::RequestFailure;
use crate::http::cors;
use crate::http::wire::WireSpec;
use axum::Router;

/// All wires, with the pages and the service endpoints.
const WIRES: [WireSpec; 7] =
    [health::WIRE, everruns::WIRE, devin::WIRE, mobilenext::WIRE, probe::WIRE, console::WIRE, tenure::WIRE];

/// The router of the whole server.
pub fn router(app: App) -> Router {
    let cors = cors::layer(&app.settings);
    let router = WIRES.into_iter().fold(Router::new(), |router, wire| router.merge(wire.router(&app)));
    // The service endpoints answer for paths that no wire has.
    let router = router.fallback(health::WIRE.failing_handler(&app, RequestFailure::NoRoute)).with_state(app);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// Every route of the server, with the name of its wire; of a route with actions, one for each. The tests' table of callers must
/// have a row for each.
pub fn routes() -> impl Iterator<Item = (&'static str, Route)> {
    let split =
        |wire: WireSpec| wire.routes().flat_map(Route::split_actions).map(move |route| (wire.name, route));
    WIRES.into_iter().flat_map(split)
}
