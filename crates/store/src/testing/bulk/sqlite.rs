//! Writes rows to an SQLite database.

use super::{Counter, Counters, InsertPlan, Rows, TABLES};
use crate::database::{BoundValue, DatabaseError};
use rusqlite::{Connection, params, params_from_iter};
use std::path::Path;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

/// No journal: a database that is not finished is thrown away.
const SETTINGS: &str = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
     PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY; PRAGMA threads = 2;";

/// Rows in a transaction.
const ROWS: usize = 1_000_000;

/// The connection, and how to build the indexes again.
pub(super) struct BulkSqliteWriter {
    connection: Connection,
    indexes: Vec<String>,
}

impl BulkSqliteWriter {
    /// Opens the database and drops the secondary indexes.
    pub(super) fn open(path: &Path) -> Result<BulkSqliteWriter, DatabaseError> {
        run(|| {
            let connection = Connection::open(path)?;
            connection.execute_batch(SETTINGS)?;
            connection.set_prepared_statement_cache_capacity(64);
            let mut indexes = Vec::new();
            for table in TABLES {
                let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?";
                let mut statement = connection.prepare(sql)?;
                let found = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
                for (name, sql) in found.collect::<Result<Vec<(String, String)>, _>>()? {
                    connection.execute_batch(&format!("DROP INDEX {name}"))?;
                    indexes.push(sql);
                }
            }
            Ok(BulkSqliteWriter { connection, indexes })
        })
    }

    /// All counters.
    pub(super) fn counters(&mut self) -> Result<Counters, DatabaseError> {
        run(|| {
            let mut statement =
                self.connection.prepare("SELECT organization, sequence, pruned FROM counters")?;
            let read = |row: &rusqlite::Row<'_>| {
                let id = Uuid::from_bytes(row.get::<_, [u8; 16]>(0)?);
                Ok((id, Counter { sequence: row.get(1)?, pruned: row.get(2)? }))
            };
            statement.query_map([], read)?.collect()
        })
    }

    /// Writes all rows that come.
    pub(super) fn write_all(&mut self, mut rows: Receiver<Rows>) -> Result<(), DatabaseError> {
        run(|| {
            let mut open = 0;
            while let Some(Rows { plans, rows }) = rows.blocking_recv() {
                if open == 0 {
                    self.connection.execute_batch("BEGIN")?;
                }
                let sql = plans.iter().map(insert).collect::<Vec<_>>();
                for row in &rows {
                    let mut statement = self.connection.prepare_cached(&sql[row.plan])?;
                    statement.execute(params_from_iter(row.values.iter().map(BoundValue)))?;
                }
                open += rows.len();
                if open >= ROWS {
                    self.connection.execute_batch("COMMIT")?;
                    open = 0;
                }
            }
            if open > 0 {
                self.connection.execute_batch("COMMIT")?;
            }
            Ok(())
        })
    }

    /// Writes the counters and builds the indexes.
    pub(super) fn finish(self, counters: &Counters) -> Result<(), DatabaseError> {
        run(|| {
            let mut statement = self.connection.prepare(
                "INSERT INTO counters (organization, sequence, pruned) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET sequence = excluded.sequence, pruned = excluded.pruned",
            )?;
            for (organization, counter) in counters {
                statement.execute(params![organization.as_bytes(), counter.sequence, counter.pruned])?;
            }
            for sql in &self.indexes {
                self.connection.execute_batch(sql)?;
            }
            self.connection.execute_batch("PRAGMA journal_mode = WAL")
        })
    }
}

fn insert(plan: &InsertPlan) -> String {
    let places = vec!["?"; plan.columns.len()].join(", ");
    format!("INSERT INTO {} ({}) VALUES ({places})", plan.table, plan.columns.join(", "))
}

fn run<T>(mut steps: impl FnMut() -> rusqlite::Result<T>) -> Result<T, DatabaseError> {
    steps().map_err(|error| DatabaseError::Failed(format!("sqlite: {error}")))
}
