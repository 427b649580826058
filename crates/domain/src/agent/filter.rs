//! Filters of session lists, for both wires.

use super::AgentState;
use crate::ids::{AgentId, OrganizationId, PrincipalId, SessionId};
use crate::session::{Filter, ListScope, SessionKind, TimeField, ValueField};
use crate::time::Micros;
use std::collections::BTreeSet;

/// A half-open range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// Inclusive start.
    pub from: Option<Micros>,
    /// Exclusive end.
    pub until: Option<Micros>,
}

impl TimeRange {
    /// Whether a time lies in the range.
    pub fn contains(self, time: Micros) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time < until)
    }

    /// Whether it contains every time.
    pub fn is_unbounded(self) -> bool {
        self == TimeRange::default()
    }
}

/// A filter of agent sessions. All fields that are set must match; of a list of values, one has to match. An empty
/// list matches no session: when a wire cannot parse the only id it got, it must not return every session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// In one of these organizations; for lists of the whole account.
    pub organizations: Option<Vec<OrganizationId>>,
    /// Whether to include deleted organizations; for lists of the whole account.
    pub include_deleted_organizations: bool,
    /// One of these sessions.
    pub sessions: Option<Vec<SessionId>>,
    /// With one of these agents.
    pub agents: Option<Vec<AgentId>>,
    /// A substring of the title or of a preview, ignoring case.
    pub search: Option<String>,
    /// With at least one of these tags.
    pub tags: Option<Vec<String>>,
    /// With one of these origins.
    pub origins: Option<Vec<String>>,
    /// Owned by one of these principals.
    pub owners: Option<Vec<PrincipalId>>,
    /// Created in this range.
    pub created: TimeRange,
    /// Last changed in this range.
    pub updated: TimeRange,
    /// With this playbook.
    pub playbook: Option<String>,
    /// Started by this schedule.
    pub schedule: Option<String>,
    /// Started by one of these automations.
    pub automations: Option<Vec<String>>,
    /// With at least one of these repositories.
    pub repos: Option<Vec<String>>,
    /// Started by this session.
    pub parent: Option<SessionId>,
    /// With this category.
    pub category: Option<String>,
    /// Archived, or not archived.
    pub archived: Option<bool>,
    /// In one of these states.
    pub states: Option<Vec<AgentState>>,
}

impl SessionFilter {
    /// The filter of sessions of all kinds that selects the same sessions. `found` are the sessions that the search
    /// finds, for a filter with a search. The organizations are the scope of a list, see [`SessionFilter::account_scope`].
    pub fn to_filter(&self, found: Option<BTreeSet<SessionId>>) -> Filter {
        let mut all = vec![Filter::has_text(ValueField::Kind, [SessionKind::Agent.name()])];
        let texts = |field: ValueField, texts: &[String]| Filter::has_text(field, texts.iter().cloned());
        let one = |field: ValueField, text: &Option<String>| {
            text.iter().map(move |text| Filter::has_text(field, [text])).next()
        };
        all.extend(self.sessions.as_ref().map(|ids| Filter::Ids(ids.iter().copied().collect())));
        all.extend(found.map(Filter::Ids));
        all.extend(
            self.agents.as_ref().map(|ids| Filter::has_id(ValueField::Agent, ids.iter().map(|id| id.0))),
        );
        all.extend(
            self.owners.as_ref().map(|ids| Filter::has_id(ValueField::Owner, ids.iter().map(|id| id.0))),
        );
        all.extend(self.tags.as_deref().map(|tags| texts(ValueField::Tag, tags)));
        all.extend(self.origins.as_deref().map(|origins| texts(ValueField::Origin, origins)));
        all.extend(self.automations.as_deref().map(|ids| texts(ValueField::Automation, ids)));
        all.extend(self.repos.as_deref().map(|repos| texts(ValueField::Repository, repos)));
        all.extend(one(ValueField::Playbook, &self.playbook));
        all.extend(one(ValueField::Schedule, &self.schedule));
        all.extend(one(ValueField::Category, &self.category));
        all.extend(self.parent.map(|parent| Filter::has_id(ValueField::Parent, [parent.uuid()])));
        all.extend(self.archived.map(|archived| Filter::flag(ValueField::Archived, archived)));
        let names = |states: &[AgentState]| states.iter().map(|state| state.name()).collect::<Vec<_>>();
        all.extend(self.states.as_deref().map(|states| Filter::has_text(ValueField::State, names(states))));
        for (field, range) in [(TimeField::Created, self.created), (TimeField::Updated, self.updated)] {
            all.extend((!range.is_unbounded()).then_some(Filter::Time(field, range)));
        }
        Filter::And(all)
    }

