//! The API of workers.

use crate::world::{Actor, TestResponse, World, wait_until};
use domain::agent::{AgentState, EventKind, EventQuery, MessageSource, RunPhase};
use domain::ids::{OrganizationId, SessionId};
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};
use server::operations::agents;
use server::operations::agents::definitions;
use store::access::ViewSessions;

const CLAIM: &str = "/tenure/v1/work/claim";

/// An organization, an admin who posts messages, and a worker.
pub async fn acme<'w>(world: &'w World) -> (OrganizationId, Actor<'w>, Actor<'w>) {
    let organization = world.organization("Acme").await;
    let ana = world.member(organization, Role::Readwrite).await;
    let worker = world.member(organization, Role::Admin).await;
    (organization, ana, worker)
}

/// A claimed turn.
pub struct Turn<'a, 'w> {
    worker: &'a Actor<'w>,
    pub given: Value,
}

impl<'a, 'w> Turn<'a, 'w> {
    pub async fn claim(worker: &'a Actor<'w>) -> Turn<'a, 'w> {
        let response = worker.post(CLAIM, json!({ "worker": "w1" })).await;
        assert_eq!(response.status, 200, "{}", response.text());
        Turn { worker, given: response.json() }
    }

    /// The worker with the turn's token.
    pub fn worker(&self) -> Actor<'w> {
        let token = self.given["token"].as_str().unwrap().to_owned();
        Actor { key: Some(token), organization: None, ..self.worker.clone() }
    }

    pub async fn say(&self, what: &str, more: Value) -> TestResponse {
        let mut body = json!({});
        for name in ["organization", "turn", "fence"] {
            body[name] = self.given[name].clone();
        }
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let session = self.given["session"].as_str().unwrap();
        self.worker().post(&format!("/tenure/v1/work/{session}/{what}"), body).await
    }

    pub async fn report(&self, first: u64, items: Value) -> TestResponse {
        self.say("report", json!({ "first": first, "items": items })).await
    }

    pub async fn finish(&self, outcome: &str) -> TestResponse {
        self.say("done", json!({ "outcome": { "type": outcome } })).await
    }

    /// The statuses of the three requests about the turn.
    async fn standing(&self) -> [u16; 3] {
        let report = self.report(0, json!([{ "type": "output", "text": "late" }])).await.status;
        let beat = self.say("heartbeat", json!({})).await.status;
        [beat, report, self.finish("finished").await.status].map(|status| status.as_u16())
    }
}

/// The messages with their sources.
pub async fn messages_with_sources(ana: &Actor<'_>, session: SessionId) -> Vec<(MessageSource, String)> {
    let view = ana.grant::<ViewSessions>().await;
    let page = agents::messages::list_messages(ana.world.app(), &view, session, 0, 1_000).await.unwrap();
    page.items.into_iter().map(|message| (message.source, message.text)).collect()
}

async fn events(ana: &Actor<'_>, session: SessionId, kind: EventKind) -> Vec<Value> {
    let view = ana.grant::<ViewSessions>().await;
    let query = EventQuery { kinds: Some(vec![kind]), ..EventQuery::new(0, 1_000) };
    let page = agents::events::list_events(ana.world.app(), &view, session, &query).await.unwrap();
    page.items.into_iter().map(|event| event.data.value()).collect()
}

async fn session(ana: &Actor<'_>, session: SessionId) -> domain::agent::AgentSession {
    agents::sessions::load_agent_session(ana.world.app(), &ana.grant().await, session).await.unwrap()
}

