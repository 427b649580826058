//! The session index agrees with the database after every acknowledged write, of this server and of another one.

use crate::agents::{create_session, draft, grant, list_agent_sessions};
use crate::world::{Actor, World};
use axum::body::Body;
use domain::agent::{AgentState, SessionFilter, TimeRange};
use domain::ids::{OrganizationId, SessionId};
use domain::page::ListRange;
use domain::permission::Role;
use domain::session::{FieldValue, Filter, ListScope, SessionKind, Summary, ValueField};
use domain::time::{Micros, Span};
use index::{Index, Selection, SessionRef};
use serde_json::value::{RawValue, to_raw_value};
use server::failure::{Failure, Unanswered};
use server::operations::agents::create::AgentSessionDraft;
use server::operations::agents::messages;
use server::operations::agents::sessions::{self, AgentSessionUpdate, OrganizationAgents, TagsUpdate};
use server::operations::devices::sessions::{LoadedHolds, OrganizationDevices};
use server::operations::sessions::{self as reading, Encoding, SessionSource};
use server::services::session_bodies::BodyShape;
use server::services::session_index::SessionIndex;
use std::collections::{BTreeMap, BTreeSet};
use store::System;
use store::access::{UseSessions, ViewSessions};

const TAGS: [&str; 4] = ["red", "blue", "a,b", "ünï"];
const ORIGINS: [&str; 3] = ["api", "cli", "slack"];
const REPOS: [&str; 3] = ["o/a", "o/b", "p/a"];

/// A source of choices that are the same in every run.
pub struct Choices(pub u64);

impl Choices {
    pub fn next(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }

    pub fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.next(all.len())]
    }

    fn some(&mut self, all: &[&str]) -> Vec<String> {
        all.iter().filter(|_| self.next(3) == 0).map(|text| (*text).to_owned()).collect()
    }

    fn maybe<T>(&mut self, value: T) -> Option<T> {
        (self.next(4) == 0).then_some(value)
    }
}

/// A member of an organization, and the sessions that were created there.
pub struct Tenant<'w> {
    pub id: OrganizationId,
    pub admin: Actor<'w>,
    pub agents: Vec<SessionId>,
    pub devices: Vec<String>,
    pub deleted: bool,
}

/// Lets something happen in a tenant, at one of the servers. What the rules refuse changes nothing.
pub async fn act(choices: &mut Choices, tenant: &mut Tenant<'_>, server: &World) {
    let admin = tenant.admin.at_server(server);
    let app = server.app();
    let granted = grant::<UseSessions>(&admin).await;
    let agent = (!tenant.agents.is_empty()).then(|| *choices.one(&tenant.agents));
    match (choices.next(10), agent) {
        (0..=2, _) | (_, None) => {
            let new = AgentSessionDraft {
                title: choices.maybe("title".to_owned()),
                tags: choices.some(&TAGS),
                origin: Some((*choices.one(&ORIGINS)).to_owned()),
                playbook: choices.maybe("playbook-1".to_owned()),
                category: choices.maybe("security".to_owned()),
                repos: choices.some(&REPOS),
                parent: agent.filter(|_| choices.next(3) == 0),
                ..AgentSessionDraft::default()
            };
            if let Ok(session) = create_session(&admin, new).await {
                tenant.agents.push(session.id);
            }
        }
        (3, Some(id)) => {
            let tags = Some(TagsUpdate::Replace(choices.some(&TAGS)));
            let update = AgentSessionUpdate { title: choices.maybe(None), tags };
            let _ = sessions::update_agent_session(app, &granted, id, update, None).await;
        }
        (4, Some(id)) => drop(sessions::archive_agent_session(app, &granted, id).await),
        (5, Some(id)) => drop(sessions::terminate_agent_session(app, &granted, id, false).await),
        (6, Some(id)) if choices.next(2) == 0 => {
            drop(sessions::delete_agent_session(app, &granted, id).await);
        }
        (7, _) => {
            let made = admin.post("/api/v1/sessions", serde_json::json!({})).await.json();
            tenant.devices.extend(made["id"].as_str().map(str::to_owned));
        }
        (8, _) if !tenant.devices.is_empty() => {
            let id = choices.one(&tenant.devices);
            admin.call("DELETE", &format!("/api/v1/sessions/{id}"), Body::empty()).await;
        }
        (_, Some(id)) => drop(messages::post_message(app, &granted, id, draft("more")).await),
    }
}

