//! The table of callers for this wire: each route and each kind of caller, with the expected status.

use super::{create_session, org_path};
use crate::coverage::declarations;
use crate::coverage::declarations::Standing::{Colleague, Member, OfAccount, Outsider};
use crate::world::{Actor, START, TestResponse, World};
use axum::body::Body;
use domain::ids::{OrganizationId, SessionId};
use domain::permission::{AccountRole, Role};
use serde_json::{Value, json};
use store::System;

/// The kinds of callers with a valid key.
const CALLERS: [&str; 8] = [
    "foreign admin",
    "readonly",
    "owner",
    "colleague",
    "admin",
    "account viewer",
    "account admin",
    "admin of a deleted organization",
];

/// The statuses for reading, for use, for the owner's objects, and for managing the organization.
const LOOK: [u16; 8] = [403, 200, 200, 200, 200, 200, 200, 403];
const USE: [u16; 8] = [403, 403, 200, 200, 200, 403, 200, 403];
const ACT: [u16; 8] = [403, 403, 200, 403, 200, 403, 200, 403];
const RULE: [u16; 8] = [403, 403, 403, 403, 200, 403, 200, 403];
const ENDS: [u16; 8] = [403, 403, 403, 403, 204, 403, 204, 403];
/// The statuses for reading and for managing the account.
const SEES_ALL: [u16; 8] = [403, 403, 403, 403, 403, 200, 200, 403];
const RULES_ALL: [u16; 8] = [403, 403, 403, 403, 403, 403, 200, 403];
const ENDS_ALL: [u16; 8] = [403, 403, 403, 403, 403, 403, 204, 403];

/// A route below `/v3/organizations/{org}` and the status for each of [`CALLERS`]. Without a valid key it is 401.
#[rustfmt::skip]
const ORGANIZATIONS: &[(&str, &str, [u16; 8])] = &[
    ("GET",    "/sessions",                                 LOOK),
    ("POST",   "/sessions",                                 USE),
    ("GET",    "/sessions/insights",                        LOOK),
    ("GET",    "/sessions/{devin}",                         LOOK),
    ("DELETE", "/sessions/{devin}",                         ACT),
    ("POST",   "/sessions/{devin}/archive",                 ACT),
    ("POST",   "/sessions/{devin}/unarchive",               ACT),
    ("GET",    "/sessions/{devin}/messages",                LOOK),
    ("POST",   "/sessions/{devin}/messages",                ACT),
    ("GET",    "/sessions/{devin}/tags",                    LOOK),
    ("POST",   "/sessions/{devin}/tags",                    ACT),
    ("PUT",    "/sessions/{devin}/tags",                    ACT),
    ("GET",    "/sessions/{devin}/attachments",             LOOK),
    ("GET",    "/sessions/{devin}/insights",                LOOK),
    ("POST",   "/sessions/{devin}/insights/generate",       USE),
    ("POST",   "/attachments",                              USE),
    ("GET",    "/attachments/{uuid}/{name}",                [403, 307, 307, 307, 307, 307, 307, 403]),
    ("GET",    "/members/users",                            RULE),
    ("POST",   "/members/users",                            RULE),
    ("DELETE", "/members/users/{user}",                     ENDS),
    ("GET",    "/members/service-users",                    RULE),
    ("GET",    "/service-users",                            RULE),
    ("POST",   "/service-users",                            RULE),
    ("GET",    "/service-users/{user}",                     RULE),
    ("DELETE", "/service-users/{user}",                     ENDS),
    ("GET",    "/service-users/{user}/api-keys",            RULE),
    ("POST",   "/service-users/{user}/api-keys",            RULE),
    ("DELETE", "/service-users/{user}/api-keys/{key}",      ENDS),
    ("POST",   "/service-users/{user}/api-keys/{key}/rotate", RULE),
    ("GET",    "/consumption/daily",                        [403, 403, 403, 403, 200, 200, 200, 403]),
    ("GET",    "/audit-logs",                               RULE),
];

