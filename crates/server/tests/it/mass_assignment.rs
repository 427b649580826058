//! Fields that a caller must not set have no effect: in every body, form and query of every changing route on the wires of
//! Mobile Next, Probe.dev and our own; with a key, with a login session, and without a credential.

use crate::probe::PASSWORD;
use crate::world::{Actor, World, wait_until};
use axum::body::Body;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalState};
use serde_json::{Map, Value, json};
use store::System;

/// Names of fields that products use for data that callers must not set.
const NAMES: &[&str] = &[
    "user-id",
    "user_id",
    "userId",
    "user",
    "id",
    "uuid",
    "number",
    "sub",
    "principal",
    "principal_id",
    "owner",
    "owner_id",
    "role",
    "role_id",
    "roles",
    "account-role",
    "account_role",
    "accountRole",
    "admin",
    "is_admin",
    "isAdmin",
    "status",
    "state",
    "parent",
    "parent-id",
    "parent_id",
    "created",
    "created_at",
    "createdAt",
    "updated",
    "expire",
    "expires",
    "expires_at",
    "expiresAt",
    "organization",
    "organization_id",
    "organizationId",
    "org_id",
    "bound",
    "scopes",
    "scope",
    "credential",
    "verified",
    "email_verified",
    "password_hash",
    "max_devices",
    "inviter",
    "invitedByUserId",
    "methods",
    "amr",
    "auth_time",
    "revision",
    "deleted",
];

/// The valid body of a route. The path has ids of `victim`.
fn body_of(method: &str, path: &str, story: &Story<'_>) -> Value {
    let new = story.world.bytes::<4>();
    let email = format!("new{}@example.com", u32::from_be_bytes(new));
    match (method, path) {
        ("POST", "/api/v1/organizations") => json!({ "name": email }),
        ("POST", "/api/v1/keys") => json!({ "name": "CI" }),
        ("POST", "/api/v1/members") => json!({ "userId": story.colleague, "role": "readonly" }),
        ("POST", "/api/v1/members/invitations") => json!({ "email": email, "role": "readonly" }),
        ("POST", "/api/v1/sessions/{session}/devices") => json!({ "filters": [] }),
        ("POST", "/login/device/code") => json!({ "client_id": "x" }),
        ("POST", "/login/device/token") => json!({ "client_id": "x", "device_code": "x", "grant_type": "x" }),
        ("POST", "/frontend/api/v1/auth/sign-in") => {
            json!({ "email": "ana@example.com", "password": "wrong" })
        }
        ("POST", "/frontend/api/v1/auth/password-restore") => json!({ "email": email }),
        ("POST", "/frontend/api/v1/user/current") => json!({ "email": email, "password": PASSWORD }),
        ("PUT", "/frontend/api/v1/user/current") => json!({ "first-name": "Ana" }),
        ("PUT", "/frontend/api/v1/auth/api-token/{token}") => json!({ "ttl": 3600 }),
        ("PUT", path) if path.ends_with("/password") => {
            json!({ "old-password": "wrong", "new-password": "another-one" })
        }
        ("POST", path) if path.ends_with("verify") => {
            json!({ "verify-token": "a.b.c", "new-password": "another-one" })
        }
        ("POST", "/tenure/v1/sessions") => json!({ "kind": "agent" }),
        ("POST", path) if path.ends_with(":message") => json!({ "text": "hi" }),
        _ => json!({}),
    }
}

/// Whether the endpoint reads forms.
fn reads_forms(path: &str) -> bool {
    path.starts_with("/frontend/") || path.starts_with("/login/")
}

/// The users of the test.
struct Story<'w> {
    world: &'w World,
    /// The callers' organization.
    acme: OrganizationId,
    /// A member of it whose role may be changed.
    colleague: PrincipalId,
    /// An admin of another organization.
    victim: PrincipalId,
    elsewhere: OrganizationId,
    /// A key of the caller's own.
    token: String,
}

