//! Creation of keys, their lifetime and their networks.

use crate::devin::org_path;
use crate::probe::{AUTH, PASSWORD, SESSIONS};
use crate::socket::Socket;
use crate::world::{Actor, TestResponse, World};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::http::request::Builder;
use domain::credential::{Credential, KeySecret, Wire};
use domain::ids::OrganizationId;
use domain::network::Networks;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use store::System;

const TOKENS: &str = "/frontend/api/v1/auth/api-token";

/// Creates a key on Probe's wire. Returns its id and a caller with it.
async fn token<'w>(actor: &Actor<'w>) -> (String, Actor<'w>) {
    let response = actor.post(TOKENS, json!({})).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let json = response.json();
    (json["id"].as_str().unwrap().to_owned(), actor.world.caller(json["token"].as_str()))
}

/// A session that a key opens.
async fn open_session<'w>(key: &Actor<'w>) -> Actor<'w> {
    let response = key.post(&format!("{AUTH}/jwt"), json!({})).await;
    key.world.caller(response.json()["token"].as_str())
}

/// Creates a service user's key on Devin's wire. Returns its path and a caller with it.
async fn service_key<'w>(maker: &Actor<'w>, place: OrganizationId) -> (String, Actor<'w>) {
    let users = org_path(place, "/service-users");
    let made = maker.post(&users, json!({ "name": "ci", "role_id": "org_admin" })).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    let user = made["service_user"]["service_user_id"].as_str().unwrap();
    let keys = format!("{users}/{user}/api-keys");
    let id = maker.get(&keys).await.json()["items"][0]["api_key_id"].as_str().unwrap().to_owned();
    (format!("{keys}/{id}"), maker.world.caller(made["token"].as_str()))
}

async fn works(actor: &Actor<'_>) -> bool {
    match actor.get("/v3/self").await.status.as_u16() {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// Sends a request from an address, by a trusted proxy.
async fn from(actor: &Actor<'_>, address: &str, path: &str) -> TestResponse {
    send_from(actor, address, Request::get(path), Body::empty()).await
}

async fn send_from(actor: &Actor<'_>, address: &str, request: Builder, body: Body) -> TestResponse {
    let mut request = request.header("x-forwarded-for", address);
    if let Some(key) = &actor.key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let mut request = request.body(body).unwrap();
    let proxy: SocketAddr = "10.0.0.1:1".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(proxy));
    actor.world.send(request).await
}

/// A key that can be used only from these networks.
async fn bound<'w>(owner: &Actor<'w>, networks: &str) -> Actor<'w> {
    let world = owner.world;
    let secret = KeySecret::new(Wire::Tenure, world.bytes());
    let key = Credential {
        networks: Networks::parse(networks).unwrap(),
        ..Credential::new(&secret, Wire::Tenure, owner.principal, crate::world::START, world.bytes())
    };
    let system = System::for_administration();
    world.store().create_credential(&system, &key, &secret.hash()).await.unwrap();
    world.caller(Some(secret.reveal()))
}

