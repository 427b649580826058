//! Devin's wire: agent sessions as the clients of its API v3 know them, also under its older prefix `/v3beta1`.
//!
//! Sources: the vendor's documentation pages and OpenAPI document, and what its published clients send and read
//! (devinai 0.1.0, devin-cli 1.5.1, llm-devin 0.0.7, the Terraform provider). Where they disagree, the union is
//! accepted.

mod attachments;
mod body;
mod create_session;
mod cursor;
mod enterprise;
pub mod errors;
mod extractors;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod insights;
mod members;
mod messages;
mod organizations;
mod query;
mod roles;
mod service_users;
mod session_lists;
mod sessions;
mod shapes;
mod short_lists;
mod tags;
mod unknown_parameters;
mod usage;

use crate::http::route::{BodyKind, Callers, Route, delete, get, patch, post, put};
use crate::http::wire::{WireSpec, authorize_by};
use axum::response::IntoResponse;
use domain::permission::Permission::{
    ManageMembers, ManageOrganizations, ManageServiceUsers, UseSessions, ViewAudit, ViewSessions, ViewUsage,
};
use errors::DevinError;

/// This wire, under its two prefixes.
pub const WIRE: WireSpec = WireSpec {
    prefixes: &["/v3", "/v3beta1"],
    bases: &["/v3", "/v3beta1"],
    authorize: Some(authorize_by::<extractors::Authenticated>),
    ..WireSpec::new("devin", routes, |failure| DevinError::from(failure).into_response())
};

/// The routes of an organization are served with the organization in the path, and without one, which means the key's own
/// organization.
fn routes() -> Vec<Route> {
    let places = ["/organizations/{org}", "/organizations"];
    let organization =
        organization_routes().into_iter().flat_map(|route| places.map(|place| route.below(place)));
    organization.chain(other_routes()).map(unknown_parameters::warn).collect()
}

#[rustfmt::skip]
fn organization_routes() -> Vec<Route> {
    use Callers::Permitted;
    vec![
        get("/sessions", Permitted(ViewSessions), sessions::list).query(&[filter::PARAMETERS]),
        post("/sessions", Permitted(UseSessions), sessions::create),
        get("/sessions/insights", Permitted(ViewSessions), insights::list).query(&[filter::PARAMETERS]),
        get("/sessions/{devin}", Permitted(ViewSessions), sessions::get),
        delete("/sessions/{devin}", Permitted(UseSessions), sessions::terminate).query(&[&["archive"]]),
        post("/sessions/{devin}/archive", Permitted(UseSessions), sessions::archive),
        post("/sessions/{devin}/unarchive", Permitted(UseSessions), sessions::unarchive),
        get("/sessions/{devin}/messages", Permitted(ViewSessions), messages::list).query(&[messages::PARAMETERS]),
        post("/sessions/{devin}/messages", Permitted(UseSessions), messages::post),
        get("/sessions/{devin}/tags", Permitted(ViewSessions), tags::get),
        post("/sessions/{devin}/tags", Permitted(UseSessions), tags::append),
        put("/sessions/{devin}/tags", Permitted(UseSessions), tags::replace),
        get("/sessions/{devin}/attachments", Permitted(ViewSessions), attachments::list),
        get("/sessions/{devin}/insights", Permitted(ViewSessions), insights::get),
        post("/sessions/{devin}/insights/generate", Permitted(UseSessions), insights::generate),
        post("/attachments", Permitted(UseSessions), attachments::upload).body(BodyKind::Form),
        get("/attachments/{uuid}/{name}", Permitted(ViewSessions), attachments::fetch),
        get("/members/users", Permitted(ManageMembers), members::list).query(&[short_lists::PARAMETERS]),
        post("/members/users", Permitted(ManageMembers), members::set),
        delete("/members/users/{user}", Permitted(ManageMembers), members::remove),
        get("/members/service-users", Permitted(ManageServiceUsers), service_users::list).query(&[short_lists::PARAMETERS]),
        get("/service-users", Permitted(ManageServiceUsers), service_users::list).query(&[short_lists::PARAMETERS]),
        post("/service-users", Permitted(ManageServiceUsers), service_users::create),
        get("/service-users/{user}", Permitted(ManageServiceUsers), service_users::get),
        delete("/service-users/{user}", Permitted(ManageServiceUsers), service_users::delete),
        get("/service-users/{user}/api-keys", Permitted(ManageServiceUsers), service_users::list_keys).query(&[short_lists::PARAMETERS]),
        post("/service-users/{user}/api-keys", Permitted(ManageServiceUsers), service_users::create_key),
        delete("/service-users/{user}/api-keys/{key}", Permitted(ManageServiceUsers), service_users::revoke_key),
        post("/service-users/{user}/api-keys/{key}/rotate", Permitted(ManageServiceUsers), service_users::rotate_key),
        get("/consumption/daily", Permitted(ViewUsage), usage::daily).query(&[usage::CONSUMPTION_PARAMETERS]),
        get("/audit-logs", Permitted(ViewAudit), usage::audit_logs).query(&[usage::AUDIT_PARAMETERS]),
    ]
}

