//! The file of an SQLite database: creating it, opening it, and migrating its schema.

use super::functions;
use super::to_database_error;
use crate::database::migrate::{self, AppliedMigration, Migration};
use crate::database::{DatabaseError, OpenMode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::fmt::Display;
use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How long to wait for another process that is writing.
const BUSY: Duration = Duration::from_secs(10);
/// How long to wait between two tries where SQLite does not wait by itself.
const AGAIN: Duration = Duration::from_millis(10);
/// More than the program has statements, so that each is prepared once.
const STATEMENTS: usize = 512;
/// Maximum number of bytes that SQLite maps into memory; by default it maps none.
const MAPPED_BYTES: i64 = 2 * 1024 * 1024 * 1024;
/// Size in bytes that the write-ahead log is truncated to after a burst.
const LOG_BYTES: i64 = 64 * 1024 * 1024;
/// Priority of the thread that checks for damage, as of `nice`.
#[cfg(target_os = "linux")]
const LOW_PRIORITY: i32 = 15;

/// Opens a file. Every connection is opened here, so that all have the same query plans.
pub(super) fn open_file(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    // By default SQLite looks at the bound values when it plans, among them every LIMIT. It then compiles the prepared
    // statement again for each execution, which was most of the cost of a read by key.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Opens the connection that writes. The schema is current afterwards.
pub(super) fn open_writer(path: &Path, mode: OpenMode, now_us: i64) -> Result<Connection, DatabaseError> {
    match mode {
        OpenMode::Migrate => create(path)?,
        OpenMode::Existing => require_file(path)?,
    }
    let connect = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = open_file(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        functions::register(&connection)?;
        Ok(connection)
    };
    let mut connection = connect().map_err(|error| open_error(path, &error))?;
    prepare_schema(&mut connection, mode, now_us).map_err(|error| add_path(path, error))?;
    configure_writer(&connection).map_err(|error| open_error(path, &error))?;
    Ok(connection)
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, DatabaseError> {
    let connect = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = open_file(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    connect().map_err(|error| open_error(path, &error))
}

/// Opens a connection that says whether anything was committed. It never waits for another process.
pub(super) fn open_probe(path: &Path) -> Result<Connection, DatabaseError> {
    let connection = open_reader(path)?;
    connection.busy_timeout(Duration::ZERO).map_err(|error| open_error(path, &error))?;
    Ok(connection)
}

/// Reads the whole file and reports damage. The thread has low priority, so it does not slow down others.
pub(super) fn check(path: &Path) -> Result<(), DatabaseError> {
    require_file(path)?;
    // Some systems refuse this; then the check has the usual priority.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOW_PRIORITY);
    let run_check = || -> rusqlite::Result<String> {
        let connection = open_file(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(BUSY)?;
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    match run_check() {
        Ok(report) if report == "ok" => Ok(()),
        Ok(report) => Err(DatabaseError::Damaged(format!("sqlite: {}", report.trim().replace('\n', " ")))),
        Err(error) => Err(to_database_error(&error)),
    }
}

fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    // Every commit is durable before it is acknowledged: a power cut loses nothing that was acknowledged.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)
}

/// Creates the folder and the file for their owner only: they contain hashes of credentials and all messages.
fn create(path: &Path) -> Result<(), DatabaseError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
            DatabaseError::Failed(format!("cannot create the folder {}: {error}", folder.display()))
        })?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => require_file(path),
        Err(error) => Err(DatabaseError::Failed(format!(
            "cannot create the database {}: {error}; its folder must be writable",
            path.display()
        ))),
    }
}

pub(super) fn require_file(path: &Path) -> Result<(), DatabaseError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(DatabaseError::Failed(format!("{} is not a file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(DatabaseError::Schema(format!(
            "there is no database at {}: check the path, or run `tenure migrate` to create it",
            path.display()
        ))),
        Err(error) => Err(DatabaseError::Failed(format!("cannot read {}: {error}", path.display()))),
    }
}