    /// The scope of a list of the whole account.
    pub fn account_scope(&self) -> ListScope {
        ListScope::Account {
            organizations: self.organizations.as_ref().map(|ids| ids.iter().copied().collect()),
            deleted: self.include_deleted_organizations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{AgentSession, NewSession};
    use crate::json::Json;
    use crate::principal::PrincipalKind;
    use proptest::prelude::*;
    use proptest::sample::select;
    use uuid::Uuid;

    const NAMES: [&str; 3] = ["a", "b", "a,b"];

    fn id(number: u8) -> SessionId {
        SessionId::new(Micros(i64::from(number)), u64::from(number))
    }

    fn uuid(number: u8) -> Uuid {
        Uuid::from_u128(number.into())
    }

    fn name() -> impl Strategy<Value = String> {
        select(&NAMES[..]).prop_map(str::to_owned)
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(name(), 0..3)
    }

    fn some<T: std::fmt::Debug>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
        proptest::option::weighted(0.3, values)
    }

    prop_compose! {
        fn session()(
            at in 0u8..6, agent in 0u8..3, owner in 0u8..3, tags in names(), repos in names(), origin in name(),
            texts in proptest::array::uniform4(some(name())), parent in some(0u8..6), archived: bool, updated in 0i64..9,
            state in select(&AgentState::ALL[..]),
        ) -> AgentSession {
            let [category, playbook, schedule, automation] = texts;
            let given = NewSession {
                owner: PrincipalId(uuid(owner)), owner_kind: PrincipalKind::User, created_by: PrincipalId(uuid(0)),
                agent: AgentId(uuid(agent)), agent_name: "default".into(), title: None, tags, model: None,
                capabilities: Json::default(), origin, category, subcategory: None, playbook, schedule, automation,
                repos, parent: parent.map(id), output_schema: None, max_acus: None, extra: Json::default(),
            };
            let session = AgentSession::new(OrganizationId(uuid(1)), id(at), given);
            AgentSession { archived: archived.then_some(Micros(1)), updated: Micros(updated), state, ..session }
        }
    }

    prop_compose! {
        fn range()(from in some(0i64..9), until in some(0i64..9)) -> TimeRange {
            TimeRange { from: from.map(Micros), until: until.map(Micros) }
        }
    }

    prop_compose! {
        fn filter()(
            sessions in some(proptest::collection::vec((0u8..6).prop_map(id), 0..3)),
            agents in some(proptest::collection::vec((0u8..3).prop_map(|n| AgentId(uuid(n))), 0..3)),
            owners in some(proptest::collection::vec((0u8..3).prop_map(|n| PrincipalId(uuid(n))), 0..3)),
            lists in proptest::array::uniform4(some(names())), one in proptest::array::uniform3(some(name())),
            created in range(), updated in range(), parent in some((0u8..6).prop_map(id)), archived in some(any::<bool>()),
            states in some(proptest::collection::vec(select(&AgentState::ALL[..]), 0..9)),
        ) -> SessionFilter {
            let ([tags, origins, automations, repos], [playbook, schedule, category]) = (lists, one);
            SessionFilter {
                sessions, agents, owners, tags, origins, automations, repos, playbook, schedule, category, created,
                updated, parent, archived, states, ..SessionFilter::default()
            }
        }
    }

    /// The filter as its fields say it.
    fn is_selected(
        filter: &SessionFilter,
        session: &AgentSession,
        found: Option<&BTreeSet<SessionId>>,
    ) -> bool {
        fn is_in<T: PartialEq>(wanted: &Option<Vec<T>>, value: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(value))
        }
        fn has_one<T: PartialEq>(wanted: &Option<Vec<T>>, values: &[T]) -> bool {
            wanted.as_ref().is_none_or(|wanted| values.iter().any(|value| wanted.contains(value)))
        }
        fn is<T: PartialEq>(wanted: &Option<T>, value: &Option<T>) -> bool {
            wanted.is_none() || wanted == value
        }
        let given = &session.given;
        is_in(&filter.sessions, &session.id)
            && found.is_none_or(|found| found.contains(&session.id))
            && is_in(&filter.agents, &given.agent)
            && is_in(&filter.owners, &given.owner)
            && has_one(&filter.tags, &given.tags)
            && is_in(&filter.origins, &given.origin)
            && has_one(&filter.automations, given.automation.as_slice())
            && has_one(&filter.repos, &given.repos)
            && is(&filter.playbook, &given.playbook)
            && is(&filter.schedule, &given.schedule)
            && is(&filter.category, &given.category)
            && is(&filter.parent, &given.parent)
            && filter.created.contains(session.id.creation_time())
            && filter.updated.contains(session.updated)
            && filter.archived.is_none_or(|archived| archived == session.archived.is_some())
            && is_in(&filter.states, &session.state)
    }

    proptest! {
        #[test]
        fn both_filters_select_the_same_sessions(
            filter in filter(), sessions in proptest::collection::vec(session(), 20),
            found in some(proptest::collection::btree_set((0u8..6).prop_map(id), 0..4)),
        ) {
            let now = Micros(9);
            for session in sessions {
                let expected = is_selected(&filter, &session, found.as_ref());
                let selected = filter.to_filter(found.clone()).matches(&session.summary(), now);
                prop_assert_eq!(selected, expected, "{:?}", session);
            }
        }
    }
}
