//! What names and words in a filter stand for: people, organizations, agents, and sessions by their texts.

use crate::access::System;
use crate::access::lane::Scan;
use crate::access::visible::VisibleSessions;
use crate::database::Value;
use crate::rows::{LoadedSessions, contains_pattern, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::agent::AgentSession;
use domain::ids::{OrganizationId, SessionId};
use std::collections::BTreeSet;
use uuid::Uuid;

/// How a name is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// It is this text.
    Exact(String),
    /// It begins with this text.
    Prefix(String),
    /// It contains this text, in any case.
    Contains(String),
}

/// The most ids that a name or word may stand for.
const MOST: usize = 10_000;

/// The names of `$1`: equal to, beginning with, or containing it, as `$2` says.
macro_rules! fits {
    ($name:literal) => {
        concat!(
            "CASE $2 WHEN 'exact' THEN ",
            $name,
            " = $1 WHEN 'prefix' THEN SUBSTR(",
            $name,
            ", 1, LENGTH($1)) = $1 ELSE LOWER(",
            $name,
            ") LIKE $1 ESCAPE '\\' END"
        )
    };
}

const PRINCIPALS: &str = concat!(
    "SELECT p.id FROM principals p WHERE p.state <> 'deleted' AND (",
    fits!("p.name"),
    " OR ",
    fits!("p.email"),
    ") LIMIT 10001"
);

const ORGANIZATIONS: &str = concat!(
    "SELECT o.id FROM organizations o WHERE o.deleted_us IS NULL AND ",
    fits!("o.name"),
    " LIMIT 10001"
);

const AGENTS: &str = concat!(
    "SELECT a.id, a.organization FROM agents a WHERE a.deleted_us IS NULL AND ",
    fits!("a.name"),
    " LIMIT 10001"
);

impl NamePattern {
    fn values(&self) -> Vec<Value> {
        match self {
            NamePattern::Exact(text) => values![text.as_str(), "exact"],
            NamePattern::Prefix(text) => values![text.as_str(), "prefix"],
            NamePattern::Contains(text) => values![contains_pattern(text), "contains"],
        }
    }
}

impl Store {
    /// The users and service users with a name or an address.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when there are more than 10,000.
    pub async fn find_principal_ids(
        &self,
        _: &VisibleSessions,
        name: &NamePattern,
    ) -> Result<BTreeSet<Uuid>> {
        self.find_ids(PRINCIPALS, name).await
    }

    /// The organizations with a name.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when there are more than 10,000.
    pub async fn find_organization_ids(
        &self,
        visible: &VisibleSessions,
        name: &NamePattern,
    ) -> Result<BTreeSet<Uuid>> {
        let found = self.find_ids(ORGANIZATIONS, name).await?;
        Ok(found.into_iter().filter(|id| visible.includes_organization(OrganizationId(*id))).collect())
    }

    /// The agents of visible organizations with a name.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when there are more than 10,000.
    pub async fn find_agent_ids(
        &self,
        visible: &VisibleSessions,
        name: &NamePattern,
    ) -> Result<BTreeSet<Uuid>> {
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(AGENTS), name.values()).await?;
        let found = rows.read_all(|columns| Ok((columns.id()?, OrganizationId(columns.id()?))))?;
        check_number(found.len())?;
        let visible =
            found.into_iter().filter(|(_, organization)| visible.includes_organization(*organization));
        Ok(visible.map(|(id, _)| id).collect())
    }

    async fn find_ids(&self, sql: &'static str, name: &NamePattern) -> Result<BTreeSet<Uuid>> {
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(sql), name.values()).await?;
        let found = rows.read_all(|columns| columns.id())?;
        check_number(found.len())?;
        Ok(found.into_iter().collect())
    }

    /// The agent sessions of an organization with a text in the title or in a preview, in any case. None of an
    /// organization whose sessions are not visible.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it finds more than [`SearchBounds::found`](crate::SearchBounds::found).
    pub async fn search_visible_sessions(
        &self,
        visible: &VisibleSessions,
        organization: OrganizationId,
        text: &str,
    ) -> Result<BTreeSet<SessionId>> {
        match visible.grant_view(organization) {
            Some(granted) => self.search_agent_sessions(&granted, text).await,
            None => Ok(BTreeSet::new()),
        }
    }

    /// Those of some agent sessions of an organization whose titles are accepted.
    pub async fn filter_by_title(
        &self,
        visible: &VisibleSessions,
        organization: OrganizationId,
        sessions: BTreeSet<SessionId>,
        accepts: impl Fn(&str) -> bool,
    ) -> Result<BTreeSet<SessionId>> {
        let Some(granted) = visible.grant_view(organization) else { return Ok(BTreeSet::new()) };
        let (mut left, mut fitting) = (sessions.into_iter().collect::<Vec<_>>(), BTreeSet::new());
        while !left.is_empty() {
            let some = left.split_off(left.len().saturating_sub(TITLES));
            let LoadedSessions { items, found } = self.load_agent_sessions(&granted, &some).await?;
            // A page of large sessions ends early.
            if let Some(last) = items.last().filter(|_| items.len() < found) {
                left.extend(some.into_iter().filter(|id| *id < last.id));
            }
            let has_title = |session: &AgentSession| session.given.title.as_deref().is_some_and(&accepts);
            fitting.extend(items.into_iter().filter(has_title).map(|session| session.id));
        }
        Ok(fitting)
    }
}

/// How many sessions are read at once for their titles.
const TITLES: usize = 500;

fn check_number(found: usize) -> Result<()> {
    if found > MOST {
        return Err(
            Refusal::invalid("filter", format!("names that at most {MOST} people or things have")).into()
        );
    }
    Ok(())
}
