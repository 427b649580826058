//! What can be done with a session: who may, with whose session of which kind.

use super::{path, refused};
use crate::coverage::state;
use crate::world::{Actor, START, World};
use axum::body::Body;
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::permission::{AccountRole, Role};
use domain::time::Span;
use serde_json::{Value, json};
use store::{RoleSource, System};

/// The callers. None of them names an organization, so that the session's own counts.
const CALLERS: [&str; 9] = [
    "foreign admin",
    "readonly",
    "owner",
    "colleague",
    "admin",
    "account viewer",
    "account admin",
    "admin here, whose default is another organization",
    "the same, who names the other organization",
];

/// The kind of a session of the owner, the action, and the status for each of [`CALLERS`].
#[rustfmt::skip]
const TABLE: &[(&str, &str, [u16; 9])] = &[
    ("device", "end",       [404, 403, 200, 403, 200, 403, 200, 200, 404]),
    ("device", "extend",    [404, 403, 200, 403, 200, 403, 200, 200, 404]),
    ("device", "archive",   [404, 403, 409, 409, 409, 403, 409, 409, 404]),
    ("device", "unarchive", [404, 403, 409, 409, 409, 403, 409, 409, 404]),
    ("device", "message",   [404, 403, 409, 409, 409, 403, 409, 409, 404]),
    ("device", "",          [404, 403, 409, 409, 409, 403, 409, 409, 404]),
    ("agent",  "end",       [404, 403, 200, 403, 200, 403, 200, 200, 404]),
    ("agent",  "extend",    [404, 403, 409, 409, 409, 403, 409, 409, 404]),
    ("agent",  "archive",   [404, 403, 200, 403, 200, 403, 200, 200, 404]),
    ("agent",  "unarchive", [404, 403, 200, 403, 200, 403, 200, 200, 404]),
    ("agent",  "message",   [404, 403, 200, 403, 200, 403, 200, 200, 404]),
    ("agent",  "",          [404, 403, 200, 403, 200, 403, 200, 200, 404]),
    // An organization's administrators see the login sessions of its people, and only those of the account end them.
    ("login",  "end",       [404, 404, 200, 404, 403, 404, 200, 403, 404]),
    ("login",  "extend",    [404, 404, 200, 404, 409, 404, 409, 409, 404]),
    ("login",  "archive",   [404, 404, 409, 404, 409, 404, 409, 409, 404]),
    ("login",  "unarchive", [404, 404, 409, 404, 409, 404, 409, 409, 404]),
    ("login",  "message",   [404, 404, 409, 404, 409, 404, 409, 409, 404]),
    ("login",  "",          [404, 404, 409, 404, 409, 404, 409, 409, 404]),
];

struct Story<'w> {
    acme: OrganizationId,
    owner: Actor<'w>,
}

