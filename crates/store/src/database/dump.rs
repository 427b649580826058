//! Dumps of a database into a file, and restores.
//!
//! For SQLite, the file is a copy by SQLite's online backup. For PostgreSQL, it is the output of `pg_dump -Fc`.
//! PostgreSQL's programs must be installed. They receive the address in environment variables, so that no list of
//! processes shows a password.

use super::location::{self, Location};
use super::{Batch, Database, DatabaseError, OpenMode, SCHEMA_VERSION, Statement, postgres, sqlite};
use std::path::{Path, PathBuf};

/// A dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// `sqlite` or `postgres`.
    pub kind: String,
    /// The schema version of the data.
    pub schema: i64,
    /// The PostgreSQL schema with the tables; empty for SQLite.
    pub place: String,
}

/// `sqlite` or `postgres`.
///
/// # Errors
/// [`DatabaseError::Failed`] when the URL is neither.
pub fn kind(url: &str) -> Result<&'static str, DatabaseError> {
    Ok(match location::parse(url)? {
        Location::Sqlite(_) => "sqlite",
        Location::Postgres(..) => "postgres",
    })
}

/// Writes a snapshot of a database into an existing, empty file. Servers may go on meanwhile.
///
/// # Errors
/// [`DatabaseError::Schema`] when the database has no data of Tenure; [`DatabaseError::Failed`] when a file or the
/// database cannot be used.
pub async fn dump(url: &str, into: &Path) -> Result<Dump, DatabaseError> {
    match location::parse(url)? {
        Location::Sqlite(path) => {
            let (into, from) = (into.to_owned(), path);
            let schema = run_blocking(move || sqlite::dump::dump(&from, &into)).await?;
            Ok(Dump { kind: "sqlite".into(), schema, place: String::new() })
        }
        Location::Postgres(url, protection) => {
            let (schema, place) = postgres::dump::dump(&url, protection, into).await?;
            Ok(Dump { kind: "postgres".into(), schema, place })
        }
    }
}

/// The file of an SQLite database; `None` for PostgreSQL.
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    match location::parse(url) {
        Ok(Location::Sqlite(path)) => Some(path),
        _ => None,
    }
}

/// Whether a restore would replace something.
///
/// # Errors
/// [`DatabaseError::Failed`] when the URL is malformed or the database cannot be reached.
pub async fn is_occupied(url: &str) -> Result<bool, DatabaseError> {
    match location::parse(url)? {
        Location::Sqlite(path) => Ok(path.exists()),
        Location::Postgres(url, protection) => postgres::dump::has_tables(&url, protection).await,
    }
}

/// Where to put the file of a dump before its restore. For SQLite it then becomes the database by a rename.
///
/// # Errors
/// [`DatabaseError::Failed`] when the URL is malformed.
pub fn staging(url: &str) -> Result<Option<PathBuf>, DatabaseError> {
    Ok(match location::parse(url)? {
        Location::Sqlite(path) => Some(sibling_path(&path, "restoring")),
        Location::Postgres(..) => None,
    })
}

/// Restores a dump, as a whole or not at all: applies missing migrations and runs `after`. It replaces what is there;
/// an old SQLite database is kept beside it, with `.replaced` at the end of its name.
///
/// # Errors
/// [`DatabaseError::Schema`] for a dump with a newer schema; [`DatabaseError::Failed`], also when another process has
/// the database open.
pub async fn restore(
    url: &str,
    dump: &Dump,
    file: &Path,
    after: Vec<Statement>,
    now_us: i64,
) -> Result<(), DatabaseError> {
    if dump.schema > SCHEMA_VERSION {
        return Err(DatabaseError::Schema(format!(
            "the backup was made by a newer tenure (schema {}; this program knows {SCHEMA_VERSION}): \
             use that version or a later one",
            dump.schema
        )));
    }
    match location::parse(url)? {
        Location::Sqlite(path) => {
            sqlite(&path, file, after, now_us).await?;
            let file = file.to_owned();
            run_blocking(move || sqlite::dump::replace(&path, &file)).await
        }
        Location::Postgres(url, protection) => {
            postgres::dump::restore(&url, protection, dump, file, &after, now_us).await
        }
    }
}

/// Brings the file up to date before it becomes the database.
async fn sqlite(path: &Path, file: &Path, after: Vec<Statement>, now_us: i64) -> Result<(), DatabaseError> {
    if path.exists() {
        let path = path.to_owned();
        run_blocking(move || sqlite::dump::require_unused(&path)).await?;
    }
    let url = format!("sqlite:{}", file.display());
    let database = Database::open(&url, OpenMode::Migrate, now_us).await?;
    let outcome = database.apply(Batch { statements: after, ..Batch::default() }).await;
    database.close().await;
    outcome
}

/// A path in the same folder, with a suffix.
pub(super) fn sibling_path(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{suffix}"))
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DatabaseError> + Send + 'static,
) -> Result<T, DatabaseError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| DatabaseError::Failed(error.to_string()))?
}
