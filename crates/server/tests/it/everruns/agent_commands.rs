//! Commands about agents.

use super::commands::command;
use super::each;
use crate::world::Actor;
use domain::permission::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The arguments of `create_agent` and `update_agent` in the command line's contract that Tenure does not have, each with a
/// value as JSON.
#[rustfmt::skip]
const OTHERS: [(&str, &str); 16] = [
    ("communication",             r#""explicit""#),
    ("harness_id",                r#""harness_11111111111111111111111111111111""#),
    ("harness_name",              r#""generic""#),
    ("initial_files",             r#"[{ "path": "a", "content": "b" }]"#),
    ("intro_markdown",            r#""x""#),
    ("localizations",             r#"{ "de": {} }"#),
    ("max_iterations",            "0"),
    ("max_output_tokens",         "4096"),
    ("mcpServers",                r#"{ "a": {} }"#),
    ("network_access",            r#"{ "allowed": [] }"#),
    ("parallel_tool_calls",       "false"),
    ("sandbox_policy",            r#"{ "a": 1 }"#),
    ("service_virtual_user_id",   r#""x""#),
    ("short_description",         r#""x""#),
    ("starters",                  r#"[{ "text": "Hi" }]"#),
    ("tools",                     "[{}]"),
];

/// The status and the sentence of a command that is refused.
async fn refusal(actor: &Actor<'_>, name: &str, params: Value) -> (u16, String) {
    let response = actor.post(&format!("/v1/commands/{name}"), json!({ "params": params })).await;
    let detail = response.json()["detail"]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {}", response.text()))
        .to_owned();
    (response.status.as_u16(), detail)
}

async fn output(actor: &Actor<'_>, name: &str, params: Value) -> Value {
    let response = command(actor, name, params).await;
    assert_eq!(response.get("warnings"), None, "{response}");
    response["output"].clone()
}

both! {
    async fn every_command_has_the_effect_of_its_endpoint(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let settings = json!({ "name": "helper", "display_name": "Helper", "description": "Helps", "system_prompt": "Help.",
            "default_model_id": "small", "tags": ["a"], "capabilities": [{ "ref": "current_time", "config": { "zone": "UTC" } }] });
        let made = output(&ana, "create_agent", settings.clone()).await;
        for (field, value) in settings.as_object().unwrap() {
            assert_eq!(made[field], *value, "{field}");
        }
        let id = made["id"].clone();
        let path = format!("/v1/agents/{}", id.as_str().unwrap());
        assert_eq!(ana.get(&path).await.json(), made);
        for reference in [id.clone(), json!("helper")] {
            assert_eq!(output(&ana, "get_agent", json!({ "id": reference })).await, made);
        }
        ana.agent("other").await;
        for (params, query) in [
            (json!({}), ""),
            (json!({ "search": "HELP", "limit": 1, "offset": 0, "include_archived": false }), "?search=HELP&limit=1"),
            (json!({ "limit": 1, "offset": 1 }), "?limit=1&offset=1"),
        ] {
            let page = ana.get(&format!("/v1/agents{query}")).await.json();
            assert_eq!(output(&ana, "list_agents", params).await, page, "{query}");
        }
        let changed = output(&ana, "update_agent", json!({ "id": id, "name": "aide", "description": null })).await;
        assert_eq!((&changed["name"], changed.get("description"), &changed["tags"]), (&json!("aide"), None, &json!(["a"])));
        assert_eq!(output(&ana, "delete_agent", json!({ "id": id })).await, json!({ "deleted": true }));
        for name in ["get_agent", "update_agent", "delete_agent", "copy_agent", "export_agent"] {
            assert_eq!(refusal(&ana, name, json!({ "id": id })).await, (404, "Agent not found".into()), "{name}");
        }
        assert_eq!(refusal(&ana, "get_agent", json!({ "id": "helper" })).await.0, 404);
        assert_eq!(ana.get(&path).await.status, 404);
    }

    async fn creating_an_agent_changes_no_other(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = format!("agent_{}", "b".repeat(32));
        let body = |name: &str| json!({ "id": id, "name": name, "system_prompt": "First." });
        let made = output(&ana, "create_agent", body("one")).await;
        assert_eq!(made["id"], json!(id));
        let taken = (409, "an agent named \"one\" exists already".to_owned());
        assert_eq!(refusal(&ana, "create_agent", json!({ "name": "one", "system_prompt": "Second." })).await, taken);
        let used = (409, "an agent with this id, which may be deleted, exists already".to_owned());
        assert_eq!(refusal(&ana, "create_agent", body("two")).await, used);
        assert_eq!(ana.get(&format!("/v1/agents/{id}")).await.json(), made);
        output(&ana, "delete_agent", json!({ "id": id })).await;
        for name in ["create_agent", "upsert_agent"] {
            assert_eq!(refusal(&ana, name, body("one")).await, used, "{name}");
        }
        assert_eq!(ana.get("/v1/agents").await.json()["total"], 0);
    }

    async fn upserting_creates_an_agent_or_replaces_it(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = format!("agent_{}", "b".repeat(32));
        let all = json!({ "id": id, "name": "one", "display_name": "One", "description": "The first", "system_prompt": "First.",
            "default_model_id": "small", "tags": ["a"], "capabilities": [{ "ref": "current_time" }] });
        let made = output(&ana, "upsert_agent", all.clone()).await;
        assert_eq!((&made["id"], &made["was_created"]), (&json!(id), &json!(true)));
        // Capabilities stay when there are none in the request, as with the vendor.
        let replaced = output(&ana, "upsert_agent", json!({ "id": id, "name": "two", "system_prompt": "Second." })).await;
        assert_eq!(replaced["was_created"], false);
        assert_eq!((&replaced["name"], &replaced["system_prompt"], &replaced["tags"]), (&json!("two"), &json!("Second."), &json!([])));
        for field in ["display_name", "description", "default_model_id"] {
            assert_eq!(replaced.get(field), None, "{field}");
        }
        assert_eq!(replaced["capabilities"], json!([{ "ref": "current_time" }]));
        let body = json!({ "id": id, "name": "two", "system_prompt": "", "capabilities": [] });
        assert_eq!(output(&ana, "upsert_agent", body).await["capabilities"], json!([]));
        ana.agent("other").await;
        let taken = (409, "an agent named \"other\" exists already".to_owned());
        for id in [id, format!("agent_{}", "c".repeat(32))] {
            let body = json!({ "id": id, "name": "other", "system_prompt": "" });
            assert_eq!(refusal(&ana, "upsert_agent", body).await, taken, "{id}");
        }
    }

    async fn archiving_an_agent_deletes_it(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.agent("one").await;
        let kept = output(&ana, "update_agent", json!({ "id": id, "status": "active" })).await;
        assert_eq!(kept["status"], "active");
        let archived = output(&ana, "update_agent", json!({ "id": id, "status": "archived" })).await;
        assert_eq!((&archived["id"], &archived["status"]), (&json!(id), &json!("archived")));
        let listed = command(&ana, "list_agents", json!({ "include_archived": true })).await;
        assert_eq!((&listed["output"]["total"], &listed["warnings"]), (&json!(0), &json!(["there are no archived agents: archiving deletes"])));
        let path = "/v1/agents?include_archived=true";
        assert_eq!(ana.get(path).await.headers["warning"], "299 tenure \"there are no archived agents: archiving deletes\"");
    }

    async fn a_copy_gets_the_first_free_name(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let settings = json!({ "name": "one", "display_name": "One", "description": "The first", "system_prompt": "Be first.",
            "default_model_id": "small", "tags": ["a"], "capabilities": [{ "ref": "current_time" }] });
        let id = output(&ana, "create_agent", settings.clone()).await["id"].clone();
        let copy = output(&ana, "copy_agent", json!({ "id": id })).await;
        assert_ne!(copy["id"], id);
        assert_eq!((&copy["name"], &copy["display_name"]), (&json!("one-copy"), &json!("One (copy)")));
        for field in ["description", "system_prompt", "default_model_id", "tags", "capabilities"] {
            assert_eq!(copy[field], settings[field], "{field}");
        }
        for name in ["one-copy-2", "one-copy-3"] {
            assert_eq!(output(&ana, "copy_agent", json!({ "id": "one" })).await["name"], name);
        }
        output(&ana, "delete_agent", json!({ "id": copy["id"] })).await;
        assert_eq!(output(&ana, "copy_agent", json!({ "id": id })).await["name"], "one-copy");
        // Copies at the same time get different names.
        let racing = join_all((0..4).map(|_| output(&ana, "copy_agent", json!({ "id": id })))).await;
        let names = racing.iter().map(|copy| copy["name"].as_str().unwrap()).collect::<BTreeSet<_>>();
        assert_eq!(names, ["one-copy-4", "one-copy-5", "one-copy-6", "one-copy-7"].into());
        // Long names are cut.
        let (name, label) = ("é".repeat(128), "é".repeat(10_000));
        output(&ana, "create_agent", json!({ "name": name, "display_name": label, "system_prompt": "" })).await;
        for suffix in ["-copy", "-copy-2"] {
            let copy = output(&ana, "copy_agent", json!({ "id": name })).await;
            assert_eq!(copy["name"], format!("{}{suffix}", "é".repeat(128 - suffix.len())));
            assert_eq!(copy["display_name"], format!("{} (copy)", "é".repeat(10_000 - 7)));
        }
    }

    async fn a_name_is_available_while_no_agent_has_it(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, ben, dora) = (
            world.member(acme, Role::Readwrite).await,
            world.member(acme, Role::Readonly).await,
            world.member(globex, Role::Readwrite).await,
        );
        dora.agent("theirs").await;
        let (one, two) = (ana.agent("one").await, ana.agent("two").await);
        for (params, available) in [
            (json!({ "name": "one" }), false),
            (json!({ "name": "one", "exclude_id": one }), true),
            (json!({ "name": "one", "exclude_id": two }), false),
            (json!({ "name": "One", "exclude_id": null }), true),
            (json!({ "name": "theirs" }), true),
            (json!({ "name": "" }), false),
            (json!({ "name": "a\nb" }), false),
            (json!({ "name": "a".repeat(129) }), false),
        ] {
            let expected = json!({ "available": available });
            assert_eq!(output(&ben, "check_agent_name", params.clone()).await, expected, "{params}");
        }
        output(&ana, "delete_agent", json!({ "id": one })).await;
        assert_eq!(output(&ben, "check_agent_name", json!({ "name": "one" })).await["available"], true);
    }

    async fn an_export_has_no_ids(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let settings = json!({ "name": "helper", "display_name": "Helper", "description": "Helps", "system_prompt": "Help.",
            "tags": ["a"], "capabilities": [{ "ref": "current_time", "config": { "zone": "UTC" } }] });
        let id = output(&ana, "create_agent", settings.clone()).await["id"].clone();
        let manifest = json!({ "schema_version": 1, "name": "helper", "display_name": "Helper", "description": "Helps",
            "instructions": "Help.", "tags": ["a"], "capabilities": settings["capabilities"] });
        for params in [json!({ "id": id }), json!({ "id": "helper", "format": "json" }), json!({ "id": "helper", "format": null })] {
            assert_eq!(output(&ana, "export_agent", params.clone()).await, manifest, "{params}");
        }
        for path in [format!("{}/export?format=json", id.as_str().unwrap()), "helper/export".into(), "%68elper/export".into()] {
            let response = ana.get(&format!("/v1/agents/{path}")).await;
            assert_eq!((response.json(), response.headers.get("warning")), (manifest.clone(), None), "{path}");
        }
        output(&ana, "update_agent", json!({ "id": id, "default_model_id": "small" })).await;
        let without = "default_model_id was left out: an export has no ids";
        let exported = command(&ana, "export_agent", json!({ "id": id })).await;
        assert_eq!((&exported["output"], &exported["warnings"]), (&manifest, &json!([without])));
        let response = ana.get("/v1/agents/helper/export").await;
        assert_eq!((response.json(), &response.headers["warning"]), (manifest, &format!("299 tenure \"{without}\"").parse().unwrap()));
        for (path, status, detail) in [
            ("helper/export?format=yaml", 400, "format: expected json"),
            ("helper/export?format=json&format=json", 400, "format: expected at most one value"),
            ("nobody/export", 404, "Agent not found"),
        ] {
            let response = ana.get(&format!("/v1/agents/{path}")).await;
            assert_eq!((response.status.as_u16(), &response.json()["detail"]), (status, &json!(detail)), "{path}");
        }
    }

    async fn settings_that_tenure_cannot_keep_are_refused_by_name(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.agent("one").await;
        let before = ana.get(&format!("/v1/agents/{id}")).await.json();
        let said = json!({ "name": "two", "system_prompt": "Changed." });
        for (name, value) in OTHERS {
            for command in ["create_agent", "update_agent", "upsert_agent"] {
                let mut params = said.clone();
                params[name] = serde_json::from_str(value).unwrap();
                if command != "create_agent" {
                    params["id"] = json!(id);
                }
                let (status, detail) = refusal(&ana, command, params).await;
                assert_eq!(status, 400, "{command} {name}");
                assert!(detail.starts_with(&format!("params.{name}: expected ")), "{command} {name}: {detail}");
            }
        }
        assert_eq!(ana.get("/v1/agents").await.json()["data"], json!([before]));
        // An empty value says nothing, and these two are what an agent has.
        let mut params = said;
        for (name, _) in OTHERS {
            params[name] = Value::Null;
        }
        params["tools"] = json!([]);
        params["mcpServers"] = json!({});
        params["intro_markdown"] = json!("");
        params["communication"] = json!("direct");
        params["harness_id"] = before["harness_id"].clone();
        assert_eq!(output(&ana, "create_agent", params).await["name"], "two");
    }

    async fn wrong_arguments_are_refused_by_name(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.agent("one").await;
        let an_id = "expected an agent ID, which is agent_ and 32 lower-case hexadecimal digits";
        let mut wrong = vec![
            ("create_agent", json!({ "system_prompt": "" }), "missing field `name`".to_owned()),
            ("create_agent", json!({ "name": "a" }), "missing field `system_prompt`".to_owned()),
            ("create_agent", json!({ "name": 7, "system_prompt": "" }), "name: invalid type: integer `7`, expected a string".to_owned()),
            ("create_agent", json!({ "name": "", "system_prompt": "" }), "name: expected 1 to 128 characters on one line".to_owned()),
            ("create_agent", json!({ "name": "a", "system_prompt": "", "tags": "b" }), "tags: invalid type: string, expected a sequence".to_owned()),
            ("create_agent", json!({ "name": "a", "system_prompt": "", "default_model_id": "x".repeat(10_001) }), "default_model_id: expected at most 10000 characters".to_owned()),
            ("create_agent", json!({ "name": "a", "system_prompt": "", "id": "x" }), "invalid agent ID: expected agent_ and 32 lower-case hexadecimal digits".to_owned()),
            ("create_agent", json!({ "name": "a", "system_prompt": "", "status": "active" }), "params.status: expected no value: on Tenure this command takes only id, name, display_name, description, system_prompt, default_model_id, tags, capabilities".to_owned()),
            ("upsert_agent", json!({ "id": id, "name": "a" }), "missing field `system_prompt`".to_owned()),
            ("update_agent", json!({ "id": id, "status": "deleted" }), "status: unknown variant, expected `active` or `archived`".to_owned()),
            ("update_agent", json!({ "id": id, "capabilities": ["web"] }), "capabilities[0]: invalid type: string, expected an object".to_owned()),
            ("list_agents", json!({ "limit": 0 }), "limit: expected a whole number from 1 to 100".to_owned()),
            ("list_agents", json!({ "include_archived": "maybe" }), "include_archived: expected true or false".to_owned()),
            ("check_agent_name", json!({}), "params.name: expected a text".to_owned()),
            ("check_agent_name", json!({ "name": "a", "exclude_id": "one" }), format!("params.exclude_id: {an_id}")),
            ("export_agent", json!({ "id": "one", "format": "markdown" }), "format: expected json".to_owned()),
            ("export_agent", json!({ "id": "one", "format": 1 }), "params.format: expected json".to_owned()),
            ("export_agent", json!({ "id": "one", "out": "/a.md" }), "params.out: expected no value: on Tenure this command takes only id, format".to_owned()),
            ("get_agent", json!({ "id": "one", "x".repeat(100): 1 }), format!("params.{}: expected no value: on Tenure this command takes only id", "x".repeat(64))),
        ];
        for name in ["update_agent", "upsert_agent", "delete_agent"] {
            for given in [json!({}), json!({ "id": null }), json!({ "id": 7 }), json!({ "id": "one" }), json!({ "id": "agent_1" })] {
                let mut params = json!({ "name": "one", "system_prompt": "" });
                if name == "delete_agent" {
                    params = json!({});
                }
                params.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
                wrong.push((name, params, format!("params.id: {an_id}")));
            }
        }
        for name in ["get_agent", "copy_agent", "export_agent"] {
            for params in [json!({}), json!({ "id": null }), json!({ "id": ["one"] })] {
                wrong.push((name, params, "params.id: expected an agent's ID or name".to_owned()));
            }
        }
        for (name, params, detail) in wrong {
            assert_eq!(refusal(&ana, name, params.clone()).await, (400, detail), "{name} {params}");
        }
        let ignored = command(&ana, "list_agents", json!({ "colour": "red" })).await;
        assert_eq!(ignored["warnings"], json!(["unknown parameters were ignored: colour"]));
        assert_eq!(each(&ignored["output"], "name"), [json!("one")]);
    }
}
