//! One session on two wires: created on one, it is found on the other, always in the same state.

use crate::devin::org_path;
use crate::everruns::Worker;
use crate::world::Actor;
use domain::agent::{TurnEnding as Outcome, TurnItem};
use domain::ids::OrganizationId;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

/// A session, read on both wires.
struct Seen<'w> {
    by: Actor<'w>,
    organization: OrganizationId,
    id: String,
}

impl Seen<'_> {
    /// Everruns' status, Devin's status and Devin's detail. The session and both lists must agree.
    async fn state(&self) -> [String; 3] {
        let (session, sessions) = (format!("session_{}", self.id), org_path(self.organization, "/sessions"));
        let one = self.by.get(&format!("/v1/sessions/{session}")).await.json();
        let list = self.by.get("/v1/sessions?include_archived=true").await.json();
        let listed = find(&list["data"], "id", &session);
        assert_eq!(listed["status"], one["status"]);
        let other = self.by.get(&format!("{sessions}/devin-{}", self.id)).await.json();
        let list = self.by.get(&sessions).await.json();
        assert_eq!(find(&list["items"], "session_id", &self.id), other);
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        [text(&one["status"]), text(&other["status"]), text(&other["status_detail"])]
    }

    async fn is(&self, everruns: &str, devin: &str, detail: &str) {
        assert_eq!(self.state().await, [everruns, devin, detail]);
    }

    async fn act(&self, path: &str) {
        let response = self
            .by
            .post(&org_path(self.organization, &format!("/sessions/{}{path}", self.id)), json!({}))
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

fn find(list: &Value, field: &str, id: &str) -> Value {
    list.as_array().unwrap().iter().find(|session| session[field] == id).unwrap().clone()
}

/// The life of a session whose first message waits.
async fn live(seen: &Seen<'_>, admin: &Actor<'_>) {
    let world = admin.world;
    let talk = format!("session_{}", seen.id);
    let mut worker = Worker::claim(admin).await;
    seen.is("started", "claimed", "-").await;
    worker.stream("Well, ").await;
    seen.is("active", "running", "working").await;
    worker.finish(Outcome::WaitingForUser).await;
    seen.is("idle", "running", "waiting_for_user").await;

    seen.by.say(&talk, "Go on").await;
    seen.is("active", "running", "working").await;
    let worker = Worker::claim(admin).await;
    seen.is("active", "running", "working").await;
    worker.finish(Outcome::WaitingForApproval).await;
    seen.is("idle", "running", "waiting_for_approval").await;

    seen.by.say(&talk, "Yes").await;
    let failed = Outcome::Failed { message: "no".into(), exit_code: Some(1) };
    Worker::claim(admin).await.finish(failed).await;
    seen.is("idle", "error", "-").await;

    seen.by.say(&talk, "Again").await;
    seen.is("active", "resuming", "-").await;
    let mut worker = Worker::claim(admin).await;
    worker.report(vec![TurnItem::Output("done".into())]).await;
    worker.finish(Outcome::Finished).await;
    seen.is("idle", "running", "finished").await;

    seen.by.say(&talk, "And now?").await;
    for _ in 0..2 {
        let _lost = Worker::claim(admin).await;
        world.advance(Span::minutes(10));
        world.sweep().await;
    }
    // Devin's clients do not know the state of a lost worker.
    seen.is("idle", "suspended", "error").await;
    seen.by.say(&talk, "Wake up").await;
    seen.is("active", "resuming", "-").await;
    Worker::answer(admin, "Good morning").await;

    seen.act("/archive").await;
    seen.is("idle", "suspended", "user_request").await;
    seen.act("/unarchive").await;
    seen.by.delete(&org_path(seen.organization, &format!("/sessions/{}", seen.id))).await;
    seen.is("idle", "exit", "-").await;
}

both! {
    async fn sessions_created_on_everruns_are_seen_on_devin(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let talk = ana.talk(json!({ "title": "Both" })).await;
        let seen = Seen { by: ana.clone(), organization: acme, id: talk.trim_start_matches("session_").to_owned() };
        seen.is("started", "new", "-").await;
        ana.say(&talk, "Hello").await;
        seen.is("started", "new", "-").await;
        live(&seen, &admin).await;
    }

    async fn sessions_created_on_devin_are_seen_on_everruns(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, admin) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Admin).await);
        let created = ana.post(&org_path(acme, "/sessions"), json!({ "prompt": "Hello", "tags": ["a"] })).await.json();
        let id = created["session_id"].as_str().unwrap().to_owned();
        let seen = Seen { by: ana.clone(), organization: acme, id };
        seen.is("started", "new", "-").await;
        live(&seen, &admin).await;
    }
}
