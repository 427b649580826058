//! Tells whether anything was committed, by any process, within a microsecond or two.
//!
//! It reads on the thread that asks. That is a look at the shared memory of the write-ahead log, and only after a commit
//! one at a page: shorter than handing the question to another thread.

use super::file::open_probe;
use super::reader::query;
use super::writer::data_version;
use super::{shutdown_error, to_database_error};
use crate::database::{DatabaseError, Rows, Statement};
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A connection of its own, because `data_version` compares only what one connection has seen.
pub(super) struct CommitProbe {
    /// `None` once closed. The lock is never held across an await.
    connection: Mutex<Option<Connection>>,
}

impl CommitProbe {
    pub(super) fn open(path: &Path) -> Result<CommitProbe, DatabaseError> {
        Ok(CommitProbe { connection: Mutex::new(Some(open_probe(path)?)) })
    }

    /// The version of the data, and the rows of a statement unless the version is `known`.
    ///
    /// The version is read first. So rows may have more than it says, and the next call then returns them again.
    pub(super) fn read_unless_known(
        &self,
        known: Option<i64>,
        statement: impl FnOnce() -> Statement,
    ) -> Result<(i64, Option<Rows>), DatabaseError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = connection.as_ref().ok_or_else(shutdown_error)?;
        let version = data_version(connection)?;
        if known == Some(version) {
            return Ok((version, None));
        }
        let statement = statement();
        Ok((version, Some(query(connection, statement.sql, &statement.values)?)))
    }

    pub(super) fn close(&self) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err((_, error))) = connection.map(Connection::close) {
            tracing::warn!(error = to_database_error(&error).to_string(), "a connection was not closed");
        }
    }
}
