//! API tokens, and narrowed tokens of a session.

use super::{AUTH, SESSIONS, USER, mask};
use crate::world::{Actor, World};
use axum::body::Body;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

const TOKENS: &str = "/frontend/api/v1/auth/api-token";

async fn ana(world: &World) -> Actor<'_> {
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Admin, "ana@example.com").await;
    world.sign_in("ana@example.com").await
}

async fn create_token<'w>(actor: &Actor<'w>, body: Value) -> (String, Actor<'w>) {
    let response = actor.post(TOKENS, body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let json = response.json();
    (json["id"].as_str().unwrap().to_owned(), actor.world.caller(Some(json["token"].as_str().unwrap())))
}

both! {
    async fn a_token_is_shown_once(world: &World) {
        let ana = ana(world).await;
        let response = ana.post(TOKENS, json!({ "permissions": ["read:user", "read:media"], "ttl": 3600 })).await;
        insta::assert_json_snapshot!("api_token", mask(response.json()));
        let (id, secret) = (response.json()["id"].clone(), response.json()["token"].as_str().unwrap().to_owned());
        let id = id.as_str().unwrap();
        let by_id = ana.get(&format!("{TOKENS}/{id}")).await;
        assert_eq!(by_id.json()["token"], json!(null), "{}", by_id.text());
        let by_secret = ana.get(&format!("{TOKENS}/{secret}")).await;
        assert_eq!(by_id.body, by_secret.body);
        let list = ana.get(TOKENS).await;
        assert_eq!(list.json()["api-tokens"][0], by_id.json());
        assert!(!list.text().contains(&secret));
        world.advance(Span::minutes(60));
        assert_eq!(ana.get(TOKENS).await.json(), json!({ "api-tokens": null }));
        assert_eq!(ana.get(&format!("{TOKENS}/{id}")).await.status, 404);
        let expired = ana.get(&format!("{TOKENS}?include-expired=true")).await.json();
        assert_eq!(expired["api-tokens"][0]["expired"], true);
        assert!(!world.caller(Some(&secret)).is_good().await);
    }

    async fn recoverable_tokens_are_a_setting(world: &World) {
        let world = world.another_server(|settings| settings.probe_recoverable_tokens = true).await;
        let ana = ana(&world).await;
        let (id, token) = create_token(&ana, json!({})).await;
        let listed = ana.get(TOKENS).await.json();
        assert_eq!(listed["api-tokens"][0]["token"].as_str(), token.key.as_deref());
        assert_eq!(ana.delete(&format!("{TOKENS}/{id}")).await.status, 204);
        assert!(!token.is_good().await);
    }

    async fn a_new_secret_ends_the_old_one(world: &World) {
        let ana = ana(world).await;
        let (id, old) = create_token(&ana, json!({})).await;
        let opened = old.post(&format!("{AUTH}/jwt"), json!({})).await.json();
        let opened = world.caller(Some(opened["token"].as_str().unwrap()));
        assert!(opened.is_good().await);
        let path = format!("{TOKENS}/{id}");
        let response = ana.call_with("PUT", &path, "{}").await.json();
        let new = world.caller(Some(response["token"].as_str().unwrap()));
        assert!(new.is_good().await && !old.is_good().await && !opened.is_good().await);
        // Changing its expiry keeps the secret.
        let response = ana.call_with("PUT", &path, &json!({ "ttl": 60 }).to_string()).await.json();
        assert_eq!((&response["id"], &response["token"]), (&json!(id), &json!(null)));
        assert!(new.is_good().await);
        world.advance(Span::minutes(1));
        assert!(!new.is_good().await);
    }

    async fn no_credential_creates_a_stronger_one(world: &World) {
        let ana = ana(world).await;
        let (id, narrow) = create_token(&ana, json!({ "permissions": ["read:user", "write:user", "read:media"] })).await;
        for permissions in [json!(["write:media"]), json!(["read:user", "write:admin"])] {
            let response = narrow.post(&format!("{AUTH}/jwt"), json!({ "permissions": permissions })).await;
            assert_eq!(response.status, 403, "{}", response.text());
        }
        // A request without scopes gets no more either.
        let reset = narrow.call_with("PUT", &format!("{TOKENS}/{id}"), r#"{"reset-permissions":true}"#).await;
        assert_eq!(reset.status, 200, "{}", reset.text());
        // A narrowed session cannot create a key with more permissions.
        let scoped = json!({ "permissions": ["read:user", "write:user", "read:media"] });
        let scoped = ana.post(&format!("{AUTH}/jwt"), scoped).await.json();
        let scoped = world.caller(Some(scoped["token"].as_str().unwrap()));
        let wider = scoped.post(TOKENS, json!({ "permissions": ["write:media"] })).await;
        assert_eq!(wider.status, 403, "{}", wider.text());
        let (_, child) = create_token(&scoped, json!({})).await;
        let jwt = narrow.post(&format!("{AUTH}/jwt"), json!({})).await.json();
        let signed = world.caller(Some(jwt["token"].as_str().unwrap()));
        for actor in [&narrow, &child, &signed] {
            assert_eq!(actor.get("/api/v1/sessions").await.status, 200);
            assert_eq!(actor.call("POST", "/api/v1/sessions", Body::empty()).await.status, 403);
            assert_eq!(actor.get(USER).await.status, 403, "read:sub-user is missing");
        }
        // A key that expires opens no session that outlives it.
        let (_, short) = create_token(&ana, json!({ "ttl": 60 })).await;
        let jwt = short.post(&format!("{AUTH}/jwt"), json!({})).await.json();
        let signed = world.caller(Some(jwt["token"].as_str().unwrap()));
        assert!(signed.is_good().await);
        world.advance(Span::minutes(1));
        assert!(!short.is_good().await && !signed.is_good().await);
    }

    async fn a_narrowed_token_ends_with_its_session(world: &World) {
        let ana = ana(world).await;
        let body = json!({ "permissions": ["read:user"], "claims": { "sub": "evil", "x": 1 }, "long-term-token": false });
        let jwt = ana.post(&format!("{AUTH}/jwt"), body).await.json();
        assert_eq!(jwt["expire"], "2026-03-01T15:00:00Z");
        let narrow = world.caller(Some(jwt["token"].as_str().unwrap()));
        assert_eq!(ana.sessions().await, 1, "it is the same session");
        assert!(narrow.is_good().await);
        assert_eq!(narrow.get("/api/v1/sessions").await.status, 403);
        assert_eq!(narrow.delete(SESSIONS).await.status, 403);
        assert_eq!(narrow.post(&format!("{AUTH}/jwt"), json!({})).await.status, 403, "write:user is missing");
        // A token that ends soon cannot be renewed to last longer.
        let short = ana.post(&format!("{AUTH}/jwt"), json!({ "long-term-token": false })).await.json();
        let short = world.caller(Some(short["token"].as_str().unwrap()));
        world.advance(Span::minutes(1));
        let longer = short.post(&format!("{AUTH}/jwt"), json!({ "long-term-token": true })).await.json();
        assert_eq!(longer["expire"], "2026-03-01T15:00:00Z");
        assert_eq!(ana.delete(&format!("{AUTH}/sign-out")).await.status, 200);
        assert!(!narrow.is_good().await && !short.is_good().await);
    }

    async fn a_key_has_no_session_to_sign_out_of(world: &World) {
        let ana = ana(world).await;
        let (_, key) = create_token(&ana, json!({})).await;
        let response = key.delete(&format!("{AUTH}/sign-out")).await;
        assert_eq!(response.json(), json!({ "ret-url": null, "success": false }));
        assert!(key.is_good().await && ana.is_good().await);
        assert_eq!(key.delete(&format!("{AUTH}/sign-out?logout-all=true")).await.json()["success"], true);
        assert!(key.is_good().await && !ana.is_good().await);
    }

    async fn invalid_requests_about_tokens_are_refused(world: &World) {
        let ana = ana(world).await;
        for body in [
            json!({ "ttl": -1 }), json!({ "ttl": 1.5 }), json!({ "ttl": "60" }), json!({ "ttl": 1e300 }),
            json!({ "permissions": "read:user" }), json!({ "permissions": ["read:everything"] }),
            json!({ "permissions": [1] }), json!({ "restrictions": { "ip": "10.0.0.1" } }),
        ] {
            let response = ana.post(TOKENS, body.clone()).await;
            assert_eq!(response.status, 400, "{body}: {}", response.text());
        }
        for name in ["x", "%00", "prb_x", "00000000-0000-0000-0000-000000000000"] {
            for method in ["GET", "PUT", "DELETE"] {
                let response = ana.call(method, &format!("{TOKENS}/{name}"), Body::empty()).await;
                assert_eq!(response.status, 404, "{method} {name}: {}", response.text());
            }
        }
        let form = ana.call_with("POST", TOKENS, "permissions=read:user&permissions=read:media&ttl=60").await;
        assert_eq!(form.json()["permissions"].as_object().unwrap().len(), 2);
    }
}