/// A filter as a wire makes it.
fn filter(choices: &mut Choices, tenants: &[Tenant<'_>], now: Micros) -> SessionFilter {
    let range = |choices: &mut Choices| TimeRange {
        from: choices.maybe(Micros(now.0 - Span::seconds(40).0)),
        until: choices.maybe(Micros(now.0 - Span::seconds(10).0)),
    };
    let ids = tenants.iter().flat_map(|tenant| tenant.agents.iter().copied()).collect::<Vec<_>>();
    let (tag, origin, archived) = (*choices.one(&TAGS), *choices.one(&ORIGINS), choices.next(2) == 0);
    SessionFilter {
        organizations: choices.maybe(tenants.iter().take(2).map(|tenant| tenant.id).collect()),
        include_deleted_organizations: choices.next(2) == 0,
        sessions: choices.maybe(ids.iter().step_by(3).copied().collect()),
        tags: choices.maybe(vec![tag.to_owned(), "red".to_owned()]),
        origins: choices.maybe(vec![origin.to_owned()]),
        owners: choices.maybe(tenants.iter().take(1).map(|tenant| tenant.admin.principal).collect()),
        created: range(choices),
        updated: range(choices),
        playbook: choices.maybe("playbook-1".to_owned()),
        repos: choices.maybe(vec!["o/a".to_owned()]),
        parent: choices.maybe(*ids.first().unwrap_or(&SessionId::new(now, 1))),
        category: choices.maybe("security".to_owned()),
        archived: choices.maybe(archived),
        states: choices.maybe(vec![AgentState::New, AgentState::Exit]),
        ..SessionFilter::default()
    }
}

/// All sessions in the database, newest first.
pub async fn all_sessions(world: &World) -> Vec<Summary> {
    let mut all = Vec::new();
    for kind in [SessionKind::Agent, SessionKind::Device, SessionKind::Login] {
        all.extend(
            world.store().list_summaries(&System::for_administration(), kind, None, 10_000).await.unwrap(),
        );
    }
    all.sort_by_key(|summary| {
        std::cmp::Reverse((summary.key.id, summary.key.kind, summary.key.organization))
    });
    all
}

/// Compares the index of a server with a plain loop over the sessions of the database.
async fn compare(server: &World, scope: &ListScope, filter: &Filter, range: ListRange) {
    let now = server.app().now();
    let fields = [ValueField::State, ValueField::Tag, ValueField::Kind];
    let ask =
        |index: &Index| (index.select(scope, filter, now, range), index.facets(scope, filter, now, fields));
    let (found, facets) = server.app().sessions.read(now, ask).await.unwrap();
    let organizations = server.store().list_organizations(&System::for_administration()).await.unwrap();
    let is_deleted = |id| organizations.iter().any(|one| one.id == id && one.deleted.is_some());
    let all = all_sessions(server).await;
    let listed = |summary: &&Summary| {
        scope.includes(summary.key.organization, is_deleted) && filter.matches(summary, now)
    };
    let expected = all.iter().filter(listed).collect::<Vec<_>>();
    let total = expected.len() as u64;
    let ListRange::Offset { offset, limit } = range else {
        unreachable!("only ranges by offset are asked for")
    };
    let page = expected.iter().skip(offset as usize).take(limit as usize);
    let page = page.map(|summary| SessionRef { key: summary.key, revision: summary.revision }).collect();
    let more = total > offset + u64::from(limit);
    assert_eq!(found, Selection { sessions: page, total, more }, "{scope:?} {filter:?}");
    for (field, facets) in fields.into_iter().zip(facets) {
        let mut counts: BTreeMap<FieldValue, u64> = BTreeMap::new();
        for summary in &expected {
            let mut values = BTreeSet::new();
            summary.visit_values(now, |other, value| {
                if other == field {
                    values.insert(value.to_value());
                }
            });
            values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
        }
        let facets = facets.into_iter().map(|facet| (facet.value, facet.count)).collect::<BTreeMap<_, _>>();
        assert_eq!(facets, counts, "{field:?} of {scope:?} {filter:?}");
    }
}

/// A session of any kind as a text that shows everything of it.
fn encode<S: std::fmt::Debug>(session: &S, _: domain::time::Micros) -> serde_json::Result<Box<RawValue>> {
    to_raw_value(&format!("{session:?}"))
}

/// Compares what a server answers with what is in the store: lists, and sessions by their ids.
async fn compare_bodies<S: SessionSource>(server: &World, source: &S, shape: BodyShape)
where
    S::Session: std::fmt::Debug,
{
    let app = server.app();
    let encoding = || Encoding { shape, encode: &encode::<S::Session> };
    let range = ListRange::Before { position: None, limit: 40 };
    let listed = reading::list_sessions(app, source, Filter::EVERY, range, encoding()).await.unwrap();
    let stored = reading::load_sessions(app, source, Filter::EVERY, range).await.unwrap();
    assert_eq!((listed.total, listed.more), (stored.total, stored.more));
    let stored = stored.items.iter().map(|session| encode(session, app.now()).unwrap().get().to_owned());
    let shown = listed.items.iter().map(|listed| listed.body.text().to_owned());
    assert_eq!(shown.collect::<Vec<_>>(), stored.collect::<Vec<_>>());
    for listed in listed.items.iter().take(3) {
        let found = reading::find_session(app, source, listed.session.key.id, encoding()).await.unwrap();
        assert_eq!((found.session, found.body.text()), (listed.session, listed.body.text()));
    }
}

/// Compares what a server answers to a tenant's administrator.
async fn compare_answers(server: &World, tenant: &Tenant<'_>) {
    let app = server.app();
    let granted = grant::<ViewSessions>(&tenant.admin.at_server(server)).await;
    compare_bodies(server, &OrganizationAgents::new(app, &granted), BodyShape::Devin).await;
    let devices = OrganizationDevices::new(app, &granted, LoadedHolds::Newest);
    compare_bodies(server, &devices, BodyShape::MobileNext).await;
}

/// Random things happen at the servers, and the index of each agrees with the database after each.
async fn live(world: &World, servers: &[&World], seed: u64) {
    println!("seed {seed}");
    let mut choices = Choices(seed);
    let mut tenants = Vec::new();
    for name in ["Acme", "Globex", "Initech"] {
        let id = world.organization(&format!("{name} {seed}")).await;
        let admin = world.member(id, Role::Admin).await;
        tenants.push(Tenant { id, admin, agents: Vec::new(), devices: Vec::new(), deleted: false });
    }
    for step in 0..160 {
        world.advance(Span::seconds(1));
        let (number, server) = (choices.next(tenants.len()), servers[choices.next(servers.len())]);
        if !tenants[number].deleted {
            act(&mut choices, &mut tenants[number], server).await;
        }
        if step == 120 {
            world
                .store()
                .delete_organization(&System::for_administration(), tenants[2].id, world.app().now())
                .await
                .unwrap();
            tenants[2].deleted = true;
        }
        let asked = filter(&mut choices, &tenants, world.app().now());
        let scope = match choices.next(2) {
            0 => asked.account_scope(),
            _ => ListScope::Organization(choices.one(&tenants).id),
        };
        let range = ListRange::Offset { offset: choices.next(4) as u64, limit: choices.next(9) as u32 };
        for filter in [asked.to_filter(None), Filter::EVERY] {
            compare(servers[choices.next(servers.len())], &scope, &filter, range).await;
        }
        let tenant = choices.one(&tenants);
        if !tenant.deleted {
            compare_answers(servers[choices.next(servers.len())], tenant).await;
        }
    }
}

both! {
    async fn the_index_agrees_with_the_database(world: &World) {
        for seed in 1..4 {
            live(world, &[world], seed).await;
        }
    }

    async fn an_answer_that_the_client_has_is_not_sent_again(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, bob) = (world.member(acme, Role::Admin).await, world.member(acme, Role::Admin).await);
        let mut agent = create_session(&ana, AgentSessionDraft::default()).await.unwrap();
        for _ in 0..2 {
            agent = create_session(&ana, AgentSessionDraft::default()).await.unwrap();
        }
        let device = ana.post("/api/v1/sessions", serde_json::json!({})).await.json();
        let device = device["id"].as_str().unwrap();
        let org = format!("/v3/organizations/org-{}/sessions", acme.0.simple());
        let id = agent.id.uuid().simple();
        let pages = [
            "/api/v1/sessions".to_owned(),
            format!("/api/v1/sessions/{device}"),
            "/v1/sessions?limit=2".to_owned(),
            format!("/v1/sessions/session_{id}"),
            format!("{org}?first=2"),
            format!("{org}/{id}"),
            format!("{org}/insights"),
            format!("{org}/{id}/insights"),
        ];
        let get = async |actor: &Actor<'_>, path: &str, tags: &str| {
            let answer = actor.send("GET", path, &[("if-none-match", tags)], Body::empty()).await;
            let tag = answer.headers["etag"].to_str().unwrap().to_owned();
            assert_eq!(answer.status == 304, answer.body.is_empty(), "{path}");
            (answer.status.as_u16(), tag)
        };
        for path in &pages {
            let (status, tag) = get(&ana, path, "\"other\"").await;
            assert_eq!(status, 200, "{path}");
            assert_eq!(get(&ana, path, &format!("\"other\", W/{tag}")).await, (304, tag.clone()), "{path}");
            assert_eq!(get(&ana, path, "*").await, (304, tag.clone()), "{path}");
            // A cursor belongs to its reader.
            let is_list = path.contains('?') || path.ends_with("sessions") || path == &pages[6];
            assert_eq!(get(&bob, path, &tag).await.0, if is_list { 200 } else { 304 }, "{path}");
            // A change of a session, and a pin, make another answer.
            if path.starts_with("/api/") {
                continue;
            }
            let update = AgentSessionUpdate { title: Some(Some(format!("about {path}"))), tags: None };
            let granted = grant::<UseSessions>(&ana).await;
            sessions::update_agent_session(world.app(), &granted, agent.id, update, None).await.unwrap();
            assert_eq!(get(&ana, path, &tag).await.0, 200, "{path}");
            if path.starts_with("/v1/") {
                let (_, tag) = get(&ana, path, "").await;
                let pin = format!("/v1/sessions/session_{id}/pin");
                assert_eq!(ana.call("PUT", &pin, Body::empty()).await.status, 204);
                assert_eq!(get(&ana, path, &tag).await.0, 200, "{path}");
                assert_eq!(ana.delete(&pin).await.status, 204);
                assert_eq!(get(&ana, path, &tag).await.0, 304, "{path}");
            }
        }
        // More sessions than the page has make another answer too.
        for path in [&pages[2], &pages[4]] {
            let (_, tag) = get(&ana, path, "").await;
            let granted = grant::<UseSessions>(&ana).await;
            let oldest = list_agent_sessions(world, &granted.authorize().unwrap()).await.pop().unwrap();
            sessions::delete_agent_session(world.app(), &granted, oldest.id).await.unwrap();
            assert_eq!(get(&ana, path, &tag).await.0, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_server_that_has_not_loaded_its_sessions_answers_no_list() {
    let world = World::sqlite().await;
    let index = SessionIndex::new(world.store().clone());
    tokio::time::pause();
    let answered = index.read(world.app().now(), Index::len).await;
    assert!(matches!(answered, Err(Failure::Unanswered(Unanswered::Loading))), "{answered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_see_each_others_writes_at_once() {
    // On SQLite, the other stands for `tenure admin`, which writes beside a server.
    for world in [Some(World::sqlite().await), World::postgres().await].into_iter().flatten() {
        let other = world.another_server(|_| {}).await;
        for seed in 11..13 {
            live(&world, &[&world, &other], seed).await;
        }
    }
}
