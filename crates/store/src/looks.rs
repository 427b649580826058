//! Looks at the database: whether anything was committed, by any process.
//!
//! On SQLite the writer tells its follower of every commit, and a look makes sure that it has. On PostgreSQL a look reads
//! the snapshot, which changes with every commit. That is a small statement, and all who wait for a look share one. Only
//! when the snapshot has changed does a [`Follower`] read what it wants to know.

use crate::access::System;
use crate::database::{Database, DatabaseError};
use crate::rows::values;
use crate::{Error, Result, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// The present snapshot.
const NOW: &str = "SELECT CAST(pg_current_snapshot() AS TEXT)";

/// The transactions that a moment sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(Arc<str>);

impl Snapshot {
    pub(crate) fn new(text: String) -> Snapshot {
        Snapshot(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A look at the database. On SQLite there is no more to know of it than that it is over.
#[derive(Debug, Clone)]
pub struct Look(Option<NumberedSnapshot>);

/// Looks are numbered as they begin.
#[derive(Debug, Clone)]
struct NumberedSnapshot {
    number: u64,
    snapshot: Snapshot,
}

/// The looks of one server.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// The number of looks that have begun.
    begun: AtomicU64,
    last: Mutex<LastRead>,
}

/// Somebody who has to know what was committed since their first look.
#[derive(Debug, Default)]
pub struct Follower(Mutex<LastRead>);

/// What was read last.
#[derive(Debug, Default)]
struct LastRead {
    /// What it saw; `None` before the first.
    snapshot: Option<Snapshot>,
    /// The number of the look that it was for.
    number: u64,
    /// Why it failed.
    error: Option<DatabaseError>,
}

impl Store {
    /// Waits for a look that begins after this call.
    ///
    /// # Errors
    /// [`crate::Error::Database`] when the database does not answer.
    pub async fn look(&self, system: &System) -> Result<Look> {
        if matches!(self.database, Database::Sqlite(_)) {
            self.database.wait_until_followed().await?;
            return Ok(Look(None));
        }
        let needed = self.looks.begun.load(Ordering::SeqCst) + 1;
        let mut last = self.looks.last.lock().await;
        if last.number < needed {
            let number = self.looks.begun.fetch_add(1, Ordering::SeqCst) + 1;
            // Until it has ended, cancelling it changes nothing.
            let rows = self.read_unscoped(system, NOW, values![]).await;
            let snapshot = rows.and_then(|rows| Ok(rows.read_one(|columns| columns.text())?));
            last.record(number, snapshot.map(Snapshot::new))?;
        }
        let snapshot = last.result()?;
        Ok(Look(snapshot.map(|snapshot| NumberedSnapshot { number: last.number, snapshot })))
    }
}

impl Look {
    /// What it saw; `None` on SQLite.
    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.0.as_ref().map(|numbered| &numbered.snapshot)
    }
}

impl Follower {
    /// Makes sure that everything is known which was committed between the first look and this one. `read` reads what was
    /// committed since a snapshot, and returns the snapshot in which it did; those that wait meanwhile share it.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn catch_up<F>(&self, look: &Look, read: impl FnOnce(Snapshot) -> F) -> Result<()>
    where
        F: Future<Output = Result<Snapshot>>,
    {
        let Look(Some(look)) = look else { return Ok(()) };
        let mut last = self.0.lock().await;
        if last.number < look.number {
            let outcome = match &last.snapshot {
                Some(known) if *known != look.snapshot => read(known.clone()).await,
                _ => Ok(look.snapshot.clone()),
            };
            last.record(look.number, outcome)?;
        }
        last.result().map(drop)
    }
}

impl LastRead {
    fn record(&mut self, number: u64, outcome: Result<Snapshot>) -> Result<()> {
        self.number = number;
        match outcome {
            Ok(snapshot) => (self.snapshot, self.error) = (Some(snapshot), None),
            Err(error) => {
                self.error = Some(match &error {
                    Error::Database(error) => repeat_error(error),
                    other => DatabaseError::Failed(other.to_string()),
                });
                return Err(error);
            }
        }
        Ok(())
    }

    fn result(&self) -> Result<Option<Snapshot>> {
        match &self.error {
            Some(error) => Err(repeat_error(error).into()),
            None => Ok(self.snapshot.clone()),
        }
    }
}

/// The same error for everyone who shares a look.
fn repeat_error(error: &DatabaseError) -> DatabaseError {
    match error {
        DatabaseError::Slow { seconds } => DatabaseError::Slow { seconds: *seconds },
        DatabaseError::Crowded { own } => DatabaseError::Crowded { own: *own },
        DatabaseError::Away(text) => DatabaseError::Away(text.clone()),
        DatabaseError::Damaged(text) => DatabaseError::Damaged(text.clone()),
        other => DatabaseError::Failed(other.to_string()),
    }
}
