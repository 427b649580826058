//! Everruns' wire, through the router.

mod agent_commands;
mod agents;
mod command_callers;
mod commands;
mod contract;
mod counts;
mod entry;
mod events;
mod input;
mod sessions;
mod sse;
mod talk;

use crate::world::{Actor, TestResponse, World};
use axum::body::Body;
use domain::agent::{TurnEnding as Outcome, TurnItem, TurnItems};
use domain::credential::SecretHash;
use serde_json::{Value, json};
use server::operations::access::authenticate::authenticate;
use server::operations::agents::turns;
use server::operations::agents::turns::ClaimRequest;
use server::operations::agents::turns::TurnKey;
use server::operations::agents::turns::WorkerGrant;
use server::operations::agents::turns::WorkerTurn;
use std::time::Duration;
use store::OrganizationChoice;

impl Actor<'_> {
    pub async fn patch(&self, path: &str, body: Value) -> TestResponse {
        self.call("PATCH", path, Body::from(body.to_string())).await
    }

    pub async fn put(&self, path: &str) -> TestResponse {
        self.call("PUT", path, Body::empty()).await
    }

    /// Creates an agent. Returns its id.
    pub async fn agent(&self, name: &str) -> String {
        let response = self.post("/v1/agents", json!({ "name": name, "system_prompt": "Be brief." })).await;
        assert_eq!(response.status, 201, "{}", response.text());
        response.json()["id"].as_str().unwrap().to_owned()
    }

    /// Creates an agent session of the default agent. Returns its id.
    pub async fn talk(&self, body: Value) -> String {
        let response = self.post("/v1/sessions", body).await;
        assert_eq!(response.status, 201, "{}", response.text());
        response.json()["id"].as_str().unwrap().to_owned()
    }

    /// Posts a message to a session.
    pub async fn say(&self, session: &str, text: &str) -> Value {
        let body = json!({ "message": { "role": "user", "content": [{ "type": "text", "text": text }] } });
        let response = self.post(&format!("/v1/sessions/{session}/messages"), body).await;
        assert_eq!(response.status, 201, "{}", response.text());
        response.json()
    }
}

/// A worker that the test controls.
pub struct Worker<'w> {
    world: &'w World,
    held: WorkerTurn,
    reported: i64,
}

impl<'w> Worker<'w> {
    /// Claims the turn of the message that waits longest. There must be one.
    pub async fn claim(admin: &Actor<'w>) -> Worker<'w> {
        let app = admin.world.app();
        let caller = authenticate(app, admin.key.as_deref(), OrganizationChoice::ByDefault).await.unwrap();
        let worker = caller.authorize().unwrap();
        let reach = WorkerGrant::Organization(worker.clone());
        let key = SecretHash([0; 32]);
        let claim = ClaimRequest { worker: "test".into(), agents: None, wait: Duration::ZERO, key };
        let assignment = turns::claim_turn(app, &reach, &claim).await.unwrap().expect("something to do");
        let key = TurnKey {
            organization: assignment.session.organization,
            session: assignment.session.id,
            turn: assignment.turn.id,
            fence: assignment.turn.fence,
        };
        Worker { world: admin.world, held: WorkerTurn::authorize(&worker, key).unwrap(), reported: 0 }
    }

    pub async fn report(&mut self, items: Vec<TurnItem>) {
        let first = self.reported;
        self.reported += i64::try_from(items.len()).unwrap();
        turns::report_turn(self.world.app(), &self.held, TurnItems { first, items }).await.unwrap();
    }

    pub async fn stream(&mut self, text: &str) {
        self.report(vec![TurnItem::Output(text.into())]).await;
    }

    pub async fn finish(self, outcome: Outcome) {
        turns::finish_turn(self.world.app(), &self.held, outcome).await.unwrap();
    }

    /// Claims and answers the message that waits longest.
    pub async fn answer(admin: &Actor<'w>, text: &str) {
        let mut worker = Worker::claim(admin).await;
        worker.stream(text).await;
        worker.finish(Outcome::WaitingForUser).await;
    }
}

/// A response for people to read: each id replaced by a name, one line per field.
pub fn plain(body: &Value) -> String {
    let text = serde_json::to_string_pretty(body).unwrap();
    let mut known: Vec<String> = Vec::new();
    let parts = text.split('"').map(|part| {
        let Some((prefix, digits)) = part.rsplit_once('_').filter(|(_, digits)| digits.len() == 32) else {
            return part.to_owned();
        };
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || prefix == "harness" {
            return part.to_owned();
        }
        let at = known.iter().position(|id| id == part).unwrap_or_else(|| {
            known.push(part.to_owned());
            known.len() - 1
        });
        format!("<{prefix} {}>", at + 1)
    });
    parts.collect::<Vec<_>>().join("\"")
}

/// One field of every item of a list.
pub fn each(list: &Value, field: &str) -> Vec<Value> {
    list["data"].as_array().unwrap().iter().map(|item| item[field].clone()).collect()
}
