//! Bad input: always an error of this wire, never a 500, and no effect.

use super::{assert_refused, org_path, session};
use axum::body::Body;
use domain::permission::Role;
use serde_json::{Value, json};

both! {
    async fn invalid_queries_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        #[rustfmt::skip]
        let table = [
            ("first=0",                       "first: expected a whole number from 1 to 200"),
            ("first=201",                     "first: expected a whole number from 1 to 200"),
            ("first=-1",                      "first: expected a whole number from 1 to 200"),
            ("first=",                        "first: expected a whole number from 1 to 200"),
            ("first=1e2",                     "first: expected a whole number from 1 to 200"),
            ("first=99999999999999999999999", "first: expected a whole number from 1 to 200"),
            ("first=1&first=2",               "first: expected at most one value"),
            ("qs[first]=0",                   "first: expected a whole number from 1 to 200"),
            ("qs=7",                          "qs: expected a JSON object"),
            ("qs=%7B%22first%22:%7B%7D%7D",   "qs: expected a JSON object"),
            ("category=cooking",              "category: expected one of bug_fixing,"),
            ("category=",                     "category: expected one of bug_fixing,"),
            ("origins=fax",                   "origins: expected any of webapp,"),
            ("origins=api,fax",               "origins: expected any of webapp,"),
            ("created_after=yesterday",       "created_after: expected a whole number from 0"),
            ("updated_before=1.5",            "updated_before: expected a whole number from 0"),
            ("is_archived=perhaps",           "is_archived: expected true or false"),
            ("tags=a%00b",                    "query: expected"),
            ("playbook_id=a&playbook_id=b",   "playbook_id: expected at most one value"),
            ("after=%ff",                     "after: expected an end_cursor"),
        ];
        for (query, sentence) in table {
            for list in ["/sessions", "/sessions/insights"] {
                let response = ana.get(&org_path(acme, &format!("{list}?{query}"))).await;
                assert_refused(&response, 422, sentence);
                let errors = response.json()["errors"].clone();
                let field = sentence.split(':').next().unwrap();
                assert_eq!((errors.as_array().unwrap().len(), &errors[0]["field"]), (1, &json!(field)), "{query}");
            }
        }
        for query in ["", "first=200", "first=1", "category=security", "origins=code_scan,scheduled", "created_after=0"] {
            assert_eq!(ana.get(&org_path(acme, &format!("/sessions?{query}"))).await.status, 200, "{query}");
        }
    }

    async fn invalid_sessions_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let with = |name: &str, value: Value| json!({ "prompt": "x", name: value }).to_string();
        let many = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        let schema = |text: usize| json!({ "type": "object", "description": "x".repeat(text) });
        #[rustfmt::skip]
        let table: Vec<(String, &str)> = vec![
            (String::new(),                                           "got nothing"),
            ("{".into(),                                              "body: "),
            ("[]".into(),                                             "body: expected a JSON object"),
            ("null".into(),                                           "body: "),
            ("{} x".into(),                                           "body: trailing"),
            ("prompt=x".into(),                                       "body: expected"),
            ("[".repeat(100_000),                                     "body: "),
            ("{}".into(),                                             "prompt: expected a text of 1 to"),
            (json!({ "prompt": null }).to_string(),                   "prompt: expected a text of 1 to"),
            (json!({ "prompt": 7 }).to_string(),                      "prompt: expected a text of 1 to"),
            (json!({ "prompt": "" }).to_string(),                     "prompt: expected a text of 1 to"),
            (json!({ "prompt": " \n" }).to_string(),                  "prompt: expected a text that is not blank"),
            (json!({ "prompt": "a\0b" }).to_string(),                 "prompt: expected a text of 1 to"),
            (with("title", json!(["x"])),                             "title: expected a text of 0 to 1000 characters"),
            (with("title", json!("x".repeat(1001))),                  "title: expected a text of 0 to 1000 characters"),
            (with("tags", json!("a")),                                "tags: expected a list of at most 50 texts"),
            (with("tags", json!(many(51))),                           "tags: expected a list of at most 50 texts"),
            (with("tags", json!(["a", 1])),                           "tags[1]: expected a text of 1 to 256 characters"),
            (with("tags", json!([" "])),                              "tags: expected tags of 1 to 256 characters"),
            (with("max_acu_limit", json!(0)),                         "max_acu_limit: expected a whole number from 1"),
            (with("max_acu_limit", json!("5")),                       "max_acu_limit: expected a whole number from 1"),
            (with("devin_mode", json!("0")),                         "devin_mode: expected one of normal, fast, lite, ultra, fusion"),
            (with("structured_output_schema", json!([])),             "structured_output_schema: expected a self-contained JSON Schema"),
            (with("structured_output_schema", schema(65_536)),        "structured_output_schema: expected a self-contained JSON Schema"),
            (with("structured_output_schema", json!({ "type": 7 })),  "structured_output_schema: expected"),
            (with("structured_output_schema", json!({ "$ref": "https://example.com/x.json" })), "structured_output_schema: expected"),
            (with("category", json!("cooking")),                      "category: expected one of"),
            (with("origin", json!("fax")),                            "origin: expected one of"),
            (with("attachment_urls", json!(["x"])),                   "attachment_urls: expected absolute http or https URLs"),
            (with("attachment_urls", json!(["file:///etc/passwd"])),  "attachment_urls: expected absolute http or https URLs"),
            (with("attachment_urls", json!([format!("https://x/{}", "a".repeat(2_100))])), "attachment_urls[0]: expected a text of 1 to 2083 characters"),
            (with("session_secrets", json!([{ "key": "A" }])),        "session_secrets[0].value: expected a text"),
            (with("session_secrets", json!([7])),                     "session_secrets: expected a list of at most 100 objects"),
            (with("session_secrets", json!([{ "key": "", "value": "x" }])), "session_secrets[0].key: expected a text of 1 to 256 characters"),
            (with("resumable", json!("yes")),                         "resumable: expected true or false"),
            (with("knowledge_ids", json!([1])),                       "knowledge_ids[0]: expected a text"),
            (with("repos", json!(many(101))),                         "repos: expected a list of at most 100 texts"),
        ];
        for (body, sentence) in table {
            let response = ana.call("POST", &org_path(acme, "/sessions"), Body::from(body.clone())).await;
            assert_refused(&response, 422, sentence);
        }
        assert_eq!(ana.get(&org_path(acme, "/sessions")).await.json()["total"], 0);
        let fits = with("structured_output_schema", schema(60_000));
        assert_eq!(ana.call("POST", &org_path(acme, "/sessions"), Body::from(fits)).await.status, 200);
        let large = ana.call("POST", &org_path(acme, "/sessions"), Body::from(vec![b' '; 300 << 10])).await;
        assert_refused(&large, 413, "larger than");
    }

    async fn unknown_routes_and_methods_get_a_problem(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = session(&ana, acme).await;
        for path in ["/v3/nothing", "/v3beta1/nothing", &org_path(acme, "/nothing"), &org_path(acme, &format!("/sessions/{id}/events"))] {
            assert_refused(&ana.get(path).await, 404, "no such endpoint");
        }
        assert_refused(&ana.post(&org_path(acme, &format!("/sessions/{id}/terminate")), json!({})).await, 404, "no such endpoint");
        assert_refused(&ana.call("PATCH", &org_path(acme, "/sessions"), Body::empty()).await, 405, "method");
        assert_refused(&world.caller(None).get(&org_path(acme, "/sessions")).await, 401, "Unauthorized");
        assert_refused(&ana.delete(&org_path(acme, &format!("/sessions/{id}?archive=perhaps"))).await, 422, "archive: expected true or false");
    }
}