fn prepare_schema(connection: &mut Connection, mode: OpenMode, now_us: i64) -> Result<(), DatabaseError> {
    if connection.is_readonly("main").map_err(|error| to_database_error(&error))? {
        return Err(DatabaseError::Failed(
            "this user may not write to it: run as the user that the server runs as".into(),
        ));
    }
    match mode {
        OpenMode::Migrate => {
            // Before the first migration, so that a new file never has another mode.
            enable_wal(connection)?;
            migrate_all(connection, now_us)
        }
        OpenMode::Existing => {
            // Before anything is changed: it may be another program's file.
            migrate::require_current(load_applied(connection)?.as_deref(), Migration::sqlite_text)?;
            enable_wal(connection)
        }
    }
}

/// With the write-ahead log, readers and the writer do not wait for each other.
#[expect(clippy::disallowed_methods, reason = "a database is opened on a thread that may wait")]
fn enable_wal(connection: &Connection) -> Result<(), DatabaseError> {
    let mut remaining = BUSY;
    let change = || connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
    let mode = loop {
        match change() {
            // SQLite does not wait here: it reads first, and two readers that wait for each other to write would
            // deadlock.
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && !remaining.is_zero() =>
            {
                std::thread::sleep(AGAIN);
                remaining = remaining.saturating_sub(AGAIN);
            }
            outcome => break outcome.map_err(|error| to_database_error(&error))?,
        }
    };
    if mode == "wal" {
        return Ok(());
    }
    Err(DatabaseError::Failed(format!(
        "its file system does not support SQLite's write-ahead log (journal mode is {mode}): use a local disk"
    )))
}

/// `None` when there is no table of migrations.
fn load_applied(connection: &Connection) -> Result<Option<Vec<AppliedMigration>>, DatabaseError> {
    let query = || -> rusqlite::Result<Option<Vec<AppliedMigration>>> {
        let exists = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'";
        if connection.query_row(exists, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(None);
        }
        let mut statement =
            connection.prepare("SELECT version, checksum FROM schema_migrations ORDER BY version")?;
        let line =
            |row: &rusqlite::Row<'_>| Ok(AppliedMigration { version: row.get(0)?, checksum: row.get(1)? });
        statement.query_map([], line)?.collect::<rusqlite::Result<_>>().map(Some)
    };
    query().map_err(|error| to_database_error(&error))
}

fn migrate_all(connection: &mut Connection, now_us: i64) -> Result<(), DatabaseError> {
    // A migration may rebuild a table that others refer to. Dangling rows are checked afterwards instead.
    connection.pragma_update(None, "foreign_keys", false).map_err(|error| to_database_error(&error))?;
    while migrate_one(connection, now_us)? {}
    Ok(())
}

/// Applies the next migration. Returns `false` when there is none left. Several processes may do this at the same
/// time: the second one waits for the lock and then finds the work done.
fn migrate_one(connection: &mut Connection, now_us: i64) -> Result<bool, DatabaseError> {
    if let Some(applied) = load_applied(connection)?
        && migrate::pending(&applied, Migration::sqlite_text)?.is_empty()
    {
        return Ok(false);
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| to_database_error(&error))?;
    let applied = load_applied(&transaction)?.unwrap_or_default();
    let Some(next) = migrate::pending(&applied, Migration::sqlite_text)?.first() else {
        return Ok(false);
    };
    let failed_in = |problem: &dyn Display| {
        DatabaseError::Failed(format!("migration {} ({}): {problem}", next.version, next.name))
    };
    if let Some(dangling) =
        run_migration_sql(&transaction, next, now_us).map_err(|error| failed_in(&error))?
    {
        return Err(failed_in(&format!("{dangling}; nothing was changed")));
    }
    transaction.commit().map_err(|error| to_database_error(&error))?;
    Ok(true)
}

/// Applies a migration and records it. Returns a sentence when rows then refer to missing rows.
fn run_migration_sql(
    connection: &Connection,
    migration: &Migration,
    now_us: i64,
) -> rusqlite::Result<Option<String>> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, \
         checksum TEXT NOT NULL, applied_us INTEGER NOT NULL) STRICT",
    )?;
    connection.execute_batch(migration.sqlite)?;
    let checksum = migrate::checksum(migration.sqlite);
    connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum, applied_us) VALUES (?, ?, ?, ?)",
        (migration.version, migration.name, checksum, now_us),
    )?;
    let sentence = |row: &rusqlite::Row<'_>| {
        let (child, parent): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(format!("rows of {child} refer to rows of {parent} that do not exist"))
    };
    connection.prepare("PRAGMA foreign_key_check")?.query_map([], sentence)?.next().transpose()
}

