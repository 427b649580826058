//! Agent sessions, through the operations that wires and workers use.

use crate::world::{Actor, World};
use domain::Refusal;
use domain::agent::{
    Acus, AgentSession, EventQuery, Message, MessageSource, TurnEnding, TurnItem, TurnItems, Usage,
};
use domain::credential::SecretHash;
use domain::ids::{AgentId, SessionId};
use domain::page::ListRange;
use domain::permission::{Permission, Role};
use domain::refusal::Thing;
use domain::session::Filter;
use domain::time::Span;
use serde_json::{Value, json};
use server::failure::Failure;
use server::operations::access::authenticate;
use server::operations::agents;
use server::operations::agents::create::AgentChoice;
use server::operations::agents::create::AgentSessionDraft;
use server::operations::agents::create::NewSecret;
use server::operations::agents::definitions;
use server::operations::agents::messages::MessageDraft;
use server::operations::agents::turns;
use server::operations::agents::turns::AssignedTurn;
use server::operations::agents::turns::ClaimRequest;
use server::operations::agents::turns::TurnKey;
use server::operations::agents::turns::WorkerGrant;
use server::operations::agents::turns::WorkerTurn;
use server::operations::sessions;
use std::time::Duration;
use store::access::{ConnectWorkers, PermissionType, UseSessions, ViewSessions};
use store::{Granted, OrganizationChoice};

/// The grant of a permission.
pub async fn grant<P: PermissionType>(who: &Actor<'_>) -> Granted<P> {
    let caller =
        authenticate::authenticate(who.world.app(), who.key.as_deref(), OrganizationChoice::ByDefault);
    caller.await.unwrap().authorize::<P>().unwrap()
}

pub fn draft(text: &str) -> MessageDraft {
    MessageDraft { text: text.to_owned(), ..MessageDraft::default() }
}

/// Creates a session with its first message.
pub async fn create_with_message(who: &Actor<'_>, text: &str) -> AgentSession {
    create_session(who, AgentSessionDraft { message: Some(draft(text)), ..AgentSessionDraft::default() })
        .await
        .unwrap()
}

pub async fn create_session(who: &Actor<'_>, new: AgentSessionDraft) -> Result<AgentSession, Failure> {
    agents::create::create_agent_session(who.world.app(), &grant::<UseSessions>(who).await, new).await
}

pub async fn post_message(who: &Actor<'_>, id: SessionId, text: &str) -> AgentSession {
    let granted = grant::<UseSessions>(who).await;
    agents::messages::post_message(who.world.app(), &granted, id, draft(text)).await.unwrap().0
}

