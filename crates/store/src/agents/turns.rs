//! Turns that wait for a worker, and leases that expired.

use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{ConnectWorkers, Granted, System, ViewSessions};
use crate::database::DatabaseError;
use crate::devices::sessions::read_session_id;
use crate::rows::{any_rows, batch, values};
use crate::{Result, Store};
use domain::ids::{OrganizationId, SessionId};
use domain::session::{SessionKey, SessionKind};
use domain::time::Micros;

/// Whether the agent of a session is in a list: a text with one name per line, or an empty text for all. No name has
/// a line break. Unlike LIKE, REPLACE takes a name literally in both databases.
macro_rules! is_among {
    ($names:literal) => {
        concat!(
            "(",
            $names,
            " = '' OR REPLACE(",
            $names,
            ", '\n' || s.agent_name || '\n', '') <> ",
            $names,
            ")"
        )
    };
}

/// The next organization with a waiting turn.
macro_rules! next_after {
    ($organization:literal) => {
        concat!(
            "SELECT s.organization FROM agent_sessions s
             WHERE s.work = 'waiting' AND s.organization > ",
            $organization,
            " ORDER BY s.organization, s.work_us, s.created_us LIMIT 1"
        )
    };
}

#[cfg(test)]
pub(crate) const NEXT: &str = next_after!("$1");

/// The organizations with waiting turns, least recently served first. The index leads from one to the next, so
/// organizations without waiting turns and long queues cost nothing.
pub(crate) const ORGANIZATIONS: &str = concat!(
    "WITH RECURSIVE waiting (organization) AS (
         SELECT organization FROM
             (SELECT organization FROM agent_sessions WHERE work = 'waiting'
              ORDER BY organization, work_us, created_us LIMIT 1) first
         UNION ALL
         SELECT (",
    next_after!("w.organization"),
    ") FROM waiting w WHERE w.organization IS NOT NULL)
     SELECT w.organization FROM waiting w
     WHERE (SELECT o.created_us FROM organizations o WHERE o.id = w.organization AND o.deleted_us IS NULL) IS NOT NULL
       AND (SELECT s.created_us FROM agent_sessions s
            WHERE s.organization = w.organization AND s.work = 'waiting' AND ",
    is_among!("$1"),
    " ORDER BY s.organization, s.work_us, s.created_us LIMIT 1) IS NOT NULL
     ORDER BY (SELECT d.number FROM served d WHERE d.organization = w.organization), w.organization LIMIT $2"
);

/// The sessions of an organization with waiting turns, longest waiting first.
pub(crate) const WAITING: &str = concat!(
    "SELECT s.created_us, s.tail FROM agent_sessions s WHERE s.organization = $1 AND s.work = 'waiting' AND ",
    is_among!("$2"),
    " ORDER BY s.organization, s.work_us, s.created_us LIMIT $3"
);

pub(crate) const EXPIRED: &str = "
    SELECT organization, created_us, tail, fence FROM agent_sessions
    WHERE work = 'taken' AND lease_us <= $1 ORDER BY lease_us LIMIT $2";

impl Store {
    /// Sessions that a worker may try to claim, best first: the oldest of each organization, least recently served
    /// organization first, then the second of each, and so on. `agents` limits them to some agents. Nothing is
    /// reserved: the claim is decided on the session as it is loaded.
    pub async fn list_claim_candidates(
        &self,
        system: &System,
        organization: Option<OrganizationId>,
        agents: Option<&[String]>,
        limit: u32,
    ) -> Result<Vec<SessionKey>> {
        let names = match agents {
            Some([]) => return Ok(Vec::new()),
            Some(names) => format!("\n{}\n", names.join("\n")),
            None => String::new(),
        };
        let organizations = match organization {
            Some(organization) => vec![organization],
            None => {
                let rows =
                    self.read_unscoped(system, Scan(ORGANIZATIONS), values![names.as_str(), limit]).await?;
                rows.read_all(|columns| Ok(OrganizationId(columns.id()?)))?
            }
        };
        let mut waiting = Vec::new();
        for organization in organizations {
            waiting.push(self.list_waiting_sessions(system, organization, &names, limit).await?.into_iter());
        }
        let mut candidates = Vec::new();
        let mut before = None;
        while candidates.len() < limit as usize && before != Some(candidates.len()) {
            before = Some(candidates.len());
            candidates.extend(waiting.iter_mut().filter_map(Iterator::next));
        }
        candidates.truncate(limit as usize);
        Ok(candidates)
    }

    async fn list_waiting_sessions(
        &self,
        system: &System,
        organization: OrganizationId,
        names: &str,
        limit: u32,
    ) -> Result<Vec<SessionKey>> {
        let granted = system.grant::<ViewSessions>(organization);
        let rows = self.read(&granted, WAITING, values![names, limit]).await?;
        let ids = rows.read_all(read_session_id)?.into_iter();
        Ok(ids.map(|id| SessionKey { organization, kind: SessionKind::Agent, id }).collect())
    }

    /// Moves an organization behind all others that wait.
    pub async fn record_served_organization(&self, _: &System, organization: OrganizationId) -> Result<()> {
        let sql = "UPDATE served SET number = (SELECT COALESCE(MAX(number), 0) + 1 FROM served)
                   WHERE organization = $1";
        Ok(self.database.apply(batch([], vec![any_rows(sql, values![organization])])).await?)
    }

    /// Extends the lease of a turn. It does not change the revision. Returns whether the worker still has the turn.
    pub async fn renew_lease(
        &self,
        granted: &Granted<ConnectWorkers>,
        id: SessionId,
        fence: i64,
        until: Micros,
    ) -> Result<bool> {
        let sql = "UPDATE agent_sessions SET lease_us = CASE WHEN lease_us > $5 THEN lease_us ELSE $5 END
                   WHERE organization = $1 AND created_us = $2 AND tail = $3 AND work = 'taken' AND fence = $4";
        let renew = granted.one_row(sql, values![id.creation_time(), id.tail() as i64, fence, until]);
        match self.database.apply(batch([], vec![renew])).await {
            Ok(()) => Ok(true),
            Err(DatabaseError::Unmet { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Turns with expired leases, and their fencing numbers.
    pub async fn list_expired_leases(
        &self,
        system: &System,
        now: Micros,
        limit: u32,
    ) -> Result<Vec<(SessionKey, i64)>> {
        let rows = self.read_unscoped(system, Scan(EXPIRED), values![now, limit]).await?;
        Ok(rows.read_all(|columns| {
            let organization = OrganizationId(columns.id()?);
            let key = SessionKey { organization, kind: SessionKind::Agent, id: read_session_id(columns)? };
            Ok((key, columns.int()?))
        })?)
    }
}