fn open_error(path: &Path, error: &rusqlite::Error) -> DatabaseError {
    add_path(path, DatabaseError::Failed(format!("{error} (its folder must be writable as well)")))
}

/// The same error with the path of the file.
fn add_path(path: &Path, error: DatabaseError) -> DatabaseError {
    let path = path.display();
    match error {
        DatabaseError::Schema(text) => DatabaseError::Schema(format!("{path}: {text}")),
        other => DatabaseError::Failed(format!("cannot open the database {path}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Value;
    use crate::database::sqlite::bind;
    use crate::devices::sessions::{ONE, SQLITE_BY_TIMES};
    use rusqlite::StatementStatus;
    use uuid::Uuid;

    /// The number of times that SQLite compiles a prepared statement again while its values change.
    fn count_recompilations(connection: &Connection, sql: &str) -> i32 {
        let mut count = 0;
        for number in 0..10_u8 {
            let mut statement = connection.prepare_cached(sql).unwrap();
            let number = i64::from(number);
            let values = [Uuid::nil().into(), Value::Int(number * 100), Value::Int(number)];
            let parameters = statement.parameter_count();
            bind(&mut statement, &values[..parameters]).unwrap();
            let mut rows = statement.raw_query();
            while rows.next().unwrap().is_some() {}
            drop(rows);
            count = statement.get_status(StatementStatus::RePrepare);
        }
        count
    }

    #[test]
    fn no_connection_compiles_a_statement_again_for_other_values() {
        let place = crate::testing::empty_sqlite();
        let path = Path::new(place.url.strip_prefix("sqlite:").unwrap());
        let writer = open_writer(path, OpenMode::Migrate, 0).unwrap();
        let filled =
            "INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us)
                      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                      SELECT zeroblob(16), 'device', i, i, zeroblob(16), 1, i FROM n";
        // With statistics, SQLite has the most reasons to look at the values.
        writer.execute_batch(&format!("{filled}; ANALYZE")).unwrap();
        let statistics =
            writer.query_row("SELECT count(*) FROM sqlite_stat4", [], |row| row.get::<_, i64>(0));
        assert!(statistics.unwrap() > 0);
        let checker = open_file(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        for (name, connection) in
            [("writer", writer), ("reader", open_reader(path).unwrap()), ("checker", checker)]
        {
            for sql in [ONE, SQLITE_BY_TIMES.sessions, SQLITE_BY_TIMES.holds] {
                assert_eq!(count_recompilations(&connection, sql), 0, "{name}: {sql}");
            }
        }
    }

    #[test]
    fn a_migration_that_leaves_dangling_rows_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        let apply = |version, sqlite| {
            let migration = Migration { version, name: "test", sqlite, postgres: "" };
            run_migration_sql(&connection, &migration, 0).unwrap()
        };
        let tables = "CREATE TABLE parents (id INTEGER PRIMARY KEY);
                      CREATE TABLE children (parent INTEGER REFERENCES parents (id));
                      INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1)";
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        assert_eq!(apply(1, tables), None);
        let dangling = "rows of children refer to rows of parents that do not exist";
        assert_eq!(apply(2, "DELETE FROM parents").as_deref(), Some(dangling));
    }

    #[test]
    fn a_migration_that_is_refused_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        let (_, before) = migrate::MIGRATIONS.split_last().unwrap();
        for migration in before {
            assert_eq!(run_migration_sql(&connection, migration, 0).unwrap(), None);
        }
        let dangling = "CREATE TABLE parents (id INTEGER PRIMARY KEY);
                        CREATE TABLE children (parent INTEGER REFERENCES parents (id));
                        INSERT INTO children VALUES (1)";
        connection.execute_batch(dangling).unwrap();
        let refused = migrate_all(&mut connection, 0).unwrap_err().to_string();
        assert!(refused.contains("rows of children refer to rows of parents"), "{refused}");
        assert_eq!(load_applied(&connection).unwrap().unwrap().len(), before.len());
    }
}
