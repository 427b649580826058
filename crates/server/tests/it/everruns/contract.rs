//! Checks responses by the vendor's own OpenAPI document of February 2026, which is not a part of this project.

use super::Worker;
use crate::world::{TestResponse, World};
use domain::agent::{EventKind, TurnEnding as Outcome, TurnItem, Usage};
use domain::permission::Role;
use serde_json::{Value, json};
use std::path::Path;

/// The path of the document beside the project, for those who have it.
const DOCUMENT: &str = "../../../shared/wire/everruns-openapi-2026-02.json";

/// The document without conditions that can never be true: an event can match several of its schemas (those of messages are
/// the same for all senders), so "exactly one of" becomes "any of".
fn document() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let data = document["components"]["schemas"]["EventData"].as_object_mut().unwrap();
    let kinds = data.remove("oneOf").unwrap();
    data.insert("anyOf".into(), kinds);
    Some(document)
}

/// Checks a response by its operation in the document.
fn check_by_document(document: &Value, method: &str, pattern: &str, response: &TestResponse) {
    let status = response.status.as_u16().to_string();
    let what = format!("{method} {pattern}: {}", response.text());
    let known = &document["paths"][pattern][method]["responses"][&status];
    assert!(known.is_object(), "the document has no {status} of {what}");
    let schema = &known["content"]["application/json"]["schema"];
    if schema.is_null() {
        assert_eq!(response.body, b"", "{what}");
        return;
    }
    let whole = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::validator_for(&whole).unwrap();
    let body = response.json();
    let wrong = validator
        .iter_errors(&body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect::<Vec<_>>();
    assert!(wrong.is_empty(), "{what}\n{wrong:#?}");
}

/// A session with every kind of turn.
async fn story(world: &World) -> (crate::world::Actor<'_>, String, String) {
    let acme = world.organization("Acme").await;
    let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
    let agent = ana.agent("helper").await;
    let session =
        ana.talk(json!({ "agent_id": agent, "title": "One", "tags": ["a"], "model_id": "m" })).await;
    ana.say(&session, "hi").await;
    let mut worker = Worker::claim(&admin).await;
    let tool = json!({ "tool_call": { "id": "1", "name": "ls", "arguments": {} } });
    let usage = Usage { input_tokens: 1, output_tokens: 2, cache_read_tokens: 3, ..Usage::default() };
    worker
        .report(vec![
            TurnItem::Output("a".into()),
            TurnItem::Event { kind: EventKind::ToolStarted, data: tool.into() },
            TurnItem::Log("log".into()),
            TurnItem::Usage(usage),
        ])
        .await;
    worker.finish(Outcome::WaitingForUser).await;
    ana.say(&session, "fail").await;
    let failed = Outcome::Failed { message: "no".into(), exit_code: Some(1) };
    Worker::claim(&admin).await.finish(failed).await;
    ana.say(&session, "stop").await;
    ana.post(&format!("/v1/sessions/{session}/cancel"), json!({})).await;
    (ana, agent, session)
}

both! {
    async fn responses_match_the_vendors_document(world: &World) {
        let Some(document) = document() else { return };
        let (ana, agent, session) = story(world).await;
        let check = |method: &str, pattern: &str, response: &TestResponse| check_by_document(&document, method, pattern, response);
        let (one_agent, one) = (format!("/v1/agents/{agent}"), format!("/v1/sessions/{session}"));
        check("get", "/v1/agents", &ana.get("/v1/agents").await);
        check("post", "/v1/agents", &ana.post("/v1/agents", json!({ "name": "b", "system_prompt": "" })).await);
        check("get", "/v1/agents/{agent_id}", &ana.get(&one_agent).await);
        check("patch", "/v1/agents/{agent_id}", &ana.patch(&one_agent, json!({ "tags": ["x"] })).await);
        check("get", "/v1/sessions", &ana.get("/v1/sessions").await);
        check("post", "/v1/sessions", &ana.post("/v1/sessions", json!({ "agent_id": agent })).await);
        check("get", "/v1/sessions/{session_id}", &ana.get(&one).await);
        check("patch", "/v1/sessions/{session_id}", &ana.patch(&one, json!({ "title": "Two" })).await);
        check("post", "/v1/sessions/{session_id}/cancel", &ana.post(&format!("{one}/cancel"), json!({})).await);
        check("get", "/v1/sessions/{session_id}/messages", &ana.get(&format!("{one}/messages")).await);
        check("get", "/v1/sessions/{session_id}/events", &ana.get(&format!("{one}/events")).await);
        let message = json!({ "message": { "content": [{ "type": "text", "text": "hi" }] } });
        let posted = ana.post(&format!("{one}/messages"), message).await;
        check("post", "/v1/sessions/{session_id}/messages", &posted);
        check("delete", "/v1/sessions/{session_id}", &ana.delete(&one).await);
        check("delete", "/v1/agents/{agent_id}", &ana.delete(&one_agent).await);
    }
}
