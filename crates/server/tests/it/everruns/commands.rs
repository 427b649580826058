//! Commands that the vendor's command line sends instead of REST requests.

use super::each;
use crate::world::Actor;
use domain::permission::Role;
use serde_json::{Value, json};

/// The response to a command, which must succeed.
pub async fn command(actor: &Actor<'_>, name: &str, params: Value) -> Value {
    let body =
        json!({ "params": params, "metadata": { "client": "everruns-cli/0.50.1" }, "reason": "why not" });
    let response = actor.post(&format!("/v1/commands/{name}"), body).await;
    assert_eq!(response.status, 200, "{name}: {}", response.text());
    response.json()
}

both! {
    async fn every_command_has_the_effect_of_its_endpoint(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let made = command(&ana, "create_session", json!({ "title": "One", "tags": ["a"] })).await["output"].clone();
        let id = made["id"].clone();
        let of = json!({ "session_id": id });
        let path = format!("/v1/sessions/{}", id.as_str().unwrap());
        assert_eq!(command(&ana, "get_session", of.clone()).await["output"], ana.get(&path).await.json());
        let changed = command(&ana, "update_session", json!({ "session_id": id, "title": "Two" })).await;
        assert_eq!(changed["output"]["title"], "Two");
        let message = json!({ "content": [{ "type": "text", "text": "hi" }] });
        let said = command(&ana, "create_message", json!({ "session_id": id, "message": message })).await;
        assert_eq!(said["output"]["role"], "user");
        for (name, below) in [("list_messages", "messages"), ("list_events", "events")] {
            let listed = command(&ana, name, of.clone()).await["output"].clone();
            assert_eq!(listed, ana.get(&format!("{path}/{below}")).await.json(), "{name}");
        }
        let some = json!({ "session_id": id, "limit": 1, "types": ["input.message"] });
        let some = command(&ana, "list_events", some).await;
        assert_eq!(each(&some["output"], "type"), [json!("input.message")]);
        assert_eq!(some.get("warnings"), None);
        assert_eq!(command(&ana, "cancel_session", of.clone()).await["output"]["status"], "cancelled");
        assert_eq!(command(&ana, "get_session_stats", json!({})).await["output"], ana.get("/v1/sessions/stats").await.json());
        let facets = command(&ana, "get_session_facets", json!({ "search": "two" })).await;
        assert_eq!(facets["output"]["total"], 1);
        for (name, pinned) in [("pin_session", true), ("unpin_session", false)] {
            assert_eq!(command(&ana, name, of.clone()).await, json!({ "output": null }), "{name}");
            assert_eq!(ana.get(&path).await.json()["is_pinned"], pinned, "{name}");
        }
        for (name, total) in [("archive_session", 0), ("unarchive_session", 1)] {
            assert_eq!(command(&ana, name, of.clone()).await["output"]["id"], id, "{name}");
            assert_eq!(command(&ana, "list_sessions", json!({})).await["output"]["total"], total, "{name}");
        }
        assert_eq!(command(&ana, "delete_session", of.clone()).await, json!({ "output": null }));
        assert_eq!(ana.get(&path).await.status, 404);
    }

    async fn invalid_commands_get_the_errors_of_their_endpoints(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readonly).await);
        let id = ana.talk(json!({})).await;
        let many = command(&ana, "list_sessions", json!({ "limit": 200, "colour": "red" })).await;
        assert_eq!((&many["output"]["limit"], many["warnings"].as_array().unwrap().len()), (&json!(100), 2));
        for (actor, name, params, status, detail) in [
            (&ana, "fly", json!({}), 404, "no such endpoint"),
            (&ana, "get_session", json!({}), 400, "params.session_id: expected a session ID"),
            (&ana, "get_session", json!({ "session_id": 7 }), 400, "params.session_id: expected a session ID"),
            (&ana, "list_sessions", json!({ "limit": 0 }), 400, "limit: expected a whole number from 1 to 100"),
            (&ana, "list_sessions", json!({ "agent_id": {} }), 400, "params.agent_id: expected a text, a number, or a list of texts"),
            (&ben, "delete_session", json!({ "session_id": id }), 403, "your role does not allow this: it needs the permission to use sessions"),
            (&ben, "create_session", json!({}), 403, "your role does not allow this: it needs the permission to use sessions"),
        ] {
            let response = actor.post(&format!("/v1/commands/{name}"), json!({ "params": params })).await;
            assert_eq!((response.status.as_u16(), &response.json()["detail"]), (status, &json!(detail)), "{name} {params}");
        }
    }
}