both! {
    async fn a_key_creates_no_key_on_any_wire(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let (_, key) = token(&ana).await;
        let session = open_session(&key).await;
        let (_, service) = service_key(&ana, acme).await;
        for caller in [&key, &session, &service] {
            for (path, body) in [(TOKENS, json!({})), ("/api/v1/keys", json!({ "name": "mine" }))] {
                let response = caller.post(path, body).await;
                assert_eq!(response.status, 403, "{path}: {}", response.text());
            }
        }
        assert_eq!(ana.get(TOKENS).await.json()["api-tokens"].as_array().unwrap().len(), 1);
    }

    async fn creating_keys_requires_a_recent_sign_in(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let (id, _) = token(&ana).await;
        let makes = async || {
            let program = world.program().await;
            let mut statuses = Vec::new();
            for (path, body) in [(TOKENS, json!({})), ("/api/v1/keys", json!({ "name": "mine" }))] {
                statuses.push(ana.post(path, body).await.status.as_u16());
            }
            statuses.push(ana.call_with("PUT", &format!("{TOKENS}/{id}"), "{}").await.status.as_u16());
            statuses.push(ana.looks(&program.user_code).await.status.as_u16());
            statuses.push(ana.lets_in(&program, acme).await);
            statuses
        };
        assert_eq!(makes().await, [200, 201, 200, 200, 200]);
        world.advance(Span::minutes(11));
        assert_eq!(makes().await, [403; 5]);
        let page = ana.looks(&world.program().await.user_code).await.text();
        assert!(page.contains("Sign in again"), "{page}");
        let again = json!({ "password": PASSWORD });
        assert_eq!(ana.post("/tenure/v1/me/authenticate", again).await.status, 200);
        assert_eq!(makes().await, [200, 201, 200, 200, 200]);
    }

    async fn a_key_renews_itself_alone(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let ((one, first), (two, second)) = (token(&ana).await, token(&ana).await);
        for body in ["{}", r#"{"ttl":60}"#, r#"{"reset-permissions":true}"#] {
            let other = first.call_with("PUT", &format!("{TOKENS}/{two}"), body).await;
            assert_eq!(other.status, 403, "{}", other.text());
            let by_session = open_session(&first).await.call_with("PUT", &format!("{TOKENS}/{one}"), body).await;
            assert_eq!(by_session.status, 403, "{}", by_session.text());
        }
        assert!(second.is_good().await && first.is_good().await);
        let renewed = first.call_with("PUT", &format!("{TOKENS}/{one}"), "{}").await.json();
        let renewed = world.caller(renewed["token"].as_str());
        assert!(renewed.is_good().await && !first.is_good().await);
        assert_eq!(ana.delete(&format!("{TOKENS}/{one}")).await.status, 204);
        assert!(!renewed.is_good().await && second.is_good().await);
    }

    async fn a_revoked_key_revokes_the_keys_it_created(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let (path, leaked) = service_key(&admin, acme).await;
        let (_, made) = service_key(&leaked, acme).await;
        let (other_path, other) = service_key(&admin, acme).await;
        // It rotates another user's key.
        let rotated = leaked.post(&format!("{other_path}/rotate"), json!({})).await.json();
        let rotated = world.caller(rotated["token"].as_str());
        assert!(works(&made).await && works(&rotated).await && !works(&other).await);
        assert_eq!(admin.delete(&path).await.status, 204);
        for gone in [&leaked, &made, &rotated] {
            assert!(!works(gone).await);
        }
        assert!(works(&admin).await);
    }

    async fn a_rotated_key_keeps_the_keys_it_created(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let (path, old) = service_key(&admin, acme).await;
        let (_, made) = service_key(&old, acme).await;
        let rotated = old.post(&format!("{path}/rotate"), json!({})).await.json();
        let new = world.caller(rotated["token"].as_str());
        assert!(works(&new).await && works(&made).await && !works(&old).await);
        let keys = path.rsplit_once('/').unwrap().0;
        assert_eq!(admin.delete(&format!("{keys}/{}", rotated["api_key_id"].as_str().unwrap())).await.status, 204);
        assert!(!works(&new).await && !works(&made).await, "they are the new key's family");
    }

    async fn all_own_keys_are_revoked_at_once(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Admin, "ana@example.com").await;
        let bob = world.person(acme, Role::Admin, "bob@example.com").await;
        let (_, bobs) = token(&bob).await;
        let password = json!({ "old": PASSWORD, "new": PASSWORD, "revoke_keys": true });
        let form = format!("old-password={0}&new-password={0}", PASSWORD.replace(' ', "+"));
        let site = [("sec-fetch-site", "same-origin"), ("content-type", "application/x-www-form-urlencoded")];
        let page = format!("old={0}&new={0}", PASSWORD.replace(' ', "+"));
        for way in 0..5 {
            let (_, key) = token(&ana).await;
            let session = open_session(&key).await;
            let (_, service) = service_key(&key, acme).await;
            let cookie = format!("tenure-session={}", ana.key.as_deref().unwrap());
            let headers = [&site[..], &[("cookie", cookie.as_str())]].concat();
            let by_page = async |path: &str, body: String| {
                world.caller(None).send("POST", path, &headers, Body::from(body)).await
            };
            let response = match way {
                0 => ana.delete("/tenure/v1/me/keys").await,
                1 => ana.call_with("PUT", "/tenure/v1/me/password", &password.to_string()).await,
                2 => ana.call_with("PUT", &format!("{AUTH}/current/password?revoke-keys=true"), &form).await,
                3 => by_page("/account/revoke-keys", String::new()).await,
                _ => by_page("/account/password", format!("{page}&keys=revoke")).await,
            };
            assert!(response.status == 204 || response.status == 303, "{way}: {} {}", response.status, response.text());
            for gone in [&key, &session, &service] {
                assert!(!works(gone).await, "{way}");
            }
            assert!(ana.is_good().await && bobs.is_good().await, "{way}");
        }
        // A new password keeps the keys unless asked to revoke them, and a key cannot revoke all others.
        let (_, key) = token(&ana).await;
        let keeps = json!({ "old": PASSWORD, "new": PASSWORD });
        assert_eq!(ana.call_with("PUT", "/tenure/v1/me/password", &keeps.to_string()).await.status, 204);
        assert_eq!(key.delete("/tenure/v1/me/keys").await.status, 403);
        assert!(works(&key).await);
    }

    async fn old_and_unused_keys_are_refused_on_every_wire(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        let ageing = world.another_server(|settings| settings.key_max_age = Some(Duration::from_secs(600))).await;
        let idling = world.another_server(|settings| settings.key_idle = Some(Duration::from_secs(600))).await;
        const PATHS: [&str; 5] = ["/api/v1/sessions", "/v1/sessions", "/v3/self", SESSIONS, "/tenure/v1/me"];
        let statuses = async |server: &World| {
            let mut statuses = Vec::new();
            for path in PATHS {
                statuses.push(ana.at_server(server).get(path).await.status.as_u16());
            }
            statuses
        };
        let session = open_session(&ana.at_server(&ageing)).await;
        world.advance(Span::minutes(9));
        assert_eq!((statuses(&ageing).await, statuses(&idling).await), (vec![200; 5], vec![200; 5]));
        let noted = || async {
            let keys = world.store().list_credentials(&System::for_administration()).await.unwrap();
            keys.iter().any(|key| key.id == ana.credential && key.last_used.is_some())
        };
        crate::world::wait_until("the use is noted", noted).await;
        world.advance(Span::minutes(1));
        assert_eq!((statuses(&ageing).await, statuses(&idling).await), (vec![401; 5], vec![200; 5]));
        assert!(!session.at_server(&ageing).is_good().await, "nor does a session that it opened");
        // A key that is too old cannot create a younger one.
        assert_eq!(Socket::open(&ana.at_server(&ageing)).await.call("devices.list", json!({})).await["error"]["code"], -32001);
        world.advance(Span::minutes(11));
        assert_eq!(statuses(&idling).await, vec![401; 5]);
        assert_eq!(statuses(world).await, vec![200; 5], "both are off unless they are set");
    }

    async fn a_key_is_valid_only_in_its_networks(world: &World) {
        let proxied = world.another_server(|settings| {
            settings.trusted_proxies = server::settings::Proxies::new(&["10.0.0.0/8"]);
        }).await;
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        let office = bound(&ana, "192.0.2.0/24 2001:db8::/32").await;
        let office = office.at_server(&proxied);
        let nobody = proxied.caller(Some("mob_x"));
        for path in ["/api/v1/sessions", "/v1/sessions", "/v3/self", SESSIONS, "/tenure/v1/me"] {
            for there in ["192.0.2.9", "2001:db8::1", "::ffff:192.0.2.9"] {
                assert_eq!(from(&office, there, path).await.status, 200, "{path} {there}");
            }
            let (elsewhere, unknown) = (from(&office, "203.0.113.1", path).await, from(&nobody, "203.0.113.1", path).await);
            assert_eq!((elsewhere.status.as_u16(), &elsewhere.body), (401, &unknown.body), "{path}");
            // The header is ignored without a trusted proxy.
            let said = office.send("GET", path, &[("x-forwarded-for", "192.0.2.9")], Body::empty()).await;
            assert_eq!(said.status, 401, "{path}");
        }
    }

    async fn a_turn_token_works_only_in_the_networks_of_the_key_that_claimed(world: &World) {
        let proxied = world.another_server(|settings| {
            settings.trusted_proxies = server::settings::Proxies::new(&["10.0.0.0/8"]);
        }).await;
        let acme = world.organization("Acme").await;
        world.member(acme, Role::Readwrite).await.agent_session(Some("hi")).await;
        let office = bound(&world.member(acme, Role::Worker).await, "192.0.2.0/24").await;
        let office = office.at_server(&proxied);
        let said = async |who: &Actor<'_>, address: &str, what: &str, body: &Value| {
            let request = Request::post(format!("/tenure/v1/work/{what}")).header("content-type", "application/json");
            send_from(who, address, request, Body::from(body.to_string())).await
        };
        let claim = json!({ "worker": "w", "wait_seconds": 0 });
        assert_eq!(said(&office, "203.0.113.1", "claim", &claim).await.status, 401);
        let turn = said(&office, "192.0.2.9", "claim", &claim).await.json();
        let worker = proxied.caller(turn["token"].as_str());
        let body = json!({ "organization": turn["organization"], "turn": turn["turn"], "fence": turn["fence"] });
        let heartbeat = format!("{}/heartbeat", turn["session"].as_str().unwrap());
        assert_eq!(said(&worker, "203.0.113.1", &heartbeat, &body).await.status, 401);
        assert_eq!(said(&worker, "192.0.2.9", &heartbeat, &body).await.status, 200);
    }

    async fn sockets_streams_and_hosts_work_only_in_the_keys_networks(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        let (here, elsewhere) = (bound(&ana, "127.0.0.0/8").await, bound(&ana, "192.0.2.0/24").await);
        let response = Socket::open(&here).await.call("devices.list", json!({})).await;
        assert_ne!(response.get("result"), None, "{response}");
        let response = Socket::open(&elsewhere).await.call("devices.list", json!({})).await;
        assert_eq!(response["error"]["code"], -32001);
        assert!(Socket::try_open(&here, "/tenure/v1/host").await.is_ok());
        assert_eq!(Socket::try_open(&elsewhere, "/tenure/v1/host").await.err(), Some(401));
    }
}

#[tokio::test]
async fn a_session_of_a_network_bound_key_is_bound_too() {
    let world = World::sqlite().await;
    let proxied = world
        .another_server(|settings| settings.trusted_proxies = server::settings::Proxies::new(&["10.0.0.0/8"]))
        .await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Admin).await;
    let office = bound(&ana, "192.0.2.0/24").await;
    let mut request = Request::post(format!("{AUTH}/jwt"))
        .header("x-forwarded-for", "192.0.2.1")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", office.key.as_deref().unwrap()))
        .body(Body::from("{}"))
        .unwrap();
    let proxy: SocketAddr = "10.0.0.1:1".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(proxy));
    let response = proxied.send(request).await;
    let token: Value = response.json()["token"].clone();
    let session = proxied.caller(token.as_str());
    assert_eq!(from(&session, "192.0.2.2", SESSIONS).await.status, 200);
    assert_eq!(from(&session, "203.0.113.1", SESSIONS).await.status, 401);
}
