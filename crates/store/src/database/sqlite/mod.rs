//! The embedded database: one writer thread, several reader threads, one file.
//!
//! Nothing here blocks the asynchronous runtime, and no request uses `spawn_blocking`: that cost a third of the reads
//! in a measurement (design, section 6).

pub(super) mod dump;
mod file;
mod functions;
pub(super) mod lock;
mod probe;
mod reader;
mod wal;
mod writer;

use crate::database::commits::FollowerSlot;
use crate::database::counts::WriteCounts;
use crate::database::damage::Damage;
use crate::database::lanes::{Lane, Lanes, Readers};
use crate::database::signal::Signals;
use crate::database::{Batch, DatabaseError, OpenMode, Rows, Statement, Value};
use probe::CommitProbe;
use reader::SqliteReaders;
use rusqlite::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wal::WalIndex;
use writer::SqliteWriter;

/// Maximum duration of [`Lane::Brief`], waiting included.
const BRIEF: Duration = Duration::from_millis(25);

/// An open SQLite database; clones share it.
#[derive(Clone)]
pub struct Sqlite {
    inner: Arc<SqliteInner>,
}

struct SqliteInner {
    path: PathBuf,
    damage: Damage,
    lanes: Lanes,
    keys: SqliteReaders,
    scans: SqliteReaders,
    probe: CommitProbe,
    writer: SqliteWriter,
    signals: Signals,
}

impl Sqlite {
    pub(super) async fn open(
        path: &Path,
        mode: OpenMode,
        readers: Readers,
        now_us: i64,
    ) -> Result<Self, DatabaseError> {
        let path = path.to_owned();
        // Opening may create, migrate and recover a file, which may take long. It happens once.
        tokio::task::spawn_blocking(move || Self::open_blocking(&path, mode, readers, now_us))
            .await
            .map_err(|error| DatabaseError::Failed(format!("opening the database: {error}")))?
    }

    fn open_blocking(
        path: &Path,
        mode: OpenMode,
        readers: Readers,
        now_us: i64,
    ) -> Result<Self, DatabaseError> {
        let signals = Signals::default();
        let connection = file::open_writer(path, mode, now_us)?;
        let wal = WalIndex::open(path);
        let writer = SqliteWriter::start(connection, wal.clone(), signals.clone())?;
        let (keys, scans) = Readers::split(readers.sqlite);
        let lanes = Lanes::new(&readers, scans);
        let keys = SqliteReaders::start(path, "keys", keys)?;
        let scans = SqliteReaders::start(path, "scans", scans)?;
        let probe = CommitProbe::open(path, wal)?;
        let (path, damage) = (path.to_owned(), Damage::default());
        let inner = SqliteInner { path, damage, lanes, keys, scans, probe, writer, signals };
        Ok(Sqlite { inner: Arc::new(inner) })
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.inner.lanes
    }

    /// Reads all statements in one snapshot.
    pub(super) async fn read(
        &self,
        lane: Lane,
        statements: Vec<Statement>,
    ) -> Result<Vec<Rows>, DatabaseError> {
        match lane {
            Lane::Key => self.inner.keys.read(statements, false).await,
            // A query of the index of trigrams takes few steps, and each may be long.
            Lane::Brief => match timeout(BRIEF, self.inner.keys.read(statements, true)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(DatabaseError::Slow { seconds: 0 }),
            },
            Lane::Scan(_) => self.inner.scans.read(statements, false).await,
        }
    }

    /// The version of the data, and the rows of a statement unless the version is `known`. It reads on this thread.
    pub(super) fn read_unless_known(
        &self,
        known: Option<i64>,
        statement: impl FnOnce() -> Statement,
    ) -> Result<(i64, Option<Rows>), DatabaseError> {
        self.inner.probe.read_unless_known(known, statement)
    }

    /// Waits until the follower was told of every commit before this call, of this process and of others.
    pub(super) async fn wait_until_followed(&self) -> Result<(), DatabaseError> {
        self.inner.writer.wait_until_followed().await
    }

    pub(super) async fn ping(&self) -> Result<(), DatabaseError> {
        self.inner.keys.ping().await
    }

    pub(super) async fn apply(&self, batch: Batch) -> Result<(), DatabaseError> {
        self.inner.writer.apply(batch).await
    }

