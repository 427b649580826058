//! Bad input: always an error of this wire, never a 500.

use axum::body::Body;
use domain::permission::Role;
use serde_json::{Value, json};

fn problem(detail: &str) -> Value {
    json!({ "title": "Bad Request", "status": 400, "code": "invalid_request", "detail": detail,
            "error": { "code": "invalid_request", "message": detail } })
}

both! {
    async fn invalid_queries_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.talk(json!({})).await;
        let events = format!("/v1/sessions/{id}/events");
        let sse = format!("/v1/sessions/{id}/sse");
        let messages = format!("/v1/sessions/{id}/messages");
        #[rustfmt::skip]
        let table = [
            ("/v1/sessions", "limit=0",            "limit: expected a whole number from 1 to 100"),
            ("/v1/sessions", "limit=501",          "limit: expected a whole number from 1 to 100"),
            ("/v1/sessions", "limit=-1",           "limit: expected a whole number from 1 to 100"),
            ("/v1/sessions", "limit=abc",          "limit: expected a whole number from 1 to 100"),
            ("/v1/sessions", "limit=",             "limit: expected a whole number from 1 to 100"),
            ("/v1/sessions", "limit=1&limit=1",    "limit: expected at most one value"),
            ("/v1/sessions", "offset=-1",          "offset: expected a whole number from 0 to 2147483647"),
            ("/v1/sessions", "agent_id=%ff",       "invalid agent ID: expected agent_ and 32 lower-case hexadecimal digits"),
            ("/v1/agents",   "search=a%00",        "search: expected at most 1000 characters"),
            ("/v1/sessions", "mine=1",             "mine: expected true or false"),
            ("/v1/sessions", "order=last_activity", "order: expected created_at"),
            ("/v1/agents",   "limit=0",            "limit: expected a whole number from 1 to 100"),
            (&messages,      "limit=0",            "limit: expected a whole number from 1 to 1000"),
            (&events,        "limit=1001",         "limit: expected a whole number from 1 to 1000"),
            (&events,        "since_id=x",         "invalid event ID: expected event_ and 32 lower-case hexadecimal digits"),
            (&events,        "types=x",            "types: expected types of events such as output.message.completed"),
            (&events,        "from_ts=x",          "from_ts: expected an RFC 3339 time such as 2026-01-01T00:00:00Z"),
            (&events,        "turn_id=x",          "invalid turn ID: expected turn_ and 32 lower-case hexadecimal digits"),
            (&sse,           "since_id=x",         "invalid event ID: expected event_ and 32 lower-case hexadecimal digits"),
            (&sse,           "exclude=x",          "exclude: expected types of events such as output.message.completed"),
        ];
        for (path, query, sentence) in table {
            let response = ana.get(&format!("{path}?{query}")).await;
            assert_eq!((response.status.as_u16(), response.json()), (400, problem(sentence)), "{path}?{query}");
        }
    }

    async fn invalid_ids_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let hex = "0".repeat(32);
        for text in ["x", "%ff", "%00", &hex, &format!("agent_{hex}"), "session_01933b5a00007000800000000000001"] {
            let response = ana.get(&format!("/v1/sessions/{text}")).await;
            let sentence = "invalid session ID: expected session_ and 32 lower-case hexadecimal digits";
            assert_eq!((response.status.as_u16(), response.json()), (400, problem(sentence)), "{text}");
        }
        assert_eq!(ana.get(&format!("/v1/sessions/session_{hex}")).await.status, 404);
        assert_eq!(ana.get("/v1/agents/x").await.status, 400);
    }

    async fn invalid_bodies_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let session = format!("/v1/sessions/{}", ana.talk(json!({})).await);
        let messages = format!("{session}/messages");
        let many = json!({ "tags": (0..51).map(|number| number.to_string()).collect::<Vec<_>>() }).to_string();
        let long = json!({ "title": "x".repeat(1_001) }).to_string();
        #[rustfmt::skip]
        let table = [
            ("POST",  "/v1/sessions", "",                               "expected a JSON object, got nothing"),
            ("POST",  "/v1/sessions", "[]",                             "got a list"),
            ("POST",  "/v1/sessions", r#"{"network_access":[]}"#,       "network_access: invalid type: sequence, expected an object"),
            ("POST",  "/v1/sessions", r#"{"capabilities":[["x"]]}"#,    "capabilities[0]: invalid type: sequence, expected an object"),
            ("POST",  "/v1/sessions", "{",                              "EOF"),
            ("POST",  "/v1/sessions", "{\"title\":7}",                  "title: invalid type"),
            ("POST",  "/v1/sessions", "{\"tags\":\"a\"}",               "tags: invalid type"),
            ("POST",  "/v1/sessions", "{\"tags\":[7]}",                 "tags[0]: invalid type"),
            ("POST",  "/v1/sessions", "{\"capabilities\":[{}]}",        "capabilities[0]: missing field `ref`"),
            ("POST",  "/v1/sessions", "{\"agent_id\":\"x\"}",           "invalid agent ID"),
            ("POST",  "/v1/sessions", "{\"harness_id\":\"x\"}",         "harness_id: expected harness_"),
            ("POST",  "/v1/sessions", "{\"tools\":{}}",                 "tools: invalid type"),
            ("POST",  "/v1/sessions", "{\"parent_session_id\":\"x\"}",  "invalid session ID"),
            ("POST",  "/v1/sessions", &many,                            "tags: expected at most 50 tags"),
            ("POST",  "/v1/sessions", &long,                            "title: expected at most 1000 characters"),
            ("PATCH", &session,       &many,                            "tags: expected at most 50 tags"),
            ("PATCH", &session,       "{\"title\":[]}",                 "title: invalid type"),
            ("POST",  "/v1/agents",   "{}",                             "missing field `name`"),
            ("POST",  "/v1/agents",   "{\"name\":\"a\"}",               "missing field `system_prompt`"),
            ("POST",  "/v1/agents",   "{\"name\":\"\",\"system_prompt\":\"\"}", "name: expected"),
            ("POST",  "/v1/agents",   "{\"name\":\"a\",\"system_prompt\":\"\",\"id\":\"x\"}", "invalid agent ID"),
            ("POST",  &messages,      "{}",                             "missing field `message`"),
            ("POST",  &messages,      "{\"message\":{}}",               "message: missing field `content`"),
            ("POST",  &messages,      "{\"message\":{\"content\":[]}}", "message.content: expected at least one part"),
            ("POST",  &messages,      "{\"message\":{\"content\":[{\"type\":\"tool_result\"}]}}", "message.content[0]: expected a part"),
            ("POST",  &messages,      "{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},\"controls\":[null]}", "controls: invalid type: sequence"),
            ("POST",  &messages,      "{\"message\":{\"role\":\"agent\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}}", "message.role: expected user"),
        ];
        for (method, path, body, sentence) in table {
            let response = ana.call(method, path, Body::from(body.to_owned())).await;
            assert_eq!((response.status.as_u16(), &response.json()["code"]), (400, &json!("invalid_request")), "{method} {path} {body}: {}", response.text());
            let detail = response.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(sentence), "{method} {path} {body}: {detail}");
        }
        assert_eq!(ana.get("/v1/sessions").await.json()["total"], 1, "nothing was half done");
        assert_eq!(ana.get(&messages).await.json()["total"], 0);
    }

    async fn an_invalid_name_matches_no_agent(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        for name in ["", " ", "a\0", "a\nb"] {
            let response = ana.post("/v1/sessions", json!({ "agent_name": name })).await;
            assert_eq!((response.status.as_u16(), &response.json()["code"]), (404, &json!("not_found")), "{name:?}");
            let response = ana.post("/v1/agents", json!({ "name": name, "system_prompt": "" })).await;
            assert_eq!(response.status, 400, "{name:?}: {}", response.text());
        }
        let admin = world.member(acme, Role::Admin).await;
        let claim = json!({ "worker": "w", "agents": ["a\0", ""] });
        assert_eq!(admin.post("/tenure/v1/work/claim", claim).await.status, 204);
    }

    async fn an_empty_title_is_no_title(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let made = ana.post("/v1/sessions", json!({ "title": "" })).await;
        assert_eq!((made.status.as_u16(), made.json().get("title")), (201, None));
        // Also for a title set on another wire.
        let path = "/v3/organizations/sessions";
        let made = ana.post(path, json!({ "prompt": "hi", "title": "" })).await;
        assert_eq!((made.status.as_u16(), &made.json()["title"]), (200, &json!(null)), "{}", made.text());
        assert_eq!(ana.get("/v1/sessions").await.json()["total"], 2);
    }
}
