//! Agents, and the workers that are there for them.

use crate::work::{Turn, acme};
use crate::world::{Actor, wait_until};
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};

async fn list(actor: &Actor<'_>, path: &str) -> Vec<Value> {
    let response = actor.get(&format!("/tenure/v1/{path}")).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json()["data"].as_array().unwrap().clone()
}

both! {
    async fn agents_have_their_sessions_by_state(world: &World) {
        let (organization, ana, worker) = acme(world).await;
        let globex = world.organization("Globex").await;
        let outsider = world.member(globex, Role::Readwrite).await;
        ana.agent_session(None).await;
        ana.agent_session(Some("one")).await;
        ana.agent_session(Some("two")).await;
        let made = ana.post("/v1/agents", json!({ "name": "reviewer", "display_name": "The reviewer", "system_prompt": "" })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let agents = list(&ana, "agents").await;
        let named = agents.iter().map(|agent| (&agent["name"], &agent["display_name"])).collect::<Vec<_>>();
        assert_eq!(named, [(&json!("default"), &Value::Null), (&json!("reviewer"), &json!("The reviewer"))]);
        assert_eq!(agents[0]["organization"], json!({ "id": organization.0, "name": "Acme" }));
        let states = agents[0]["sessions"].as_object().unwrap();
        assert_eq!(states.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 3, "{states:?}");
        assert_eq!(agents[1]["sessions"], json!({}));
        // Each state is one of the filter language.
        for (state, count) in states {
            let found = ana.get(&format!("/tenure/v1/sessions?filter=state:{state}")).await.json();
            assert_eq!(found["total"], *count, "{state}");
        }
        assert_eq!(agents[0]["worker_connected"], false);
        let _turn = Turn::claim(&worker).await;
        let agents = list(&ana, "agents").await;
        assert_eq!((&agents[0]["worker_connected"], &agents[1]["worker_connected"]), (&json!(true), &json!(false)));
        assert_eq!(agents[0]["sessions"].as_object().unwrap().len(), 2, "one of them works: {agents:?}");
        assert_eq!(list(&outsider, "agents").await, Vec::<Value>::new());
        let account = world.account_member(AccountRole::Viewer).await;
        assert_eq!(list(&account, "agents").await, agents);
    }

    async fn a_worker_with_a_turn_is_listed_with_its_lease(world: &World) {
        let (organization, ana, worker) = acme(world).await;
        let globex = world.organization("Globex").await;
        let outsider = world.member(globex, Role::Readwrite).await;
        let session = ana.agent_session(Some("go")).await;
        assert_eq!(list(&ana, "workers").await, Vec::<Value>::new());
        let turn = Turn::claim(&worker).await;
        let workers = list(&ana, "workers").await;
        assert_eq!(workers.len(), 1);
        let lease = workers[0]["lease"].as_str().unwrap().to_owned();
        assert_eq!(workers[0], json!({
            "name": "w1", "state": "working", "organization": { "id": organization.0, "name": "Acme" }, "agents": ["default"],
            "session": session.id.uuid(), "since": "2026-03-01T12:00:00.000000Z", "lease": lease,
        }));
        // A heartbeat moves the lease.
        world.advance(Span::seconds(10));
        assert_eq!(turn.say("heartbeat", json!({})).await.status, 200);
        assert!(list(&ana, "workers").await[0]["lease"].as_str().unwrap() > lease.as_str());
        assert_eq!(list(&outsider, "workers").await, Vec::<Value>::new());
        assert_eq!(turn.finish("finished").await.status, 204);
        assert_eq!(list(&ana, "workers").await, Vec::<Value>::new());
    }

    async fn workers_that_wait_are_listed(world: &World) {
        let (organization, ana, worker) = acme(world).await;
        let globex = world.organization("Globex").await;
        let outsider = world.member(globex, Role::Readwrite).await;
        ana.agent_session(None).await;
        let asked = json!({ "worker": "w2", "agents": ["default"], "wait_seconds": 30 });
        let claim = worker.post("/tenure/v1/work/claim", asked);
        let look = async {
            wait_until("the worker waits", || async { !list(&ana, "workers").await.is_empty() }).await;
            let expected = json!({
                "name": "w2", "state": "waiting", "organization": { "id": organization.0, "name": "Acme" },
                "agents": ["default"], "session": null, "since": "2026-03-01T12:00:00.000000Z", "lease": null,
            });
            assert_eq!(list(&ana, "workers").await, [expected]);
            assert_eq!(list(&ana, "agents").await[0]["worker_connected"], true);
            assert_eq!(list(&outsider, "workers").await, Vec::<Value>::new());
            ana.agent_session(Some("go")).await;
        };
        let (claimed, ()) = futures_util::future::join(claim, look).await;
        assert_eq!(claimed.status, 200);
        assert_eq!(list(&ana, "workers").await[0]["state"], "working");
    }
}