impl<'w> Story<'w> {
    async fn create(world: &'w World) -> Story<'w> {
        let acme = world.organization("Acme").await;
        let owner = world.user(acme, Role::Readwrite, "owner@example.com").await;
        Story { acme, owner: world.actor(owner, Some(acme), None).await }
    }

    async fn callers(&self) -> [Actor<'w>; 9] {
        let world = self.owner.world;
        let globex = world.organization("Globex").await;
        let both = world.member(globex, Role::Admin).await.principal;
        self.add(both, Role::Admin).await;
        let both = world.actor(both, None, None).await;
        [
            world.member(globex, Role::Admin).await,
            world.member(self.acme, Role::Readonly).await,
            self.owner.clone(),
            world.member(self.acme, Role::Readwrite).await,
            world.member(self.acme, Role::Admin).await,
            world.account_member(AccountRole::Viewer).await,
            world.account_member(AccountRole::Admin).await,
            both.clone(),
            both.naming(globex),
        ]
    }

    async fn add(&self, person: PrincipalId, role: Role) {
        let granted = System::for_administration().grant(self.acme);
        self.owner.world.store().set_member(&granted, person, role, START + Span::seconds(1)).await.unwrap();
    }

    /// A new session of the owner.
    async fn session(&self, kind: &str) -> String {
        match kind {
            "device" => {
                let session = self.owner.session().await;
                assert_eq!(self.owner.ask(&session, "android").await.status, 202);
                session
            }
            "agent" => self.owner.agent_session(None).await.id.to_string(),
            _ => self.owner.world.sign_in("owner@example.com").await.session_id().await,
        }
    }
}

async fn send(actor: &Actor<'_>, session: &str, action: &str) -> crate::world::TestResponse {
    match action {
        "" => actor.call("PATCH", &path(session), Body::from(json!({ "title": "New" }).to_string())).await,
        "message" => actor.act(session, action, json!({ "text": "hi" })).await,
        _ => actor.call("POST", &format!("{}:{action}", path(session)), Body::empty()).await,
    }
}

#[test]
fn every_action_is_in_the_table() {
    for action in protocol::actions::ACTIONS {
        for kind in ["device", "agent", "login"] {
            assert!(TABLE.iter().any(|(of, name, _)| of == &kind && name == action), "{kind} {action}");
        }
    }
}

both! {
    async fn every_caller_gets_what_the_table_says(world: &World) {
        let story = Story::create(world).await;
        let admin = world.member(story.acme, Role::Admin).await;
        // The only device is held, so later requests wait.
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        assert_eq!(admin.ask(&admin.session().await, "android").await.status, 201);
        let callers = story.callers().await;
        let unknown = SessionId::new(START, 99);
        for (kind, action, expected) in TABLE {
            for ((name, actor), expected) in CALLERS.iter().zip(&callers).zip(expected) {
                let session = story.session(kind).await;
                let before = (state(world, story.acme).await, actor.get(&path(&session)).await.text());
                let response = send(actor, &session, action).await;
                let what = format!("{name}: {action} of a session of kind {kind}: {}", response.text());
                assert_eq!(response.status, *expected, "{what}");
                match *expected {
                    200 => assert_eq!(response.text(), actor.get(&path(&session)).await.text(), "{what}"),
                    404 => assert_eq!(response.body, send(actor, &unknown.to_string(), action).await.body, "{what}"),
                    409 => assert!(response.json()["hint"].is_string(), "{what}"),
                    _ => {}
                }
                if *expected >= 400 {
                    let after = (state(world, story.acme).await, actor.get(&path(&session)).await.text());
                    assert_eq!(after, before, "{what} changed something");
                }
            }
        }
        host.leave().await;
    }

    async fn an_ending_says_who_ended_the_session_and_why(world: &World) {
        let story = Story::create(world).await;
        let ends = async |actor: &Actor<'_>, kind: &str, body: Value| {
            let session = story.session(kind).await;
            let ended = actor.act(&session, "end", body).await.json();
            assert_eq!(actor.act(&session, "end", json!({ "reason": "again" })).await.json(), ended, "ended once");
            assert_eq!(actor.get(&path(&session)).await.json(), ended);
            assert_eq!(ended["end"]["actor"]["id"], json!(actor.principal), "{ended}");
            (ended["end"]["reason"].clone(), ended["end"]["evidence"].clone())
        };
        let (admin, account) =
            (world.member(story.acme, Role::Admin).await, world.account_member(AccountRole::Admin).await);
        let _host = world.host(&admin, "rack", &[("one", "android")]).await;
        assert_eq!(admin.ask(&admin.session().await, "android").await.status, 201);
        let why = json!({ "reason": " the run is over " });
        let told = |reason: &str, evidence: &str| (json!(reason), json!(evidence));
        assert_eq!(ends(&story.owner, "device", why.clone()).await, told("released", "ended by its user: the run is over"));
        assert_eq!(ends(&admin, "agent", why.clone()).await, told("released", "ended by its user: the run is over"));
        assert_eq!(ends(&story.owner, "agent", json!({})).await, told("released", "ended by its user"));
        assert_eq!(ends(&story.owner, "login", json!({ "reason": null })).await, told("revoked", "revoked by its user"));
        assert_eq!(ends(&account, "login", why).await, told("revoked", "revoked by an administrator: the run is over"));
    }

    async fn a_reason_is_one_short_line(world: &World) {
        let story = Story::create(world).await;
        for kind in ["agent", "login"] {
            let session = story.session(kind).await;
            for wrong in ["", "  ", "two\nlines", "\u{0}", &"x".repeat(501)] {
                let response = story.owner.act(&session, "end", json!({ "reason": wrong })).await;
                assert_eq!(refused(&response, 400, "invalid")["field"], "reason");
            }
            for wrong in [json!({ "reason": 1 }), json!({ "because": "x" }), json!([])] {
                refused(&story.owner.act(&session, "end", wrong).await, 400, "invalid");
            }
            assert_eq!(story.owner.get(&path(&session)).await.json()["ended"], Value::Null);
            let longest = story.owner.act(&session, "end", json!({ "reason": "é".repeat(500) })).await;
            assert_eq!(longest.status, 200, "{}", longest.text());
        }
    }

