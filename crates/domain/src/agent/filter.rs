//! Which sessions a list is asked for: one type for both wires.

use super::{AgentSession, State};
use crate::ids::{AgentId, OrganizationId, PrincipalId, SessionId};
use crate::time::Micros;

/// A half-open stretch of time: from (inclusive) until (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// Not before.
    pub from: Option<Micros>,
    /// Before.
    pub until: Option<Micros>,
}

impl Range {
    /// Whether a time lies in it.
    pub fn holds(self, time: Micros) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time < until)
    }

    /// Whether every time does.
    pub fn is_all(self) -> bool {
        self == Range::default()
    }
}

/// Which sessions a list is asked for. Everything that is set must hold; of a list of values any one. A list that
/// is set and empty lets nothing through: a wire that could not read the only id it was given must not answer with
/// everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// Of one of these; for lists over the account.
    pub organizations: Option<Vec<OrganizationId>>,
    /// Also those of deleted organizations; for lists over the account.
    pub include_deleted_organizations: bool,
    /// One of these.
    pub sessions: Option<Vec<SessionId>>,
    /// Of one of these agents.
    pub agents: Option<Vec<AgentId>>,
    /// A part of the title or of a preview, whatever the case of its letters.
    pub search: Option<String>,
    /// With one of these tags.
    pub tags: Option<Vec<String>>,
    /// From one of these.
    pub origins: Option<Vec<String>>,
    /// Of one of these people and machines.
    pub owners: Option<Vec<PrincipalId>>,
    /// Created then.
    pub created: Range,
    /// Last changed then.
    pub updated: Range,
    /// That follow this playbook.
    pub playbook: Option<String>,
    /// That this schedule started.
    pub schedule: Option<String>,
    /// That one of these automations started.
    pub automations: Option<Vec<String>>,
    /// That work in one of these repositories.
    pub repos: Option<Vec<String>>,
    /// That this session started.
    pub parent: Option<SessionId>,
    /// That are about this.
    pub category: Option<String>,
    /// That were put away, or were not.
    pub archived: Option<bool>,
    /// That stand at one of these.
    pub states: Option<Vec<State>>,
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
    /// Whether it lets a session through, apart from whether its organization was deleted, which a session does not
    /// know. The store says the same in SQL; tests compare the two.
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
            && self.created.holds(session.id.created())
            && self.updated.holds(session.updated)
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