#[rustfmt::skip]
fn other_routes() -> Vec<Route> {
    use Callers::{Authenticated, InAccount, TokenHolder};
    vec![
        get("/self", Authenticated, members::myself),
        get("/attachments/{link}", TokenHolder, attachments::open),
        get("/enterprise/organizations", InAccount(ManageOrganizations), organizations::list).query(&[short_lists::PARAMETERS]),
        post("/enterprise/organizations", InAccount(ManageOrganizations), organizations::create),
        get("/enterprise/organizations/{org}", InAccount(ManageOrganizations), organizations::get),
        patch("/enterprise/organizations/{org}", InAccount(ManageOrganizations), organizations::update),
        delete("/enterprise/organizations/{org}", InAccount(ManageOrganizations), organizations::delete),
        get("/enterprise/members/users", InAccount(ManageMembers), members::list_in_account).query(&[short_lists::PARAMETERS]),
        get("/enterprise/members/users/{user}", InAccount(ManageMembers), members::get_in_account),
        get("/enterprise/members/service-users", InAccount(ManageServiceUsers), service_users::list).query(&[short_lists::PARAMETERS]),
        get("/enterprise/service-users", InAccount(ManageServiceUsers), service_users::list).query(&[short_lists::PARAMETERS]),
        post("/enterprise/service-users", InAccount(ManageServiceUsers), service_users::create),
        get("/enterprise/service-users/{user}", InAccount(ManageServiceUsers), service_users::get),
        delete("/enterprise/service-users/{user}", InAccount(ManageServiceUsers), service_users::delete),
        get("/enterprise/service-users/{user}/api-keys", InAccount(ManageServiceUsers), service_users::list_keys).query(&[short_lists::PARAMETERS]),
        post("/enterprise/service-users/{user}/api-keys", InAccount(ManageServiceUsers), service_users::create_key),
        delete("/enterprise/service-users/{user}/api-keys/{key}", InAccount(ManageServiceUsers), service_users::revoke_key),
        post("/enterprise/service-users/{user}/api-keys/{key}/rotate", InAccount(ManageServiceUsers), service_users::rotate_key),
        get("/enterprise/roles", InAccount(ManageMembers), roles::list),
        get("/enterprise/consumption/daily", InAccount(ViewUsage), usage::daily_in_account).query(&[usage::CONSUMPTION_PARAMETERS, &["org_ids"]]),
        get("/enterprise/queue", InAccount(ViewUsage), usage::queue),
        get("/enterprise/audit-logs", InAccount(ViewAudit), usage::audit_logs_in_account).query(&[usage::AUDIT_PARAMETERS]),
        get("/enterprise/sessions", InAccount(ViewSessions), enterprise::list).query(&[filter::PARAMETERS, filter::ACCOUNT_PARAMETERS]),
        get("/enterprise/sessions/insights", InAccount(ViewSessions), enterprise::list_insights).query(&[filter::PARAMETERS, filter::ACCOUNT_PARAMETERS]),
        get("/enterprise/sessions/{devin}", InAccount(ViewSessions), enterprise::get).query(&[enterprise::PARAMETERS]),
        get("/enterprise/sessions/{devin}/messages", InAccount(ViewSessions), enterprise::list_messages).query(&[enterprise::PARAMETERS, messages::PARAMETERS]),
        post("/enterprise/sessions/{devin}/messages", InAccount(UseSessions), enterprise::post_message).query(&[enterprise::PARAMETERS]),
        get("/enterprise/sessions/{devin}/tags", InAccount(ViewSessions), enterprise::get_tags).query(&[enterprise::PARAMETERS]),
        post("/enterprise/sessions/{devin}/tags", InAccount(UseSessions), enterprise::append_tags).query(&[enterprise::PARAMETERS]),
        put("/enterprise/sessions/{devin}/tags", InAccount(UseSessions), enterprise::replace_tags).query(&[enterprise::PARAMETERS]),
        get("/enterprise/sessions/{devin}/attachments", InAccount(ViewSessions), enterprise::list_attachments).query(&[enterprise::PARAMETERS]),
        get("/enterprise/sessions/{devin}/insights", InAccount(ViewSessions), enterprise::get_insights).query(&[enterprise::PARAMETERS]),
        post("/enterprise/sessions/{devin}/insights/generate", InAccount(UseSessions), enterprise::generate_insights).query(&[enterprise::PARAMETERS]),
    ]
}
