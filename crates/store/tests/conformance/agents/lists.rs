//! Lists of agent sessions: the store selects the sessions for which [`SessionFilter::matches`] is true.

use crate::agents::world::{act, create, given};
use crate::world::{NOW, organization, system, viewer};
use domain::agent::{AgentCommand, AgentSession, AgentState, CATEGORIES, SessionFilter, TimeRange};
use domain::ids::{AgentId, OrganizationId, PrincipalId, SessionId};
use domain::page::{ListRange, ListSlice};
use domain::session::EndReason;
use domain::time::Span;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use store::{SessionFacets, Store};
use uuid::Uuid;

const TAGS: [&str; 5] = ["red", "Red", "a,b", "\"q\"", "ünï"];
const ORIGINS: [&str; 3] = ["api", "cli", "slack"];
const REPOS: [&str; 3] = ["o/a", "o/b", "p/a"];
const NAMES: [&str; 4] = ["first", "second", "third", "x'y"];
const TITLES: [&str; 6] = ["Fix THE bug", "100% done", "under_score", "back\\slash", "ÜBER", "plain"];
const SEARCHES: [&str; 10] = ["the BUG", "0%", "100", "_", "\\", "über", "%", "hello", "'", ""];

/// The properties of a session; every index is taken modulo the number of choices.
#[derive(Debug, Clone)]
pub struct Made {
    organization: usize,
    owner: usize,
    agent: u128,
    title: Option<usize>,
    tags: Vec<usize>,
    repos: Vec<usize>,
    origin: usize,
    names: [Option<usize>; 3],
    category: Option<usize>,
    parent: Option<Index>,
    text: bool,
    then: usize,
    at: i64,
}

fn made() -> impl Strategy<Value = Made> {
    let some = |count: usize| proptest::option::of(0..count);
    let many = |count: usize| proptest::collection::vec(0..count, 0..3);
    (
        (
            0..3usize,
            0..2usize,
            0..3u128,
            some(TITLES.len()),
            many(TAGS.len()),
            many(REPOS.len()),
            0..ORIGINS.len(),
        ),
        (
            [some(4), some(4), some(4)],
            some(3),
            proptest::option::of(any::<Index>()),
            any::<bool>(),
            0..6usize,
            0..4i64,
        ),
    )
        .prop_map(
            |(
                (organization, owner, agent, title, tags, repos, origin),
                (names, category, parent, text, then, at),
            )| {
                Made {
                    organization,
                    owner,
                    agent,
                    title,
                    tags,
                    repos,
                    origin,
                    names,
                    category,
                    parent,
                    text,
                    then,
                    at,
                }
            },
        )
}

/// One condition of a filter: its kind, and which of the choices.
type Part = (usize, Vec<Index>);

fn part() -> impl Strategy<Value = Part> {
    (0..18usize, proptest::collection::vec(any::<Index>(), 0..3))
}

/// The choices for conditions.
pub struct World {
    pub organizations: Vec<(OrganizationId, PrincipalId)>,
    /// In the order of the account's list.
    pub sessions: Vec<AgentSession>,
}

fn words(words: &[&str], picks: &[usize]) -> Vec<String> {
    picks.iter().map(|pick| words[pick % words.len()].to_owned()).collect()
}

fn agent(number: u128) -> AgentId {
    AgentId(Uuid::from_u128(77 + number))
}

impl World {
    /// Creates sessions. The third organization is deleted afterwards.
    pub async fn make(store: &Store, plan: &[Made]) -> World {
        let mut organizations = Vec::new();
        for _ in 0..3 {
            organizations.push(organization(store).await);
        }
        let mut sessions: Vec<AgentSession> = Vec::new();
        for (number, made) in plan.iter().enumerate() {
            let session = World::one(store, &organizations, &sessions, number as i64, made).await;
            sessions.push(session);
        }
        store.delete_organization(&system(), organizations[2].0, NOW).await.unwrap();
        sessions.sort_by_key(|session| std::cmp::Reverse((session.id.creation_time(), session.id.tail())));
        World { organizations, sessions }
    }

    async fn one(
        store: &Store,
        organizations: &[(OrganizationId, PrincipalId)],
        sessions: &[AgentSession],
        number: i64,
        made: &Made,
    ) -> AgentSession {
        let (organization, _) = organizations[made.organization];
        let owner = organizations[made.owner].1;
        let mut new = given(owner);
        new.agent = agent(made.agent);
        new.title = made.title.map(|title| TITLES[title].to_owned());
        new.tags = domain::agent::check_tags(words(&TAGS, &made.tags)).unwrap();
        new.repos = words(&REPOS, &made.repos);
        new.origin = ORIGINS[made.origin].into();
        let name = |pick: Option<usize>| pick.map(|pick| NAMES[pick].to_owned());
        [new.playbook, new.schedule, new.automation] = made.names.map(name);
        new.category = made.category.map(|pick| CATEGORIES[pick].to_owned());
        let parent = made.parent.filter(|_| !sessions.is_empty()).map(|at| at.get(sessions));
        new.parent = parent.filter(|parent| parent.organization == organization).map(|parent| parent.id);
        // Some have the same time, also in several organizations.
        let at = NOW + Span::seconds(number / 4);
        let session = create(store, organization, new, made.text.then_some("hello"), at).await;
        let later = at + Span::seconds(made.at);
        let session = match made.then {
            0 => act(store, &session, crate::agents::world::claim(), later).await.unwrap(),
            1 | 2 => act(store, &session, AgentCommand::Archive, later).await.unwrap(),
            3 => {
                let evidence = "test".to_owned();
                act(store, &session, AgentCommand::End { reason: EndReason::Released, evidence }, later)
                    .await
                    .unwrap()
            }
            _ => session,
        };
        session.into_session()
    }

