//! The index and a plain loop over [`Filter::matches`] agree, whatever happens to the sessions.

mod cases;
mod histogram;
mod order;

use crate::{Facet, Index, Selection, SessionRef};
use domain::agent::{Acus, AgentState, TimeRange, Usage};
use domain::ids::{AgentId, DeviceId, OrganizationId, PrincipalId, SessionId};
use domain::network::Network;
use domain::page::ListRange;
use domain::principal::PrincipalKind;
use domain::session::{
    AgentSummary, DeviceState, DeviceSummary, EndReason, FieldValue, Filter, KindSummary, ListScope,
    LoginState, LoginSummary, NumberField, NumberRange, SessionKey, SessionKind, SessionState, SpanField,
    Summary, TimeField, ValueField, ValueTest,
};
use domain::time::Micros;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const START: i64 = 1_772_366_400_000_000;
/// Values of text fields.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Networks, some with addresses of login sessions.
const NETWORKS: [&str; 4] = ["10.0.0.0/30", "10.0.0.2", "0.0.0.0/0", "::/0"];

/// A number of the environment: by hand, the histories are longer. `PROPTEST_CASES` is how many they are.
#[expect(clippy::disallowed_methods, reason = "only tests are longer by hand")]
fn number_of(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn uuid(number: u8) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(number))
}

fn organization(number: u8) -> OrganizationId {
    OrganizationId(uuid(number % 4))
}

/// What a session is like, in a few small numbers.
#[derive(Debug, Clone, Copy)]
struct Look {
    organization: u8,
    kind: u8,
    owner: u8,
    state: u8,
    bits: u16,
    number: i64,
}

fn look() -> impl Strategy<Value = Look> {
    let number = prop_oneof![0i64..20, 0i64..1 << 41];
    (0u8..4, 0u8..5, 0u8..5, any::<u8>(), any::<u16>(), number).prop_map(
        |(organization, kind, owner, state, bits, number)| Look {
            organization,
            kind,
            owner,
            state,
            bits,
            number,
        },
    )
}

fn some(bits: u16, at: u32) -> Option<String> {
    let bits = (bits >> at) & 0b111;
    NAMES.get(usize::from(bits)).map(|name| (*name).to_owned())
}

/// A name, or an address of one of [`NETWORKS`].
fn address(bits: u16) -> Option<String> {
    some(bits, 0).map(|name| if bits & 16 == 0 { name } else { format!("10.0.0.{}", bits & 7) })
}

fn kind(look: Look) -> SessionKind {
    [SessionKind::Device, SessionKind::Agent, SessionKind::Login, SessionKind::Agent, SessionKind::Agent]
        [usize::from(look.kind)]
}

fn key(look: Look, created: i64, tail: u64) -> SessionKey {
    let kind = kind(look);
    let organization =
        if kind == SessionKind::Login { OrganizationId::PEOPLE } else { organization(look.organization) };
    SessionKey { organization, kind, id: SessionId::new(Micros(created), tail) }
}