impl Story<'_> {
    fn path(&self, pattern: &str) -> String {
        let unknown = domain::ids::SessionId::new(crate::world::START, 7).to_string();
        let places =
            [("{session}", unknown.as_str()), ("{token}", &self.token), ("{user}", "2"), ("{device}", "x")];
        let path =
            places.into_iter().fold(pattern.to_owned(), |path, (place, with)| path.replace(place, with));
        path.replace("{file}", &unknown).replace("{invitation}", &unknown)
    }

    /// Values for a field that would benefit the caller.
    fn values(&self, name: &str) -> Vec<Value> {
        let lower = name.to_lowercase().replace(['-', '_'], "");
        match lower.as_str() {
            name if name.contains("org") || name == "bound" => vec![json!(self.elsewhere)],
            "role" | "roles" | "roleid" | "accountrole" => vec![json!("admin"), json!(["admin"])],
            "status" | "state" => vec![json!("active"), json!("deleted")],
            "scope" | "scopes" => vec![json!(["write:admin"]), json!("write:admin")],
            name if name.starts_with("expire") || name.starts_with("created") || name == "authtime" => {
                vec![json!(9_999_999_999_i64), json!("2099-01-01T00:00:00Z")]
            }
            "number" => vec![json!(1)],
            "admin" | "isadmin" | "verified" | "emailverified" | "deleted" => vec![json!(true)],
            "maxdevices" | "revision" => vec![json!(1000)],
            _ => vec![json!(self.victim), json!(1)],
        }
    }

    /// The body with a foreign field added.
    fn with_foreign(&self, own: &Value, value: usize) -> Value {
        let mut fields = Map::new();
        for name in NAMES {
            let values = self.values(name);
            fields.insert((*name).to_owned(), values[value % values.len()].clone());
        }
        for (name, value) in own.as_object().into_iter().flatten() {
            fields.insert(name.clone(), value.clone());
        }
        Value::Object(fields)
    }
}

fn form_of(fields: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields.as_object().unwrap() {
        form.append_pair(name, &text(value));
    }
    form.finish()
}

/// Everything that decides about permissions.
#[derive(Debug, Clone, PartialEq)]
struct Rights {
    people: Vec<Principal>,
    members: Vec<(OrganizationId, PrincipalId, Role)>,
    keys: Vec<(uuid::Uuid, PrincipalId, Option<OrganizationId>, i64)>,
    organizations: Vec<(OrganizationId, Option<u32>, bool)>,
}

impl Rights {
    async fn load(world: &World) -> Rights {
        let system = System::for_administration();
        let store = world.store();
        let keys = store.list_credentials(&system).await.unwrap().into_iter();
        let organizations = store.list_organizations(&system).await.unwrap().into_iter();
        let mut rights = Rights {
            people: store.list_principals(&system).await.unwrap(),
            members: store.list_members(&system).await.unwrap(),
            keys: keys.map(|key| (key.id.0, key.principal, key.organization, key.created.0)).collect(),
            organizations: organizations
                .map(|one| (one.id, one.max_devices, one.deleted.is_some()))
                .collect(),
        };
        rights.members.sort_by_key(|(organization, principal, _)| (*organization, *principal));
        rights
    }

