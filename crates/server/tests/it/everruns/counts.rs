//! Stats and facets.

use super::Worker;
use domain::permission::Role;
use serde_json::json;

both! {
    async fn sessions_are_counted(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let agent = ana.agent("helper").await;
        ana.talk(json!({ "agent_id": agent, "tags": ["a", "b"] })).await;
        ana.talk(json!({ "agent_id": agent, "tags": ["a"], "source": "slack" })).await;
        let answered = ana.talk(json!({ "agent_id": agent, "title": "Answered" })).await;
        ana.say(&answered, "hi").await;
        Worker::answer(&admin, "hello").await;
        let stats = ana.get("/v1/sessions/stats").await.json();
        assert_eq!(stats, json!({ "session_count": 3, "started_session_count": 2, "active_session_count": 0,
            "idle_session_count": 1, "waiting_for_tool_results_session_count": 0, "archived_session_count": 0 }));
        let facets = ana.get("/v1/sessions/facets").await.json();
        let facet = |value: &str, count: u64| json!({ "value": value, "count": count });
        assert_eq!(facets["total"], 3);
        assert_eq!(facets["status"], json!([facet("started", 2), facet("idle", 1)]));
        assert_eq!(facets["agent_id"], json!([facet(&agent, 3)]));
        assert_eq!(facets["tag"], json!([facet("a", 2), facet("b", 1)]));
        assert_eq!(facets["source"], json!([facet("api", 2), facet("slack", 1)]));
        let some = ana.get("/v1/sessions/facets?search=answered").await.json();
        assert_eq!((&some["total"], &some["status"]), (&json!(1), &json!([facet("idle", 1)])));
    }
}