    /// Adds a condition to a filter.
    fn ask(&self, filter: &mut SessionFilter, part: &Part) {
        let (what, picks) = (part.0, &part.1);
        let pick = |count: usize| picks.iter().map(|pick| pick.index(count)).collect::<Vec<_>>();
        let first =
            |all: &[&str]| Some(words(all, &pick(all.len())).first().cloned().unwrap_or("none".into()));
        let time = |which: usize| {
            let session = picks.get(which)?.get(&self.sessions);
            Some(session.id.creation_time() + Span(which as i64))
        };
        let sessions = || picks.iter().map(|pick| pick.get(&self.sessions).id).collect::<Vec<_>>();
        match what {
            0 => {
                filter.organizations = Some(pick(3).into_iter().map(|at| self.organizations[at].0).collect())
            }
            1 => filter.include_deleted_organizations = true,
            2 => filter.sessions = Some(sessions()),
            3 => filter.agents = Some(pick(3).into_iter().map(|number| agent(number as u128)).collect()),
            4 => filter.search = first(&SEARCHES),
            5 => filter.tags = Some(words(&TAGS, &pick(TAGS.len()))),
            6 => filter.origins = Some(words(&ORIGINS, &pick(3))),
            7 => filter.owners = Some(pick(3).into_iter().map(|at| self.organizations[at].1).collect()),
            8 => filter.created = TimeRange { from: time(0), until: time(1) },
            9 => filter.updated = TimeRange { from: time(0), until: time(1) },
            10 => filter.playbook = first(&NAMES),
            11 => filter.schedule = first(&NAMES),
            12 => filter.automations = Some(words(&NAMES, &pick(4))),
            13 => filter.repos = Some(words(&REPOS, &pick(3))),
            14 => filter.parent = sessions().first().copied().or(Some(SessionId::new(NOW, 1))),
            15 => filter.category = first(&CATEGORIES[..3]),
            16 => filter.archived = Some(picks.len() % 2 == 0),
            _ => {
                filter.states =
                    Some(pick(AgentState::ALL.len()).into_iter().map(|at| AgentState::ALL[at]).collect())
            }
        }
    }

    /// The sessions that a list must have, in order.
    fn expected(&self, filter: &SessionFilter, organization: Option<OrganizationId>) -> Vec<AgentSession> {
        let deleted = self.organizations[2].0;
        let seen = |session: &&AgentSession| match organization {
            Some(organization) => session.organization == organization,
            None => filter.include_deleted_organizations || session.organization != deleted,
        };
        self.sessions.iter().filter(seen).filter(|session| filter.matches(session)).cloned().collect()
    }

    /// Lists with a filter in every way and compares.
    pub async fn check(&self, store: &Store, filter: &SessionFilter, offset: u64, limit: u32) {
        for (organization, _) in &self.organizations {
            let expected = self.expected(filter, Some(*organization));
            let granted = viewer(*organization);
            let list = async |select| store.list_agent_sessions(&granted, filter, select).await.unwrap();
            compare(&expected, filter, offset, limit, list).await;
        }
        let granted = system().grant_account();
        let list = async |select| store.list_account_agent_sessions(&granted, filter, select).await.unwrap();
        compare(&self.expected(filter, None), filter, offset, limit, list).await;
        self.check_facets(store, filter).await;
    }

    async fn check_facets(&self, store: &Store, filter: &SessionFilter) {
        let (organization, _) = self.organizations[0];
        let expected = self.expected(filter, Some(organization));
        let mut found = store.load_agent_session_facets(&viewer(organization), filter).await.unwrap();
        assert!(found.tags.is_sorted_by(|a, b| a.1 >= b.1));
        found.states.sort_by_key(|(state, _)| state.name());
        found.agents.sort();
        found.origins.sort();
        found.tags.sort();
        let mut counted = SessionFacets {
            agents: counts(expected.iter().map(|session| session.given.agent)),
            states: counts(expected.iter().map(|session| session.state.name()))
                .into_iter()
                .map(|(name, count)| (AgentState::parse(name).unwrap(), count))
                .collect(),
            tags: counts(expected.iter().flat_map(|session| session.given.tags.clone())),
            origins: counts(expected.iter().map(|session| session.given.origin.clone())),
        };
        counted.states.sort_by_key(|(state, _)| state.name());
        assert_eq!(found, counted, "{filter:?}");
    }
}

