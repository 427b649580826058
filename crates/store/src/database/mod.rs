//! The seam: one small interface over SQLite and PostgreSQL, so that every statement is written once.
//!
//! Placeholders are `$1`, `$2`, … in both databases. SQLite takes them for *names* and numbers them by
//! first appearance, so values are always bound by name here, never by position.

mod migrate;
mod postgres;
mod signal;
mod sqlite;
mod value;

use std::collections::BTreeSet;
use uuid::Uuid;

pub use migrate::{Migration, SCHEMA_VERSION};
pub use signal::{Signal, SignalReceiver};
pub use value::{Row, Value};

/// What went wrong in a database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A statement of a batch that must change exactly one row changed another number of them.
    #[error("statement {statement} of the batch changed {rows} rows instead of one")]
    Unmet {
        /// Position of the statement in [`Batch::statements`].
        statement: usize,
        /// How many rows it changed.
        rows: u64,
    },
    /// A row with the same key is there already.
    #[error("statement {statement} of the batch: a row with this key exists")]
    Taken {
        /// Position of the statement in [`Batch::statements`].
        statement: usize,
    },
    /// The data was written by another version of the program, or was never made.
    #[error("{0}")]
    Schema(String),
    /// The database cannot be reached or refused the statement; the text is for the log, not for callers.
    #[error("{0}")]
    Failed(String),
}

/// One statement with its values: `values[0]` is `$1`.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The portable SQL text.
    pub sql: &'static str,
    /// What `$1`, `$2`, … stand for.
    pub values: Vec<Value>,
    /// Whether the statement must change exactly one row, or else the whole batch is undone.
    pub exactly_one: bool,
}

/// Statements that are kept all together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Organizations whose counter row is locked, in sorted order, before any statement of the group runs.
    /// The same ones are told in the [`Signal`] after the commit.
    pub locks: BTreeSet<Uuid>,
    /// The statements, in order.
    pub statements: Vec<Statement>,
}

/// An open database.
#[derive(Clone)]
pub enum Database {
    /// The embedded one.
    Sqlite(sqlite::Sqlite),
    /// The shared one.
    Postgres(postgres::Postgres),
}