    /// Checks that a request changed nothing but its purpose.
    fn only_grew(&self, after: &Rights, caller: PrincipalId, acme: OrganizationId, what: &str) {
        let new_people = after.people.iter().filter(|one| !self.people.contains(one)).collect::<Vec<_>>();
        for one in &new_people {
            assert!(!self.people.iter().any(|old| old.id == one.id), "{what} changed somebody: {one:?}");
            assert_eq!((one.state, one.account_role), (PrincipalState::Pending, None), "{what}");
        }
        assert!(
            self.people.iter().all(|one| after.people.contains(one)),
            "{what} removed or changed somebody"
        );
        for (organization, principal, role) in after.members.iter().filter(|one| !self.members.contains(one))
        {
            let founded = !self.organizations.iter().any(|(id, ..)| id == organization);
            let made = new_people.iter().any(|one| one.id == *principal);
            let good = if founded {
                *principal == caller
            } else {
                *organization == acme && made && *role != Role::Admin
            };
            assert!(good, "{what} made {principal} {role:?} of {organization}");
        }
        assert!(self.members.iter().all(|one| after.members.contains(one)), "{what} changed a membership");
        for (id, principal, organization, _) in after.keys.iter().filter(|one| !self.keys.contains(one)) {
            let new = !self.keys.iter().any(|(known, ..)| known == id);
            let good = new && *principal == caller && organization.is_none_or(|one| one == acme);
            assert!(good, "{what} made or changed a key of {principal}");
        }
        for (id, limit, deleted) in after.organizations.iter().filter(|one| !self.organizations.contains(one))
        {
            let new = !self.organizations.iter().any(|(known, ..)| known == id);
            assert!(new && limit.is_none() && !deleted, "{what} changed {id}");
        }
    }
}

async fn create_story<'w>(world: &'w World) -> (Story<'w>, Actor<'w>, Actor<'w>) {
    let (acme, elsewhere) = (world.organization("Acme").await, world.organization("Globex").await);
    let victim = world.member(elsewhere, Role::Admin).await.principal;
    world.account_member(AccountRole::Admin).await;
    let ana = world.user(acme, Role::Admin, "ana@example.com").await;
    let colleague = world.member(acme, Role::Readonly).await.principal;
    let key = world.actor(ana, Some(acme), None).await;
    let mut signed = world.sign_in("ana@example.com").await;
    signed.principal = ana;
    let token = key.credential.to_string();
    (Story { world, acme, colleague, victim, elsewhere, token }, key, signed)
}

both! {
    async fn foreign_fields_have_no_effect(world: &World) {
        let (story, key, signed) = create_story(world).await;
        let wires = ["mobilenext", "probe", "tenure"];
        let routes = server::wires::routes().filter(|(wire, _)| wires.contains(wire)).map(|(_, route)| route);
        let routes = routes.filter(|route| ["POST", "PUT", "PATCH"].contains(&route.method.as_str())).collect::<Vec<_>>();
        assert!(routes.len() > 25, "{}", routes.len());
        let nobody = world.caller(None);
        let mut before = Rights::load(world).await;
        let idle = world.app().tasks.len();
        for route in &routes {
            for (who, actor) in [("nobody", &nobody), ("a key", &key), ("signed in", &signed)] {
                for (place, value) in [("body", 0), ("body", 1), ("form", 0), ("query", 0), ("query", 1)] {
                    if place == "form" && !reads_forms(&route.path) {
                        continue;
                    }
                    let own = body_of(route.method.as_str(), &route.path, &story);
                    let foreign = story.with_foreign(&own, value);
                    let path = story.path(&route.path);
                    let (path, body, kind) = match place {
                        "form" => (path, form_of(&foreign), "application/x-www-form-urlencoded"),
                        "query" => (format!("{path}?{}", form_of(&foreign)), own.to_string(), "application/json"),
                        _ => (path, foreign.to_string(), "application/json"),
                    };
                    let what = format!("{who}: {} {} with foreign fields in its {place}", route.method, route.path);
                    let headers = [("content-type", kind)];
                    let response = actor.send(route.method.as_str(), &path, &headers, Body::from(body)).await;
                    assert_ne!(response.status, 500, "{what}: {}", response.text());
                    // Invitations and password restores are processed after the response.
                    wait_until("what follows is done", || async { world.app().tasks.len() <= idle }).await;
                    let after = Rights::load(world).await;
                    if who == "nobody" {
                        assert_eq!(after, before, "{what}");
                    }
                    before.only_grew(&after, actor.principal, story.acme, &what);
                    before = after;
                }
            }
        }
    }
}
