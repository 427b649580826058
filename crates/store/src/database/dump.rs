//! A database in one file, and a database out of it.
//!
//! For SQLite the file is a copy by SQLite's own online backup. For PostgreSQL it is what `pg_dump -Fc` writes; its
//! programs must be installed, and they are given the address in their environment, so that no password is seen in a
//! list of processes.

use super::location::{self, Location};
use super::{Batch, Database, DatabaseError, OpenMode, SCHEMA_VERSION, Statement, postgres, sqlite};
use std::path::{Path, PathBuf};

/// What was dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// `sqlite` or `postgres`.
    pub kind: String,
    /// The schema of the data.
    pub schema: i64,
    /// In which of PostgreSQL's schemas the tables are; nothing for SQLite.
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

/// Writes what a database holds at one moment into a file, which must be there and be empty. Servers go on.
///
/// # Errors
/// [`DatabaseError::Schema`] when it holds nothing of ours; [`DatabaseError::Failed`].
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

/// The file of an SQLite database.
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    match location::parse(url) {
        Ok(Location::Sqlite(path)) => Some(path),
        _ => None,
    }
}

/// Whether there is something where a dump is to be restored to.
///
/// # Errors
/// [`DatabaseError::Failed`].
pub async fn is_occupied(url: &str) -> Result<bool, DatabaseError> {
    match location::parse(url)? {
        Location::Sqlite(path) => Ok(path.exists()),
        Location::Postgres(url, protection) => postgres::dump::has_tables(&url, protection).await,
    }
}

/// Where the file of a dump should be put that is going to be restored: for SQLite it becomes the database by a rename.
///
/// # Errors
/// [`DatabaseError::Failed`].
pub fn staging(url: &str) -> Result<Option<PathBuf>, DatabaseError> {
    Ok(match location::parse(url)? {
        Location::Sqlite(path) => Some(sibling_path(&path, "restoring")),
        Location::Postgres(..) => None,
    })
}

/// Makes a database out of a dump, as a whole or not at all: with the migrations that it lacks, and with `after` done.
/// What is there is replaced; an SQLite database is kept beside it, with `.replaced` at the end of its name.
///
/// # Errors
/// [`DatabaseError::Schema`] for a dump of a newer schema; [`DatabaseError::Failed`] also when something has the
/// database open.
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

/// Brings the file up to date before it is anybody's database.
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

/// A file beside another one.
pub(super) fn sibling_path(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{what}"))
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DatabaseError> + Send + 'static,
) -> Result<T, DatabaseError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| DatabaseError::Failed(error.to_string()))?
}