both! {
    async fn a_turn_goes_from_its_claim_to_its_end(world: &World) {
        let (organization, ana, worker) = acme(world).await;
        assert_eq!(worker.post(CLAIM, json!({ "worker": "w1" })).await.status, 204);
        let secret = agents::create::NewSecret { key: "TOKEN".into(), value: "s3cret".into(), sensitive: true };
        let message = agents::messages::MessageDraft { text: "hello".into(), parts: json!([{ "type": "text", "text": "hello" }]).into(), ..Default::default() };
        let new = agents::create::AgentSessionDraft {
            title: Some("Greeting".into()), model: Some("large".into()), repos: vec!["acme/site".into()],
            output_schema: Some(json!({ "type": "object" }).into()), secrets: vec![secret], message: Some(message),
            ..Default::default()
        };
        let id = agents::create::create_agent_session(world.app(), &ana.grant().await, new).await.unwrap().id;

        let turn = Turn::claim(&worker).await;
        let mut given = turn.given.clone();
        assert!(given["turn"].take().is_string() && given["message"]["id"].take().is_string());
        assert!(given["token"].take().as_str().unwrap().starts_with(&format!("turn_{}_", organization.0.simple())));
        assert_eq!(given, json!({
            "organization": organization.0, "session": id.uuid(), "title": "Greeting", "turn": null, "token": null, "number": 1,
            "agent": { "name": "default", "system_prompt": null, "model": "large" }, "fence": 1, "attempt": 1, "lease_seconds": 60,
            "message": { "id": null, "text": "hello", "parts": [{ "type": "text", "text": "hello" }], "attachments": [] },
            "secrets": { "TOKEN": "s3cret" }, "output_schema": { "type": "object" }, "repos": ["acme/site"], "capabilities": null,
        }));
        let beat = json!({ "lease_seconds": 60, "cancelled": false });
        assert_eq!(turn.say("heartbeat", json!({})).await.json(), beat);
        assert_eq!(session(&ana, id).await.state, AgentState::Claimed);
        assert_eq!(turn.report(0, json!([])).await.json(), beat);
        assert_eq!(session(&ana, id).await.state, AgentState::Running(RunPhase::Working));
        let items = json!([
            { "type": "output", "text": "Hel" }, { "type": "log", "line": "a line" }, { "type": "output", "text": "lo\u{0}!" },
            { "type": "event", "event": "tool.started", "data": { "tool": "ls" } }, { "type": "event", "event": "session.started" },
            { "type": "usage", "input_tokens": 5, "output_tokens": 7, "acus": 0.25 }, { "type": "usage", "acus": -1.0 },
            { "type": "pull_request", "url": "https://x/1", "state": "open" }, { "type": "title", "title": "New" },
            { "type": "structured_output", "value": 7 }, { "type": "structured_output", "value": { "a": 1 } },
        ]);
        for _ in 0..2 {
            assert_eq!(turn.report(0, items.clone()).await.json(), beat);
        }
        assert_eq!(turn.report(10, json!([{ "type": "structured_output", "value": { "a": 1 } }, { "type": "output", "text": "?" }])).await.json(), beat);
        for _ in 0..2 {
            assert_eq!(turn.finish("waiting_for_user").await.status, 204);
        }
        assert_eq!(messages_with_sources(&ana, id).await, [(MessageSource::User, "hello".into()), (MessageSource::Agent, "Hello\u{fffd}!?".into())]);
        let after = session(&ana, id).await;
        assert_eq!((after.given.title.as_deref(), after.usage.input_tokens, after.usage.acus.0), (Some("New"), 5, 250_000));
        assert_eq!((after.structured_output, after.pull_requests.len()), (Some(json!({ "a": 1 }).into()), 1));
        assert_eq!(events(&ana, id, EventKind::ToolStarted).await, [json!({ "tool": "ls" })]);
        let log = events(&ana, id, EventKind::WorkerLog).await;
        let lines = log.iter().map(|data| data["line"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert!(lines.len() == 4 && lines[0] == "a line" && lines[1].contains("session.started"), "{lines:?}");
        assert!(lines[2].contains("no amount") && lines[3].contains("schema"), "{lines:?}");
        assert_eq!(worker.post(CLAIM, json!({ "worker": "w1" })).await.status, 204);
    }

    async fn a_claim_waits_for_a_message(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let id = ana.agent_session(None).await.id;
        let waiting = worker.post(CLAIM, json!({ "worker": "w1", "wait_seconds": 30 }));
        let (response, ()) = tokio::join!(waiting, ana.says(id, "hello"));
        assert_eq!((response.status.as_u16(), &response.json()["message"]["text"]), (200, &json!("hello")));
        // The session's next message waits for the end of this turn.
        ana.says(id, "more").await;
        assert_eq!(worker.post(CLAIM, json!({ "worker": "w2" })).await.status, 204);
    }

    async fn workers_get_turns_of_their_organizations_and_of_their_agents(world: &World) {
        let (acme, ana, worker) = acme(world).await;
        let globex = world.organization("Globex").await;
        let eve = world.member(globex, Role::Admin).await;
        let everywhere = world.account_member(AccountRole::Admin).await;
        let claim = async |who: &Actor<'_>, agents: Value| {
            let response = who.post(CLAIM, json!({ "worker": "w", "agents": agents })).await;
            (response.status == 200).then(|| response.json()["organization"].clone())
        };
        for _ in 0..3 {
            ana.agent_session(Some("hello")).await;
        }
        eve.agent_session(Some("hello")).await;
        assert_eq!(claim(&worker, json!(["other"])).await, None);
        assert_eq!(claim(&worker, json!([])).await, None);
        assert_eq!(claim(&everywhere.naming(acme), json!(["other", "default"])).await, Some(json!(acme.0)));
        // Organizations are served in turn, even if one has more work.
        let mut served = vec![claim(&everywhere, Value::Null).await, claim(&everywhere, Value::Null).await];
        served.sort_by_key(|organization| *organization != Some(json!(acme.0)));
        assert_eq!(served, [Some(json!(acme.0)), Some(json!(globex.0))]);
        assert_eq!(claim(&eve, Value::Null).await, None);
        assert_eq!(claim(&worker, Value::Null).await, Some(json!(acme.0)));
        assert_eq!(everywhere.naming("x").post(CLAIM, json!({ "worker": "w" })).await.status, 403);
    }

    async fn a_cancelled_turn_notifies_its_worker_and_refuses_reports(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let id = ana.agent_session(Some("hello")).await.id;
        let turn = Turn::claim(&worker).await;
        turn.report(0, json!([{ "type": "output", "text": "so far" }])).await;
        agents::sessions::cancel_agent_session(world.app(), &ana.grant().await, id).await.unwrap();
        assert_eq!(turn.say("heartbeat", json!({})).await.json()["cancelled"], true);
        assert_eq!(turn.report(1, json!([{ "type": "output", "text": "late" }])).await.json()["cancelled"], true);
        for _ in 0..2 {
            assert_eq!(turn.finish("cancelled").await.status, 204);
        }
        assert!(messages_with_sources(&ana, id).await.iter().all(|(_, text)| !text.contains("late")));
        assert_eq!(turn.finish("finished").await.status, 409);
        // The next message gets a new turn, and the old turn has no worker.
        ana.says(id, "again").await;
        let next = Turn::claim(&worker).await;
        assert_eq!((&next.given["number"], &next.given["message"]["text"]), (&json!(2), &json!("again")));
        assert_eq!(turn.standing().await, [401; 3]);
        assert_eq!(next.say("heartbeat", json!({})).await.json()["cancelled"], false);
    }

    async fn a_turn_of_a_lost_worker_goes_to_one_other(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let id = ana.agent_session(Some("hello")).await.id;
        let lose = async || {
            world.advance(Span::seconds(61));
            world.sweep().await;
        };
        lose().await;
        let first = Turn::claim(&worker).await;
        world.advance(Span::seconds(59));
        assert_eq!(first.say("heartbeat", json!({})).await.status, 200);
        world.advance(Span::seconds(59));
        world.sweep().await;
        assert_eq!(first.say("heartbeat", json!({})).await.status, 200);
        lose().await;
        assert_eq!(first.standing().await, [409; 3]);
        let second = Turn::claim(&worker).await;
        assert_eq!(second.given["turn"], first.given["turn"]);
        assert_eq!((&second.given["fence"], &second.given["attempt"]), (&json!(2), &json!(2)));
        assert_eq!(first.standing().await, [401; 3]);
        lose().await;
        assert_eq!(second.standing().await, [409; 3]);
        assert_eq!(worker.post(CLAIM, json!({ "worker": "w" })).await.status, 204);
        assert_eq!(session(&ana, id).await.state, AgentState::Suspended(domain::agent::SuspendReason::WorkerLost));
        assert_eq!(messages_with_sources(&ana, id).await.len(), 1);
    }

    async fn the_error_of_a_failed_turn_is_stored(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let id = ana.agent_session(Some("hello")).await.id;
        let turn = Turn::claim(&worker).await;
        let failed = json!({ "outcome": { "type": "failed", "message": "no\u{0}pe", "exit_code": 3 } });
        assert_eq!(turn.say("done", failed).await.status, 204);
        let event = &events(&ana, id, EventKind::TurnFailed).await[0];
        assert_eq!((&event["error"], &event["exit_code"]), (&json!("no\u{fffd}pe"), &json!(3)));
        assert_eq!(session(&ana, id).await.state, AgentState::Error);
    }

    async fn malformed_requests_are_refused_and_change_nothing(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let id = ana.agent_session(Some("hello")).await.id;
        let names = vec!["a"; 1_001];
        for body in [json!({}), json!([]), json!({ "worker": "" }), json!({ "worker": "a\nb" }), json!({ "worker": "w", "wait_seconds": -1 }), json!({ "worker": "w", "agents": names })] {
            assert_eq!(worker.post(CLAIM, body.clone()).await.status, 400, "{body}");
        }
        let turn = Turn::claim(&worker).await;
        let before = session(&ana, id).await;
        let many = vec![json!({ "type": "log", "line": "" }); 1_001];
        let output = json!({ "type": "output", "text": "a" });
        for (first, items) in [(1, json!([output])), (u64::MAX, json!([])), (0, json!(many)), (0, json!([{ "type": "dance" }])), (0, json!(7))] {
            assert_eq!(turn.report(first, items).await.status, 400, "{first}");
        }
        for outcome in ["asleep", "failed"] {
            assert_eq!(turn.finish(outcome).await.status, 400);
        }
        let large = "x".repeat(300 << 10);
        assert_eq!(turn.report(0, json!([{ "type": "output", "text": large }])).await.status, 413);
        assert_eq!(session(&ana, id).await, before);
    }

    async fn a_waiting_worker_gets_a_response_when_the_server_stops(world: &World) {
        let (_, _, worker) = acme(world).await;
        let waiting = worker.post(CLAIM, json!({ "worker": "w1", "wait_seconds": 30 }));
        let (response, ()) = tokio::join!(waiting, async { world.stop.cancel() });
        assert_eq!(response.status, 204);
    }

    async fn another_server_serves_the_same_turns(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let other = world.another_server(|_| {}).await;
        let there = worker.at_server(&other);
        let id = ana.agent_session(None).await.id;
        let waiting = there.post(CLAIM, json!({ "worker": "w1", "wait_seconds": 30 }));
        let (response, ()) = tokio::join!(waiting, ana.says(id, "hello"));
        let turn = Turn { worker: &worker, given: response.json() };
        assert_eq!(turn.report(0, json!([{ "type": "output", "text": "hi" }])).await.status, 200);
        assert_eq!(Turn { worker: &there, given: turn.given.clone() }.finish("finished").await.status, 204);
        assert_eq!(messages_with_sources(&ana, id).await[1], (MessageSource::Agent, "hi".into()));
    }

    async fn a_deleted_agent_keeps_its_name_in_its_turns(world: &World) {
        let (_, ana, worker) = acme(world).await;
        let new = definitions::NewAgent { id: None, name: "echo".into(), display_name: None, description: None, system_prompt: "Echo.".into(), model: Some("m".into()), tags: Vec::new(), capabilities: Default::default() };
        let agent = definitions::create_agent(world.app(), &ana.grant().await, new).await.unwrap();
        for _ in 0..2 {
            let message = agents::messages::MessageDraft { text: "hello".into(), ..Default::default() };
            let new = agents::create::AgentSessionDraft { agent: agents::create::AgentChoice::Id(agent.id), message: Some(message), ..Default::default() };
            agents::create::create_agent_session(world.app(), &ana.grant().await, new).await.unwrap();
        }
        let brief = Turn::claim(&worker).await.given["agent"].clone();
        assert_eq!(brief, json!({ "name": "echo", "system_prompt": "Echo.", "model": "m" }));
        definitions::delete_agent(world.app(), &ana.grant().await, agent.id).await.unwrap();
        wait_until("the work is given out or gone", || async {
            let response = worker.post(CLAIM, json!({ "worker": "w" })).await;
            response.status == 204 || response.json()["agent"]["name"] == "echo"
        }).await;
    }
}
