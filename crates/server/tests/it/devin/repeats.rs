//! Requests that are repeated with an idempotency key, on this wire and on others.

use super::{at, refused};
use crate::lost_answers::begun;
use crate::world::{Actor, Answer};
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

async fn keyed(actor: &Actor<'_>, key: &str, path: &str, body: &Value) -> Answer {
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
        let granted = begun(&ana, "everruns", "/v1/agents", &agents).await.authorize().unwrap();
        let new = NewAgent { name: "builder".into(), ..NewAgent::default() };
        let agent = definitions::create_agent(world.app(), &granted, new).await.unwrap();

        let sessions = json!({ "prompt": "Once" });
        let path = at(acme, "/sessions");
        let granted = begun(&ana, "devin", &path, &sessions).await.authorize().unwrap();
        let post = MessageDraft { text: "Once".into(), ..MessageDraft::default() };
        let create = AgentSessionDraft { message: Some(post.clone()), ..AgentSessionDraft::default() };
        let session = agents::create::create_agent_session(world.app(), &granted, create).await.unwrap();

        let said = json!({ "message": "Twice?" });
        let messages = format!("{path}/{}/messages", session.id.uuid().simple());
        let granted = begun(&ana, "devin", &messages, &said).await.authorize().unwrap();
        agents::messages::post_message(world.app(), &granted, session.id, MessageDraft { text: "Twice?".into(), ..post }).await.unwrap();

        let devices = json!({});
        let granted = begun(&ana, "mobilenext", "/api/v1/sessions", &devices).await.authorize().unwrap();
        let device = devices::sessions::create_device_session(world.app(), &granted).await.unwrap();

        // While the first attempt may still run, a repetition must not begin.
        assert_eq!(keyed(&ana, "k", &path, &sessions).await.status, 409);
        world.advance(Span::minutes(5));
        let made = keyed(&ana, "k", "/v1/agents", &agents).await;
        assert_eq!((made.status.as_u16(), &made.json()["id"]), (201, &json!(format!("agent_{}", agent.id.0.simple()))));
        let made = keyed(&ana, "k", &path, &sessions).await;
        assert_eq!((made.status.as_u16(), &made.json()["session_id"]), (200, &json!(session.id.uuid().simple().to_string())));
        assert_eq!(keyed(&ana, "k", &messages, &said).await.status, 200);
        let made = keyed(&ana, "k", "/api/v1/sessions", &devices).await;
        assert_eq!((made.status.as_u16(), &made.json()["id"]), (201, &json!(device.id.to_string())));

        assert_eq!(ana.get(&path).await.json()["total"], 1);
        assert_eq!(ana.get(&messages).await.json()["items"].as_array().unwrap().len(), 2);
        assert_eq!(ana.get("/api/v1/sessions").await.json()["data"].as_array().unwrap().len(), 1);
        // The response is stored now.
        assert_eq!(keyed(&ana, "k", &path, &sessions).await.headers["idempotent-replayed"], "true");
    }

    async fn a_repeated_create_makes_one_session(world: &World) {
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
        // Another server of the same database has it too, as after a crash.
        let beside = world.beside(|_| {}).await;
        assert_eq!(keyed(&ana.at(&beside), "k", &path, &body).await.body, first.body);
        refused(&keyed(&ana, "k", &path, &json!({ "prompt": "Twice" })).await, 422, "Idempotency-Key");
        assert_ne!(keyed(&ana, "l", &path, &body).await.body, first.body);
        assert_ne!(keyed(&bob, "k", &path, &body).await.body, first.body);
        assert_eq!(ana.get(&path).await.json()["total"], 3);
        world.advance(Span::minutes(25 * 60));
        assert_ne!(keyed(&ana, "k", &path, &body).await.body, first.body);
    }

    async fn temporary_refusals_can_be_retried_with_the_same_key(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let path = at(acme, "/sessions");
        let body = json!({ "prompt": "x" });
        refused(&keyed(&world.stranger(None), "k", &path, &body).await, 401, "Unauthorized");
        refused(&keyed(&ana, "k", &path, &body).await, 403, "UseSessions");
        let system = store::System::administration();
        world.store().set_member(&system.grant(acme), ana.principal, Role::Readwrite, crate::world::START).await.unwrap();
        assert_eq!(keyed(&ana, "k", &path, &body).await.status, 200);
        let wrong = keyed(&ana, "w", &path, &json!({})).await;
        refused(&wrong, 422, "prompt");
        assert_eq!(keyed(&ana, "w", &path, &json!({})).await.body, wrong.body);
        for key in ["", &"k".repeat(256)] {
            refused(&keyed(&ana, key, &path, &body).await, 422, "Idempotency-Key: expected 1 to 255 characters");
        }
    }

    async fn a_secret_is_shown_only_once(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let body = json!({ "name": "bot", "role_id": "org_member" });
        let first = keyed(&admin, "k", &at(acme, "/service-users"), &body).await.json();
        assert!(first["token"].is_string());
        let again = keyed(&admin, "k", &at(acme, "/service-users"), &body).await.json();
        assert_eq!((&again["token"], &again["service_user"]), (&json!(null), &first["service_user"]));
        assert_eq!(admin.get(&at(acme, "/service-users")).await.json()["total"], 1);
    }

    async fn repeated_requests_work_the_same_on_every_wire(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let first = keyed(&ana, "k", "/api/v1/sessions", &json!({})).await;
        assert_eq!(first.status, 201);
        let again = keyed(&ana, "k", "/api/v1/sessions", &json!({})).await;
        assert_eq!((again.status, again.body), (first.status, first.body));
        assert_eq!(keyed(&ana, "k", "/api/v1/sessions", &json!({ "a": 1 })).await.status, 422);
    }
}
