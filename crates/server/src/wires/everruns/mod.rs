//! Everruns' wire: agent sessions as its SDKs and its command line know them.
//!
//! Sources: the vendor's page of "list sessions" and its OpenAPI document of February 2026, and for the rest what its
//! published clients send and read (everruns-sdk 0.1.0 to 0.3.1, everruns-cli 0.50.1).

mod agent_commands;
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

use crate::http::route::{Callers, Route, delete, get, patch, post, put};
use crate::http::wire::{WireSpec, authorize_by};
use axum::response::IntoResponse;
use domain::permission::Permission::{UseSessions, ViewSessions};
use errors::EverrunsError;

/// This wire. The second prefix is for clients whose base URL ends with `/everruns/api`. The vendor's own `/api/v1` is
/// Mobile Next's here.
pub const WIRE: WireSpec = WireSpec {
    prefixes: &["", "/everruns/api"],
    bases: &["/v1", "/everruns/api/v1"],
    organization_header: Some(extractors::ORGANIZATION_HEADER),
    authorize: Some(authorize_by::<extractors::Authenticated>),
    ..WireSpec::new("everruns", routes, |failure| EverrunsError::from(failure).into_response())
};

fn routes() -> Vec<Route> {
    use Callers::{Authenticated, Permitted};
    vec![
        get("/v1/agents", Permitted(ViewSessions), agents::list),
        post("/v1/agents", Permitted(UseSessions), agents::create),
        get("/v1/agents/{agent}", Permitted(ViewSessions), agents::get),
        patch("/v1/agents/{agent}", Permitted(UseSessions), agents::update),
        delete("/v1/agents/{agent}", Permitted(UseSessions), agents::delete),
        get("/v1/agents/{agent}/export", Permitted(ViewSessions), agents::export),
        get("/v1/sessions", Permitted(ViewSessions), sessions::list),
        post("/v1/sessions", Permitted(UseSessions), sessions::create),
        get("/v1/sessions/stats", Permitted(ViewSessions), stats::stats),
        get("/v1/sessions/facets", Permitted(ViewSessions), stats::facets),
        get("/v1/sessions/{session}", Permitted(ViewSessions), sessions::get),
        patch("/v1/sessions/{session}", Permitted(UseSessions), sessions::update),
        delete("/v1/sessions/{session}", Permitted(UseSessions), sessions::delete),
        post("/v1/sessions/{session}/cancel", Permitted(UseSessions), sessions::cancel),
        put("/v1/sessions/{session}/pin", Permitted(ViewSessions), sessions::pin),
        delete("/v1/sessions/{session}/pin", Permitted(ViewSessions), sessions::unpin),
        put("/v1/sessions/{session}/archive", Permitted(UseSessions), sessions::archive),
        delete("/v1/sessions/{session}/archive", Permitted(UseSessions), sessions::unarchive),
        get("/v1/sessions/{session}/messages", Permitted(ViewSessions), messages::list),
        post("/v1/sessions/{session}/messages", Permitted(UseSessions), messages::create),
        get("/v1/sessions/{session}/export", Permitted(ViewSessions), messages::export),
        get("/v1/sessions/{session}/events", Permitted(ViewSessions), events::list),
        get("/v1/sessions/{session}/sse", Permitted(ViewSessions), sse::open),
        // Each command requires what the route that it stands for requires.
        post("/v1/commands/{name}", Authenticated, commands::run),
        get("/v1/auth/me", Authenticated, auth::me),
    ]
}