    pub(super) async fn check(&self) -> Result<(), DatabaseError> {
        let (path, (reply, outcome)) = (self.inner.path.clone(), oneshot::channel());
        std::thread::Builder::new()
            .name("sqlite-check".into())
            .spawn(move || drop(reply.send(file::check(&path))))
            .map_err(|error| DatabaseError::Failed(format!("cannot start a thread: {error}")))?;
        outcome.await.unwrap_or_else(|_| Err(DatabaseError::Failed("the check was not finished".into())))
    }

    pub(super) fn damage(&self) -> &Damage {
        &self.inner.damage
    }

    pub(super) fn write_counts(&self) -> WriteCounts {
        self.inner.writer.write_counts()
    }

    pub(super) fn follower(&self) -> &FollowerSlot {
        self.inner.writer.follower()
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    pub(super) async fn close(&self) {
        // The writer closes last: the last connection moves the write-ahead log into the file, and a reader could
        // not.
        self.inner.keys.close().await;
        self.inner.scans.close().await;
        self.inner.probe.close();
        self.inner.writer.close().await;
        self.inner.signals.close();
    }
}

/// Binds every parameter of a prepared statement by the number in its name.
///
/// SQLite numbers `$1`, `$2`, … by first appearance: in `… $2 … $1` the parameter at position 1 is called `$2`.
///
/// # Errors
/// When the statement does not use exactly `$1` to `$n` for `n` values. PostgreSQL would refuse it too.
pub(super) fn bind(statement: &mut rusqlite::Statement<'_>, values: &[Value]) -> Result<(), DatabaseError> {
    if statement.parameter_count() != values.len() {
        return Err(DatabaseError::Failed(format!(
            "the statement has {} parameters but {} values were given",
            statement.parameter_count(),
            values.len()
        )));
    }
    for position in 1..=values.len() {
        let value = statement
            .parameter_name(position)
            .and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1))
            .and_then(|index| values.get(index))
            .ok_or_else(|| {
                DatabaseError::Failed("parameters must be called $1, $2, … without a gap".into())
            })?;
        if matches!(value, Value::Text(text) if text.contains('\0')) {
            return Err(DatabaseError::Failed("text with the character NUL cannot be stored".into()));
        }
        statement
            .raw_bind_parameter(position, BoundValue(value))
            .map_err(|error| to_database_error(&error))?;
    }
    Ok(())
}

/// A value as SQLite binds it.
pub(crate) struct BoundValue<'a>(pub(crate) &'a Value);

impl rusqlite::ToSql for BoundValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
            Value::Id(value) => ValueRef::Blob(value.as_bytes()),
        }))
    }
}

fn shutdown_error() -> DatabaseError {
    DatabaseError::Failed("the database is closed".into())
}

/// Converts an error of SQLite, for the log. Its texts name tables and columns, never values.
pub(super) fn to_database_error(error: &rusqlite::Error) -> DatabaseError {
    let text = format!("sqlite: {error}");
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DatabaseError::Damaged(text),
        _ => DatabaseError::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_column(sql: &str, values: &[Value]) -> Result<i64, DatabaseError> {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        bind(&mut statement, values)?;
        let mut rows = statement.raw_query();
        Ok(rows.next().unwrap().unwrap().get(0).unwrap())
    }

    #[test]
    fn binding_by_position_would_swap_values() {
        let sql = "SELECT $2, $1";
        let values = [Value::Int(1), Value::Int(2)];
        assert_eq!(first_column(sql, &values).unwrap(), 2, "by name: the first column is $2");

        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let by_position: i64 = connection.query_row(sql, [1, 2], |row| row.get(0)).unwrap();
        assert_eq!(by_position, 1, "by position, $2 gets the first value: that is why bind() goes by name");
    }

    #[test]
    fn parameters_and_values_must_match() {
        for (sql, count) in [("SELECT $1", 2), ("SELECT $1, $3", 2), ("SELECT ?", 1), ("SELECT $a", 1)] {
            let values = vec![Value::Int(7); count];
            assert!(first_column(sql, &values).is_err(), "{sql}");
        }
        assert_eq!(first_column("SELECT $1 + $1", &[Value::Int(7)]).unwrap(), 14);
    }
}
