//! Whether access has changed since a caller was read, so that a server may remember callers.
//!
//! Triggers write whose access a commit has changed into `access_changes`, whichever program commits it. A watch looks
//! there at every use of a credential, unless nothing was committed at all: SQLite says so within a microsecond, and
//! PostgreSQL in a [`Look`], which all share that wait for one.

use super::System;
use super::lane::Scan;
use crate::database::{Database, DatabaseError, Rows};
use crate::looks::{Follower, Look, Snapshot};
use crate::rows::{any_rows, batch, values};
use crate::{Result, Store};
use domain::ids::PrincipalId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// More changes than a look reads one by one. Then everybody counts as changed.
const CHANGES: usize = 1_000;
/// Number of groups of principals. A change of one principal counts for the whole group, so that the memory is bounded.
const GROUPS: usize = 4_096;

/// The rows of SQLite from a number on, newest first. The row with the number itself shows that none was pruned.
pub(crate) const SQLITE: &str =
    "SELECT sequence, principal FROM access_changes WHERE sequence >= $1 ORDER BY sequence DESC LIMIT 1001";

/// The moment, whether rows were pruned that the snapshot `$1` may not see, and the rows that it does not see.
///
/// No transaction is as high as the end of the present snapshot, except in a dump from another cluster.
pub(crate) const POSTGRES: &str = "
    SELECT CAST(pg_current_snapshot() AS TEXT),
           p.tx >= pg_snapshot_xmin(CAST(CAST($1 AS TEXT) AS pg_snapshot))
               AND p.tx < pg_snapshot_xmax(pg_current_snapshot()),
           c.principal
    FROM access_pruned p LEFT JOIN (
        SELECT principal FROM access_changes
        WHERE tx >= pg_snapshot_xmax(CAST(CAST($1 AS TEXT) AS pg_snapshot))
          AND tx < pg_snapshot_xmax(pg_current_snapshot())
        UNION ALL
        SELECT principal FROM access_changes
        WHERE tx = ANY (ARRAY(SELECT pg_snapshot_xip(CAST(CAST($1 AS TEXT) AS pg_snapshot))))
        LIMIT 1001
    ) c ON TRUE";

/// The newest rows stay, and all of transactions that an open one may have seen begin.
const FULL: &str = "
    SELECT 1 FROM access_changes WHERE tx < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY tx DESC OFFSET 10000 LIMIT 1";
const PRUNE: [&str; 2] = [
    "UPDATE access_pruned SET tx = GREATEST(
         CASE WHEN tx < pg_snapshot_xmax(pg_current_snapshot()) THEN tx ELSE CAST('0' AS xid8) END,
         COALESCE((SELECT c.tx FROM access_changes c WHERE c.tx < pg_snapshot_xmin(pg_current_snapshot())
                   ORDER BY c.tx DESC OFFSET 10000 LIMIT 1), CAST('0' AS xid8)))",
    "DELETE FROM access_changes WHERE tx <= (SELECT tx FROM access_pruned)",
];

/// The triggers say by this principal, who does not exist, that names of people or organizations have changed.
const NAMES: PrincipalId = PrincipalId(uuid::Uuid::from_u128(0xffff));

/// A moment until which a watch knows all changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessMoment(u64);

/// Watches whose access changes.
pub struct AccessWatch {
    store: Store,
    known: KnownChanges,
    changed: ChangedPeople,
}

/// How far the changes are known. Who looks holds a lock, so that changes are recorded in the order of looks.
enum KnownChanges {
    /// The version of the data, and the newest row. This lock is never held across an await.
    Sqlite(Mutex<Option<(i64, i64)>>),
    Postgres(Follower),
}

/// Whose access a look has found changed.
enum AccessChanges {
    Of(Vec<PrincipalId>),
    Everybody,
}

impl AccessWatch {
    /// A watch that knows of no change yet.
    pub fn new(store: Store) -> AccessWatch {
        let known = match store.database {
            Database::Sqlite(_) => KnownChanges::Sqlite(Mutex::default()),
            Database::Postgres(_) => KnownChanges::Postgres(Follower::default()),
        };
        AccessWatch { store, known, changed: ChangedPeople::default() }
    }

    /// Waits until every change is known that was committed before a look. What is read after this is not older than the
    /// moment. `None` when an SQLite database does not say at once whether anything has changed.
    ///
    /// # Errors
    /// [`crate::Error::Database`] when PostgreSQL does not answer.
    pub async fn catch_up(&self, look: &Look) -> Result<Option<AccessMoment>> {
        match &self.known {
            KnownChanges::Sqlite(known) => Ok(self.look_at_sqlite(known)),
            KnownChanges::Postgres(follower) => {
                follower.catch_up(look, |since| self.read_changes_since(since)).await?;
                Ok(Some(self.changed.moment()))
            }
        }
    }