    async fn unknown_actions_are_answered_with_the_known_ones(world: &World) {
        let story = Story::create(world).await;
        let (mine, other) = (story.session("agent").await, world.member(story.acme, Role::Readonly).await);
        for action in ["destroy", "END", "end:x", "", "end%20"] {
            let response = story.owner.act(&mine, action, json!({})).await;
            let problem = refused(&response, 404, "not_found");
            assert_eq!(problem["hint"], "the actions are end, extend, archive, unarchive, message", "{action}");
            assert_eq!(other.act("x", action, json!({})).await.body, response.body, "{action}");
        }
        let bare = story.owner.post(&path(&mine), json!({})).await;
        refused(&bare, 405, "method_not_allowed");
        assert_eq!(bare.headers["allow"], "GET,HEAD,PATCH");
        let response = story.owner.post(&format!("{}:end?reason=x", path(&mine)), json!({})).await;
        assert_eq!(refused(&response, 400, "invalid")["field"], "reason");
    }

    async fn a_session_is_named_by_its_id_of_any_wire(world: &World) {
        let story = Story::create(world).await;
        let session = story.session("agent").await;
        let hex = session.replace('-', "");
        for id in [session.clone(), hex.clone(), format!("session_{hex}"), format!("devin-{hex}")] {
            for action in ["archive", "unarchive"] {
                let answer = story.owner.act(&id, action, json!({})).await.json();
                assert_eq!((&answer["id"], &answer["archived"]), (&json!(session), &json!(action == "archive")));
            }
        }
    }

    async fn a_message_is_posted_once_for_an_idempotency_key(world: &World) {
        let story = Story::create(world).await;
        let session = story.owner.agent_session(None).await.id;
        let keyed = Actor { header: Some(("idempotency-key", "k".into())), ..story.owner.clone() };
        let first = keyed.act(session, "message", json!({ "text": "Hello" })).await;
        store::testing::lose_responses(world.store()).await.unwrap();
        let again = keyed.act(session, "message", json!({ "text": "Hello" })).await;
        assert_eq!((first.status.as_u16(), again.text()), (200, first.text()));
        let messages = world.store().list_messages(&story.owner.grant().await, session, 0, 10).await.unwrap();
        assert_eq!(messages.items.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), ["Hello"]);
        refused(&story.owner.act(session, "message", json!({ "text": "" })).await, 400, "invalid");
        refused(&story.owner.act(session, "message", json!({})).await, 400, "invalid");
        assert_eq!(story.owner.act(session, "archive", json!({})).await.status, 200);
        refused(&story.owner.act(session, "message", json!({ "text": "x" })).await, 409, "session_archived");
        assert_eq!(story.owner.act(session, "end", json!({})).await.status, 200);
        refused(&story.owner.act(session, "message", json!({ "text": "x" })).await, 409, "session_ended");
    }

    async fn extending_counts_as_a_use(world: &World) {
        let story = Story::create(world).await;
        let admin = world.member(story.acme, Role::Admin).await;
        let _host = world.host(&admin, "rack", &[("one", "android"), ("two", "android")]).await;
        let (kept, left, empty) =
            (story.owner.session().await, story.owner.session().await, story.owner.session().await);
        assert_eq!(story.owner.ask(&kept, "android").await.status, 201);
        assert_eq!(story.owner.ask(&left, "android").await.status, 201);
        let problem = refused(&story.owner.act(&empty, "extend", json!({})).await, 409, "wrong_state");
        assert_eq!(problem["hint"], "request a device for it");
        world.advance(Span::minutes(9));
        assert_eq!(story.owner.act(&kept, "extend", json!({})).await.status, 200);
        world.advance(Span::minutes(2));
        world.sweep().await;
        let states = async |id| story.owner.devices_of(id).await[0]["status"].clone();
        assert_eq!((states(&kept).await, states(&left).await), (json!("in_use"), json!("released")));
        assert_eq!(story.owner.act(&kept, "end", json!({})).await.status, 200);
        refused(&story.owner.act(&kept, "extend", json!({})).await, 409, "session_ended");
    }

    async fn a_login_session_of_somebody_else_ends_after_a_recent_sign_in(world: &World) {
        let story = Story::create(world).await;
        let ana = world.user(story.acme, Role::Readonly, "ana@example.com").await;
        let system = System::for_administration();
        let now = world.app().now();
        world.store().set_account_role(&system, ana, Some(AccountRole::Admin), RoleSource::Hand, now).await.unwrap();
        let signed = world.sign_in("ana@example.com").await;
        let (first, second) = (story.session("login").await, story.session("login").await);
        assert_eq!(signed.act(&first, "end", json!({})).await.status, 200);
        world.advance(Span::minutes(11));
        refused(&signed.act(&second, "end", json!({})).await, 403, "stale_authentication");
        let own = signed.session_id().await;
        assert_eq!(signed.act(&own, "end", json!({})).await.json()["state"], "login.ended");
        assert_eq!(signed.get(&path(&own)).await.status, 401);
    }
}