fn counts<T: Ord + Clone>(values: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_insert(0) += 1);
    counts.into_iter().collect()
}

async fn compare(
    expected: &[AgentSession],
    filter: &SessionFilter,
    offset: u64,
    limit: u32,
    list: impl AsyncFn(ListRange) -> ListSlice<AgentSession>,
) {
    let total = expected.len() as u64;
    let from = offset.min(total) as usize;
    let part = |from: usize| {
        let items = expected[from..].iter().take(limit as usize).cloned().collect::<Vec<_>>();
        let more = from + items.len() < expected.len();
        ListSlice { items, total, more }
    };
    assert_eq!(
        list(ListRange::Offset { offset, limit }).await,
        part(from),
        "{filter:?} offset {offset} limit {limit}"
    );
    // A walk by positions, page by page, has every session once.
    let (mut position, mut at) = (None, 0);
    loop {
        let limit = limit.max(1);
        let page = list(ListRange::Before { position, limit }).await;
        let items = expected[at..].iter().take(limit as usize).cloned().collect::<Vec<_>>();
        at += items.len();
        let more = at < expected.len();
        assert_eq!(page, ListSlice { items, total, more }, "{filter:?} by position");
        match page.items.last() {
            Some(last) if more => position = Some((last.id.creation_time(), last.id)),
            _ => break,
        }
    }
}

/// Sessions, and filters of no, one and two conditions, the same in every run.
fn plan(sessions: usize) -> (Vec<Made>, Vec<Vec<Part>>) {
    let mut runner = TestRunner::deterministic();
    let mut some = |count| proptest::collection::vec(made(), count).new_tree(&mut runner).unwrap().current();
    let sessions = some(sessions);
    let mut parts = |what: usize| {
        let (_, picks) = part().new_tree(&mut runner).unwrap().current();
        (what, picks)
    };
    let mut filters = vec![vec![]];
    for first in 0..18 {
        for _ in 0..3 {
            filters.push(vec![parts(first)]);
        }
        for second in 0..first {
            filters.push(vec![parts(first), parts(second)]);
        }
    }
    (sessions, filters)
}

/// Every filter and every pair of filters over this many sessions.
pub async fn every_filter(store: &Store, sessions: usize, limit: u32) {
    let (sessions, filters) = plan(sessions);
    let world = World::make(store, &sessions).await;
    let mut found = 0;
    for (number, parts) in filters.iter().enumerate() {
        let mut filter = SessionFilter::default();
        parts.iter().for_each(|part| world.ask(&mut filter, part));
        found += usize::from(!world.expected(&filter, None).is_empty());
        world.check(store, &filter, number as u64 % 5, limit).await;
    }
    assert!(found > filters.len() / 3, "most filters let something through: {found} of {}", filters.len());
}

both! {
    async fn each_filter_and_pair_of_filters_lists_matching_sessions(db: &TestDatabase) {
        every_filter(&Store::new(db.database.clone()), 60, 7).await;
    }

    async fn values_that_no_row_can_have_match_nothing(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let (acme, owner) = organization(&store).await;
        create(&store, acme, given(owner), Some("x"), NOW).await;
        let all = ListRange::Offset { offset: 0, limit: 5 };
        let nul = || "a\0b".to_owned();
        for filter in [
            SessionFilter { search: Some(nul()), ..Default::default() },
            SessionFilter { search: Some("é".repeat(100_000)), ..Default::default() },
            SessionFilter { tags: Some(vec![nul()]), ..Default::default() },
            SessionFilter { playbook: Some(nul()), ..Default::default() },
            SessionFilter { origins: Some(vec![nul()]), ..Default::default() },
            SessionFilter { repos: Some(vec![nul(), String::new()]), ..Default::default() },
        ] {
            let found = store.list_agent_sessions(&viewer(acme), &filter, all).await.unwrap();
            assert_eq!(found, ListSlice { items: vec![], total: 0, more: false });
            let found = store.list_account_agent_sessions(&system().grant_account(), &filter, all).await.unwrap();
            assert_eq!(found.total, 0);
        }
        let nothing = ListRange::Offset { offset: u64::MAX, limit: 0 };
        let found = store.list_agent_sessions(&viewer(acme), &SessionFilter::default(), nothing).await.unwrap();
        assert_eq!((found.items.len(), found.total, found.more), (0, 1, false));
        let only = ListRange::Offset { offset: 0, limit: 0 };
        let found = store.list_agent_sessions(&viewer(acme), &SessionFilter::default(), only).await.unwrap();
        assert_eq!((found.items.len(), found.total, found.more), (0, 1, true));
        let before = ListRange::Before { position: Some((NOW, SessionId::new(NOW, 0))), limit: 3 };
        assert!(store.list_agent_sessions(&viewer(acme), &SessionFilter::default(), before).await.unwrap().items.is_empty());
    }
}
