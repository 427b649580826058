//! Tells whether anything was committed, by any process, within a microsecond.
//!
//! It reads on the thread that asks. That is a look at the head of the index of the write-ahead log, and only after a
//! commit a question to SQLite: shorter than handing the question to another thread.

use super::file::open_probe;
use super::reader::query;
use super::wal::{WalHead, WalIndex};
use super::writer::data_version;
use super::{shutdown_error, to_database_error};
use crate::database::{DatabaseError, Rows, Statement};
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A connection of its own, because `data_version` compares only what one connection has seen.
pub(super) struct CommitProbe {
    /// `None` once closed. The lock is never held across an await.
    state: Mutex<Option<ProbeState>>,
}

struct ProbeState {
    connection: Connection,
    wal: WalIndex,
    /// The head of the log's index when it was last read, and the version of the data that belongs to it.
    known: Option<(WalHead, i64)>,
}

impl CommitProbe {
    pub(super) fn open(path: &Path, wal: WalIndex) -> Result<CommitProbe, DatabaseError> {
        let state = ProbeState { connection: open_probe(path)?, wal, known: None };
        Ok(CommitProbe { state: Mutex::new(Some(state)) })
    }

    /// The version of the data, and the rows of a statement unless the version is `known`.
    ///
    /// The version is read first. So rows may have more than it says, and the next call then returns them again.
    pub(super) fn read_unless_known(
        &self,
        known: Option<i64>,
        statement: impl FnOnce() -> Statement,
    ) -> Result<(i64, Option<Rows>), DatabaseError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.as_mut().ok_or_else(shutdown_error)?;
        let version = state.version()?;
        if known == Some(version) {
            return Ok((version, None));
        }
        let statement = statement();
        Ok((version, Some(query(&state.connection, statement.sql, &statement.values)?)))
    }

    pub(super) fn close(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(state) = state else { return };
        if let Err((_, error)) = state.connection.close() {
            tracing::warn!(error = to_database_error(&error).to_string(), "a connection was not closed");
        }
    }
}

impl ProbeState {
    fn version(&mut self) -> Result<i64, DatabaseError> {
        // Before the version: what is committed in between changes the head again.
        let head = self.wal.read_head();
        if let (Some(head), Some((known, version))) = (head, self.known)
            && head == known
        {
            return Ok(version);
        }
        let version = data_version(&self.connection)?;
        self.known = head.map(|head| (head, version));
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::sqlite::file::open_file;
    use crate::rows::any_rows;
    use crate::testing::empty_sqlite;
    use rusqlite::OpenFlags;

    #[test]
    fn each_commit_of_another_connection_is_seen_and_nothing_else() {
        let place = empty_sqlite();
        let path = Path::new(place.url.strip_prefix("sqlite:").unwrap());
        let other = open_file(path, OpenFlags::default()).unwrap();
        other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
        let wal = WalIndex::open(path);
        assert!(wal.read_head().is_some(), "the index was not found");
        let probe = CommitProbe::open(path, wal).unwrap();

        let statement = || any_rows("SELECT x FROM t", Vec::new());
        let mut known = None;
        let mut look = || {
            let (version, rows) = probe.read_unless_known(known, statement).unwrap();
            known = Some(version);
            rows.map(|rows| rows.len())
        };
        assert_eq!((look(), look()), (Some(0), None));
        let writes = [
            "INSERT INTO t VALUES (1)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "INSERT INTO t VALUES (2)",
            "BEGIN; INSERT INTO t VALUES (3); ROLLBACK",
            "VACUUM",
            "PRAGMA wal_checkpoint(RESTART)",
            "INSERT INTO t VALUES (3)",
        ];
        let mut rows = 0;
        for write in writes {
            other.execute_batch(write).unwrap();
            let is_commit = write.starts_with("INSERT");
            rows += usize::from(is_commit);
            let found = look();
            assert!(found == Some(rows) || (!is_commit && found.is_none()), "{write}: {found:?}");
            assert_eq!(look(), None, "{write}");
        }
        probe.close();
    }
}
