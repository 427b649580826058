//! Requests that are repeated with an idempotency key, on this wire and on another.

use super::{at, refused};
use crate::world::{Actor, Answer};
use axum::body::Body;
use axum::http::Request;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

async fn keyed(actor: &Actor<'_>, key: &str, path: &str, body: &Value) -> Answer {
    let mut request = Request::builder().method("POST").uri(path).header("idempotency-key", key);
    if let Some(credential) = &actor.key {
        request = request.header("authorization", format!("Bearer {credential}"));
    }
    actor.world.send(request.body(Body::from(body.to_string())).unwrap()).await
}

both! {
    async fn a_create_that_is_repeated_is_one_session(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let bob = world.member(acme, Role::Readwrite).await;
        let path = at(acme, "/sessions");
        let body = json!({ "prompt": "Once" });
        let first = keyed(&ana, "k", &path, &body).await;
        assert_eq!(first.status, 200, "{}", first.text());
        let again = keyed(&ana, "k", &path, &body).await;
        assert_eq!((again.status, &again.body, &again.headers["content-type"]), (first.status, &first.body, &first.headers["content-type"]));
        assert_eq!(again.headers["idempotent-replayed"], "true");
        // Another server of the same database knows it too: as after a crash.
        let beside = world.beside(|_| {}).await;
        assert_eq!(keyed(&ana.at(&beside), "k", &path, &body).await.body, first.body);
        refused(&keyed(&ana, "k", &path, &json!({ "prompt": "Twice" })).await, 422, "Idempotency-Key");
        assert_ne!(keyed(&ana, "l", &path, &body).await.body, first.body);
        assert_ne!(keyed(&bob, "k", &path, &body).await.body, first.body);
        assert_eq!(ana.get(&path).await.json()["total"], 3);
        world.advance(Span::minutes(25 * 60));
        assert_ne!(keyed(&ana, "k", &path, &body).await.body, first.body);
    }

    async fn what_was_refused_for_now_may_be_tried_again(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let path = at(acme, "/sessions");
        let body = json!({ "prompt": "x" });
        refused(&keyed(&world.stranger(None), "k", &path, &body).await, 401, "Unauthorized");
        refused(&keyed(&ana, "k", &path, &body).await, 403, "UseSessions");
        let system = store::System::for_administration();
        world.store().set_member(&system.within(acme), ana.principal, Role::Readwrite, crate::world::START).await.unwrap();
        assert_eq!(keyed(&ana, "k", &path, &body).await.status, 200);
        let wrong = keyed(&ana, "w", &path, &json!({})).await;
        refused(&wrong, 422, "prompt");
        assert_eq!(keyed(&ana, "w", &path, &json!({})).await.body, wrong.body);
        for key in ["", &"k".repeat(256)] {
            refused(&keyed(&ana, key, &path, &body).await, 422, "Idempotency-Key: expected 1 to 255 characters");
        }
    }

    async fn a_secret_that_is_shown_once_is_shown_once(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let body = json!({ "name": "bot", "role_id": "org_member" });
        let first = keyed(&admin, "k", &at(acme, "/service-users"), &body).await.json();
        assert!(first["token"].is_string());
        let again = keyed(&admin, "k", &at(acme, "/service-users"), &body).await.json();
        assert_eq!((&again["token"], &again["service_user"]), (&json!(null), &first["service_user"]));
        assert_eq!(admin.get(&at(acme, "/service-users")).await.json()["total"], 1);
    }

    async fn it_is_so_on_every_wire(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let first = keyed(&ana, "k", "/api/v1/sessions", &json!({})).await;
        assert_eq!(first.status, 201);
        let again = keyed(&ana, "k", "/api/v1/sessions", &json!({})).await;
        assert_eq!((again.status, again.body), (first.status, first.body));
        assert_eq!(keyed(&ana, "k", "/api/v1/sessions", &json!({ "a": 1 })).await.status, 422);
    }
}
