//! Mobile Next's wire: device sessions as `mobilecli` and related clients know them.
//!
//! Sources: the vendor's pages for "list sessions", "get a session", keys, members and invitations; for the rest, what its
//! open-source clients send and read (mobilecli 1.0.9 and 1.0.0, mobilewright 0.0.57).

mod device_login;
mod device_page;
mod devices;
pub mod errors;
mod extractors;
mod keys;
mod members;
mod organizations;
mod rpc;
mod sessions;
mod shapes;
mod socket;

use crate::http::route::{Callers, Route, delete, get, post};
use crate::http::wire::{WireSpec, authorize_by};
use axum::response::IntoResponse;
use domain::permission::Permission::{ManageMembers, UseSessions, ViewSessions};
use errors::MobileError;

/// This wire.
pub const WIRE: WireSpec = WireSpec {
    bases: &["/api/v1"],
    organization_header: Some(extractors::ORGANIZATION_HEADER),
    authorize: Some(authorize_by::<extractors::Authenticated>),
    ..WireSpec::new("mobilenext", routes, |failure| MobileError::from(failure).into_response())
};

fn routes() -> Vec<Route> {
    use Callers::{Anyone, Authenticated, Permitted, SignedIn};
    vec![
        get("/api/v1/sessions", Permitted(ViewSessions), sessions::list),
        post("/api/v1/sessions", Permitted(UseSessions), sessions::create),
        get("/api/v1/sessions/{session}", Permitted(ViewSessions), sessions::get),
        delete("/api/v1/sessions/{session}", Permitted(UseSessions), sessions::end),
        get("/api/v1/sessions/{session}/devices", Permitted(ViewSessions), devices::list),
        post("/api/v1/sessions/{session}/devices", Permitted(UseSessions), devices::request),
        post("/api/v1/sessions/{session}/devices/{device}/release", Permitted(UseSessions), devices::release),
        get("/api/v1/organizations", Authenticated, organizations::list),
        // The settings decide who may.
        post("/api/v1/organizations", Authenticated, organizations::create),
        get("/api/v1/keys", SignedIn, keys::list),
        post("/api/v1/keys", SignedIn, keys::create),
        delete("/api/v1/keys/{key}", SignedIn, keys::revoke),
        get("/api/v1/members", Permitted(ViewSessions), members::list),
        post("/api/v1/members", Permitted(ManageMembers), members::change),
        // Members may end their own membership.
        delete("/api/v1/members/{user}", Authenticated, members::remove),
        post("/api/v1/members/invitations", Permitted(ManageMembers), members::invite),
        delete("/api/v1/members/invitations/{invitation}", Permitted(ManageMembers), members::take_back),
        get("/api/v1/invitations", SignedIn, members::list_own),
        post("/api/v1/invitations/{invitation}/accept", SignedIn, members::accept),
        post("/api/v1/invitations/{invitation}/reject", SignedIn, members::reject),
        post("/login/device/code", Anyone, device_login::begin),
        post("/login/device/token", Anyone, device_login::ask),
        get("/login/device", Anyone, device_page::show),
        post("/login/device", SignedIn, device_page::act),
        // Each frame is authenticated.
        get("/ws", Anyone, socket::open),
    ]
}