fn summary(key: SessionKey, revision: i64, look: Look) -> Summary {
    let created = key.id.creation_time().0;
    let Look { state, bits, number, .. } = look;
    let of_kind = match key.kind {
        SessionKind::Agent => KindSummary::Agent(AgentSummary {
            agent: (bits & 3 > 0).then(|| AgentId(uuid((bits & 3) as u8))),
            titled: bits & 4 > 0,
            archived: bits & 24 == 24,
            tags: NAMES
                .iter()
                .enumerate()
                .filter(|(at, _)| bits & (32 << at) > 0)
                .map(|(_, tag)| (*tag).into())
                // Values that few sessions have come and go.
                .chain((bits & 1 << 15 > 0).then(|| format!("run-{number}")))
                .collect(),
            origin: NAMES[usize::from(bits & 3)].into(),
            model: some(bits, 1),
            category: some(bits, 2),
            playbook: some(bits, 3),
            schedule: some(bits, 4),
            automation: some(bits, 5),
            repos: some(bits, 6).into_iter().chain(some(bits, 9)).collect(),
            parent: (bits & 7 == 7).then(|| SessionId::new(Micros(START), 1)),
            usage: Usage {
                acus: Acus(number),
                input_tokens: number / 2,
                output_tokens: 0,
                ..Usage::default()
            },
        }),
        SessionKind::Device => KindSummary::Device(DeviceSummary {
            platform: some(bits, 0),
            device: (bits & 3 > 0).then(|| DeviceId(uuid((bits & 3) as u8))),
            device_type: some(bits, 3),
            name: some(bits, 6),
            version: some(bits, 9),
        }),
        SessionKind::Login => KindSummary::Login(LoginSummary {
            address: address(bits),
            client: NAMES[usize::from(bits & 3)].into(),
            methods: some(bits, 3).into_iter().chain(some(bits, 6)).collect(),
        }),
    };
    let state = match key.kind {
        SessionKind::Agent => {
            SessionState::Agent(AgentState::ALL[usize::from(state) % AgentState::ALL.len()])
        }
        SessionKind::Device => SessionState::Device(
            [DeviceState::Empty, DeviceState::Queued, DeviceState::Holding, DeviceState::Ended]
                [usize::from(state % 4)],
        ),
        SessionKind::Login => SessionState::Login(
            [LoginState::Open, LoginState::Open, LoginState::Ended][usize::from(state % 3)],
        ),
    };
    Summary {
        key,
        revision,
        owner: PrincipalId(uuid(look.owner)),
        owner_kind: [None, Some(PrincipalKind::User), Some(PrincipalKind::ServiceUser)]
            [usize::from(bits % 3)],
        state,
        updated: Micros(created.saturating_add(number)),
        ended: (bits & 1 > 0).then(|| (Micros(created + i64::from(bits)), EndReason::Idle)),
        expires: (bits & 2 > 0).then(|| Micros(created + i64::from(bits % 512) * 1_000)),
        of_kind,
    }
}

/// What happens to the sessions.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A session is created some microseconds after the last one.
    Create(Look, u16),
    /// A session is imported with an old time.
    Import(Look, u32),
    /// The session at a position changes. A small revision comes too late.
    Change(u16, Look, i64),
    Delete(u16),
    DeleteOrganization(u8),
    /// The clock moves, also back.
    Move(i32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (look(), 0u16..2_000).prop_map(|(look, after)| Step::Create(look, after)),
        3 => (look(), 0u32..200_000).prop_map(|(look, at)| Step::Import(look, at)),
        10 => (any::<u16>(), look(), 0i64..6).prop_map(|(at, look, revision)| Step::Change(at, look, revision)),
        3 => any::<u16>().prop_map(Step::Delete),
        1 => (0u8..40).prop_map(Step::DeleteOrganization),
        2 => (-200_000i32..400_000).prop_map(Step::Move),
    ]
}

/// The plain loop, and the index beside it.
struct Both {
    sessions: BTreeMap<(i64, u64, SessionKind, OrganizationId), Summary>,
    deleted: BTreeSet<OrganizationId>,
    now: Micros,
    newest: i64,
    next_tail: u64,
    index: Index,
}

impl Both {
    fn new() -> Both {
        let (sessions, deleted) = (BTreeMap::new(), BTreeSet::new());
        Both { sessions, deleted, now: Micros(START), newest: START, next_tail: 1, index: Index::default() }
    }

    fn put(&mut self, summary: Summary) {
        let SessionKey { organization, kind, id } = summary.key;
        self.sessions.insert((id.creation_time().0, id.tail(), kind, organization), summary.clone());
        self.index.apply(summary);
    }

