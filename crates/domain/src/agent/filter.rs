//! Filters of session lists, for both wires.

use super::{AgentSession, AgentState};
use crate::ids::{AgentId, OrganizationId, PrincipalId, SessionId};
use crate::time::Micros;

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

fn any_of<T: PartialEq>(wanted: &Option<Vec<T>>, value: &T) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.contains(value))
}

fn some_of<T: PartialEq>(wanted: &Option<Vec<T>>, values: &[T]) -> bool {
    wanted.as_ref().is_none_or(|wanted| values.iter().any(|value| wanted.contains(value)))
}

fn exactly<T: PartialEq>(wanted: &Option<T>, value: &Option<T>) -> bool {
    wanted.is_none() || wanted == value
}

impl SessionFilter {
    /// Whether a session matches. It ignores `include_deleted_organizations`, because a session does not know whether its
    /// organization is deleted. The store has the same filter in SQL; tests compare the two.
    pub fn matches(&self, session: &AgentSession) -> bool {
        let given = &session.given;
        let automation =
            |wanted: &Vec<String>| given.automation.as_ref().is_some_and(|is| wanted.contains(is));
        any_of(&self.organizations, &session.organization)
            && any_of(&self.sessions, &session.id)
            && any_of(&self.agents, &given.agent)
            && self.search.as_ref().is_none_or(|part| session.search_text().contains(&part.to_lowercase()))
            && some_of(&self.tags, &given.tags)
            && any_of(&self.origins, &given.origin)
            && any_of(&self.owners, &given.owner)
            && self.created.contains(session.id.creation_time())
            && self.updated.contains(session.updated)
            && exactly(&self.playbook, &given.playbook)
            && exactly(&self.schedule, &given.schedule)
            && self.automations.as_ref().is_none_or(automation)
            && some_of(&self.repos, &given.repos)
            && exactly(&self.parent, &given.parent)
            && exactly(&self.category, &given.category)
            && self.archived.is_none_or(|archived| archived == session.archived.is_some())
            && any_of(&self.states, &session.state)
    }
}