    /// Whether a principal's access may have changed after a moment.
    pub fn has_changed(&self, principal: PrincipalId, since: AccessMoment) -> bool {
        since.0 < self.changed.last_change(principal)
    }

    /// A number that grows when names of people or organizations have changed, as far as is known.
    pub fn names_version(&self) -> u64 {
        self.changed.last_change(NAMES)
    }

    fn look_at_sqlite(&self, known: &Mutex<Option<(i64, i64)>>) -> Option<AccessMoment> {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let look = || {
            let since = known.map_or(-1, |(_, newest)| newest);
            let version = known.map(|(version, _)| version);
            let statement = || any_rows(SQLITE, values![since]);
            let (version, rows) = self.store.database.read_unless_known(version, statement)?;
            rows.map(|rows| Ok((version, read_sqlite(rows, since)?))).transpose()
        };
        match look() {
            Ok(None) => {}
            Ok(Some((version, (newest, changes)))) => {
                self.changed.record(&changes);
                *known = Some((version, newest));
            }
            Err::<_, DatabaseError>(error) => {
                tracing::debug!(error = error.to_string(), "callers are read again: no look at changes");
                return None;
            }
        }
        Some(self.changed.moment())
    }

    async fn read_changes_since(&self, mut snapshot: Snapshot) -> Result<Snapshot> {
        let rows = self.store.database.read(POSTGRES, values![snapshot.as_str()]).await?;
        let mut is_pruned = false;
        let changed = rows.read_all(|columns| {
            snapshot = Snapshot::new(columns.text()?);
            is_pruned = columns.flag()?;
            Ok(columns.maybe_id()?.map(PrincipalId))
        })?;
        self.changed.record(&AccessChanges::new(changed.into_iter().flatten().collect(), is_pruned));
        Ok(snapshot)
    }
}

impl AccessChanges {
    fn new(people: Vec<PrincipalId>, is_pruned: bool) -> AccessChanges {
        let everybody = is_pruned || people.len() > CHANGES || people.iter().any(|one| one.0.is_nil());
        if everybody { AccessChanges::Everybody } else { AccessChanges::Of(people) }
    }
}

/// The newest row, and whose access has changed since a row. Without that row, others may have been pruned after it.
fn read_sqlite(rows: Rows, since: i64) -> Result<(i64, AccessChanges), DatabaseError> {
    let mut rows = rows.read_all(|columns| Ok((columns.int()?, PrincipalId(columns.id()?))))?;
    let newest = rows.first().map_or(since, |(sequence, _)| *sequence);
    let is_whole = rows.pop().is_some_and(|(sequence, _)| sequence == since);
    let people = rows.into_iter().map(|(_, principal)| principal).collect();
    Ok((newest, AccessChanges::new(people, !is_whole)))
}

/// When the access of each group of principals changed last, in numbers that grow with each look that finds a change.
struct ChangedPeople {
    now: AtomicU64,
    everybody: AtomicU64,
    groups: Box<[AtomicU64]>,
}

impl Default for ChangedPeople {
    fn default() -> ChangedPeople {
        let groups = (0..GROUPS).map(|_| AtomicU64::new(0)).collect();
        ChangedPeople { now: AtomicU64::new(0), everybody: AtomicU64::new(0), groups }
    }
}

impl ChangedPeople {
    fn moment(&self) -> AccessMoment {
        AccessMoment(self.now.load(Ordering::SeqCst))
    }

    /// Records changes. Only one look at a time does.
    fn record(&self, changes: &AccessChanges) {
        let next = self.now.load(Ordering::SeqCst) + 1;
        match changes {
            AccessChanges::Of(people) if people.is_empty() => return,
            AccessChanges::Of(people) => {
                people.iter().for_each(|one| self.group(*one).store(next, Ordering::SeqCst));
            }
            AccessChanges::Everybody => self.everybody.store(next, Ordering::SeqCst),
        }
        // Last: a caller that is read after this moment has the changes.
        self.now.store(next, Ordering::SeqCst);
    }

    fn last_change(&self, principal: PrincipalId) -> u64 {
        let group = self.group(principal).load(Ordering::SeqCst);
        group.max(self.everybody.load(Ordering::SeqCst))
    }

    /// By the end of the id, which is random.
    fn group(&self, principal: PrincipalId) -> &AtomicU64 {
        let [.., high, low] = *principal.0.as_bytes();
        &self.groups[usize::from(u16::from_be_bytes([high, low])) % GROUPS]
    }
}

impl Store {
    /// Deletes old rows about changed access from a PostgreSQL database. SQLite does so itself.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn prune_access_changes(&self, system: &System) -> Result<()> {
        if matches!(self.database, Database::Sqlite(_)) {
            return Ok(());
        }
        if self.read_unscoped(system, Scan(FULL), values![]).await?.is_empty() {
            return Ok(());
        }
        let statements = PRUNE.map(|sql| any_rows(sql, values![])).to_vec();
        Ok(self.database.apply(batch([], statements)).await?)
    }
}
