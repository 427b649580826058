//! Copies an SQLite database while it is in use, and replaces one by a copy.

use super::file::{open_file, require_file};
use super::to_database_error;
use crate::database::DatabaseError;
use crate::database::dump::sibling_path;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::ErrorKind;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// How long to wait for a process that has the database open.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: u32 = 10;

/// Copies a snapshot. Returns its schema version. The copy has passed SQLite's own check.
pub(in crate::database) fn dump(path: &Path, into: &Path) -> Result<i64, DatabaseError> {
    require_file(path)?;
    let from =
        open_file(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| to_database_error(&error))?;
    from.busy_timeout(PATIENCE).map_err(|error| to_database_error(&error))?;
    let mut to = open_file(into, OpenFlags::default()).map_err(|error| to_database_error(&error))?;
    copy_pages(&from, &mut to).map_err(|error| to_database_error(&error))?;
    // So that the copy is one file.
    let mode: String = to
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
        .map_err(|error| to_database_error(&error))?;
    let check: String = to
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| to_database_error(&error))?;
    if mode != "delete" || check != "ok" {
        return Err(DatabaseError::Failed(format!("the copy of the database is damaged: {check}")));
    }
    schema(&to)
}

/// Copies all pages in one step: in one read transaction, which does not block the writer. In smaller steps it would
/// restart with each commit of another process.
fn copy_pages(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    let backup = Backup::new(from, to)?;
    for _ in 0..TRIES {
        if backup.step(-1)? == StepResult::Done {
            return Ok(());
        }
        // A server is recovering its log. Each try waits for it.
    }
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None))
}

fn schema(connection: &Connection) -> Result<i64, DatabaseError> {
    let sql = "SELECT MAX(version) FROM schema_migrations";
    connection.query_row(sql, [], |row| row.get(0)).map_err(|_| {
        DatabaseError::Schema("the database holds no data of tenure: there is nothing to back up".into())
    })
}

/// Refuses a database that a process has open. A damaged one counts as unused.
pub(in crate::database) fn require_unused(path: &Path) -> Result<(), DatabaseError> {
    match lock_exclusively(path) {
        Err(error) if is_busy(&error) => {
            Err(DatabaseError::Failed(format!("{} is in use: stop the server first", path.display())))
        }
        _ => Ok(()),
    }
}

/// Locks the whole database for this process, and moves its log into the file. No process has it open when the
/// connection is returned, and none can open it until that is dropped.
fn lock_exclusively(path: &Path) -> rusqlite::Result<Connection> {
    if !is_database(path) {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
        return Err(rusqlite::Error::SqliteFailure(error, None));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open_file(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if mode == "wal" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            None,
        ));
    }
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    Ok(connection)
}

/// Whether a file begins like a database. SQLite deletes the log of one that does not, when it opens it.
fn is_database(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    read.is_ok() && (head.is_empty() || head == b"SQLite format 3\0")
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    error.sqlite_error_code().is_some_and(|code| [DatabaseBusy, DatabaseLocked].contains(&code))
}

/// Replaces a database by a file, by an atomic rename. The old file is kept under another name.
pub(in crate::database) fn replace(path: &Path, with: &Path) -> Result<(), DatabaseError> {
    let step = |action: &str, result: std::io::Result<()>| {
        result.map_err(|error| DatabaseError::Failed(format!("cannot {action} {}: {error}", path.display())))
    };
    step("write the new database for", File::open(with).and_then(|file| file.sync_all()))?;
    // Held until the rename, so that no server begins to write to the old file.
    let mut lock = None;
    if path.exists() {
        match lock_exclusively(path) {
            Ok(connection) => lock = Some(connection),
            Err(error) if is_busy(&error) => {
                return Err(DatabaseError::Failed(format!(
                    "{} is in use: stop the server first",
                    path.display()
                )));
            }
            // The old file is damaged. Its log must not be taken for the new file's.
            Err(_) => {
                for end in ["-wal", "-shm"] {
                    let (from, to) =
                        (append_suffix(path, end), append_suffix(&sibling_path(path, "replaced"), end));
                    step("keep the log of", rename_if_present(&from, &to))?;
                }
            }
        }
        let old = sibling_path(path, "replaced");
        step("keep the old database", remove_if_present(&old).and_then(|()| std::fs::hard_link(path, &old)))?;
    }
    step("replace", std::fs::rename(with, path))?;
    drop(lock);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    step("keep the name of", File::open(folder).and_then(|folder| folder.sync_all()))
}

fn append_suffix(path: &Path, end: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn remove_if_present(path: &Path) -> std::io::Result<()> {
    ignore_missing(std::fs::remove_file(path))
}

fn rename_if_present(from: &Path, to: &Path) -> std::io::Result<()> {
    ignore_missing(std::fs::rename(from, to))
}

fn ignore_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
