//! Summaries of sessions of all kinds, for the index in memory: all of them when a server starts, and those that changed.

pub(crate) mod changes;
mod committed;
mod rows;
pub(crate) mod statements;

pub(crate) use committed::Subjects;
pub use committed::{CommitObserver, CommittedChanges};

use crate::access::System;
use crate::access::lane::Scan;
use crate::blocking::run_by_size;
use crate::database::{Rows, Statement};
use crate::{Result, Store};
use committed::ObservedFeeds;
use domain::session::{SessionKey, SessionKind, Summary};
use rows::{Found, position, read_bodies, read_summaries};
use statements::{SummaryStatements, page_values};
use std::collections::HashMap;
use std::sync::Arc;

/// The largest number of keys that one statement looks up.
const KEYS: usize = 1_000;
/// The largest number of bodies that are read at once.
const BODIES: usize = 64;
/// The kinds of sessions.
const KINDS: [SessionKind; 3] = [SessionKind::Agent, SessionKind::Device, SessionKind::Login];

impl Store {
    /// The summaries of at most `limit` sessions of a kind, of all organizations: those after a session, oldest first.
    /// Sessions with the same id are in the order of their organizations.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn list_summaries(
        &self,
        system: &System,
        kind: SessionKind,
        after: Option<SessionKey>,
        limit: u32,
    ) -> Result<Vec<Summary>> {
        let page = Scan(SummaryStatements::page(kind));
        let rows = self.read_unscoped(system, page, page_values(after, limit)).await?;
        let mut found = self.complete(system, read_rows(kind, rows).await?).await?;
        found.sort_by_key(position);
        Ok(found)
    }

    /// The summaries of these sessions, in the same order; `None` for one that does not exist.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn load_summaries(&self, system: &System, keys: &[SessionKey]) -> Result<Vec<Option<Summary>>> {
        let mut found = HashMap::with_capacity(keys.len());
        for kind in KINDS {
            let of_kind = keys.iter().filter(|key| key.kind == kind).copied().collect::<Vec<_>>();
            for some in of_kind.chunks(KEYS) {
                let Statement { sql, values, .. } = self.summary_statements().look_up(kind, some);
                let rows = self.read_unscoped(system, sql, values).await?;
                let summaries = self.complete(system, read_rows(kind, rows).await?).await?;
                found.extend(summaries.into_iter().map(|summary| (summary.key, summary)));
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// Tells an observer of the commits to this SQLite database, of this process and of others, from now on. Sessions
    /// that are loaded after this, with what the observer is told, are all there are.
    ///
    /// # Errors
    /// [`crate::Error::Database`], also for a PostgreSQL database: see [`Store::load_changes_since`].
    pub async fn observe_commits(&self, system: &System, observer: Arc<dyn CommitObserver>) -> Result<()> {
        let positions = self.load_feed_positions(system).await?;
        Ok(self.database.follow_commits(Box::new(ObservedFeeds::new(observer, positions)))?)
    }

    /// Adds the summaries of sessions whose labels are of another revision.
    async fn complete(&self, system: &System, found: Found) -> Result<Vec<Summary>> {
        let mut summaries = found.summaries;
        for some in found.unlabelled.chunks(BODIES) {
            let Statement { sql, values, .. } = self.summary_statements().bodies(some);
            let rows = self.read_unscoped(system, sql, values).await?;
            summaries.extend(run_by_size(rows.bytes_held(), move || read_bodies(rows)).await??);
        }
        Ok(summaries)
    }

    fn summary_statements(&self) -> SummaryStatements {
        SummaryStatements::new(self.database.kind() == "sqlite")
    }
}

async fn read_rows(kind: SessionKind, rows: Rows) -> Result<Found> {
    Ok(run_by_size(rows.bytes_held(), move || read_summaries(kind, rows)).await??)
}
