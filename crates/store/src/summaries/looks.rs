//! Looks at a PostgreSQL database: what has been committed since the last look, by any server.
//!
//! Each entry of the change feed has the number of its transaction. A look asks for the entries of all transactions that
//! the snapshot of the last look did not see. So it misses nothing that began before the last look and was committed
//! after it, and an entry comes once. A look without changes is one statement.

use super::committed::{CommittedChanges, Subjects};
use crate::access::System;
use crate::feed::read_subject;
use crate::rows::values;
use crate::{Result, Store};
use domain::ids::OrganizationId;

/// The moment of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// PostgreSQL's snapshot: the transactions that it sees.
    snapshot: String,
}

/// The present moment.
pub(crate) const NOW: &str = "SELECT CAST(pg_current_snapshot() AS TEXT)";

/// The moment, whether entries were pruned that the snapshot `$1` does not see, and the entries that it does not see.
///
/// No transaction of an entry is as high as the end of the present snapshot, except in a dump from another cluster.
pub(crate) const SINCE: &str = "
    SELECT CAST(pg_current_snapshot() AS TEXT),
           EXISTS (SELECT 1 FROM unnest(p.txs) t (tx)
                   WHERE NOT pg_visible_in_snapshot(t.tx, CAST(CAST($1 AS TEXT) AS pg_snapshot))
                     AND t.tx < pg_snapshot_xmax(pg_current_snapshot())),
           f.organization, f.kind, f.session_us, f.session_tail
    FROM pruned_changes p LEFT JOIN (
        SELECT organization, kind, session_us, session_tail FROM changes
        WHERE tx >= pg_snapshot_xmax(CAST(CAST($1 AS TEXT) AS pg_snapshot))
          AND tx < pg_snapshot_xmax(pg_current_snapshot())
        UNION ALL
        SELECT organization, kind, session_us, session_tail FROM changes
        WHERE tx = ANY (ARRAY(SELECT pg_snapshot_xip(CAST(CAST($1 AS TEXT) AS pg_snapshot))))
    ) f ON TRUE";

impl Store {
    /// The first look at a PostgreSQL database. Sessions that are loaded after it, with the changes that later looks
    /// find, are all there are.
    ///
    /// # Errors
    /// [`crate::Error::Database`], also for an SQLite database: see [`Store::observe_commits`].
    pub async fn begin_looks(&self, system: &System) -> Result<Look> {
        let rows = self.read_unscoped(system, NOW, values![]).await?;
        Ok(rows.read_one(|columns| Ok(Look { snapshot: columns.text()? }))?)
    }

    /// What has been committed since a look at a PostgreSQL database, and the look at this moment. Without changes
    /// (`None`), entries of the change feed were pruned before this server saw them: all sessions must be loaded again.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn look_for_changes(
        &self,
        system: &System,
        since: &Look,
    ) -> Result<(Look, Option<CommittedChanges>)> {
        let rows = self.read_unscoped(system, SINCE, values![since.snapshot.as_str()]).await?;
        let (mut look, mut is_pruned) = (since.clone(), false);
        let mut subjects = Subjects::default();
        rows.read_all(|columns| {
            look.snapshot = columns.text()?;
            is_pruned = columns.flag()?;
            match columns.maybe_id()?.map(OrganizationId) {
                Some(organization) => subjects.add(organization, read_subject(organization, columns)?),
                None => columns.skip_rest(),
            }
            Ok(())
        })?;
        if is_pruned {
            return Ok((look, None));
        }
        // In a later snapshot. What it sees besides comes with the next look again.
        let summaries = self.load_summaries(system, subjects.keys()).await?;
        Ok((look, Some(subjects.into_changes(summaries))))
    }
}
