//! Objects for the paths and bodies of the table.

use crate::world::{Actor, TestResponse, World};
use axum::body::Body;
use domain::ids::OrganizationId;
use domain::permission::Role;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};

/// Objects for the paths of the table.
pub struct Story<'w> {
    pub organization: OrganizationId,
    pub owner: Actor<'w>,
    pub file: String,
}

impl<'w> Story<'w> {
    pub async fn create(world: &'w World) -> Story<'w> {
        Story::create_in(world, "Acme").await
    }

    /// The same objects in another organization.
    pub async fn create_in(world: &'w World, name: &str) -> Story<'w> {
        let organization = world.organization(name).await;
        let owner = world.member(organization, Role::Readwrite).await;
        let admin = world.member(organization, Role::Admin).await;
        // The only device is held, so later requests wait.
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = owner.session().await;
        assert_eq!(owner.ask(&session, "android").await.status, 201);
        std::mem::forget(host);
        let file = upload_file(world, &owner).await;
        Story { organization, owner, file }
    }

    /// A path with ids that the owner may use, with a new session each time, since some calls end it.
    pub async fn path(&self, pattern: &str) -> String {
        if pattern.starts_with("/frontend/") || pattern.starts_with("/tenure/v1/me/") {
            return self.path_of_probe(pattern).await;
        }
        let of_people = pattern.starts_with("/api/v1/members") || pattern.starts_with("/tenure/v1/users/");
        if of_people || pattern.starts_with("/api/v1/invitations") {
            return self.path_of_people(pattern).await;
        }
        let mut path = pattern.replace("{file}", &self.file).replace("{token}", &"0".repeat(64));
        path = path.replace("{name}", "list_sessions").replace("{document}", "probe.json");
        path = path.replace("{key}", &self.owner.credential.to_string());
        if pattern.contains("{view}") {
            let draft = json!({ "name": new_name(self.owner.world), "shared": true });
            let saved = self.owner.post("/tenure/v1/views", draft).await.json();
            path = path.replace("{view}", saved["id"].as_str().unwrap());
        }
        if pattern.contains("{agent}") {
            path = path.replace("{agent}", &self.owner.agent(&new_name(self.owner.world)).await);
        }
        if pattern.starts_with("/v1/") && pattern.contains("{session}") {
            path = path.replace("{session}", &self.owner.talk(json!({})).await);
        } else if pattern.starts_with("/tenure/v1/sessions/{session}:extend") {
            let session = self.owner.session().await;
            assert_eq!(self.owner.ask(&session, "android").await.status, 202);
            path = path.replace("{session}", &session);
        } else if pattern.starts_with("/tenure/v1/work/{session}")
            || pattern.starts_with("/tenure/v1/sessions/{session}")
        {
            path = path.replace("{session}", &self.owner.agent_session(None).await.id.to_string());
        } else if pattern.contains("{session}") {
            let session = self.owner.session().await;
            if pattern.contains("{device}") {
                let asked = self.owner.ask(&session, "android").await.json();
                path = path.replace("{device}", asked["allocationId"].as_str().unwrap());
            }
            path = path.replace("{session}", &session);
        }
        path
    }
}

/// A new name.
fn new_name(world: &World) -> String {
    format!("agent-{}", u32::from_be_bytes(world.bytes()))
}

impl Story<'_> {
    async fn path_of_people(&self, pattern: &str) -> String {
        let mut path = pattern.to_owned();
        if pattern.contains("{user}") {
            let member = self.owner.world.member(self.organization, Role::Readonly).await;
            path = path.replace("{user}", &member.principal.to_string());
        }
        if pattern.contains("{invitation}") {
            let invited = self.owner.world.invite(self.organization, &new_email(), Role::Readonly).await;
            path = path.replace("{invitation}", &invited.id.to_string());
        }
        path
    }

    async fn path_of_probe(&self, pattern: &str) -> String {
        let auth = "/frontend/api/v1/auth";
        let mut path = pattern.to_owned();
        if pattern.contains("{session}") {
            assert_eq!(self.owner.post(&format!("{auth}/jwt"), json!({})).await.status, 200);
            let sessions = self.owner.get(&format!("{auth}/session")).await.json();
            path = path.replace("{session}", sessions["sessions"][0]["id"].as_str().unwrap());
        }
        if pattern.contains("{token}") {
            let made = self.owner.world.actor(self.owner.principal, Some(self.organization), None).await;
            path = path.replace("{token}", &made.credential.to_string());
        }
        if pattern.contains("{user}") {
            let own = self.owner.get("/frontend/api/v1/user/current").await.json();
            path = path.replace("{user}", &own["id"].to_string());
        }
        path
    }
}

/// A finished upload.
async fn upload_file(world: &World, owner: &Actor<'_>) -> String {
    let secret = owner.key.as_deref();
    let app = world.app();
    let caller = server::operations::access::authenticate::authenticate(
        app,
        secret,
        store::OrganizationChoice::ByDefault,
    )
    .await
    .unwrap();
    let granted = caller.authorize::<store::access::UseSessions>().unwrap();
    let upload =
        server::operations::devices::files::announce_upload(app, &granted, "app.apk", 3).await.unwrap();
    let path = upload.url.strip_prefix(world.server.base_url()).unwrap();
    let sent = world.caller(None).call("PUT", path, Body::from("abc")).await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    upload.id.to_string()
}

pub async fn send(story: &Story<'_>, actor: &Actor<'_>, method: &str, path: &str) -> TestResponse {
    if path.starts_with("/tenure/v1/work/") {
        // For an unknown turn.
        let (organization, turn) = (story.organization.0, story.owner.principal.0);
        let body = json!({ "worker": "w", "agents": ["nobody"], "organization": organization, "turn": turn, "fence": 1, "first": 0,
                           "items": [], "outcome": { "type": "finished" } });
        return actor.post(path, body).await;
    }
    if method == "POST" && path.ends_with("/devices") {
        let filter = json!({ "attribute": "platform", "operator": "EQUALS", "value": "android" });
        return actor.post(path, json!({ "filters": [filter] })).await;
    }
    if let ("POST", Some(place)) = (method, path.strip_prefix("/api/v1/")) {
        let member = story.owner.principal;
        let body = match place {
            "organizations" => json!({ "name": new_name(actor.world) }),
            "members" => json!({ "userId": member, "role": "readwrite" }),
            "members/invitations" => json!({ "email": new_email(), "role": "readonly" }),
            "keys" => json!({ "name": "CI" }),
            _ => return actor.call(method, path, Body::empty()).await,
        };
        return actor.post(path, body).await;
    }
    if let ("POST", Some(place)) = (method, path.strip_prefix("/login/device")) {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let body = match place {
            "" => {
                // A key is not a cookie, so this is an anonymous request.
                let form = "action=deny&user_code=BBBB-BBBB";
                return actor.call_with(method, path, form).await;
            }
            _ => json!({ "client_id": "x", "device_code": "x", "grant_type": grant }),
        };
        return actor.post(path, body).await;
    }
    if let Some(body) = body_of_probe(method, path) {
        return actor.call_with(method, path, &body).await;
    }
    let body = match (method, path) {
        ("POST", "/tenure/v1/sessions") => json!({ "kind": "agent" }),
        ("POST", "/tenure/v1/sessions:batchGet") => json!({ "ids": ["x"] }),
        ("PATCH", path) if path.starts_with("/tenure/v1/sessions/") => json!({ "title": "New" }),
        ("POST", path) if path.ends_with(":message") => json!({ "text": "hi" }),
        ("POST", "/tenure/v1/views") => json!({ "name": new_name(actor.world), "shared": true }),
        ("PUT", path) if path.starts_with("/tenure/v1/views/") => json!({ "name": new_name(actor.world) }),
        ("POST", "/tenure/v1/login-sessions/revoke") => json!({ "dry_run": true }),
        ("POST", "/tenure/v1/sign-in") => json!({ "email": new_email(), "password": "wrong-password" }),
        ("POST", "/tenure/v1/sign-in/code") => json!({ "challenge": "x", "code": "123456" }),
        ("PUT", "/tenure/v1/me/password") => json!({ "old": "wrong-password", "new": "another-one" }),
        ("POST", path) if path.starts_with("/tenure/v1/me/") => json!({ "password": "x", "code": "123456" }),
        ("POST", "/v1/agents") => json!({ "name": new_name(actor.world), "system_prompt": "" }),
        ("POST", path) if path.starts_with("/v1/") && path.ends_with("/messages") => {
            json!({ "message": { "content": [{ "type": "text", "text": "hi" }] } })
        }
        ("PATCH", path) if path.starts_with("/v1/sessions/") => json!({ "title": "New" }),
        ("POST" | "PATCH", path) if path.starts_with("/v1/") => json!({}),
        _ => return actor.call(method, path, Body::empty()).await,
    };
    actor.call(method, path, Body::from(body.to_string())).await
}

/// A new e-mail address.
fn new_email() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("new{}@example.com", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A valid body for the route, with a new e-mail address.
fn body_of_probe(method: &str, path: &str) -> Option<String> {
    let email = new_email();
    let body = match (method, path.strip_prefix("/frontend/api/v1")?) {
        ("PUT", path) if path.ends_with("/password") => {
            return Some("old-password=wrong-password&new-password=another-one".to_owned());
        }
        ("POST", "/auth/sign-in") => json!({ "email": email, "password": "wrong-password" }),
        ("POST", "/auth/verify") => json!({ "verify-token": "a.b.c" }),
        ("POST", "/auth/password-restore-verify") => {
            json!({ "verify-token": "a.b.c", "new-password": "another-one" })
        }
        ("POST" | "PUT", _) => json!({ "email": email, "first-name": "New" }),
        _ => return None,
    };
    Some(body.to_string())
}
