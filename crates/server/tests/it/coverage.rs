//! The table of callers: each route and each kind of caller, with the expected status. A new route without a row
//! fails here.

pub mod declarations;
pub mod story;

use crate::world::{Actor, START, TestResponse, World};
use declarations::Standing::{Colleague, Member, OfAccount, Outsider};
use domain::ids::OrganizationId;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::json;
use store::System;
use story::{Story, send};

/// The kinds of callers with a valid key. All others (no key, a broken, expired or revoked one, a suspended
/// user) get the same response.
pub const CALLERS: [&str; 9] = [
    "foreign admin",
    "foreign admin naming the organization",
    "readonly",
    "owner",
    "colleague",
    "admin",
    "account viewer",
    "account admin",
    "admin of a deleted organization",
];

/// A route and the status for each of [`CALLERS`]. The first number is for callers without a valid key.
#[rustfmt::skip]
pub const TABLE: &[(&str, &str, u16, [u16; 9])] = &[
    ("GET",    "/healthz",                                            200, [200; 9]),
    ("GET",    "/readyz",                                             200, [200; 9]),
    ("GET",    "/metrics",                                            200, [200; 9]),
    ("GET",    "/openapi/{document}",                                 200, [200; 9]),
    ("GET",    "/api/v1/sessions",                                    401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/api/v1/sessions",                                    401, [201, 403, 403, 201, 201, 201, 403, 201, 403]),
    ("GET",    "/api/v1/sessions/{session}",                          401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("DELETE", "/api/v1/sessions/{session}",                          401, [404, 403, 403, 204, 403, 204, 403, 204, 403]),
    ("GET",    "/api/v1/sessions/{session}/devices",                  401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/api/v1/sessions/{session}/devices",                  401, [404, 403, 403, 202, 403, 202, 403, 202, 403]),
    ("POST",   "/api/v1/sessions/{session}/devices/{device}/release", 401, [404, 403, 403, 202, 403, 202, 403, 202, 403]),
    ("GET",    "/api/v1/organizations",                               401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/api/v1/organizations",                               401, [403, 403, 403, 403, 403, 403, 403, 201, 403]),
    // Own keys and invitations require a login session, not a key.
    ("GET",    "/api/v1/keys",                                        401, [403; 9]),
    ("POST",   "/api/v1/keys",                                        401, [403; 9]),
    ("DELETE", "/api/v1/keys/{key}",                                  401, [403; 9]),
    ("GET",    "/api/v1/members",                                     401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/api/v1/members",                                     401, [404, 403, 403, 403, 403, 200, 403, 200, 403]),
    ("DELETE", "/api/v1/members/{user}",                              401, [404, 403, 403, 403, 403, 204, 403, 204, 403]),
    ("POST",   "/api/v1/members/invitations",                         401, [201, 403, 403, 403, 403, 201, 403, 201, 403]),
    ("DELETE", "/api/v1/members/invitations/{invitation}",            401, [404, 403, 403, 403, 403, 204, 403, 204, 403]),
    ("GET",    "/api/v1/invitations",                                 401, [403; 9]),
    ("POST",   "/api/v1/invitations/{invitation}/accept",             401, [403; 9]),
    ("POST",   "/api/v1/invitations/{invitation}/reject",             401, [403; 9]),
    // Requests of a program without a key, and of a page without a cookie.
    ("POST",   "/login/device/code",                                  200, [200; 9]),
    ("POST",   "/login/device/token",                                 400, [400; 9]),
    ("GET",    "/login/device",                                       200, [200; 9]),
    ("POST",   "/login/device",                                       401, [401; 9]),
    // An upgrade is not refused for its credential (see socket.rs). These are the statuses of a plain request.
    ("GET",    "/ws",                                                 400, [400; 9]),
    ("GET",    "/v1/agents",                                          401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/v1/agents",                                          401, [201, 403, 403, 201, 201, 201, 403, 201, 403]),
    ("GET",    "/v1/agents/{agent}",                                  401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("PATCH",  "/v1/agents/{agent}",                                  401, [404, 403, 403, 200, 200, 200, 403, 200, 403]),
    ("DELETE", "/v1/agents/{agent}",                                  401, [404, 403, 403, 204, 204, 204, 403, 204, 403]),
    ("GET",    "/v1/agents/{agent}/export",                           401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/v1/sessions",                                        401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/v1/sessions",                                        401, [201, 403, 403, 201, 201, 201, 403, 201, 403]),
    ("GET",    "/v1/sessions/stats",                                  401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/v1/sessions/facets",                                 401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/v1/sessions/{session}",                              401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("PATCH",  "/v1/sessions/{session}",                              401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("DELETE", "/v1/sessions/{session}",                              401, [404, 403, 403, 204, 403, 204, 403, 204, 403]),
    ("POST",   "/v1/sessions/{session}/cancel",                       401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("PUT",    "/v1/sessions/{session}/pin",                          401, [404, 403, 204, 204, 204, 204, 204, 204, 403]),
    ("DELETE", "/v1/sessions/{session}/pin",                          401, [404, 403, 204, 204, 204, 204, 204, 204, 403]),
    ("PUT",    "/v1/sessions/{session}/archive",                      401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("DELETE", "/v1/sessions/{session}/archive",                      401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("GET",    "/v1/sessions/{session}/messages",                     401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/v1/sessions/{session}/messages",                     401, [404, 403, 403, 201, 403, 201, 403, 201, 403]),
    ("GET",    "/v1/sessions/{session}/export",                       401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/v1/sessions/{session}/events",                       401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/v1/sessions/{session}/sse",                          401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    // A command requires the permission of its endpoint: see everruns/command_callers.rs.
    ("POST",   "/v1/commands/{name}",                                 401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/v1/auth/me",                                         401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/sessions",                                 401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/tenure/v1/sessions",                                 401, [201, 403, 403, 201, 201, 201, 403, 201, 403]),
    ("POST",   "/tenure/v1/sessions:batchGet",                        401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/sessions/facets",                          401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/sessions/histogram",                       401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/sessions/{session}",                       401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    // For the sessions of other kinds and organizations, see tenure/actions.rs.
    ("PATCH",  "/tenure/v1/sessions/{session}",                       401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("POST",   "/tenure/v1/sessions/{session}:end",                   401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("POST",   "/tenure/v1/sessions/{session}:extend",                401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("POST",   "/tenure/v1/sessions/{session}:archive",               401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("POST",   "/tenure/v1/sessions/{session}:unarchive",             401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("POST",   "/tenure/v1/sessions/{session}:message",               401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("GET",    "/tenure/v1/sessions/{session}/timeline",              401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    // Without a token.
    ("GET",    "/tenure/v1/watch",                                    401, [400, 403, 400, 400, 400, 400, 400, 400, 403]),
    ("GET",    "/tenure/v1/filter/fields",                            401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/filter/complete",                          401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/devices",                                   401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/hosts",                                     401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/queue",                                     401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/views",                                     401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    // A view that the organization shares.
    ("POST",   "/tenure/v1/views",                                     401, [201, 403, 403, 201, 201, 201, 403, 201, 403]),
    ("GET",    "/tenure/v1/views/{view}",                              401, [404, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("PUT",    "/tenure/v1/views/{view}",                              401, [404, 403, 403, 200, 403, 200, 403, 200, 403]),
    ("DELETE", "/tenure/v1/views/{view}",                              401, [404, 403, 403, 204, 403, 204, 403, 204, 403]),
    ("GET",    "/tenure/v1/agents",                                    401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/workers",                                   401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/organizations",                             401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/people",                                    401, [200, 403, 403, 403, 403, 200, 403, 200, 403]),
    ("GET",    "/tenure/v1/keys",                                      401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/audit",                                     401, [200, 403, 403, 403, 403, 200, 403, 200, 403]),
    ("GET",    "/tenure/v1/usage",                                     401, [200, 403, 403, 403, 403, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/changes",                                  401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/host",                                     401, [400, 403, 403, 403, 403, 400, 403, 400, 403]),
    ("GET",    "/tenure/v1/host/files/{file}",                        401, [404, 403, 403, 403, 403, 200, 403, 200, 403]),
    ("PUT",    "/tenure/v1/host/files/{file}",                        401, [404, 403, 403, 403, 403, 404, 403, 404, 403]),
    // The token in the path is the credential, and this one is unknown.
    ("GET",    "/tenure/v1/files/{token}",                            404, [404; 9]),
    ("PUT",    "/tenure/v1/files/{token}",                            404, [404; 9]),
    ("POST",   "/tenure/v1/work/claim",                               401, [204, 403, 403, 403, 403, 204, 403, 204, 403]),
    ("POST",   "/tenure/v1/work/{session}/heartbeat",                 401, [401; 9]),
    ("POST",   "/tenure/v1/work/{session}/report",                    401, [401; 9]),
    ("POST",   "/tenure/v1/work/{session}/done",                      401, [401; 9]),
    ("POST",   "/tenure/v1/sign-in",                                 401, [401; 9]),
    ("POST",   "/tenure/v1/sign-in/code",                            401, [401; 9]),
    ("GET",    "/tenure/v1/me",                                      401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/tenure/v1/me/sessions",                             401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("DELETE", "/tenure/v1/me/sessions",                             401, [204, 403, 204, 204, 204, 204, 204, 204, 403]),
    ("DELETE", "/tenure/v1/me/sessions/{session}",                   401, [404, 403, 404, 204, 404, 404, 404, 404, 403]),
    // Only with a login session, not with a key.
    ("DELETE", "/tenure/v1/me/keys",                                 401, [403; 9]),
    ("PUT",    "/tenure/v1/me/password",                             401, [400, 403, 400, 400, 400, 400, 400, 400, 403]),
    // Only with a login session, not with a key.
    ("POST",   "/tenure/v1/me/authenticate",                         401, [403; 9]),
    ("POST",   "/tenure/v1/me/totp",                                 401, [403; 9]),
    ("POST",   "/tenure/v1/me/totp/confirm",                         401, [403; 9]),
    ("POST",   "/tenure/v1/me/totp/remove",                          401, [403; 9]),
    ("POST",   "/tenure/v1/me/recovery-codes",                       401, [403; 9]),
    // As a preview, which ends no session.
    ("POST",   "/tenure/v1/login-sessions/revoke",                    401, [403, 403, 403, 403, 403, 403, 403, 200, 403]),
    ("PUT",    "/tenure/v1/users/{user}/suspension",                  401, [403, 403, 403, 403, 403, 403, 403, 204, 403]),
    ("DELETE", "/tenure/v1/users/{user}/suspension",                  401, [403, 403, 403, 403, 403, 403, 403, 204, 403]),
    // Pages ignore keys, and redirect to the sign-in without a cookie.
    ("GET",    "/door.css",                                          200, [200; 9]),
    ("GET",    "/sign-in",                                           200, [200; 9]),
    ("POST",   "/sign-in",                                           401, [401; 9]),
    ("POST",   "/sign-in/code",                                      401, [401; 9]),
    ("GET",    "/sign-in/oidc",                                      303, [303; 9]),
    ("GET",    "/sign-in/oidc/callback",                             303, [303; 9]),
    ("GET",    "/sign-out",                                          200, [200; 9]),
    ("POST",   "/sign-out",                                          303, [303; 9]),
    ("GET",    "/restore",                                           200, [200; 9]),
    ("POST",   "/restore",                                           400, [400; 9]),
    ("GET",    "/restore/verify",                                    200, [200; 9]),
    ("POST",   "/restore/verify",                                    400, [400; 9]),
    ("GET",    "/account",                                           303, [303; 9]),
    ("POST",   "/account/end",                                       303, [303; 9]),
    ("POST",   "/account/end-others",                                303, [303; 9]),
    ("POST",   "/account/end-all",                                   303, [303; 9]),
    ("POST",   "/account/revoke-keys",                               303, [303; 9]),
    ("POST",   "/account/password",                                  303, [303; 9]),
    ("POST",   "/account/authenticate",                              303, [303; 9]),
    ("POST",   "/account/totp",                                      303, [303; 9]),
    ("POST",   "/account/totp/confirm",                              303, [303; 9]),
    ("POST",   "/account/totp/remove",                               303, [303; 9]),
    ("POST",   "/account/recovery-codes",                            303, [303; 9]),
    ("GET",    "/frontend/api/v1/auth/session",                       401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("DELETE", "/frontend/api/v1/auth/session",                       401, [204, 403, 204, 204, 204, 204, 204, 204, 403]),
    ("GET",    "/frontend/api/v1/auth/session/{session}",             401, [404, 403, 404, 200, 404, 404, 404, 404, 403]),
    ("DELETE", "/frontend/api/v1/auth/session/{session}",             401, [404, 403, 404, 204, 404, 404, 404, 404, 403]),
    // With an unknown address or an invalid token: a key makes no difference.
    ("POST",   "/frontend/api/v1/auth/sign-in",                       401, [401; 9]),
    ("POST",   "/frontend/api/v1/auth/password-restore",              200, [200; 9]),
    ("POST",   "/frontend/api/v1/auth/password-restore-verify",       401, [401; 9]),
    ("POST",   "/frontend/api/v1/auth/verify",                        401, [401; 9]),
    ("DELETE", "/frontend/api/v1/auth/sign-out",                      401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/frontend/api/v1/auth/jwt",                           401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/frontend/api/v1/auth/api-token",                     401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    // A key creates no key, and changes no key but itself.
    ("POST",   "/frontend/api/v1/auth/api-token",                     401, [403; 9]),
    ("GET",    "/frontend/api/v1/auth/api-token/{token}",             401, [404, 403, 404, 200, 404, 404, 404, 404, 403]),
    ("PUT",    "/frontend/api/v1/auth/api-token/{token}",             401, [404, 403, 403, 403, 404, 404, 403, 404, 403]),
    ("DELETE", "/frontend/api/v1/auth/api-token/{token}",             401, [404, 403, 404, 204, 404, 404, 404, 404, 403]),
    // With a wrong old password.
    ("PUT",    "/frontend/api/v1/auth/current/password",              401, [400, 403, 400, 400, 400, 400, 400, 400, 403]),
    ("PUT",    "/frontend/api/v1/auth/{user}/password",               401, [404, 403, 404, 400, 404, 404, 404, 400, 403]),
    ("GET",    "/frontend/api/v1/user",                               401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("GET",    "/frontend/api/v1/user/current",                       401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("PUT",    "/frontend/api/v1/user/current",                       401, [200, 403, 200, 200, 200, 200, 200, 200, 403]),
    ("POST",   "/frontend/api/v1/user/current",                       401, [200, 403, 403, 403, 403, 200, 403, 200, 403]),
    ("GET",    "/frontend/api/v1/user/{user}",                        401, [404, 403, 404, 200, 404, 404, 404, 200, 403]),
    ("PUT",    "/frontend/api/v1/user/{user}",                        401, [404, 403, 404, 200, 404, 404, 404, 200, 403]),
];

/// The only route that accepts a request without a credential.
pub const OPEN_TO_ANONYMOUS: &str = "/frontend/api/v1/user/current";

/// Callers without a valid key.
async fn without_key<'w>(world: &'w World, organization: OrganizationId) -> Vec<(&'static str, Actor<'w>)> {
    let system = System::for_administration();
    let expired = world.principal(None, Some((organization, Role::Admin))).await;
    let expired = world.actor(expired, Some(organization), Some(START + Span::seconds(1))).await;
    world.advance(Span::seconds(2));
    let revoked = world.member(organization, Role::Admin).await;
    world.store().revoke_credential(&system, revoked.credential, START).await.unwrap();
    let suspended = world.member(organization, Role::Admin).await;
    world
        .store()
        .set_principal_state(&system, suspended.principal, PrincipalState::Suspended, START)
        .await
        .unwrap();
    let deleted = world.member(organization, Role::Admin).await;
    world
        .store()
        .set_principal_state(&system, deleted.principal, PrincipalState::Deleted, START)
        .await
        .unwrap();
    vec![
        ("no key", world.caller(None)),
        ("empty key", world.caller(Some(""))),
        ("broken key", world.caller(Some("mob_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))),
        ("expired key", expired),
        ("revoked key", revoked),
        ("suspended user", suspended),
        ("deleted user", deleted),
    ]
}

/// One of each of [`CALLERS`].
pub async fn callers<'w>(world: &'w World, story: &Story<'w>) -> [Actor<'w>; 9] {
    let organization = story.organization;
    let other = world.organization("Globex").await;
    let foreign = world.member(other, Role::Admin).await;
    let gone = world.organization("Gone").await;
    let left = world.member(gone, Role::Admin).await;
    world.store().delete_organization(&System::for_administration(), gone, START).await.unwrap();
    [
        foreign.clone(),
        foreign.naming(organization),
        world.member(organization, Role::Readonly).await,
        story.owner.clone(),
        world.member(organization, Role::Readwrite).await,
        world.member(organization, Role::Admin).await,
        world.account_member(AccountRole::Viewer).await.naming(organization),
        world.account_member(AccountRole::Admin).await.naming(organization),
        left,
    ]
}

/// The state of the organization. A refused request must not change it.
pub async fn state(world: &World, organization: OrganizationId) -> String {
    let system = System::for_administration();
    let view = system.grant::<store::access::ViewSessions>(organization);
    let feed = world.store().list_changes(&view, 0, 1).await.unwrap().latest;
    let people = system.grant(OrganizationId::PEOPLE);
    let people = world.store().list_changes(&people, 0, 1).await.unwrap().latest;
    let holds = world.store().list_open_holds(&view).await.unwrap();
    let holds = holds.iter().map(|(session, hold)| (session.id, hold.id, hold.state())).collect::<Vec<_>>();
    let bytes = world.store().count_used_bytes(&system.grant(organization)).await.unwrap();
    format!("{feed} {people} {holds:?} {bytes}")
}

/// Checks that a refusal contains no name of an organization and no id.
pub fn tells_nothing(response: &TestResponse, path: &str, story: &Story<'_>, what: &str) {
    let text = response.text();
    let ids = [story.organization.to_string(), story.owner.principal.to_string(), story.file.clone()];
    let in_path = path.split('/').filter(|part| part.len() >= 32).map(str::to_owned);
    let names = ["Acme", "Globex", "Gone"].map(str::to_owned);
    for secret in ids.into_iter().chain(in_path).chain(names) {
        assert!(!text.contains(&secret), "{what}: the refusal tells {secret}: {text}");
    }
}

#[test]
fn every_route_has_a_row() {
    // The second prefix of Everruns' wire has the same routes: see everruns/entry.rs.
    let routes = server::wires::routes().filter(|(_, route)| !route.path.starts_with("/everruns/api/"));
    let routes = routes.map(|(_, route)| (route.method.to_string(), route.path)).collect::<Vec<_>>();
    let table = TABLE.iter().map(|(method, path, ..)| (*method, (*path).to_owned()));
    let rows = table.chain(crate::devin::coverage::rows());
    let rows = rows.map(|(method, path)| (method.to_owned(), path)).collect::<Vec<_>>();
    for route in &routes {
        assert!(rows.contains(route), "no row for {route:?}");
    }
    for row in &rows {
        assert!(routes.contains(row), "a row for {row:?}, which is no route");
    }
}

#[test]
fn every_row_agrees_with_the_callers_of_its_route() {
    let standings = [
        Member(Role::Admin),
        Outsider,
        Member(Role::Readonly),
        Member(Role::Readwrite),
        Colleague(Role::Readwrite),
        Member(Role::Admin),
        OfAccount(AccountRole::Viewer),
        OfAccount(AccountRole::Admin),
        Outsider,
    ];
    let routes = server::wires::routes().map(|(_, route)| route).collect::<Vec<_>>();
    for (method, path, without_key, expected) in TABLE {
        // It refuses only an invalid credential.
        if (*method, *path) == ("GET", OPEN_TO_ANONYMOUS) {
            continue;
        }
        let route = routes.iter().find(|route| route.method == *method && route.path == *path).unwrap();
        declarations::check(route, *without_key, standings.into_iter().zip(*expected));
    }
}

both! {
    async fn every_caller_gets_what_the_table_says(world: &World) {
        let story = Story::create(world).await;
        let callers = callers(world, &story).await;
        for (method, pattern, _, expected) in TABLE {
            for ((name, actor), expected) in CALLERS.iter().zip(&callers).zip(expected) {
                let path = story.path(pattern).await;
                let before = state(world, story.organization).await;
                let response = send(&story, actor, method, &path).await;
                let what = format!("{name}: {method} {path}");
                assert_eq!(response.status, *expected, "{what}: {}", response.text());
                if *expected >= 400 {
                    tells_nothing(&response, &path, &story, &what);
                    assert_eq!(state(world, story.organization).await, before, "{what} changed something");
                }
            }
        }
    }

    async fn every_invalid_key_gets_the_same_response(world: &World) {
        let story = Story::create(world).await;
        let nobody = without_key(world, story.organization).await;
        for (method, pattern, expected, _) in TABLE {
            let path = story.path(pattern).await;
            let mut bodies = Vec::new();
            for (name, actor) in &nobody {
                let response = send(&story, actor, method, &path).await;
                if (*name, *method, *pattern) == ("no key", "GET", OPEN_TO_ANONYMOUS) {
                    assert_eq!(response.text(), "{\"id\":0,\"status\":\"anonymous\"}\n");
                    continue;
                }
                assert_eq!(response.status, *expected, "{name}: {method} {path}: {}", response.text());
                bodies.push(response.body);
            }
            // Each response has another code.
            if !["/metrics", "/login/device/code"].contains(pattern) {
                bodies.dedup();
                assert_eq!(bodies.len(), 1, "{method} {path} tells callers without a good key apart");
            }
        }
    }

    async fn objects_of_others_are_reported_as_not_found(world: &World) {
        let story = Story::create(world).await;
        let foreign = callers(world, &story).await[0].clone();
        let unknown = domain::ids::SessionId::new(START, 99).to_string();
        for (method, pattern, ..) in TABLE.iter().filter(|(_, path, ..)| path.contains("{session}")) {
            let path = story.path(pattern).await;
            let real = send(&story, &foreign, method, &path).await;
            let at = pattern.split('/').position(|part| part.starts_with("{session}")).unwrap();
            // An action can follow.
            let session = path.split('/').nth(at).unwrap().split(':').next().unwrap();
            // Everruns' wire reports malformed ids, to every caller alike.
            let others = match session.strip_prefix("session_") {
                Some(_) => vec![format!("session_{}", unknown.replace('-', "")), format!("session_{}", "0".repeat(32))],
                None => [&unknown, "00000000-0000-0000-0000-000000000000", "x", "%ff", "%00", "%2e%2e"].map(str::to_owned).to_vec(),
            };
            for other in &others {
                let response = send(&story, &foreign, method, &path.replace(session, other)).await;
                assert_eq!((response.status, &response.body), (real.status, &real.body), "{method} {path} as {other}");
            }
            assert!(!real.text().contains("Acme"), "{}", real.text());
        }
    }

    async fn organizations_of_others_get_the_same_response_as_unknown_ones(world: &World) {
        let story = Story::create(world).await;
        let foreign = callers(world, &story).await[0].clone();
        let gone = world.organization("Gone").await;
        world.store().delete_organization(&System::for_administration(), gone, START).await.unwrap();
        let real = foreign.naming(story.organization).get("/api/v1/sessions").await;
        assert_eq!(real.status, 403);
        for other in [gone.to_string(), domain::ids::SessionId::new(START, 1).to_string(), "x".into(), String::new()] {
            let response = foreign.naming(&other).get("/api/v1/sessions").await;
            assert_eq!((response.status, &response.body), (real.status, &real.body), "{other:?}");
        }
    }

    async fn a_caller_without_an_organization_must_name_one(world: &World) {
        world.organization("Acme").await;
        let account = world.account_member(AccountRole::Admin).await;
        let nowhere = world.principal(None, None).await;
        for actor in [&account, &world.actor(nowhere, None, None).await] {
            let response = actor.get("/api/v1/sessions").await;
            assert_eq!((response.status.as_u16(), &response.json()["error"]["code"]), (403, &json!("forbidden")));
            assert!(response.text().contains("name one in the request"), "{}", response.text());
        }
    }

    async fn the_accounts_key_bound_to_one_organization_reaches_no_other(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let principal = world.principal(Some(AccountRole::Admin), None).await;
        let bound = world.actor(principal, Some(acme), None).await;
        assert_eq!(bound.get("/api/v1/sessions").await.status, 200);
        assert_eq!(bound.naming(globex).get("/api/v1/sessions").await.status, 403);
        let listed = bound.get("/api/v1/organizations").await;
        assert!(!listed.text().contains("Globex"), "{}", listed.text());
    }

    async fn a_deleted_organization_ends_its_members_keys(world: &World) {
        let organization = world.organization("Acme").await;
        let admin = world.member(organization, Role::Admin).await;
        assert_eq!(admin.get("/api/v1/sessions").await.status, 200);
        world.store().delete_organization(&System::for_administration(), organization, START).await.unwrap();
        assert_eq!(admin.get("/api/v1/sessions").await.status, 403);
    }
}
