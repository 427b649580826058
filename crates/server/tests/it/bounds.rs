//! Limits on the data of one request and of one response.

use crate::world::{Actor, World};
use axum::body::{Body, Bytes};
use domain::agent::{EventKind, TurnItem};
use domain::permission::Role;
use futures_util::stream;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A page ends after this many bytes of rows.
const MAX_BYTES: usize = 4 << 20;

impl Actor<'_> {
    /// Creates an agent session. Returns its id on Everruns' wire.
    pub async fn agent_session_id(&self) -> String {
        format!("session_{}", self.agent_session(None).await.id.uuid().simple())
    }
}

/// Many values in few bytes.
fn many() -> Value {
    json!({ "a": vec![json!({ "": 0 }); 10_000] })
}

fn deep() -> Value {
    (0..70).fold(json!(1), |inner, _| json!([inner]))
}

/// A server that accepts larger bodies.
async fn roomy(world: &World) -> World {
    world.another_server(|settings| settings.body_limit = 1 << 20).await
}

both! {
    async fn bodies_are_bounded_in_values_and_levels_on_every_wire(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        let id = ana.agent_session_id().await;
        let devin = id.replace("session_", "devin-");
        let said = json!({ "content": [{ "type": "text", "text": "hi" }] });
        #[rustfmt::skip]
        let table = [
            (format!("/v1/sessions/{id}/messages"),                    "metadata",    json!({ "message": said }), 400),
            ("/v1/sessions".into(),                                    "mcpServers",  json!({}), 400),
            ("/v1/agents".into(),                                      "capabilities", json!({ "name": "x", "system_prompt": "" }), 400),
            ("/v1/commands/create_session".into(),                     "params",      json!({}), 400),
            ("/v3/organizations/sessions".into(),                      "other",       json!({ "prompt": "x" }), 422),
            (format!("/v3/organizations/sessions/{devin}/messages"),   "other",       json!({ "message": "x" }), 422),
            ("/api/v1/organizations".into(),                           "other",       json!({ "name": "x" }), 400),
            ("/tenure/v1/work/claim".into(),                           "other",       json!({ "worker": "w" }), 400),
            ("/frontend/api/v1/user/current".into(),                   "other",       json!({}), 400),
        ];
        for (path, field, body, status) in table {
            for (value, expected) in [(many(), "at most 20000 values"), (deep(), "at most 64 levels")] {
                let mut body = body.clone();
                body[field] = value;
                let response = ana.call_with("POST", &path, &body.to_string()).await;
                assert_eq!(response.status.as_u16(), status, "{path}: {}", response.text());
                let named = format!("{field}: expected {expected}");
                assert!(response.text().contains(&named), "{path}: {named}: {}", response.text());
            }
        }
    }

    async fn data_of_clients_is_returned_unchanged(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let kept = json!({ "nested": [{ "": null, "a": [1.5, -0.0, "\u{e4}\u{1F600}", true] }], "text": "<&\\\"" });
        let schema = json!({ "type": "object", "properties": { "a": { "$ref": "#/x" } }, "x": true });
        let tool = json!({ "type": "client_side", "name": "ls", "description": "", "parameters": schema });
        let id = ana.talk(json!({ "tools": [tool], "mcpServers": kept, "hints": kept, "capabilities": [{ "ref": "x", "config": kept }] })).await;
        let message = json!({ "content": [{ "type": "text", "text": "hi" }] });
        let controls = json!({ "reasoning": kept, "hints": kept });
        let body = json!({ "message": message, "metadata": kept, "controls": controls, "tags": ["a"] });
        let said = ana.post(&format!("/v1/sessions/{id}/messages"), body).await;
        assert_eq!(said.status, 201, "{}", said.text());
        let mut worker = crate::everruns::Worker::claim(&admin).await;
        worker.report(vec![
            TurnItem::Event { kind: EventKind::ToolStarted, data: kept.clone().into() },
            TurnItem::StructuredOutput(kept.clone().into()),
        ]).await;
        let call = json!([{ "type": "tool_call", "id": "1", "name": "ls", "arguments": kept }]);
        worker.report(vec![TurnItem::Message { text: "done".into(), parts: call.clone().into(), attachments: vec![] }]).await;
        let list = ana.get(&format!("/v1/sessions/{id}/messages")).await.json();
        let first = &list["data"][0];
        assert_eq!((&first["metadata"], &first["controls"], &first["tags"]), (&kept, &controls, &json!(["a"])));
        assert_eq!(list["data"][1]["content"], call);
        let session = ana.get("/v1/sessions").await.json()["data"][0].clone();
        assert_eq!((&session["mcpServers"], &session["hints"], &session["tools"]), (&kept, &kept, &json!([tool])));
        assert_eq!(session["capabilities"], json!([{ "ref": "x", "config": kept }]));
        let events = ana.get(&format!("/v1/sessions/{id}/events")).await.json();
        let of = |kind: &str| events["data"].as_array().unwrap().iter().find(|event| event["type"] == kind).unwrap()["data"].clone();
        assert_eq!(of("tool.started"), kept);
        assert_eq!(of("input.message")["message"]["metadata"], kept);
        let devin = ana.get("/v3/organizations/sessions").await.json();
        assert_eq!(devin["items"][0]["structured_output"], kept);
    }

    async fn messages_are_listed_by_the_bytes_of_their_rows(world: &World) {
        let world = &roomy(world).await;
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.agent_session_id().await;
        let path = format!("/v1/sessions/{id}/messages");
        for number in 0..8 {
            let message = json!({ "content": [{ "type": "text", "text": number.to_string() }] });
            let body = json!({ "message": message, "metadata": { "a": "x".repeat(800_000) } });
            assert_eq!(ana.post(&path, body).await.status, 201);
        }
        let list = ana.get(&path).await;
        let found = list.json();
        let shown = found["data"].as_array().unwrap().len();
        assert!((5..=6).contains(&shown), "{shown}");
        assert_eq!((found["total"].as_u64(), found["offset"].as_u64()), (Some(8), Some(8 - shown as u64)));
        assert_eq!(found["data"][shown - 1]["content"][0]["text"], "7", "the newest are included");
        assert!(list.headers["warning"].to_str().unwrap().contains("left out"));
        // The body has the messages twice, under two names.
        assert!(list.body.len() < 3 * MAX_BYTES, "{}", list.body.len());
        let export = ana.get(&format!("/v1/sessions/{id}/export")).await;
        assert_eq!(export.text().lines().count(), 8, "an export has all of them");

        let (mut texts, mut query) = (Vec::new(), String::new());
        let devin = format!("/v3/organizations/sessions/{}/messages", id.replace("session_", "devin-"));
        loop {
            let page = ana.get(&format!("{devin}{query}")).await.json();
            texts.extend(page["items"].as_array().unwrap().iter().map(|item| item["message"].clone()));
            assert_eq!(page["total"], 8);
            assert_eq!(page["has_next_page"].as_bool().unwrap(), page["end_cursor"].is_string());
            let Some(cursor) = page["end_cursor"].as_str() else { break };
            query = format!("?after={cursor}");
        }
        assert_eq!(texts, (0..8).map(|number| json!(number.to_string())).collect::<Vec<_>>());
    }

    async fn events_are_listed_by_the_bytes_of_their_rows(world: &World) {
        let world = &roomy(world).await;
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let id = ana.talk(json!({})).await;
        ana.say(&id, "hi").await;
        let mut worker = crate::everruns::Worker::claim(&admin).await;
        for _ in 0..8 {
            let data = json!({ "tool_name": "ls", "a": "x".repeat(800_000) });
            worker.report(vec![TurnItem::Event { kind: EventKind::ToolStarted, data: data.into() }]).await;
        }
        let path = format!("/v1/sessions/{id}/events");
        for query in ["?types=tool.started&after_sequence=", "?tool_name=ls&after_sequence="] {
            let (mut seen, mut after) = (BTreeSet::new(), 0);
            for _ in 0..8 {
                let response = ana.get(&format!("{path}{query}{after}")).await;
                assert!(response.body.len() < 2 * MAX_BYTES, "{query}: {}", response.body.len());
                let events = response.json()["data"].as_array().unwrap().clone();
                let Some(last) = events.last() else { break };
                after = last["sequence"].as_i64().unwrap();
                seen.extend(events.iter().map(|event| event["sequence"].as_i64().unwrap()));
            }
            assert_eq!(seen.len(), 8, "{query}");
        }
        let newest = ana.get(&format!("{path}?order_desc=true&limit=100")).await.json();
        assert!(newest["data"].as_array().unwrap().len() < 10);
        assert_eq!(newest["data"][0]["type"], "tool.started", "the newest are included");
    }

    async fn sessions_are_listed_by_the_bytes_of_their_rows(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        for number in 0..24 {
            let servers = json!({ "a": "x".repeat(240_000) });
            ana.talk(json!({ "title": number.to_string(), "mcpServers": servers })).await;
        }
        let newest = |from: usize| (0..24).rev().skip(from).map(|number| json!(number.to_string())).collect::<Vec<_>>();
        let (mut titles, mut offset) = (Vec::new(), 0);
        loop {
            let response = ana.get(&format!("/v1/sessions?limit=100&offset={offset}")).await;
            assert!(response.body.len() < 3 * MAX_BYTES);
            let page = response.json();
            let items = page["data"].as_array().unwrap();
            titles.extend(items.iter().map(|session| session["title"].clone()));
            assert_eq!(page["total"], 24);
            if titles.len() >= 24 || items.is_empty() {
                break;
            }
            assert!(items.len() < 24 && page["limit"].as_u64() == Some(items.len() as u64), "{}", page["limit"]);
            offset += page["limit"].as_u64().unwrap();
        }
        assert!(offset > 0, "the first page does not have all of them");
        assert_eq!(titles, newest(0));
        let (mut titles, mut query) = (Vec::new(), String::new());
        loop {
            let page = ana.get(&format!("/v3/organizations/sessions?first=100{query}")).await.json();
            titles.extend(page["items"].as_array().unwrap().iter().map(|session| session["title"].clone()));
            let Some(cursor) = page["end_cursor"].as_str() else { break };
            query = format!("&after={cursor}");
        }
        assert!(!query.is_empty(), "the first page does not have all of them");
        assert_eq!(titles, newest(0));
    }

    async fn a_schema_of_exponential_size_is_refused_by_name(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let mut definitions = serde_json::Map::new();
        for level in 0..21 {
            let next = json!({ "$ref": format!("#/definitions/a{}", level + 1) });
            definitions.insert(format!("a{level}"), json!({ "anyOf": [next, next] }));
        }
        definitions.insert("a21".into(), json!({ "type": "string" }));
        let patterns = (0..1_500).map(|at| (format!("^{at}"), json!({}))).collect::<serde_json::Map<_, _>>();
        for (schema, expected) in [
            (json!({ "$ref": "#/definitions/a0", "definitions": definitions }), "at most 10000 parts with all references followed"),
            (json!({ "patternProperties": patterns }), "at most 100 patternProperties"),
            (json!({ "$ref": "#" }), "no reference that leads back to itself"),
        ] {
            let body = json!({ "prompt": "x", "structured_output_schema": schema });
            let response = ana.post("/v3/organizations/sessions", body).await;
            assert_eq!(response.status, 422, "{}", response.text());
            assert_eq!(response.json()["errors"], json!([{ "field": "structured_output_schema", "expected": expected }]));
        }
    }

    async fn attachments_are_as_large_as_the_settings_say(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let at = format!("/v3/organizations/org-{}/attachments", acme.0.simple());
        for (bytes, status) in [(1 << 20, 200), (3 << 20, 200), (20 << 20, 200), (30 << 20, 413)] {
            let world = &world.another_server(|settings| settings.upload_limit = 25 << 20).await;
            let head = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n";
            let piece = Bytes::from(vec![7; 1 << 20]);
            let pieces = std::iter::once(Bytes::from(head)).chain(std::iter::repeat_n(piece, bytes >> 20));
            let pieces = pieces.chain([Bytes::from("\r\n--x--\r\n")]).map(Ok::<_, std::io::Error>);
            let form = Body::from_stream(stream::iter(pieces));
            let headers = [("content-type", "multipart/form-data; boundary=x")];
            let response = ana.at_server(world).send("POST", &at, &headers, form).await;
            assert_eq!(response.status, status, "{bytes}: {}", response.text());
            assert_eq!(world.app().front.budget.held_bytes(), 0, "a file is not in memory");
            if status == 200 {
                let url = response.json()["url"].as_str().unwrap().to_owned();
                let path = url.split_once("/v3").map(|(_, path)| format!("/v3{path}")).unwrap();
                let link = ana.at_server(world).get(&path).await.headers["location"].to_str().unwrap().to_owned();
                let path = link.split_once("/v3").map(|(_, path)| format!("/v3{path}")).unwrap();
                assert_eq!(world.caller(None).get(&path).await.body.len(), bytes);
            }
        }
    }

    async fn a_page_shows_the_open_and_the_newest_holds_of_a_session(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = ana.session().await;
        let held = ana.ask(&session, "android").await.json()["allocationId"].clone();
        for _ in 0..60 {
            let asked = ana.ask(&session, "android").await.json()["allocationId"].as_str().unwrap().to_owned();
            assert!(ana.release(&session, &asked).await.status.is_success());
        }
        let listed = ana.get("/api/v1/sessions").await.json()["data"][0]["devices"].as_array().unwrap().clone();
        assert_eq!(listed.len(), 51);
        assert!(listed.iter().any(|hold| hold["id"] == held), "an open hold is included, however old it is");
        assert_eq!(ana.devices_of(&session).await.as_array().unwrap().len(), 61);
        host.leave().await;
    }
}