    fn nth(&self, at: u16) -> Option<Summary> {
        self.sessions.values().nth(usize::from(at) % self.sessions.len().max(1)).cloned()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Create(look, after) => {
                self.newest += i64::from(after);
                let created = self.newest;
                self.create(look, created);
            }
            Step::Import(look, at) => self.create(look, START + i64::from(at)),
            Step::Change(at, look, revision) => {
                let Some(before) = self.nth(at) else { return };
                let after = summary(before.key, before.revision + revision - 1, look);
                if after.revision >= before.revision {
                    self.put(after);
                } else {
                    self.index.apply(after);
                }
            }
            Step::Delete(at) => {
                let Some(gone) = self.nth(at) else { return };
                self.index.remove(&gone.key);
                self.index.remove(&gone.key);
                let SessionKey { organization, kind, id } = gone.key;
                self.sessions.remove(&(id.creation_time().0, id.tail(), kind, organization));
            }
            Step::DeleteOrganization(number) if number < 4 => {
                self.index.delete_organization(organization(number));
                self.deleted.insert(organization(number));
            }
            Step::DeleteOrganization(_) => {}
            Step::Move(by) => {
                self.now = Micros(self.now.0 + i64::from(by));
                if self.index.needs_advance(self.now) {
                    self.index.advance(self.now);
                }
            }
        }
    }

    fn create(&mut self, look: Look, created: i64) {
        self.next_tail += 1;
        self.put(summary(key(look, created, self.next_tail), 5, look));
    }

    /// The sessions of a list, newest first.
    fn list(&self, scope: &ListScope, filter: &Filter) -> Vec<&Summary> {
        let listed = |summary: &&Summary| {
            scope.includes(summary.key.organization, |id| self.deleted.contains(&id))
                && filter.matches(summary, self.now)
        };
        self.sessions.values().rev().filter(listed).collect()
    }

    fn compare(&mut self, question: &Question) -> Result<(), TestCaseError> {
        if self.index.needs_advance(self.now) {
            self.index.advance(self.now);
        }
        let Question { scope, filter, at, limit, offset } = question;
        let expected = self.list(scope, filter);
        let refs = |list: &[&Summary]| {
            list.iter().map(|one| SessionRef { key: one.key, revision: one.revision }).collect::<Vec<_>>()
        };
        let found = self.index.select(
            scope,
            filter,
            self.now,
            ListRange::Offset { offset: u64::from(*offset), limit: *limit },
        );
        let page = expected.iter().skip(*offset as usize).take(*limit as usize).copied().collect::<Vec<_>>();
        prop_assert_eq!(&found.sessions, &refs(&page), "offset");
        prop_assert_eq!(found.total, expected.len() as u64, "total");
        prop_assert_eq!(found.more, expected.len() > (*offset + *limit) as usize, "more");
        let position = self.nth(*at).map(|session| (session.key.id.creation_time(), session.key.id));
        let found = self.index.select(scope, filter, self.now, ListRange::Before { position, limit: *limit });
        let after = |one: &&&Summary| position.is_none_or(|(_, id)| one.key.id < id);
        let page = expected.iter().filter(after).take(*limit as usize).copied().collect::<Vec<_>>();
        prop_assert_eq!(&found.sessions, &refs(&page), "cursor");
        if let Some(position) = position {
            let newer = expected.iter().rev().filter(|one| one.key.id > position.1);
            let mut page = newer.take(*limit as usize + 1).copied().collect::<Vec<_>>();
            let more = page.len() > *limit as usize;
            page.truncate(*limit as usize);
            page.reverse();
            let found =
                self.index.select(scope, filter, self.now, ListRange::After { position, limit: *limit });
            let expected = Selection { sessions: refs(&page), total: expected.len() as u64, more };
            prop_assert_eq!(found, expected, "back from a cursor");
        }
        prop_assert_eq!(self.index.count(scope, filter, self.now), expected.len() as u64, "count");
        prop_assert_eq!(self.index.exists(scope, filter, self.now), !expected.is_empty(), "exists");
        if let Some((_, id)) = position {
            let listed = expected.iter().find(|one| one.key.id == id);
            let listed = listed.map(|one| SessionRef { key: one.key, revision: one.revision });
            prop_assert_eq!(self.index.find(scope, filter, self.now, id), listed, "found by its id");
        }
        use ValueField as F;
        self.compare_facets(question, [F::State, F::Tag, F::Organization, F::Owner])?;
        self.compare_facets(question, [F::State, F::Tag, F::Agent, F::Repository, F::State])?;
        self.compare_facets(question, [F::Kind, F::Archived])?;
        self.compare_facets(question, [F::Parent, F::Address, F::Device, F::Method, F::Kind])
    }

    fn compare_facets<const N: usize>(
        &self,
        question: &Question,
        fields: [ValueField; N],
    ) -> Result<(), TestCaseError> {
        let expected = self.list(&question.scope, &question.filter);
        let facets = self.index.facets(&question.scope, &question.filter, self.now, fields);
        for (field, facets) in fields.into_iter().zip(facets) {
            prop_assert_eq!(facets, count_values(&expected, field, self.now), "facets of {:?}", field);
        }
        Ok(())
    }
}

