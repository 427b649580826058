//! Filters of lists of sessions.

use super::fields::{NumberField, SpanField, TimeField, ValueField};
use super::summary::{FieldValue, FieldValueRef, PRESENT, Summary};
use crate::agent::TimeRange;
use crate::ids::{OrganizationId, SessionId};
use crate::network::Network;
use crate::time::Micros;
use std::collections::BTreeSet;

/// A range of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberRange {
    /// Inclusive start.
    pub from: Option<i64>,
    /// Exclusive end.
    pub until: Option<i64>,
}

impl NumberRange {
    /// Whether a number lies in the range.
    pub fn contains(self, number: i64) -> bool {
        self.from.is_none_or(|from| number >= from) && self.until.is_none_or(|until| number < until)
    }
}

/// A test of a text value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTest {
    /// The text begins with this one.
    Prefix(String),
    /// The text is an IP address of this network.
    Network(Network),
}

impl ValueTest {
    /// Whether a value passes. An id passes no test.
    pub fn accepts(&self, value: FieldValueRef<'_>) -> bool {
        let FieldValueRef::Text(text) = value else { return false };
        match self {
            ValueTest::Prefix(prefix) => text.starts_with(prefix),
            ValueTest::Network(network) => text.parse().is_ok_and(|address| network.contains(address)),
        }
    }
}

/// A filter of sessions of any kind. [`Filter::matches`] decides it for one session; the index answers for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of the filters match. An empty list matches every session.
    And(Vec<Filter>),
    /// One of the filters matches. An empty list matches no session.
    Or(Vec<Filter>),
    /// The filter does not match.
    Not(Box<Filter>),
    /// The session has one of the values. An empty list matches no session.
    HasAny(ValueField, Vec<FieldValue>),
    /// The session has a value that passes the test.
    HasMatching(ValueField, ValueTest),
    /// The session has a value.
    Has(ValueField),
    /// The session has the time, and it lies in the range.
    Time(TimeField, TimeRange),
    /// The session has the number, and it lies in the range.
    Number(NumberField, NumberRange),
    /// The session has the length of time, and its microseconds lie in the range.
    Span(SpanField, NumberRange),
    /// The session has one of these ids.
    Ids(BTreeSet<SessionId>),
}

impl Filter {
    /// The filter that matches every session.
    pub const EVERY: Filter = Filter::And(Vec::new());

    /// The session has one of these texts.
    pub fn has_text<T: Into<String>>(field: ValueField, texts: impl IntoIterator<Item = T>) -> Filter {
        Filter::HasAny(field, texts.into_iter().map(|text| FieldValue::Text(text.into())).collect())
    }

    /// The session has one of these ids.
    pub fn has_id(field: ValueField, ids: impl IntoIterator<Item = uuid::Uuid>) -> Filter {
        Filter::HasAny(field, ids.into_iter().map(FieldValue::Id).collect())
    }

    /// A field that is only present or absent is present, or is absent.
    pub fn flag(field: ValueField, present: bool) -> Filter {
        let filter = Filter::has_text(field, [PRESENT]);
        if present { filter } else { Filter::Not(Box::new(filter)) }
    }

    /// Whether sessions that do not change match it at one time and not at another. That login sessions expire does not
    /// count.
    pub fn follows_time(&self) -> bool {
        match self {
            Filter::And(some) | Filter::Or(some) => some.iter().any(Filter::follows_time),
            Filter::Not(filter) => filter.follows_time(),
            Filter::Span(_, range) => *range != NumberRange::default(),
            _ => false,
        }
    }

    /// Whether a session matches at `now`.
    pub fn matches(&self, summary: &Summary, now: Micros) -> bool {
        match self {
            Filter::And(all) => all.iter().all(|filter| filter.matches(summary, now)),
            Filter::Or(any) => any.iter().any(|filter| filter.matches(summary, now)),
            Filter::Not(filter) => !filter.matches(summary, now),
            Filter::HasAny(field, values) => {
                has_value(summary, now, *field, |value| values.iter().any(|wanted| wanted.borrow() == value))
            }
            Filter::HasMatching(field, test) => has_value(summary, now, *field, |value| test.accepts(value)),
            Filter::Has(field) => has_value(summary, now, *field, |_| true),
            Filter::Time(field, range) => summary.time(*field).is_some_and(|time| range.contains(time)),
            Filter::Number(field, range) => {
                summary.number(*field).is_some_and(|number| range.contains(number))
            }
            Filter::Span(field, range) => {
                summary.span(*field, now).is_some_and(|span| range.contains(span.0))
            }
            Filter::Ids(ids) => ids.contains(&summary.key.id),
        }
    }
}

