//! What the sweep must end: idle holds, expired requests, empty sessions and lost hosts.

use crate::access::System;
use crate::access::lane::Scan;
use crate::database::{Columns, DatabaseError, Topic};
use crate::devices::sessions::read_device_key;
use crate::rows::{any_rows, batch, values};
use crate::{Result, Store};
use domain::ids::{HoldId, HostId, OrganizationId};
use domain::session::SessionKey;
use domain::time::Micros;

/// A hold or request to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueHold {
    /// Its session.
    pub session: SessionKey,
    /// The hold.
    pub hold: HoldId,
    /// When the last command came, or the request.
    pub last: Micros,
}

/// The work of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepWork {
    /// Holds without a command for too long.
    pub idle: Vec<DueHold>,
    /// Requests that were not served in time.
    pub expired: Vec<DueHold>,
    /// Sessions without a hold for too long, and since when.
    pub empty: Vec<(SessionKey, Micros)>,
    /// Sessions whose owner may no longer act.
    pub ownerless: Vec<SessionKey>,
    /// Sessions of deleted organizations.
    pub orphaned: Vec<SessionKey>,
}

/// A host that is no longer connected to any server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostHost {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// The holds of its devices.
    pub holds: Vec<DueHold>,
}

const HOLDS: &str = "
    SELECT organization, session_us, session_tail, id, activity_us FROM holds
    WHERE released_us IS NULL AND state = $1 AND activity_us < $2 ORDER BY activity_us LIMIT 1000";

const EMPTY: &str = "
    SELECT organization, created_us, tail, activity_us FROM sessions s
    WHERE kind = 'device' AND ended_us IS NULL AND activity_us < $1
      AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.organization = s.organization AND h.session_us = s.created_us
                      AND h.released_us IS NULL)
    ORDER BY activity_us LIMIT 1000";

const OWNERLESS: &str = "
    SELECT s.organization, s.created_us, s.tail FROM sessions s JOIN principals p ON p.id = s.principal
    WHERE s.kind = 'device' AND s.ended_us IS NULL AND (p.state <> 'active'
      OR (p.account_role IS NULL AND NOT EXISTS
          (SELECT 1 FROM members m WHERE m.organization = s.organization AND m.principal = s.principal)))
    LIMIT 1000";

const ORPHANED: &str = "
    SELECT s.organization, s.created_us, s.tail FROM sessions s JOIN organizations o ON o.id = s.organization
    WHERE s.kind = 'device' AND s.ended_us IS NULL AND o.deleted_us IS NOT NULL LIMIT 1000";

impl Store {
    /// The work of a sweep. Holds are idle, requests expired and sessions empty since before these times.
    pub async fn list_due(
        &self,
        system: &System,
        idle: Micros,
        expired: Micros,
        empty: Micros,
    ) -> Result<SweepWork> {
        let idle = self.read_unscoped(system, Scan(HOLDS), values!["in_use", idle]).await?;
        let expired = self.read_unscoped(system, Scan(HOLDS), values!["pending", expired]).await?;
        let empty = self.read_unscoped(system, Scan(EMPTY), values![empty]).await?;
        let ownerless = self.read_unscoped(system, Scan(OWNERLESS), values![]).await?;
        let orphaned = self.read_unscoped(system, Scan(ORPHANED), values![]).await?;
        Ok(SweepWork {
            idle: idle.read_all(read_due_hold)?,
            expired: expired.read_all(read_due_hold)?,
            empty: empty.read_all(|columns| Ok((read_device_key(columns)?, columns.time()?)))?,
            ownerless: ownerless.read_all(read_device_key)?,
            orphaned: orphaned.read_all(read_device_key)?,
        })
    }

    /// Hosts that have not been connected to any server since `cutoff`, with the holds of their devices. Only hosts
    /// with a device that is online or held are included.
    pub async fn list_lost_hosts(&self, system: &System, cutoff: Micros) -> Result<Vec<LostHost>> {
        let sql = "SELECT h.id, h.name FROM hosts h
                   WHERE NOT EXISTS (SELECT 1 FROM links l WHERE l.host = h.id AND l.seen_us >= $1)
                     AND EXISTS (SELECT 1 FROM devices d WHERE d.host = h.id AND d.seen_us < $1
                                 AND (d.online = 1 OR d.holder_hold IS NOT NULL))";
        let holds_sql = "SELECT h.organization, h.session_us, h.session_tail, h.id, h.activity_us
                    FROM devices d JOIN holds h ON h.organization = d.holder_organization
                         AND h.session_us = d.holder_session_us AND h.id = d.holder_hold
                    WHERE d.host = $1";
        let mut hosts = Vec::new();
        let rows = self.read_unscoped(system, Scan(sql), values![cutoff]).await?;
        for (host, name) in rows.read_all(|columns| Ok((HostId(columns.id()?), columns.text()?)))? {
            let holds =
                self.read_unscoped(system, holds_sql, values![host]).await?.read_all(read_due_hold)?;
            hosts.push(LostHost { host, name, holds });
        }
        Ok(hosts)
    }

    /// Marks the devices of a host as offline, so that none is handed over until the host returns.
    pub async fn set_host_offline(&self, _: &System, host: HostId) -> Result<()> {
        let statements = vec![
            any_rows("UPDATE devices SET online = 0 WHERE host = $1", values![host]),
            any_rows("DELETE FROM links WHERE host = $1", values![host]),
        ];
        Ok(self
            .database
            .apply(batch([OrganizationId::ACCOUNT], statements).with_topic(Topic::Devices))
            .await?)
    }
}

fn read_due_hold(columns: &mut Columns) -> Result<DueHold, DatabaseError> {
    Ok(DueHold { session: read_device_key(columns)?, hold: HoldId(columns.id()?), last: columns.time()? })
}