fn count_values(list: &[&Summary], field: ValueField, now: Micros) -> Vec<Facet> {
    let mut counts = BTreeMap::new();
    for summary in list {
        let mut values = BTreeSet::new();
        summary.visit_values(now, |other, value| {
            if other == field {
                values.insert(value.to_value());
            }
        });
        for value in values {
            *counts.entry(value).or_insert(0u64) += 1;
        }
    }
    let mut facets = counts.into_iter().map(|(value, count)| Facet { value, count }).collect::<Vec<_>>();
    facets.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
    facets
}

#[derive(Debug, Clone)]
struct Question {
    scope: ListScope,
    filter: Filter,
    at: u16,
    limit: u32,
    offset: u32,
}

fn scope() -> impl Strategy<Value = ListScope> {
    let some = proptest::option::of(proptest::collection::btree_set((0u8..4).prop_map(organization), 0..3));
    prop_oneof![
        4 => (0u8..4).prop_map(|number| ListScope::Organization(organization(number))),
        1 => Just(ListScope::Organization(OrganizationId::PEOPLE)),
        4 => (some, any::<bool>()).prop_map(|(organizations, deleted)| ListScope::Account { organizations, deleted }),
    ]
}

fn values(field: ValueField) -> impl Strategy<Value = Vec<FieldValue>> {
    let names = match field {
        ValueField::Kind => vec!["agent", "device", "login"],
        ValueField::State => {
            vec!["new", "exit", "running.working", "login.open", "login.expired", "device.queued"]
        }
        ValueField::Archived | ValueField::Titled => vec!["true", "false"],
        ValueField::OwnerKind => vec!["user", "service_user"],
        ValueField::EndReason => vec!["idle", "released"],
        ValueField::Tag => [&NAMES[..], &["run-3", "run-7"]].concat(),
        _ => NAMES.to_vec(),
    };
    let value = if field == ValueField::Parent {
        Just(FieldValue::Id(SessionId::new(Micros(START), 1).uuid())).boxed()
    } else if field.value_type() == domain::session::ValueType::Id {
        (0u8..5).prop_map(|number| FieldValue::Id(uuid(number))).boxed()
    } else {
        proptest::sample::select(names).prop_map(|name| FieldValue::Text(name.to_owned())).boxed()
    };
    proptest::collection::vec(value, 0..3)
}

fn range(from: std::ops::Range<i64>) -> impl Strategy<Value = TimeRange> {
    let time = proptest::option::of(from.prop_map(|time| Micros(START + time)));
    (time.clone(), time).prop_map(|(from, until)| TimeRange { from, until })
}

fn value_test() -> impl Strategy<Value = ValueTest> {
    const PREFIXES: [&str; 9] = ["", "a", "run-", "run-1", "running.", "device", "t", "login", "x"];
    prop_oneof![
        proptest::sample::select(&PREFIXES[..]).prop_map(|prefix| ValueTest::Prefix(prefix.to_owned())),
        proptest::sample::select(&NETWORKS[..])
            .prop_map(|network| ValueTest::Network(Network::parse(network).unwrap())),
    ]
}

