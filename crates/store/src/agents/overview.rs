//! Agents and turns of the visible organizations, for people who look at who is at work.

use crate::access::System;
use crate::access::lane::Scan;
use crate::access::visible::VisibleSessions;
use crate::devices::overview::write_organizations;
use crate::devices::sessions::read_session_id;
use crate::rows::values;
use crate::{Result, Store};
use domain::ids::{AgentId, OrganizationId};
use domain::session::{SessionKey, SessionKind};
use domain::time::Micros;

/// An agent that a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleAgent {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id.
    pub id: AgentId,
    /// The name that workers claim turns for.
    pub name: String,
    /// The name that people see.
    pub display_name: Option<String>,
}

/// PostgreSQL's type `json` reads only the field that is asked for.
const AGENTS: [&str; 2] = [
    "SELECT a.organization, a.id, a.name, a.body ->> '$.display_name' FROM agents a
     WHERE a.deleted_us IS NULL AND a.organization IN (SELECT unhex(k.value) FROM json_each($1) k)
     ORDER BY a.name, a.id",
    "SELECT a.organization, a.id, a.name, CAST(a.body AS json) ->> 'display_name' FROM agents a
     WHERE a.deleted_us IS NULL AND a.organization IN
         (SELECT CAST(k AS UUID) FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) k)
     ORDER BY a.name, a.id",
];

const TAKEN: &str = "SELECT organization, created_us, tail, lease_us FROM agent_sessions WHERE work = 'taken' ORDER BY lease_us";

impl Store {
    /// The agents of the visible organizations, by name.
    pub async fn list_visible_agents(&self, visible: &VisibleSessions) -> Result<Vec<VisibleAgent>> {
        let organizations = self.list_existing_organizations(visible).await?;
        let sql = self.choose_dialect(AGENTS);
        let some = values![write_organizations(organizations.into_iter())];
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(sql), some).await?;
        Ok(rows.read_all(|columns| {
            Ok(VisibleAgent {
                organization: OrganizationId(columns.id()?),
                id: AgentId(columns.id()?),
                name: columns.text()?,
                display_name: columns.maybe_text()?,
            })
        })?)
    }

    /// The visible sessions with a turn that a worker has, and when its lease ends. Only this column is right: a heartbeat does not
    /// change the body.
    pub async fn list_taken_sessions(&self, visible: &VisibleSessions) -> Result<Vec<(SessionKey, Micros)>> {
        let organizations = self.list_existing_organizations(visible).await?;
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(TAKEN), values![]).await?;
        let taken = rows.read_all(|columns| {
            let organization = OrganizationId(columns.id()?);
            let key = SessionKey { organization, kind: SessionKind::Agent, id: read_session_id(columns)? };
            Ok((key, columns.maybe_time()?.unwrap_or_default()))
        })?;
        Ok(taken.into_iter().filter(|(key, _)| organizations.contains(&key.organization)).collect())
    }
}
