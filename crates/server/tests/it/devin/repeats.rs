//! Requests that are repeated with an idempotency key, on this wire and on others.

use super::{assert_refused, org_path};
use crate::lost_responses::begin_request;
use crate::world::{Actor, TestResponse};
use axum::body::Body;
use axum::http::Request;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};
use server::operations::agents;
use server::operations::agents::create::AgentSessionDraft;
use server::operations::agents::definitions;
use server::operations::agents::definitions::NewAgent;
use server::operations::agents::messages::MessageDraft;
use server::operations::devices;

async fn post_with_key(actor: &Actor<'_>, key: &str, path: &str, body: &Value) -> TestResponse {
    let mut request = Request::builder().method("POST").uri(path).header("idempotency-key", key);
    if let Some(credential) = &actor.key {
        request = request.header("authorization", format!("Bearer {credential}"));
    }
    actor.world.send(request.body(Body::from(body.to_string())).unwrap()).await
}

both! {
    async fn objects_created_by_a_dead_server_are_not_created_again(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let agents = json!({ "name": "builder", "system_prompt": "" });
        let granted = begin_request(&ana, "everruns", "/v1/agents", &agents).await.authorize().unwrap();
        let new = NewAgent { name: "builder".into(), ..NewAgent::default() };
        let agent = definitions::create_agent(world.app(), &granted, new).await.unwrap();

        let sessions = json!({ "prompt": "Once" });
        let path = org_path(acme, "/sessions");
        let granted = begin_request(&ana, "devin", &path, &sessions).await.authorize().unwrap();
        let post = MessageDraft { text: "Once".into(), ..MessageDraft::default() };
        let create = AgentSessionDraft { message: Some(post.clone()), ..AgentSessionDraft::default() };
        let session = agents::create::create_agent_session(world.app(), &granted, create).await.unwrap();

        let said = json!({ "message": "Twice?" });
        let messages = format!("{path}/{}/messages", session.id.uuid().simple());
        let granted = begin_request(&ana, "devin", &messages, &said).await.authorize().unwrap();
        agents::messages::post_message(world.app(), &granted, session.id, MessageDraft { text: "Twice?".into(), ..post }).await.unwrap();

        let devices = json!({});
        let granted = begin_request(&ana, "mobilenext", "/api/v1/sessions", &devices).await.authorize().unwrap();
        let device = devices::sessions::create_device_session(world.app(), &granted).await.unwrap();

        // While the first attempt may still run, a repetition must not begin.
        assert_eq!(post_with_key(&ana, "k", &path, &sessions).await.status, 409);
        world.advance(Span::minutes(5));
        let made = post_with_key(&ana, "k", "/v1/agents", &agents).await;
        assert_eq!((made.status.as_u16(), &made.json()["id"]), (201, &json!(format!("agent_{}", agent.id.0.simple()))));
        let made = post_with_key(&ana, "k", &path, &sessions).await;
        assert_eq!((made.status.as_u16(), &made.json()["session_id"]), (200, &json!(session.id.uuid().simple().to_string())));
        assert_eq!(post_with_key(&ana, "k", &messages, &said).await.status, 200);
        let made = post_with_key(&ana, "k", "/api/v1/sessions", &devices).await;
        assert_eq!((made.status.as_u16(), &made.json()["id"]), (201, &json!(device.id.to_string())));

        assert_eq!(ana.get(&path).await.json()["total"], 1);
        assert_eq!(ana.get(&messages).await.json()["items"].as_array().unwrap().len(), 2);
        assert_eq!(ana.get("/api/v1/sessions").await.json()["data"].as_array().unwrap().len(), 1);
        // The response is stored now.
        assert_eq!(post_with_key(&ana, "k", &path, &sessions).await.headers["idempotent-replayed"], "true");
    }

    async fn a_repeated_create_makes_one_session(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let bob = world.member(acme, Role::Readwrite).await;
        let path = org_path(acme, "/sessions");
        let body = json!({ "prompt": "Once" });
        let first = post_with_key(&ana, "k", &path, &body).await;
        assert_eq!(first.status, 200, "{}", first.text());
        let again = post_with_key(&ana, "k", &path, &body).await;
        assert_eq!((again.status, &again.body, &again.headers["content-type"]), (first.status, &first.body, &first.headers["content-type"]));
        assert_eq!(again.headers["idempotent-replayed"], "true");
        // Another server of the same database has it too, as after a crash.
        let beside = world.another_server(|_| {}).await;
        assert_eq!(post_with_key(&ana.at_server(&beside), "k", &path, &body).await.body, first.body);
        assert_refused(&post_with_key(&ana, "k", &path, &json!({ "prompt": "Twice" })).await, 422, "Idempotency-Key");
        assert_ne!(post_with_key(&ana, "l", &path, &body).await.body, first.body);
        assert_ne!(post_with_key(&bob, "k", &path, &body).await.body, first.body);
        assert_eq!(ana.get(&path).await.json()["total"], 3);
        world.advance(Span::minutes(25 * 60));
        assert_ne!(post_with_key(&ana, "k", &path, &body).await.body, first.body);
    }

    async fn temporary_refusals_can_be_retried_with_the_same_key(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let path = org_path(acme, "/sessions");
        let body = json!({ "prompt": "x" });
        assert_refused(&post_with_key(&world.caller(None), "k", &path, &body).await, 401, "Unauthorized");
        assert_refused(&post_with_key(&ana, "k", &path, &body).await, 403, "use sessions");
        let system = store::System::for_administration();
        world.store().set_member(&system.grant(acme), ana.principal, Role::Readwrite, crate::world::START).await.unwrap();
        assert_eq!(post_with_key(&ana, "k", &path, &body).await.status, 200);
        let wrong = post_with_key(&ana, "w", &path, &json!({})).await;
        assert_refused(&wrong, 422, "prompt");
        assert_eq!(post_with_key(&ana, "w", &path, &json!({})).await.body, wrong.body);
        for key in ["", &"k".repeat(256)] {
            assert_refused(&post_with_key(&ana, key, &path, &body).await, 422, "Idempotency-Key: expected 1 to 255 characters");
        }
    }

    async fn a_secret_is_shown_only_once(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let body = json!({ "name": "bot", "role_id": "org_member" });
        let first = post_with_key(&admin, "k", &org_path(acme, "/service-users"), &body).await.json();
        assert!(first["token"].is_string());
        let again = post_with_key(&admin, "k", &org_path(acme, "/service-users"), &body).await.json();
        assert_eq!((&again["token"], &again["service_user"]), (&json!(null), &first["service_user"]));
        assert_eq!(admin.get(&org_path(acme, "/service-users")).await.json()["total"], 1);
    }

    async fn repeated_requests_work_the_same_on_every_wire(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let first = post_with_key(&ana, "k", "/api/v1/sessions", &json!({})).await;
        assert_eq!(first.status, 201);
        let again = post_with_key(&ana, "k", "/api/v1/sessions", &json!({})).await;
        assert_eq!((again.status, again.body), (first.status, first.body));
        assert_eq!(post_with_key(&ana, "k", "/api/v1/sessions", &json!({ "a": 1 })).await.status, 422);
    }
}
