//! Which sessions of a PostgreSQL database have changed since a snapshot, whichever server changed them.
//!
//! Each entry of the change feed has the number of its transaction. The entries of all transactions that the snapshot
//! did not see are read. So nothing is missed that began before the snapshot and was committed after it, and an entry
//! comes once.

use super::committed::{CommittedChanges, Subjects};
use crate::access::System;
use crate::feed::read_subject;
use crate::looks::Snapshot;
use crate::rows::values;
use crate::{Result, Store};
use domain::ids::OrganizationId;

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
    /// What has been committed to a PostgreSQL database since a snapshot, and the present snapshot. Without changes
    /// (`None`), entries of the change feed were pruned before this server saw them: all sessions must be loaded again.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn load_changes_since(
        &self,
        system: &System,
        since: &Snapshot,
    ) -> Result<(Snapshot, Option<CommittedChanges>)> {
        let rows = self.read_unscoped(system, SINCE, values![since.as_str()]).await?;
        let (mut snapshot, mut is_pruned) = (since.clone(), false);
        let mut subjects = Subjects::default();
        rows.read_all(|columns| {
            snapshot = Snapshot::new(columns.text()?);
            is_pruned = columns.flag()?;
            match columns.maybe_id()?.map(OrganizationId) {
                Some(organization) => subjects.add(organization, read_subject(organization, columns)?),
                None => columns.skip_rest(),
            }
            Ok(())
        })?;
        if is_pruned {
            return Ok((snapshot, None));
        }
        // In a later snapshot. What it sees besides comes again the next time.
        let summaries = self.load_summaries(system, subjects.keys()).await?;
        Ok((snapshot, Some(subjects.into_changes(summaries))))
    }
}
