//! Checks for `tenure doctor`.

use crate::access::System;
use crate::access::lane::Scan;
use crate::database::Columns;
use crate::logins::signing_keys::{PublicKey, read_public_key};
use crate::rows::values;
use crate::{Error, Result, Store};
use domain::ids::{OrganizationId, PrincipalId};
use domain::time::Micros;

/// Inconsistent rows: the number of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Holds that are not released, although their session has ended or does not exist.
    pub holds: i64,
    /// Devices whose holder was released or does not exist.
    pub devices: i64,
    /// Open login sessions without their row in `logins`, so that nobody can use or end them.
    pub logins: i64,
    /// Open device sessions of organizations that were deleted long enough ago for a sweep to end them.
    pub sessions: i64,
    /// Agent sessions that a search does not see, or sees with another text.
    pub texts: i64,
}

/// A service user with the role admin and a valid key, where hosts or workers connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverprivilegedServiceUser {
    /// Its id.
    pub id: PrincipalId,
    /// Its name.
    pub name: String,
    /// Its home; `None` for the account.
    pub organization: Option<OrganizationId>,
    /// Whether hosts have connected there.
    pub hosts: bool,
    /// Whether workers have claimed turns there.
    pub workers: bool,
}

const POWERFUL: &str = "
    SELECT p.id, p.name, p.default_organization,
        CASE WHEN EXISTS (SELECT 1 FROM hosts h WHERE h.organization = COALESCE(p.default_organization, $2))
            THEN 1 ELSE 0 END,
        CASE WHEN EXISTS (SELECT 1 FROM agent_sessions s WHERE s.state <> 'new'
                AND (p.default_organization IS NULL OR s.organization = p.default_organization))
            THEN 1 ELSE 0 END
    FROM principals p
    LEFT JOIN members m ON m.principal = p.id AND m.organization = p.default_organization
    WHERE p.kind = 'service_user' AND p.state = 'active' AND (p.account_role = 'admin' OR m.role = 'admin')
      AND EXISTS (SELECT 1 FROM credentials c WHERE c.principal = p.id AND c.revoked_us IS NULL
                  AND (c.expires_us IS NULL OR c.expires_us > $1))
    ORDER BY p.number";

const HOLDS: &str = "
    SELECT COUNT(*) FROM holds h WHERE h.released_us IS NULL AND NOT EXISTS
        (SELECT 1 FROM sessions s WHERE s.organization = h.organization AND s.kind = 'device'
            AND s.created_us = h.session_us AND s.ended_us IS NULL)";

const DEVICES: &str = "
    SELECT COUNT(*) FROM devices d WHERE d.holder_hold IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM holds h WHERE h.organization = d.holder_organization AND h.session_us = d.holder_session_us
            AND h.id = d.holder_hold AND h.released_us IS NULL)";

const LOGINS: &str = "
    SELECT COUNT(*) FROM sessions s WHERE s.kind = 'login' AND s.ended_us IS NULL AND NOT EXISTS
        (SELECT 1 FROM logins l WHERE l.created_us = s.created_us)";

const SESSIONS: &str = "
    SELECT COUNT(*) FROM sessions s JOIN organizations o ON o.id = s.organization
    WHERE s.kind = 'device' AND s.ended_us IS NULL AND o.deleted_us < $1";

const TEXTS: &str = "
    SELECT COUNT(*) FROM agent_bodies b WHERE NOT EXISTS
        (SELECT 1 FROM agent_texts t WHERE t.organization = b.organization AND t.created_us = b.created_us
            AND t.search = b.search)";

/// Each uses an index that has the newest row first.
const NEWEST: [&str; 4] = [
    "SELECT MAX(at_us) FROM audit",
    "SELECT created_us FROM agent_sessions ORDER BY created_us DESC LIMIT 1",
    "SELECT created_us FROM sessions WHERE kind = 'device' ORDER BY created_us DESC LIMIT 1",
    "SELECT created_us FROM sessions WHERE kind = 'login' ORDER BY created_us DESC LIMIT 1",
];

/// The number of sessions.
const ALL_SESSIONS: &str = "SELECT (SELECT COUNT(*) FROM agent_sessions) + (SELECT COUNT(*) FROM sessions)";

impl Store {
    /// Service users with the role admin where hosts or workers connect: their keys have more permissions than a host
    /// or a worker needs.
    pub async fn list_overprivileged_service_users(
        &self,
        system: &System,
        now: Micros,
    ) -> Result<Vec<OverprivilegedServiceUser>> {
        let rows = self.read_unscoped(system, Scan(POWERFUL), values![now, OrganizationId::ACCOUNT]).await?;
        let read_row = |columns: &mut Columns| {
            Ok(OverprivilegedServiceUser {
                id: PrincipalId(columns.id()?),
                name: columns.text()?,
                organization: columns.maybe_id()?.map(OrganizationId),
                hosts: columns.flag()?,
                workers: columns.flag()?,
            })
        };
        let accounts = rows.read_all(read_row)?;
        Ok(accounts.into_iter().filter(|one| one.hosts || one.workers).collect())
    }

    /// Counts inconsistent rows. `swept_before` is a time before which a sweep must have run.
    pub async fn count_orphans(&self, system: &System, swept_before: Micros) -> Result<Orphans> {
        let count = async |sql, values| {
            let rows = self.read_unscoped(system, Scan(sql), values).await?;
            Ok::<_, Error>(rows.read_one(Columns::int)?)
        };
        Ok(Orphans {
            holds: count(HOLDS, values![]).await?,
            devices: count(DEVICES, values![]).await?,
            logins: count(LOGINS, values![]).await?,
            sessions: count(SESSIONS, values![swept_before]).await?,
            texts: count(TEXTS, values![]).await?,
        })
    }

    /// The number of sessions of all kinds, of all organizations.
    pub async fn count_sessions_of_all_kinds(&self, system: &System) -> Result<u64> {
        let rows = self.read_unscoped(system, Scan(ALL_SESSIONS), values![]).await?;
        Ok(u64::try_from(rows.read_one(Columns::int)?).unwrap_or(0))
    }

    /// The latest time at which something was created. A clock that is earlier was set back, or the clock at that
    /// time was wrong.
    pub async fn load_newest_time(&self, system: &System) -> Result<Option<Micros>> {
        let mut newest = None;
        for sql in NEWEST {
            let rows = self.read_unscoped(system, Scan(sql), values![]).await?;
            newest = newest.max(rows.read_first(Columns::maybe_int)?.flatten());
        }
        Ok(newest.map(Micros))
    }

    /// The clock of the database; `None` for SQLite, which uses the clock of this machine.
    pub async fn load_database_time(&self, system: &System) -> Result<Option<Micros>> {
        if self.database.kind() == "sqlite" {
            return Ok(None);
        }
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
        let rows = self.read_unscoped(system, sql, values![]).await?;
        Ok(rows.read_first(Columns::int)?.map(Micros))
    }

    /// All public keys that check access tokens.
    pub async fn list_public_keys(&self, system: &System) -> Result<Vec<PublicKey>> {
        let sql = "SELECT id, public, created_us, retires_us FROM signing_keys ORDER BY id";
        Ok(self.read_unscoped(system, Scan(sql), values![]).await?.read_all(read_public_key)?)
    }
}