fn span() -> impl Strategy<Value = Option<i64>> {
    proptest::option::of(prop_oneof![-5i64..400_000, -5i64..500, -5i64..3, Just(i64::MAX), Just(i64::MIN)])
}

fn filter() -> impl Strategy<Value = Filter> {
    let field = || proptest::sample::select(&ValueField::ALL[..]);
    let number = || proptest::option::of(prop_oneof![0i64..25, 0i64..1 << 41]);
    let id = (0i64..400_000, 0u64..300).prop_map(|(at, tail)| SessionId::new(Micros(START + at), tail));
    let leaf = prop_oneof![
        12 => field().prop_flat_map(|field| values(field).prop_map(move |values| Filter::HasAny(field, values))),
        2 => (field(), value_test()).prop_map(|(field, test)| Filter::HasMatching(field, test)),
        2 => field().prop_map(Filter::Has),
        2 => any::<bool>().prop_map(|archived| Filter::flag(ValueField::Archived, archived)),
        2 => range(0..400_000).prop_map(|range| Filter::Time(TimeField::Created, range)),
        2 => range(0..1 << 41).prop_map(|range| Filter::Time(TimeField::Updated, range)),
        1 => range(0..400_000).prop_map(|range| Filter::Time(TimeField::Ended, range)),
        1 => range(0..700_000).prop_map(|range| Filter::Time(TimeField::Expires, range)),
        3 => (proptest::sample::select(&SpanField::ALL[..]), span(), span())
            .prop_map(|(field, from, until)| Filter::Span(field, NumberRange { from, until })),
        2 => (number(), number()).prop_map(|(from, until)| {
            Filter::Number(NumberField::Acus, NumberRange { from, until })
        }),
        1 => proptest::collection::btree_set(id, 0..4).prop_map(Filter::Ids),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            4 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            2 => proptest::collection::vec(inner.clone(), 0..3).prop_map(Filter::Or),
            1 => inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn question() -> impl Strategy<Value = Question> {
    let kind = || proptest::sample::select(vec!["agent", "agent", "device", "login"]);
    // As a wire asks: one kind, and some conditions.
    let of_wire = (kind(), filter())
        .prop_map(|(kind, filter)| Filter::And(vec![Filter::has_text(ValueField::Kind, [kind]), filter]));
    let filter = prop_oneof![filter(), of_wire];
    (scope(), filter, any::<u16>(), 0u32..30, prop_oneof![Just(0u32), 0u32..200])
        .prop_map(|(scope, filter, at, limit, offset)| Question { scope, filter, at, limit, offset })
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_plain_loop(
        steps in proptest::collection::vec(step(), 1..number_of("INDEX_TEST_CHANGES", 700)),
        questions in proptest::collection::vec(question(), number_of("INDEX_TEST_FILTERS", 24)),
    ) {
        let mut both = Both::new();
        for (at, step) in steps.iter().enumerate() {
            both.take(*step);
            if let Some(session) = both.nth((at * 31) as u16) {
                prop_assert_eq!(both.index.summary(&session.key), Some(session.normalize()));
            }
            if at % 97 == 0 {
                both.compare(&questions[at % questions.len()])?;
            }
        }
        for question in &questions {
            both.compare(question)?;
        }
        prop_assert_eq!(both.index.len(), both.sessions.len() as u64);
        for session in both.sessions.values() {
            prop_assert_eq!(both.index.revision(&session.key), Some(session.revision));
            prop_assert_eq!(both.index.summary(&session.key), Some(session.clone().normalize()));
        }

        // A new index of the same sessions, oldest first, answers the same.
        let mut again = Index::default();
        again.advance(both.now);
        both.sessions.values().cloned().for_each(|summary| again.append(summary));
        both.deleted.iter().for_each(|id| again.delete_organization(*id));
        both.index = again;
        for session in both.sessions.values() {
            prop_assert_eq!(both.index.summary(&session.key), Some(session.clone().normalize()));
        }
        for question in &questions {
            both.compare(question)?;
        }
    }
}
