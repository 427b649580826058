//! Every command and every kind of caller: a command lets in whom its endpoint lets in.

use crate::coverage::story::Story;
use crate::coverage::{CALLERS, TABLE, callers, state, tells_nothing};
use crate::world::Actor;
use domain::ids::AgentId;
use serde_json::{Value, json};

/// The endpoint of each command, or one with the same permission that reports the objects of others in the same way.
#[rustfmt::skip]
const COMMANDS: &[(&str, &str, &str)] = &[
    ("list_sessions",      "GET",    "/v1/sessions"),
    ("get_session",        "GET",    "/v1/sessions/{session}"),
    ("create_session",     "POST",   "/v1/sessions"),
    ("update_session",     "PATCH",  "/v1/sessions/{session}"),
    ("cancel_session",     "POST",   "/v1/sessions/{session}/cancel"),
    ("archive_session",    "PUT",    "/v1/sessions/{session}/archive"),
    ("unarchive_session",  "DELETE", "/v1/sessions/{session}/archive"),
    ("delete_session",     "DELETE", "/v1/sessions/{session}"),
    ("pin_session",        "PUT",    "/v1/sessions/{session}/pin"),
    ("unpin_session",      "DELETE", "/v1/sessions/{session}/pin"),
    ("get_session_stats",  "GET",    "/v1/sessions/stats"),
    ("get_session_facets", "GET",    "/v1/sessions/facets"),
    ("list_events",        "GET",    "/v1/sessions/{session}/events"),
    ("list_messages",      "GET",    "/v1/sessions/{session}/messages"),
    ("create_message",     "POST",   "/v1/sessions/{session}/messages"),
    ("list_agents",        "GET",    "/v1/agents"),
    ("create_agent",       "POST",   "/v1/agents"),
    ("get_agent",          "GET",    "/v1/agents/{agent}"),
    ("update_agent",       "PATCH",  "/v1/agents/{agent}"),
    // The id belongs to no agent of another organization: there it creates one.
    ("upsert_agent",       "POST",   "/v1/agents"),
    ("delete_agent",       "DELETE", "/v1/agents/{agent}"),
    ("check_agent_name",   "GET",    "/v1/agents"),
    ("copy_agent",         "PATCH",  "/v1/agents/{agent}"),
    ("export_agent",       "GET",    "/v1/agents/{agent}/export"),
];

/// Valid arguments of a command, for a new session and this agent of the owner.
async fn arguments(story: &Story<'_>, command: &str, agent: &str) -> Value {
    let message = json!({ "content": [{ "type": "text", "text": "hi" }] });
    match command {
        "list_sessions" | "create_session" | "get_session_stats" | "get_session_facets" | "list_agents" => {
            json!({})
        }
        "create_agent" => json!({ "name": new_name(story), "system_prompt": "" }),
        "upsert_agent" => json!({ "id": agent, "name": new_name(story), "system_prompt": "" }),
        "check_agent_name" => json!({ "name": "x" }),
        name if name.ends_with("_agent") => json!({ "id": agent }),
        "create_message" => json!({ "session_id": story.owner.talk(json!({})).await, "message": message }),
        _ => json!({ "session_id": story.owner.talk(json!({})).await, "title": "New" }),
    }
}

fn new_name(story: &Story<'_>) -> String {
    format!("agent-{}", AgentId::new(crate::world::START, story.owner.world.bytes()).0)
}

async fn agents(owner: &Actor<'_>) -> String {
    owner.get("/v1/agents?limit=100").await.text()
}

#[test]
fn every_command_has_a_row() {
    let contract: Value = serde_json::from_str(include_str!("../../../contracts/everruns.json")).unwrap();
    let names = contract["requests"]["paths"]["name"]["enum"].as_array().unwrap();
    assert_eq!(COMMANDS.iter().map(|(name, ..)| json!(name)).collect::<Vec<_>>(), *names);
}

both! {
    async fn a_command_lets_in_whom_its_endpoint_lets_in(world: &World) {
        let story = Story::create(world).await;
        let callers = callers(world, &story).await;
        for (command, method, pattern) in COMMANDS {
            let row = TABLE.iter().find(|(of, path, ..)| (of, path) == (method, pattern)).unwrap();
            for ((name, actor), expected) in CALLERS.iter().zip(&callers).zip(row.3) {
                // Every successful command is 200.
                let expected = if expected < 300 { 200 } else { expected };
                let agent = story.owner.agent(&new_name(&story)).await;
                let params = arguments(&story, command, &agent).await;
                let before = (state(world, story.organization).await, agents(&story.owner).await);
                let path = format!("/v1/commands/{command}");
                let response = actor.post(&path, json!({ "params": params })).await;
                let what = format!("{name}: {command} {params}");
                assert_eq!(response.status, expected, "{what}: {}", response.text());
                let after = (state(world, story.organization).await, agents(&story.owner).await);
                if expected >= 400 {
                    let named = params.as_object().unwrap().values().filter_map(Value::as_str).collect::<Vec<_>>();
                    tells_nothing(&response, &named.join("/"), &story, &what);
                    assert_eq!(after, before, "{what} changed something");
                } else if CALLERS[0] == *name {
                    assert_eq!(after, before, "{what} changed something of another organization");
                }
            }
        }
    }
}