/// The other routes, below `/v3`.
#[rustfmt::skip]
const OTHERS: &[(&str, &str, u16, [u16; 8])] = &[
    ("GET",    "/self",                                             401, [200, 200, 200, 200, 200, 200, 200, 403]),
    // The link is the credential, and this one is unknown.
    ("GET",    "/attachments/{link}",                               404, [404; 8]),
    ("GET",    "/enterprise/sessions",                              401, SEES_ALL),
    ("GET",    "/enterprise/sessions/insights",                     401, SEES_ALL),
    ("GET",    "/enterprise/sessions/{devin}",                      401, SEES_ALL),
    ("GET",    "/enterprise/sessions/{devin}/messages",             401, SEES_ALL),
    ("POST",   "/enterprise/sessions/{devin}/messages",             401, RULES_ALL),
    ("GET",    "/enterprise/sessions/{devin}/tags",                 401, SEES_ALL),
    ("POST",   "/enterprise/sessions/{devin}/tags",                 401, RULES_ALL),
    ("PUT",    "/enterprise/sessions/{devin}/tags",                 401, RULES_ALL),
    ("GET",    "/enterprise/sessions/{devin}/attachments",          401, SEES_ALL),
    ("GET",    "/enterprise/sessions/{devin}/insights",             401, SEES_ALL),
    ("POST",   "/enterprise/sessions/{devin}/insights/generate",    401, RULES_ALL),
    ("GET",    "/enterprise/organizations",                         401, RULES_ALL),
    ("POST",   "/enterprise/organizations",                         401, RULES_ALL),
    ("GET",    "/enterprise/organizations/{org}",                   401, RULES_ALL),
    ("PATCH",  "/enterprise/organizations/{org}",                   401, RULES_ALL),
    ("DELETE", "/enterprise/organizations/{org}",                   401, ENDS_ALL),
    ("GET",    "/enterprise/members/users",                         401, RULES_ALL),
    ("GET",    "/enterprise/members/users/{user}",                  401, RULES_ALL),
    ("GET",    "/enterprise/members/service-users",                 401, RULES_ALL),
    ("GET",    "/enterprise/service-users",                         401, RULES_ALL),
    ("POST",   "/enterprise/service-users",                         401, RULES_ALL),
    ("GET",    "/enterprise/service-users/{user}",                  401, RULES_ALL),
    ("DELETE", "/enterprise/service-users/{user}",                  401, ENDS_ALL),
    ("GET",    "/enterprise/service-users/{user}/api-keys",         401, RULES_ALL),
    ("POST",   "/enterprise/service-users/{user}/api-keys",         401, RULES_ALL),
    ("DELETE", "/enterprise/service-users/{user}/api-keys/{key}",   401, ENDS_ALL),
    ("POST",   "/enterprise/service-users/{user}/api-keys/{key}/rotate", 401, RULES_ALL),
    ("GET",    "/enterprise/roles",                                 401, RULES_ALL),
    ("GET",    "/enterprise/consumption/daily",                     401, SEES_ALL),
    ("GET",    "/enterprise/queue",                                 401, SEES_ALL),
    ("GET",    "/enterprise/audit-logs",                            401, RULES_ALL),
];

/// Every route with a row here, under both prefixes, with and without the organization in its path.
pub fn rows() -> Vec<(&'static str, String)> {
    let prefixes = ["/v3", "/v3beta1"];
    let places = ["/organizations/{org}", "/organizations"];
    let organizations = ORGANIZATIONS.iter().flat_map(|(method, path, _)| {
        prefixes
            .iter()
            .flat_map(move |prefix| places.map(|place| (*method, format!("{prefix}{place}{path}"))))
    });
    let others = OTHERS
        .iter()
        .flat_map(|(method, path, ..)| prefixes.map(|prefix| (*method, format!("{prefix}{path}"))));
    organizations.chain(others).collect()
}

/// Objects for the paths.
pub struct Story<'w> {
    world: &'w World,
    pub organization: OrganizationId,
    pub owner: Actor<'w>,
    admin: Actor<'w>,
    account: Actor<'w>,
}