fn has_value(
    summary: &Summary,
    now: Micros,
    field: ValueField,
    mut fits: impl FnMut(FieldValueRef<'_>) -> bool,
) -> bool {
    // Almost every list asks for one of these. They are known without a look at all values.
    match field {
        ValueField::Organization => return fits(FieldValueRef::Id(summary.key.organization.0)),
        ValueField::Kind => return fits(FieldValueRef::Text(summary.key.kind.name())),
        ValueField::State => return fits(FieldValueRef::Text(summary.state_at(now).name())),
        ValueField::Owner => return fits(FieldValueRef::Id(summary.owner.0)),
        ValueField::Archived => return summary.is_archived() && fits(FieldValueRef::Text(PRESENT)),
        _ => {}
    }
    let mut found = false;
    summary.visit_values(now, |other, value| found |= other == field && fits(value));
    found
}

/// The organizations whose sessions a list is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListScope {
    /// One organization; [`OrganizationId::PEOPLE`] for login sessions.
    Organization(OrganizationId),
    /// All organizations.
    Account {
        /// Only these of them; `None` for all.
        organizations: Option<BTreeSet<OrganizationId>>,
        /// Whether deleted organizations are included.
        deleted: bool,
    },
}

impl ListScope {
    /// Whether the sessions of an organization are listed.
    pub fn includes(
        &self,
        organization: OrganizationId,
        is_deleted: impl Fn(OrganizationId) -> bool,
    ) -> bool {
        match self {
            ListScope::Organization(one) => *one == organization,
            ListScope::Account { organizations, deleted } => {
                organizations.as_ref().is_none_or(|some| some.contains(&organization))
                    && (*deleted || !is_deleted(organization))
            }
        }
    }
}

