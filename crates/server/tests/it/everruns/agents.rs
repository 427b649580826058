//! Agents.

use super::{each, plain};
use domain::permission::Role;
use domain::time::Span;
use serde_json::json;

both! {
    async fn an_agent_is_created_read_changed_and_deleted(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let body = json!({ "name": "helper", "display_name": "Helper", "description": "Helps", "system_prompt": "Help.",
            "default_model_id": "small", "tags": ["a"], "capabilities": [{ "ref": "current_time" }], "tools": [] });
        let made = ana.post("/v1/agents", body).await;
        assert_eq!(made.status, 201);
        insta::assert_snapshot!("agent", plain(&made.json()));
        let path = format!("/v1/agents/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(ana.get(&path).await.json(), made.json());
        let changed = ana.patch(&path, json!({ "name": "aide", "description": null })).await.json();
        assert_eq!((&changed["name"], changed.get("description"), &changed["display_name"]), (&json!("aide"), None, &json!("Helper")));
        assert_eq!(ana.delete(&path).await.status, 204);
        let gone = ana.get(&path).await;
        assert_eq!((gone.status.as_u16(), &gone.json()["detail"]), (404, &json!("Agent not found")));
        assert_eq!(ana.delete(&path).await.status, 404);
        ana.agent("aide").await;
    }

    async fn applying_an_agent_again_changes_it(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = format!("agent_{}", "b".repeat(32));
        let body = |name: &str, prompt: &str| json!({ "id": id, "name": name, "system_prompt": prompt });
        let made = ana.post("/v1/agents", body("one", "First.")).await;
        assert_eq!((made.status.as_u16(), &made.json()["id"]), (201, &json!(id)));
        let again = ana.post("/v1/agents", body("two", "Second.")).await;
        assert_eq!((again.status.as_u16(), &again.json()["name"]), (200, &json!("two")));
        let by_name = ana.post("/v1/agents", json!({ "name": "two", "system_prompt": "Third." })).await;
        assert_eq!((by_name.status.as_u16(), &by_name.json()["id"]), (200, &json!(id)));
        assert_eq!(by_name.json()["system_prompt"], "Third.");
        let other = json!({ "id": format!("agent_{}", "c".repeat(32)), "name": "two", "system_prompt": "" });
        let taken = ana.post("/v1/agents", other).await;
        assert_eq!((taken.status.as_u16(), &taken.json()["code"]), (409, &json!("already_exists")));
    }

    async fn agents_are_listed_and_searched(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        for name in ["one", "two", "three"] {
            ana.agent(name).await;
            world.advance(Span::seconds(1));
        }
        let page = ana.get("/v1/agents").await.json();
        assert_eq!((each(&page, "name"), &page["total"]), (vec![json!("three"), json!("two"), json!("one")], &json!(3)));
        let found = ana.get("/v1/agents?search=T").await.json();
        assert_eq!((each(&found, "name"), &found["total"]), (vec![json!("three"), json!("two")], &json!(2)));
        let part = ana.get("/v1/agents?limit=1&offset=1").await.json();
        assert_eq!((each(&part, "name"), &part["total"], &part["offset"]), (vec![json!("two")], &json!(3), &json!(1)));
    }

    async fn a_session_names_its_agent_by_id_or_by_name(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, dora) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Readwrite).await);
        let agent = ana.agent("helper").await;
        let foreign = dora.agent("other").await;
        let made = ana.post("/v1/sessions", json!({ "agent_name": "helper" })).await.json();
        assert_eq!(made["agent_id"], agent);
        for body in [json!({ "agent_id": foreign }), json!({ "agent_name": "other" }), json!({ "agent_id": format!("agent_{}", "0".repeat(32)) })] {
            let response = ana.post("/v1/sessions", body.clone()).await;
            assert_eq!((response.status.as_u16(), &response.json()["detail"]), (404, &json!("Agent not found")), "{body}");
        }
        let both = ana.post("/v1/sessions", json!({ "agent_id": agent, "agent_name": "helper" })).await;
        assert_eq!(both.status, 400);
        assert_eq!(ana.get("/v1/sessions").await.json()["total"], 1);
    }
}
