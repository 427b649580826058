//! Tenure's own wire: the change feed, sign-in and the caller's account, hosts, files between clients and hosts, and the work
//! of agents for their workers.

mod agents;
mod changes;
mod directory;
pub mod errors;
mod extractors;
mod files;
mod fleet;
mod host;
mod lists;
mod login_sessions;
mod me;
mod sessions;
mod sign_in;
mod users;
mod views;
mod work;

use crate::http::route::{BodyKind, Callers, Route, delete, get, patch, post, put};
use crate::http::wire::{WireSpec, authorize_by};
use axum::response::IntoResponse;
use domain::permission::Permission::{
    ConnectHosts, ConnectWorkers, ManageMembers, ViewAudit, ViewSessions, ViewUsage,
};
use errors::TenureError;
use protocol::actions::ACTIONS;
use protocol::new_session::MAX_DEVICE_WAIT_SECONDS;
use protocol::work::MAX_WAIT_SECONDS;

/// This wire.
pub const WIRE: WireSpec = WireSpec {
    bases: &["/tenure"],
    organization_header: Some(extractors::ORGANIZATION_HEADER),
    allowed_methods: sessions::allowed_methods,
    authorize: Some(authorize_by::<extractors::Authenticated>),
    ..WireSpec::new("tenure", routes, |failure| TenureError::from(failure).into_response())
};

fn routes() -> Vec<Route> {
    use BodyKind::File;
    use Callers::{Anyone, Authenticated, InAccount, Permitted, SignedIn, TokenHolder};
    vec![
        get("/tenure/v1/sessions", Authenticated, sessions::list),
        post("/tenure/v1/sessions", Authenticated, sessions::create).wait(MAX_DEVICE_WAIT_SECONDS),
        post("/tenure/v1/sessions:batchGet", Authenticated, sessions::batch_get),
        get("/tenure/v1/sessions/facets", Authenticated, sessions::facets),
        get("/tenure/v1/sessions/histogram", Authenticated, sessions::histogram),
        get("/tenure/v1/sessions/{session}", Authenticated, sessions::get),
        patch("/tenure/v1/sessions/{session}", Authenticated, sessions::update),
        post("/tenure/v1/sessions/{session}", Authenticated, sessions::act).actions(ACTIONS),
        get("/tenure/v1/sessions/{session}/timeline", Authenticated, sessions::timeline),
        get("/tenure/v1/watch", Authenticated, sessions::watch),
        get("/tenure/v1/filter/fields", Authenticated, sessions::fields),
        get("/tenure/v1/filter/complete", Authenticated, sessions::complete),
        get("/tenure/v1/devices", Authenticated, fleet::devices),
        get("/tenure/v1/hosts", Authenticated, fleet::hosts),
        get("/tenure/v1/queue", Authenticated, fleet::queue),
        get("/tenure/v1/views", Authenticated, views::list),
        post("/tenure/v1/views", Authenticated, views::create),
        get("/tenure/v1/views/{view}", Authenticated, views::get),
        put("/tenure/v1/views/{view}", Authenticated, views::update),
        delete("/tenure/v1/views/{view}", Authenticated, views::delete),
        get("/tenure/v1/agents", Authenticated, agents::agents),
        get("/tenure/v1/workers", Authenticated, agents::workers),
        get("/tenure/v1/organizations", Authenticated, directory::organizations),
        get("/tenure/v1/people", Permitted(ManageMembers), directory::people),
        get("/tenure/v1/keys", Authenticated, directory::keys),
        get("/tenure/v1/audit", Permitted(ViewAudit), directory::audit),
        get("/tenure/v1/usage", Permitted(ViewUsage), directory::usage),
        get("/tenure/v1/changes", Permitted(ViewSessions), changes::list),
        get("/tenure/v1/host", Permitted(ConnectHosts), host::open),
        get("/tenure/v1/host/files/{file}", Permitted(ConnectHosts), files::send_to_host).body(File),
        put("/tenure/v1/host/files/{file}", Permitted(ConnectHosts), files::receive_from_host).body(File),
        get("/tenure/v1/files/{token}", TokenHolder, files::fetch).body(File),
        put("/tenure/v1/files/{token}", TokenHolder, files::receive).body(File),
        post("/tenure/v1/sign-in", Anyone, sign_in::sign_in),
        post("/tenure/v1/sign-in/code", Anyone, sign_in::code),
        get("/tenure/v1/me", Authenticated, me::get),
        get("/tenure/v1/me/sessions", Authenticated, me::sessions),
        delete("/tenure/v1/me/sessions", Authenticated, me::end_sessions),
        delete("/tenure/v1/me/sessions/{session}", Authenticated, me::end_session),
        delete("/tenure/v1/me/keys", SignedIn, me::revoke_keys),
        put("/tenure/v1/me/password", Authenticated, me::password),
        post("/tenure/v1/me/authenticate", SignedIn, me::authenticate),
        post("/tenure/v1/me/totp", SignedIn, me::propose),
        post("/tenure/v1/me/totp/confirm", SignedIn, me::confirm),
        post("/tenure/v1/me/totp/remove", SignedIn, me::remove),
        post("/tenure/v1/me/recovery-codes", SignedIn, me::recovery_codes),
        post("/tenure/v1/login-sessions/revoke", InAccount(ManageMembers), login_sessions::revoke),
        put("/tenure/v1/users/{user}/suspension", InAccount(ManageMembers), users::suspend),
        delete("/tenure/v1/users/{user}/suspension", InAccount(ManageMembers), users::resume),
        post("/tenure/v1/work/claim", Permitted(ConnectWorkers), work::claim).wait(MAX_WAIT_SECONDS),
        post("/tenure/v1/work/{session}/heartbeat", TokenHolder, work::heartbeat),
        post("/tenure/v1/work/{session}/report", TokenHolder, work::report),
        post("/tenure/v1/work/{session}/done", TokenHolder, work::finish),
    ]
}
