//! New sessions by their kind, in the organization that the request names.

use super::{path, refused};
use crate::lost_responses::Keyed;
use crate::world::{Actor, START, TestResponse, wait_until};
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};
use std::time::Duration;
use store::System;

const SESSIONS: &str = "/tenure/v1/sessions";

async fn create(actor: &Actor<'_>, body: Value) -> TestResponse {
    let response = actor.post(SESSIONS, body).await;
    if response.status.is_success() {
        let session = response.json();
        let place = response.headers["location"].to_str().unwrap();
        assert!(place.ends_with(&path(session["id"].as_str().unwrap())), "{place}");
    }
    response
}

async fn ask(actor: &Actor<'_>, request: Value, wait: &str) -> TestResponse {
    let body = json!({ "kind": "device", "request": request }).to_string();
    actor.send("POST", SESSIONS, &[("prefer", wait)], Body::from(body)).await
}

both! {
    async fn an_agent_session_has_what_the_request_says(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        ana.agent("fixer").await;
        let bare = create(&ana, json!({ "kind": "agent" })).await;
        assert_eq!((bare.status.as_u16(), &bare.json()["agent"]["name"]), (201, &json!("default")));
        let full = json!({
            "kind": "agent", "agent": "fixer", "message": "Hello", "title": "T", "tags": ["a"], "model": "m",
            "category": null, "repos": ["acme/api"], "parent": bare.json()["id"],
        });
        let made = create(&ana, full.clone()).await.json();
        assert_eq!(ana.get(&path(made["id"].as_str().unwrap())).await.json(), made);
        for (field, value) in [("title", json!("T")), ("tags", json!(["a"])), ("model", json!("m")), ("parent", bare.json()["id"].clone())] {
            assert_eq!(made[field], value);
        }
        assert_eq!((&made["kind"], &made["agent"]["name"], &made["owner"]["id"]), (&json!("agent"), &json!("fixer"), &json!(ana.principal)));
        let by_id = create(&ana, json!({ "kind": "agent", "agent": made["agent"]["id"] })).await.json();
        assert_eq!(by_id["agent"], made["agent"]);
        let count = async || ana.get(SESSIONS).await.json()["total"].clone();
        let before = count().await;
        for (wrong, status) in [
            (json!({}), 400), (json!({ "kind": "login" }), 400), (json!({ "kind": "agent", "state": "exit" }), 400),
            (json!({ "kind": "agent", "tags": [""] }), 400), (json!({ "kind": "agent", "message": "" }), 400),
            (json!({ "kind": "agent", "agent": "nobody" }), 404), (json!({ "kind": "agent", "agent": "a\u{0}" }), 404), (json!({ "kind": "agent", "organization": "x" }), 400),
            (json!({ "kind": "agent", "parent": acme }), 404),
        ] {
            let response = create(&ana, wrong.clone()).await;
            assert_eq!(response.status, status, "{wrong}: {}", response.text());
        }
        assert_eq!(count().await, before, "a refused request creates nothing");
        let first = Keyed::new(&ana, SESSIONS, &full).survives().await;
        assert_eq!((first.status.as_u16(), count().await), (201, json!(before.as_i64().unwrap() + 1)));
    }

    async fn the_request_names_the_organization(world: &World) {
        let (acme, globex, initech) =
            (world.organization("Acme").await, world.organization("Globex").await, world.organization("Initech").await);
        let both = world.member(acme, Role::Readwrite).await.principal;
        let granted = System::for_administration().grant(globex);
        world.store().set_member(&granted, both, Role::Readwrite, START + Span::seconds(1)).await.unwrap();
        let both = world.actor(both, None, None).await;
        let place = async |actor: &Actor<'_>, body: Value| create(actor, body).await.json()["organization"]["id"].clone();
        assert_eq!(place(&both, json!({ "kind": "agent" })).await, json!(acme));
        assert_eq!(place(&both.naming(globex), json!({ "kind": "agent" })).await, json!(globex));
        assert_eq!(place(&both, json!({ "kind": "agent", "organization": globex })).await, json!(globex));
        assert_eq!(place(&both.naming(globex), json!({ "kind": "device", "organization": globex })).await, json!(globex));
        let differs = create(&both.naming(acme), json!({ "kind": "agent", "organization": globex })).await;
        assert_eq!(refused(&differs, 400, "invalid")["field"], "organization");
        // One of others is like one that does not exist.
        let foreign = create(&both, json!({ "kind": "agent", "organization": initech })).await;
        refused(&foreign, 403, "forbidden");
        assert_eq!(create(&both, json!({ "kind": "device", "organization": both.principal })).await.body, foreign.body);
        let bound = world.actor(both.principal, Some(acme), None).await;
        assert_eq!(create(&bound, json!({ "kind": "agent", "organization": globex })).await.body, foreign.body);
        let (viewer, admin) = (world.account_member(AccountRole::Viewer).await, world.account_member(AccountRole::Admin).await);
        refused(&create(&viewer, json!({ "kind": "device", "organization": initech })).await, 403, "forbidden");
        assert_eq!(place(&admin, json!({ "kind": "device", "organization": initech })).await, json!(initech));
    }

    async fn a_device_session_comes_with_its_device(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let empty = create(&ana, json!({ "kind": "device" })).await;
        assert_eq!((empty.status.as_u16(), &empty.json()["device"]), (201, &Value::Null));
        let before = ana.get(SESSIONS).await.json()["total"].clone();
        for (request, status, code, field) in [
            (json!({ "platform": "windows" }), 400, "invalid", json!("request.platform")),
            (json!({ "platform": "android", "version": ">=x" }), 400, "invalid", json!("request.version")),
            (json!({ "platform": "android", "color": "red" }), 400, "invalid", Value::Null),
            (json!({ "platform": "ios" }), 409, "no_match", Value::Null),
            (json!({ "platform": "android", "name": "iPhone*" }), 409, "no_match", Value::Null),
            (json!({ "platform": "android", "version": "> 16" }), 409, "no_match", Value::Null),
        ] {
            let problem = refused(&ask(&ana, request, "wait=0").await, status, code);
            assert_eq!(problem["field"], field, "{problem}");
        }
        assert_eq!(ana.get(SESSIONS).await.json()["total"], before, "no session without a request stays");
        let full = json!({ "platform": "android", "type": "emulator", "name": "Pixel*", "version": ">=15" });
        let held = ask(&ana, full, "wait=60").await;
        assert_eq!((held.status.as_u16(), &held.json()["device"]["id"]), (201, &json!("one")));
        assert_eq!(held.headers["preference-applied"], "wait=60");
        // The device is held, so the next one waits for it: not at all, and until it is free.
        let waiting = ask(&ana, json!({ "platform": "android" }), "respond-async").await;
        assert_eq!((waiting.status.as_u16(), &waiting.json()["device"]["id"]), (202, &Value::Null));
        assert!(!waiting.headers.contains_key("preference-applied"));
        assert_eq!(ana.act(waiting.json()["id"].as_str().unwrap(), "end", json!({})).await.status, 200);
        let freed = async {
            let is_queued = async || ana.get("/tenure/v1/sessions/facets?by=state").await.text().contains("queued");
            wait_until("the request waits", is_queued).await;
            assert_eq!(ana.act(held.json()["id"].as_str().unwrap(), "end", json!({})).await.status, 200);
        };
        let asking = ask(&ana, json!({ "platform": "android" }), "foo, wait=600");
        let (given, ()) = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(asking, freed) }).await.unwrap();
        assert_eq!((given.status.as_u16(), &given.json()["device"]["id"]), (201, &json!("one")), "{}", given.text());
        assert_eq!(given.headers["preference-applied"], "wait=60");
        host.leave().await;
    }

    async fn a_device_session_is_created_once_for_an_idempotency_key(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let _host = world.host(&admin, "rack", &[("one", "android"), ("two", "android")]).await;
        let body = json!({ "kind": "device", "request": { "platform": "android" } });
        let made = Keyed::new(&ana, SESSIONS, &body).survives().await.json();
        assert_eq!(ana.get(SESSIONS).await.json()["total"], 1);
        assert_eq!(ana.devices_of(made["id"].as_str().unwrap()).await.as_array().unwrap().len(), 1);
    }
}