pub async fn state(who: &Actor<'_>, id: SessionId) -> &'static str {
    let granted = grant::<ViewSessions>(who).await;
    agents::sessions::load_agent_session(who.world.app(), &granted, id).await.unwrap().state.name()
}

pub async fn worker_grant(who: &Actor<'_>) -> WorkerGrant {
    WorkerGrant::Organization(grant::<ConnectWorkers>(who).await)
}

pub async fn claim(world: &World, reach: &WorkerGrant) -> Option<AssignedTurn> {
    let claim = ClaimRequest { worker: "w".to_owned(), agents: None, wait: Duration::ZERO, key: KEY };
    turns::claim_turn(world.app(), reach, &claim).await.unwrap()
}

/// The id under which the workers' key is stored.
const KEY: SecretHash = SecretHash([0; 32]);

/// The turn, as its worker names it in reports.
pub fn worker_turn(reach: &WorkerGrant, assignment: &AssignedTurn) -> WorkerTurn {
    let WorkerGrant::Organization(worker) = reach else { panic!("a worker of one organization") };
    let (organization, session) = (assignment.session.organization, assignment.session.id);
    let key = TurnKey { organization, session, turn: assignment.turn.id, fence: assignment.turn.fence };
    WorkerTurn::authorize(worker, key).unwrap()
}

pub fn output(first: i64, texts: &[&str]) -> TurnItems {
    TurnItems { first, items: texts.iter().map(|text| TurnItem::Output((*text).to_owned())).collect() }
}

pub fn usage_report(first: i64, units: i64) -> TurnItems {
    let usage = Usage { acus: Acus::whole(units), input_tokens: 10, ..Usage::default() };
    TurnItems { first, items: vec![TurnItem::Usage(usage)] }
}

pub async fn messages(who: &Actor<'_>, id: SessionId) -> Vec<Message> {
    let granted = grant::<ViewSessions>(who).await;
    agents::messages::list_messages(who.world.app(), &granted, id, 0, 1_000).await.unwrap().items
}

pub async fn kinds(who: &Actor<'_>, id: SessionId) -> Vec<&'static str> {
    let granted = grant::<ViewSessions>(who).await;
    let events =
        agents::events::list_events(who.world.app(), &granted, id, &EventQuery::new(0, 10_000)).await;
    let events = events.unwrap().items;
    assert!(events.iter().map(|event| event.sequence).eq(1..=events.len() as i64), "events have no gaps");
    events.iter().map(|event| event.kind.name()).collect()
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> Refusal {
    match outcome {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

both! {
    async fn a_worker_answers_a_message(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let reach = worker_grant(&world.member(acme, Role::Admin).await).await;
        let session = create_with_message(&ana, "hello").await;
        assert_eq!(state(&ana, session.id).await, "new");
        let turn = claim(world, &reach).await.unwrap();
        assert_eq!((turn.message.text.as_str(), turn.agent.as_ref().unwrap().name.as_str()), ("hello", "default"));
        assert_eq!(state(&ana, session.id).await, "claimed");
        assert!(claim(world, &reach).await.is_none(), "a turn is claimed once");
        let app = world.app();
        turns::report_turn(app, &worker_turn(&reach, &turn), output(0, &["good ", "day"])).await.unwrap();
        assert_eq!(state(&ana, session.id).await, "running.working");
        // The response to a report may be lost: the worker sends the report again, with more items.
        turns::report_turn(app, &worker_turn(&reach, &turn), output(0, &["good ", "day", "!"])).await.unwrap();
        post_message(&ana, session.id, "and?").await;
        let done = turns::finish_turn(app, &worker_turn(&reach, &turn), TurnEnding::WaitingForUser).await.unwrap();
        assert_eq!(done.state.name(), "running.working", "a message waits");
        turns::finish_turn(app, &worker_turn(&reach, &turn), TurnEnding::WaitingForUser).await.unwrap();
        let next = claim(world, &reach).await.unwrap();
        assert_eq!(next.message.text, "and?");
        turns::finish_turn(app, &worker_turn(&reach, &next), TurnEnding::Finished).await.unwrap();
        assert_eq!(state(&ana, session.id).await, "running.finished");
        let said = messages(&ana, session.id).await;
        let said: Vec<_> = said.iter().map(|said| (said.source, said.text.as_str(), said.answers)).collect();
        let user = MessageSource::User;
        assert_eq!(said, [(user, "hello", None), (user, "and?", None), (MessageSource::Agent, "good day!", Some(1))]);
        assert_eq!(kinds(&ana, session.id).await, [
            "session.started", "input.message", "turn.started", "session.activated", "output.message.started",
            "output.message.delta", "output.message.delta", "output.message.delta", "input.message",
            "output.message.completed", "turn.completed", "turn.started", "session.activated", "turn.completed",
            "session.idled",
        ]);
    }

    async fn invalid_agent_sessions_are_refused_at_creation(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let reader = world.member(acme, Role::Readonly).await;
        let other = world.member(world.organization("Other").await, Role::Admin).await;
        let foreign = create_with_message(&other, "x").await;
        let new = AgentSessionDraft::default;
        let agent = |id| AgentSessionDraft { agent: AgentChoice::Id(id), ..new() };
        let of = |owner: &Actor<'_>| AgentSessionDraft { attribute_to: Some(owner.principal), ..new() };
        let schema = |schema: Value| AgentSessionDraft { output_schema: Some(schema.into()), ..new() };
        let invalid = |refusal: &Refusal, named: &str| matches!(refusal, Refusal::Invalid { field, .. } if field == named);
        for (create, field) in [
            (AgentSessionDraft { category: Some("gardening".into()), ..new() }, "category"),
            (AgentSessionDraft { tags: (0..51).map(|n| n.to_string()).collect(), ..new() }, "tags"),
            (AgentSessionDraft { max_acus: Some(Acus(0)), ..new() }, "max_acu_limit"),
            (AgentSessionDraft { message: Some(draft(" ")), ..new() }, "message"),
            (schema(json!({ "description": "x".repeat(65_000) })), "structured_output_schema"),
            (schema(json!({ "$ref": "https://example.com/x" })), "structured_output_schema"),
        ] {
            let refused = refusal(create_session(&ana, create).await);
            assert!(invalid(&refused, field), "{field}: {refused:?}");
        }
        let not_found = |thing| Refusal::NotFound(thing);
        for (who, create, expected) in [
            (&ana, agent(foreign.given.agent), not_found(Thing::Agent)),
            (&ana, agent(AgentId(foreign.id.uuid())), not_found(Thing::Agent)),
            (&ana, AgentSessionDraft { parent: Some(foreign.id), ..new() }, not_found(Thing::Session)),
            (&ana, of(&admin), Refusal::Forbidden(Permission::ImpersonateSessions)),
            (&admin, of(&other), not_found(Thing::Member)),
            (&admin, of(&reader), not_found(Thing::Member)),
        ] {
            assert_eq!(refusal(create_session(who, create).await), expected);
        }
        let session = create_session(&admin, of(&ana)).await.unwrap();
        assert_eq!((session.given.owner, session.given.created_by), (ana.principal, admin.principal));
        let listed = list_agent_sessions(world, &grant(&ana).await).await;
        assert_eq!(listed.len(), 1, "a refused request creates nothing");
    }

    async fn a_turn_goes_to_another_worker_once(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let app = world.app();
        world.advance(Span::minutes(10));
        let session = create_with_message(&admin, "hello").await;
        let first = claim(world, &reach).await.unwrap();
        world.advance(Span::seconds(50));
        let standing = turns::renew_lease(app, &worker_turn(&reach, &first)).await.unwrap();
        assert_eq!((standing.lease, standing.cancelled), (Span::seconds(60), false));
        world.advance(Span::seconds(50));
        world.sweep().await;
        assert_eq!(state(&admin, session.id).await, "claimed", "a heartbeat came");
        assert!(claim(world, &reach).await.is_none());
        world.advance(Span::seconds(11));
        world.sweep().await;
        let second = claim(world, &reach).await.unwrap();
        assert_eq!((second.turn.attempt, second.message.text.as_str()), (2, "hello"));
        let lost = |outcome: Result<turns::LeaseStatus, Failure>| assert_eq!(refusal(outcome), Refusal::TurnLost);
        lost(turns::renew_lease(app, &worker_turn(&reach, &first)).await);
        lost(turns::report_turn(app, &worker_turn(&reach, &first), output(0, &["late"])).await);
        let late = turns::finish_turn(app, &worker_turn(&reach, &first), TurnEnding::Finished).await;
        assert_eq!(refusal(late.map(|session| session.state)), Refusal::TurnLost);
        world.advance(Span::seconds(61));
        world.sweep().await;
        assert_eq!(state(&admin, session.id).await, "suspended.worker_lost");
        assert!(claim(world, &reach).await.is_none());
        post_message(&admin, session.id, "still there?").await;
        assert_eq!(claim(world, &reach).await.unwrap().message.text, "still there?");
    }

    async fn cancelling_a_turn_stops_its_worker(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let app = world.app();
        let granted = grant::<UseSessions>(&admin).await;
        let session = create_with_message(&admin, "hello").await;
        let turn = claim(world, &reach).await.unwrap();
        agents::sessions::cancel_agent_session(app, &granted, session.id).await.unwrap();
        assert!(turns::renew_lease(app, &worker_turn(&reach, &turn)).await.unwrap().cancelled);
        turns::finish_turn(app, &worker_turn(&reach, &turn), TurnEnding::Cancelled).await.unwrap();
        assert_eq!(state(&admin, session.id).await, "running.waiting_for_user");
        // It is not found by another organization's worker.
        let other = world.member(world.organization("Other").await, Role::Admin).await;
        let foreign = grant::<ConnectWorkers>(&other).await;
        let asked = WorkerTurn::authorize(&foreign, worker_turn(&reach, &turn).key);
        assert!(matches!(asked, Err(Failure::Unauthenticated)), "{asked:?}");
    }

    async fn children_are_archived_with_their_parent(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let granted = grant::<UseSessions>(&ana).await;
        let app = world.app();
        let child_of = |parent: SessionId| AgentSessionDraft { parent: Some(parent), ..AgentSessionDraft::default() };
        let parent = create_session(&ana, AgentSessionDraft::default()).await.unwrap();
        let child = create_session(&ana, child_of(parent.id)).await.unwrap();
        let grandchild = create_session(&ana, child_of(child.id)).await.unwrap();
        let archived = agents::sessions::archive_agent_session(app, &granted, parent.id).await.unwrap();
        assert_eq!(archived.children, [child.id]);
        for id in [parent.id, child.id, grandchild.id] {
            assert_eq!(state(&ana, id).await, "suspended.user_request");
        }
        let refused = agents::messages::post_message(app, &granted, child.id, draft("x")).await;
        assert_eq!(refusal(refused), Refusal::SessionArchived);
        agents::sessions::unarchive_agent_session(app, &granted, parent.id).await.unwrap();
        assert_eq!(post_message(&ana, parent.id, "on").await.state.name(), "resuming");
        assert!(agents::messages::post_message(app, &granted, child.id, draft("x")).await.is_err());
        assert_eq!(refusal(create_session(&ana, child_of(child.id)).await), Refusal::SessionArchived);
        let ended = agents::sessions::terminate_agent_session(app, &granted, parent.id, true).await.unwrap();
        assert_eq!((ended.state.name(), ended.archived.is_some()), ("exit", true));
        agents::sessions::delete_agent_session(app, &granted, parent.id).await.unwrap();
        let gone = agents::sessions::load_agent_session(app, &granted.authorize().unwrap(), parent.id).await;
        assert_eq!(refusal(gone), Refusal::NotFound(Thing::Session));
        world.sweep().await;
    }

    async fn title_and_tags_are_changed_both_or_not_at_all(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let bob = world.member(acme, Role::Readwrite).await;
        let session = create_session(&ana, AgentSessionDraft::default()).await.unwrap();
        let change = |title: &str, tags| agents::sessions::AgentSessionUpdate { title: Some(Some(title.into())), tags: Some(tags) };
        use agents::sessions::TagsUpdate::*;
        let granted = grant::<UseSessions>(&ana).await;
        let app = world.app();
        let changed = agents::sessions::update_agent_session(app, &granted, session.id, change("T", Append(vec!["a".into()])), None).await;
        let changed = changed.unwrap();
        assert_eq!((changed.given.title.as_deref(), changed.given.tags.as_slice()), (Some("T"), &["a".to_owned()][..]));
        let long = "x".repeat(2_000);
        let refused = agents::sessions::update_agent_session(app, &granted, session.id, change(&long, Replace(vec![])), None).await;
        assert!(matches!(refusal(refused), Refusal::Invalid { .. }));
        let foreign = grant::<UseSessions>(&bob).await;
        let refused = agents::sessions::update_agent_session(app, &foreign, session.id, change("B", Replace(vec![])), None).await;
        assert_eq!(refusal(refused), Refusal::NotYours(Thing::Session));
        let kept = agents::sessions::load_agent_session(app, &granted.authorize().unwrap(), session.id).await.unwrap();
        assert_eq!(kept.given, changed.given);
    }

    async fn a_follower_sees_each_event_once(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let app = world.app();
        let session = create_with_message(&admin, "hello").await;
        let view = grant::<ViewSessions>(&admin).await;
        let mut follow = agents::events::follow_events(app, view.clone(), session.id, None).await.unwrap();
        let first = follow.next().await.unwrap().unwrap();
        assert_eq!(first.iter().map(|event| event.kind.name()).collect::<Vec<_>>(), ["session.started", "input.message"]);
        let waiting = tokio::spawn(async move { (follow.next().await, follow) });
        let turn = claim(world, &reach).await.unwrap();
        let (next, _) = waiting.await.unwrap();
        assert_eq!(next.unwrap().unwrap()[0].kind.name(), "turn.started");
        turns::report_turn(app, &worker_turn(&reach, &turn), output(0, &["a"; 300])).await.unwrap();
        turns::finish_turn(app, &worker_turn(&reach, &turn), TurnEnding::Finished).await.unwrap();
        // Again from the second event, in pages, without the deltas and without a gap.
        let back = agents::events::follow_events(app, view.clone(), session.id, Some(first[0].id)).await.unwrap();
        let mut back = back.with_kinds(None, vec![domain::agent::EventKind::OutputDelta]);
        let mut seen = Vec::new();
        while seen.last() != Some(&"session.idled") {
            seen.extend(back.next().await.unwrap().unwrap().iter().map(|event| event.kind.name()));
        }
        assert_eq!(seen, [
            "input.message", "turn.started", "session.activated", "output.message.started", "output.message.completed",
            "turn.completed", "session.idled",
        ]);
        let mut foreign = first[0].id;
        foreign.0 = uuid::Uuid::from_u128(foreign.0.as_u128() ^ (1 << 40));
        let unknown = agents::events::follow_events(app, view, session.id, Some(foreign)).await;
        assert_eq!(refusal(unknown.map(|_| ())), Refusal::NotFound(Thing::Event));
        agents::sessions::delete_agent_session(app, &grant(&admin).await, session.id).await.unwrap();
        while back.next().await.unwrap().is_some() {}
    }

    async fn organizations_are_served_in_turn(world: &World) {
        let many = world.organization("Many").await;
        let few = world.organization("Few").await;
        let (ana, bob) = (world.member(many, Role::Readwrite).await, world.member(few, Role::Readwrite).await);
        for n in 0..4 {
            create_with_message(&ana, &n.to_string()).await;
        }
        create_with_message(&bob, "one").await;
        let worker = world.account_member(domain::permission::AccountRole::Admin).await;
        let caller = authenticate::authenticate(world.app(), worker.key.as_deref(), OrganizationChoice::ByDefault).await.unwrap();
        let reach = WorkerGrant::Account(caller.authorize_in_account().unwrap());
        let mut served = Vec::new();
        for _ in 0..5 {
            served.push(claim(world, &reach).await.unwrap().session.organization);
        }
        assert!(served[..2].contains(&few), "{served:?}");
        assert!(claim(world, &reach).await.is_none());
        let only = ClaimRequest { worker: "w".into(), agents: Some(vec!["other".into()]), wait: Duration::ZERO, key: KEY };
        create_with_message(&ana, "more").await;
        assert!(turns::claim_turn(world.app(), &reach, &only).await.unwrap().is_none(), "it runs another agent");
    }

    async fn a_waiting_claim_gets_a_new_turn(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let app = world.app().clone();
        let wait = ClaimRequest { worker: "w".into(), agents: Some(vec!["default".into()]), wait: Duration::from_secs(20), key: KEY };
        let waiting = tokio::spawn(async move { turns::claim_turn(&app, &reach, &wait).await });
        tokio::task::yield_now().await;
        let session = create_with_message(&admin, "hello").await;
        assert_eq!(waiting.await.unwrap().unwrap().unwrap().session.id, session.id);
    }

    async fn secrets_reach_only_the_worker(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let secret = |key: &str| NewSecret { key: key.into(), value: format!("v-{key}"), sensitive: true };
        let twice = AgentSessionDraft { secrets: vec![secret("A"), secret("A")], ..AgentSessionDraft::default() };
        assert!(create_session(&admin, twice).await.is_err());
        let new = AgentSessionDraft { secrets: vec![secret("A"), secret("B")], message: Some(draft("x")), ..AgentSessionDraft::default() };
        let session = create_session(&admin, new).await.unwrap();
        assert!(!format!("{session:?}").contains("v-A"));
        let keys = &world.app().keys;
        let done = server::operations::agents::secrets::rotate_master_key(world.store(), keys, &*world.app().random, world.app().now()).await;
        assert_eq!(done.unwrap(), 2);
        let turn = claim(world, &reach).await.unwrap();
        let expected = ["A", "B"].map(|key| (key.to_owned(), format!("v-{key}")));
        assert_eq!(turn.secrets, expected);
    }

    async fn structured_output_fits_its_schema(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let reach = worker_grant(&admin).await;
        let schema = json!({ "type": "object", "required": ["answer"] }).into();
        let new = AgentSessionDraft { output_schema: Some(schema), message: Some(draft("x")), ..AgentSessionDraft::default() };
        let session = create_session(&admin, new).await.unwrap();
        let turn = claim(world, &reach).await.unwrap();
        let value = |value: Value| TurnItem::StructuredOutput(value.into());
        let items = vec![value(json!({ "answer": 42 })), value(json!({ "question": 6 }))];
        turns::report_turn(world.app(), &worker_turn(&reach, &turn), TurnItems { first: 0, items }).await.unwrap();
        let view = grant::<ViewSessions>(&admin).await;
        let kept = agents::sessions::load_agent_session(world.app(), &view, session.id).await.unwrap();
        assert_eq!(kept.structured_output, Some(json!({ "answer": 42 }).into()));
        assert!(kinds(&admin, session.id).await.contains(&"worker.log"));
    }

    async fn names_of_deleted_agents_are_free_again(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let granted = grant::<UseSessions>(&ana).await;
        let view = grant::<ViewSessions>(&ana).await;
        let app = world.app();
        let named = |name: &str| definitions::NewAgent { name: name.into(), ..Default::default() };
        let made = definitions::create_agent(app, &granted, named("coder")).await.unwrap();
        assert!(matches!(refusal(definitions::create_agent(app, &granted, named("coder")).await), Refusal::Exists(_)));
        assert!(matches!(refusal(definitions::create_agent(app, &granted, named("")).await), Refusal::Invalid { .. }));
        let update = definitions::AgentUpdate { description: Some(Some("codes".into())), ..Default::default() };
        let changed = definitions::update_agent(app, &granted, made.id, update).await.unwrap();
        assert_eq!((changed.description.as_deref(), changed.name.as_str()), (Some("codes"), "coder"));
        let query = definitions::AgentQuery { search: Some("CODES".into()), offset: 0, limit: 10 };
        assert_eq!(definitions::list_agents(app, &view, &query).await.unwrap().items, [changed]);
        definitions::delete_agent(app, &granted, made.id).await.unwrap();
        assert_eq!(refusal(definitions::load_agent(app, &view, made.id).await), Refusal::NotFound(Thing::Agent));
        definitions::create_agent(app, &granted, named("coder")).await.unwrap();
        let first = definitions::ensure_default_agent(app, &granted).await.unwrap();
        assert_eq!(definitions::ensure_default_agent(app, &granted).await.unwrap().id, first.id);
    }
}

/// The newest hundred of the organization's sessions.
pub async fn list_agent_sessions(world: &World, granted: &Granted<ViewSessions>) -> Vec<AgentSession> {
    let source = agents::sessions::OrganizationAgents::new(world.app(), granted);
    let range = ListRange::Offset { offset: 0, limit: 100 };
    sessions::load_sessions(world.app(), &source, Filter::EVERY, range).await.unwrap().items
}