impl<'w> Story<'w> {
    pub async fn create(world: &'w World) -> Story<'w> {
        Story::create_in(world, world.organization("Acme").await).await
    }

    /// The same objects in another organization.
    pub async fn create_in(world: &'w World, organization: OrganizationId) -> Story<'w> {
        let owner = world.member(organization, Role::Readwrite).await;
        let admin = world.member(organization, Role::Admin).await;
        let account = world.account_member(AccountRole::Admin).await;
        Story { world, organization, owner, admin, account }
    }

    async fn callers(&self) -> [Actor<'w>; 8] {
        let other = self.world.organization("Globex").await;
        let gone = self.world.organization("Gone").await;
        let left = self.world.member(gone, Role::Admin).await;
        self.world.store().delete_organization(&System::for_administration(), gone, START).await.unwrap();
        [
            self.world.member(other, Role::Admin).await,
            self.world.member(self.organization, Role::Readonly).await,
            self.owner.clone(),
            self.world.member(self.organization, Role::Readwrite).await,
            self.admin.clone(),
            self.world.account_member(AccountRole::Viewer).await,
            self.account.clone(),
            left,
        ]
    }

    /// Creates a service user with a key at the home in the path. Returns both ids.
    async fn service_user(&self, path: &str) -> (String, String) {
        let (actor, place, role) = match path.contains("/enterprise/") {
            true => (&self.account, "/v3/enterprise".to_owned(), "account_viewer"),
            false => (&self.admin, org_path(self.organization, ""), "org_member"),
        };
        let made =
            actor.post(&format!("{place}/service-users"), json!({ "name": "bot", "role_id": role })).await;
        let user = made.json()["service_user"]["service_user_id"].as_str().unwrap().to_owned();
        let keys = actor.get(&format!("{place}/service-users/{user}/api-keys")).await.json();
        (user, keys["items"][0]["api_key_id"].as_str().unwrap().to_owned())
    }

    /// A path with ids that the owner may use, new ones each time, since some calls end them.
    pub async fn path(&self, pattern: &str) -> String {
        let mut path = pattern.replace("{link}", "nothing");
        if path.starts_with("/v3/enterprise/organizations/") {
            let new = self.world.organization(&format!("New {:?}", self.world.bytes::<4>())).await;
            path = path.replace("{org}", &new.to_string());
        }
        path = path.replace("{org}", &format!("org-{}", self.organization.0.simple()));
        if path.contains("{devin}") {
            let made = create_session(&self.owner, self.organization, json!({ "prompt": "x" })).await;
            path = path.replace("{devin}", made["session_id"].as_str().unwrap());
        }
        if path.contains("{uuid}") {
            let sent = send(&self.owner, "POST", &org_path(self.organization, "/attachments")).await;
            path = path
                .replace("{uuid}", sent.json()["attachment_id"].as_str().unwrap())
                .replace("{name}", "a.txt");
        }
        if path.contains("service-users/{user}") {
            let (user, key) = self.service_user(&path).await;
            path = path.replace("{user}", &user).replace("{key}", &key);
        }
        if path.contains("{user}") {
            let member = self.world.member(self.organization, Role::Readonly).await;
            path = path.replace("{user}", &format!("user-{}", member.principal.0.simple()));
        }
        path
    }

    fn body(&self, method: &str, path: &str) -> Value {
        let user = format!("user-{}", self.owner.principal.0.simple());
        match path.rsplit('/').next().unwrap_or_default() {
            "sessions" => json!({ "prompt": "x" }),
            "messages" => json!({ "message": "x" }),
            "tags" => json!({ "tags": ["a"] }),
            "users" => json!({ "user_id": user, "role_id": "org_member" }),
            "service-users" if path.contains("/enterprise/") => {
                json!({ "name": "bot", "role_id": "account_viewer" })
            }
            "service-users" => json!({ "name": "bot", "role_id": "org_member" }),
            "api-keys" => json!({ "name": "second" }),
            "organizations" => json!({ "name": format!("Named {:?}", self.world.bytes::<4>()) }),
            _ if method == "PATCH" => json!({ "max_cycle_acu_limit": 5 }),
            _ => json!({}),
        }
    }

    /// The state that a refusal must not change.
    async fn state(&self) -> String {
        let view = System::for_administration().grant::<store::access::ViewSessions>(self.organization);
        let feed = self.world.store().list_changes(&view, 0, 1).await.unwrap().latest;
        let members = self.world.store().list_principals_in_organization(&view).await.unwrap().len();
        let bytes = self
            .world
            .store()
            .count_used_bytes(&System::for_administration().grant(self.organization))
            .await
            .unwrap();
        let lines = self.account.get("/v3/enterprise/audit-logs?first=1").await.json();
        format!("{feed} {members} {bytes} {}", lines["items"][0]["audit_log_id"])
    }
}

async fn send(actor: &Actor<'_>, method: &str, path: &str) -> TestResponse {
    let form =
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--x--\r\n";
    actor.send(method, path, &[("content-type", "multipart/form-data; boundary=x")], Body::from(form)).await
}

pub async fn call(story: &Story<'_>, actor: &Actor<'_>, method: &str, path: &str) -> TestResponse {
    match (method, path.ends_with("/attachments")) {
        ("POST", true) => send(actor, method, path).await,
        ("GET" | "DELETE", _) => actor.call(method, path, Body::empty()).await,
        _ => actor.call(method, path, Body::from(story.body(method, path).to_string())).await,
    }
}

/// Checks that a refusal contains no name of an organization and none of the path's ids.
fn tells_nothing(response: &TestResponse, path: &str, what: &str) {
    let text = response.text();
    let ids = path.split('/').filter(|part| part.len() >= 32).map(str::to_owned);
    for secret in ids.chain(["Acme", "Globex", "Gone"].map(str::to_owned)) {
        assert!(!text.contains(&secret), "{what}: the refusal tells {secret}: {text}");
    }
}

/// Every route with the status without a valid key and the status for each of [`CALLERS`].
pub fn all() -> Vec<(&'static str, String, u16, [u16; 8])> {
    let organizations = ORGANIZATIONS.iter().map(|(method, path, expected)| {
        (*method, format!("/v3/organizations/{{org}}{path}"), 401, *expected)
    });
    let others =
        OTHERS.iter().map(|(method, path, none, expected)| (*method, format!("/v3{path}"), *none, *expected));
    organizations.chain(others).collect()
}

#[test]
fn every_row_agrees_with_the_callers_of_its_route() {
    let standings = [
        Outsider,
        Member(Role::Readonly),
        Member(Role::Readwrite),
        Colleague(Role::Readwrite),
        Member(Role::Admin),
        OfAccount(AccountRole::Viewer),
        OfAccount(AccountRole::Admin),
        Outsider,
    ];
    for (_, route) in server::wires::routes().filter(|(wire, _)| *wire == "devin") {
        let path = route.path.replace("/v3beta1/", "/v3/");
        let path = match path.strip_prefix("/v3/organizations/") {
            Some(rest) if !rest.starts_with("{org}") => format!("/v3/organizations/{{org}}/{rest}"),
            _ => path,
        };
        let rows = all();
        let row = rows.iter().find(|(method, known, ..)| route.method == *method && *known == path);
        let (_, _, without_key, expected) = row.unwrap_or_else(|| panic!("no row for {path}"));
        let mut standings = standings;
        if !path.contains("/organizations/{org}/") {
            standings[0] = Member(Role::Admin);
        }
        declarations::check(&route, *without_key, standings.into_iter().zip(*expected));
    }
}

both! {
    async fn every_caller_gets_what_the_table_says(world: &World) {
        let story = Story::create(world).await;
        let callers = story.callers().await;
        for (method, pattern, _, expected) in all() {
            for ((name, actor), expected) in CALLERS.iter().zip(&callers).zip(expected) {
                let path = story.path(&pattern).await;
                let before = story.state().await;
                let response = call(&story, actor, method, &path).await;
                let what = format!("{name}: {method} {path}");
                assert_eq!(response.status, expected, "{what}: {}", response.text());
                if expected >= 400 {
                    tells_nothing(&response, &path, &what);
                    assert_eq!(story.state().await, before, "{what} changed something");
                }
            }
        }
    }

    async fn every_invalid_key_gets_the_same_response(world: &World) {
        let story = Story::create(world).await;
        let revoked = world.member(story.organization, Role::Admin).await;
        world.store().revoke_credential(&System::for_administration(), revoked.credential, START).await.unwrap();
        let broken = world.caller(Some("cog_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        for (method, pattern, expected, _) in all() {
            let path = story.path(&pattern).await;
            let mut bodies = Vec::new();
            for actor in [&revoked, &broken, &world.caller(None), &world.caller(Some(""))] {
                let response = call(&story, actor, method, &path).await;
                assert_eq!(response.status, expected, "{method} {path}: {}", response.text());
                bodies.push(response.body);
            }
            bodies.dedup();
            assert_eq!(bodies.len(), 1, "{method} {path} tells callers without a good key apart");
        }
    }

    async fn the_old_prefix_and_paths_without_the_organization_work_the_same(world: &World) {
        let story = Story::create(world).await;
        let readonly = world.member(story.organization, Role::Readonly).await;
        for (method, path, expected) in ORGANIZATIONS {
            for place in ["/v3/organizations", "/v3beta1/organizations", "/v3beta1/organizations/{org}"] {
                for (actor, at) in [(&readonly, 1), (&story.owner, 2), (&story.admin, 4)] {
                    let full = story.path(&format!("{place}{path}")).await;
                    let response = call(&story, actor, method, &full).await;
                    assert_eq!(response.status, expected[at], "{}: {method} {full}: {}", CALLERS[at], response.text());
                }
            }
            // A key of the account belongs to no organization.
            let none = story.path(&format!("/v3/organizations{path}")).await;
            let response = call(&story, &story.account, method, &none).await;
            assert_eq!(response.status, 403, "{method} {none}: {}", response.text());
        }
        for (method, path, _, expected) in OTHERS {
            let full = story.path(&format!("/v3beta1{path}").replace("/v3beta1/enterprise/organizations/{org}", "/v3beta1/enterprise/organizations/{new}")).await;
            let new = world.organization(&format!("Beta {:?}", world.bytes::<4>())).await;
            let response = call(&story, &story.account, method, &full.replace("{new}", &new.to_string())).await;
            assert_eq!(response.status, expected[6], "{method} {full}: {}", response.text());
        }
    }

    async fn objects_of_others_are_reported_as_not_found(world: &World) {
        let story = Story::create(world).await;
        let other = world.organization("Globex").await;
        let foreign = world.member(other, Role::Admin).await;
        let theirs = format!("/organizations/org-{}", other.0.simple());
        for (method, path, _) in ORGANIZATIONS.iter().filter(|(_, path, _)| path.contains('{')) {
            // Its own organization with an id of another one, and with a malformed id.
            let path = story.path(&format!("/v3/organizations/{{org}}{path}")).await;
            let own = format!("/organizations/org-{}", story.organization.0.simple());
            let real = call(&story, &foreign, method, &path.replace(&own, &theirs)).await;
            assert_eq!(real.status, 404, "{method} {path}: {}", real.text());
            let id = path.split('/').nth(5).filter(|part| part.len() >= 32).or(path.split('/').nth(6)).unwrap();
            for unknown in [SessionId::new(START, 99).to_string().as_str(), "x", "%ff", "%00", "%2e%2e"] {
                let response = call(&story, &foreign, method, &path.replace(id, unknown).replace(&own, &theirs)).await;
                assert_eq!((response.status, &response.body), (real.status, &real.body), "{method} {path} as {unknown}");
            }
        }
    }
}