/// A list of sessions, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPart {
    /// The organizations that its sessions are taken from.
    pub scope: ListScope,
    /// What all of its sessions match.
    pub filter: Filter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AgentId, PrincipalId};
    use crate::session::{
        AgentSummary, KindSummary, LoginState, LoginSummary, SessionKey, SessionKind, SessionState,
    };
    use crate::{agent::AgentState, agent::Usage, principal::PrincipalKind};
    use uuid::Uuid;

    const NOW: Micros = Micros(1_772_366_400_000_000);

    fn agent_session() -> Summary {
        let id = SessionId::new(NOW, 7);
        Summary {
            key: SessionKey {
                organization: OrganizationId(Uuid::from_u128(9)),
                kind: SessionKind::Agent,
                id,
            },
            revision: 3,
            owner: PrincipalId(Uuid::from_u128(2)),
            owner_kind: Some(PrincipalKind::User),
            state: SessionState::Agent(AgentState::Exit),
            updated: Micros(NOW.0 + 5),
            ended: Some((Micros(NOW.0 + 4), crate::session::EndReason::Released)),
            expires: None,
            of_kind: KindSummary::Agent(AgentSummary {
                agent: Some(AgentId(Uuid::from_u128(4))),
                tags: vec!["a".into(), "b".into()],
                origin: "api".into(),
                usage: Usage { acus: crate::agent::Acus(12), ..Usage::default() },
                ..AgentSummary::default()
            }),
        }
    }

    #[test]
    fn each_filter_of_an_agent_session() {
        use ValueField as F;
        let micros = |from, until| NumberRange { from: Some(from), until: Some(until) };
        let range = |from, until| TimeRange { from: Some(Micros(from)), until: Some(Micros(until)) };
        let cases = [
            (Filter::EVERY, true),
            (Filter::Or(vec![]), false),
            (Filter::Not(Box::new(Filter::EVERY)), false),
            (Filter::has_text(F::Tag, ["x", "b"]), true),
            (Filter::has_text(F::Tag, ["x"]), false),
            (Filter::has_text::<&str>(F::Tag, []), false),
            (Filter::And(vec![Filter::has_text(F::Tag, ["a"]), Filter::has_text(F::Origin, ["api"])]), true),
            (Filter::And(vec![Filter::has_text(F::Tag, ["a"]), Filter::has_text(F::Origin, ["cli"])]), false),
            (Filter::Or(vec![Filter::has_text(F::Tag, ["x"]), Filter::has_text(F::Origin, ["api"])]), true),
            (Filter::has_id(F::Owner, [Uuid::from_u128(2)]), true),
            (Filter::has_text(F::State, ["exit"]), true),
            (Filter::has_text(F::EndReason, ["released"]), true),
            (Filter::Has(F::Category), false),
            (Filter::Has(F::Origin), true),
            (Filter::flag(F::Archived, false), true),
            (Filter::flag(F::Titled, true), false),
            (Filter::Time(TimeField::Created, range(NOW.0, NOW.0 + 1)), true),
            (Filter::Time(TimeField::Updated, range(NOW.0, NOW.0 + 5)), false),
            (Filter::Time(TimeField::Ended, TimeRange::default()), true),
            (Filter::Number(NumberField::Acus, NumberRange { from: Some(12), until: None }), true),
            (Filter::Number(NumberField::Acus, NumberRange { from: None, until: Some(12) }), false),
            (Filter::HasMatching(F::Tag, ValueTest::Prefix("b".into())), true),
            (Filter::HasMatching(F::Tag, ValueTest::Prefix("bb".into())), false),
            (Filter::HasMatching(F::Owner, ValueTest::Prefix(String::new())), false),
            (Filter::Time(TimeField::Expires, TimeRange::default()), false),
            (Filter::Span(SpanField::Duration, micros(4, 5)), true),
            (Filter::Span(SpanField::Duration, micros(5, 9)), false),
            (Filter::Span(SpanField::Wait, NumberRange::default()), false),
            (Filter::Span(SpanField::Lease, NumberRange::default()), false),
            (Filter::Ids([SessionId::new(NOW, 7)].into()), true),
            (Filter::Ids([SessionId::new(NOW, 8)].into()), false),
        ];
        for (filter, expected) in cases {
            assert_eq!(filter.matches(&agent_session(), NOW), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_filter_finds_exactly_the_values_of_a_session() {
        let mut archived = agent_session();
        if let KindSummary::Agent(agent) = &mut archived.of_kind {
            agent.archived = true;
        }
        for summary in [agent_session(), archived] {
            let mut values = Vec::new();
            summary.visit_values(NOW, |field, value| values.push((field, value.to_value())));
            for field in &ValueField::ALL {
                let of_field = values.iter().filter(|(other, _)| other == field).collect::<Vec<_>>();
                assert_eq!(Filter::Has(*field).matches(&summary, NOW), !of_field.is_empty(), "{field:?}");
                for (_, value) in of_field {
                    assert!(Filter::HasAny(*field, vec![value.clone()]).matches(&summary, NOW), "{value:?}");
                }
                let other = vec![crate::session::FieldValue::Text("other".into())];
                assert!(!Filter::HasAny(*field, other).matches(&summary, NOW), "{field:?}");
            }
        }
    }

    #[test]
    fn a_login_session_expires_by_the_clock() {
        let login = Summary {
            state: SessionState::Login(LoginState::Open),
            ended: None,
            expires: Some(Micros(NOW.0 + 10)),
            of_kind: KindSummary::Login(LoginSummary::default()),
            ..agent_session()
        };
        let open = Filter::has_text(ValueField::State, ["login.open"]);
        assert!(open.matches(&login, Micros(NOW.0 + 9)));
        let end = Micros(NOW.0 + 10);
        assert_eq!([login.end_at(Micros(end.0 - 1)), login.end_at(end)], [None, Some(end)]);
        assert!(!open.matches(&login, Micros(NOW.0 + 10)));
        assert!(Filter::has_text(ValueField::State, ["login.expired"]).matches(&login, Micros(NOW.0 + 10)));
        assert!(!Filter::Number(NumberField::Acus, NumberRange::default()).matches(&login, NOW));
    }

    #[test]
    fn addresses_are_of_networks() {
        let login = |address: &str| {
            let login = LoginSummary { address: Some(address.into()), ..LoginSummary::default() };
            Summary { of_kind: KindSummary::Login(login), ..agent_session() }
        };
        for (network, address, expected) in [
            ("10.20.0.0/16", "10.20.3.4", true),
            ("10.20.0.0/16", "10.21.3.4", false),
            ("10.20.0.0/16", "::ffff:10.20.3.4", true),
            ("2001:db8::/32", "2001:db8::7", true),
            ("0.0.0.0/0", "unknown", false),
        ] {
            let test = ValueTest::Network(Network::parse(network).unwrap());
            let filter = Filter::HasMatching(ValueField::Address, test);
            assert_eq!(filter.matches(&login(address), NOW), expected, "{network} {address}");
        }
    }

    #[test]
    fn lengths_of_time_follow_the_clock() {
        use crate::session::DeviceState;
        let waiting = Summary {
            state: SessionState::Device(DeviceState::Queued),
            ended: None,
            expires: Some(Micros(NOW.0 + 10)),
            of_kind: KindSummary::Device(crate::session::DeviceSummary::default()),
            ..agent_session()
        };
        let spans = |after: i64| {
            SpanField::ALL.map(|field| waiting.span(field, Micros(NOW.0 + after)).map(|span| span.0))
        };
        assert_eq!(spans(4), [Some(4), Some(4), Some(6)]);
        assert_eq!(spans(10), [Some(10), Some(10), None]);
        // The clock of another server may be behind.
        assert_eq!(spans(-4), [Some(0), Some(0), Some(14)]);
    }

    #[test]
    fn scopes() {
        let [one, two, gone] = [1, 2, 3].map(|number| OrganizationId(Uuid::from_u128(number)));
        let every = |deleted| ListScope::Account { organizations: None, deleted };
        let some = ListScope::Account { organizations: Some([one, gone].into()), deleted: false };
        for (scope, expected) in [
            (ListScope::Organization(one), [true, false, false]),
            // A member of a deleted organization has no grant in it; the scope itself does not look.
            (ListScope::Organization(gone), [false, false, true]),
            (every(false), [true, true, false]),
            (every(true), [true, true, true]),
            (some, [true, false, false]),
        ] {
            let found = [one, two, gone].map(|id| scope.includes(id, |id| id == gone));
            assert_eq!(found, expected, "{scope:?}");
        }
    }
}
