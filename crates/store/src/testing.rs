//! Databases for tests: fresh, migrated, and deleted when dropped.
//!
//! PostgreSQL tests run when `TENURE_TEST_POSTGRES` names a server (`scripts/postgres start DIR` starts one and
//! prints its URL). Without it they are skipped, except in CI, where a skipped test would look like a passed one.

pub mod bulk;

use crate::database::{Columns, Database, DatabaseError, MIGRATIONS, OpenMode, Statement};
use crate::rows::{any_rows, batch};
use crate::{Result, Store};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Deletes the responses that are stored for idempotency keys, but keeps what the requests created. A server that
/// dies before it stores a response leaves the same state.
///
/// # Errors
/// [`crate::Error::Database`].
pub async fn lose_responses(store: &Store) -> Result<()> {
    let sql = "UPDATE idempotency SET status = NULL, headers = NULL, body = NULL, created_us = 0";
    Ok(store.database.apply(batch([], vec![any_rows(sql, Vec::new())])).await?)
}

/// A scan that never ends, for each database.
pub struct Endless {
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

/// A scan that never ends.
pub const ENDLESS: Endless = Endless {
    sqlite: "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    postgres: "SELECT CAST(pg_sleep(86400) AS TEXT)",
};

/// A scan that never ends, for this database.
#[must_use]
pub fn endless(database: &Database) -> Statement {
    let sql = if database.kind() == "sqlite" { ENDLESS.sqlite } else { ENDLESS.postgres };
    any_rows(sql, Vec::new())
}

/// When test databases are created: 2026-01-01, in microseconds since 1970.
pub const MADE_US: i64 = 1_767_225_600_000_000;
/// Locked while the template is created, so that of many test processes one creates it. An arbitrary number.
const TEMPLATE_LOCK: i64 = 0x7465_6e75_7265_0002;

/// A migrated database for one test. Use it like a [`Database`]; dropping it deletes it.
pub struct TestDatabase {
    /// The open database.
    pub database: Database,
    /// Its URL.
    pub url: String,
    _place: TestPlace,
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl TestDatabase {
    /// Opens it once more, as another server or an administration command would.
    pub async fn open_again(&self) -> Database {
        Database::open(&self.url, OpenMode::Existing, MADE_US).await.expect("it opens a second time")
    }
}

/// Room for a database that does not exist yet. Dropping it deletes what was created there.
pub struct TestPlace {
    /// The URL to open or create it with.
    pub url: String,
    cleanup: Cleanup,
}

enum Cleanup {
    Folder(PathBuf),
    Database { server: String, name: String },
}

impl Drop for TestPlace {
    fn drop(&mut self) {
        match &self.cleanup {
            Cleanup::Folder(folder) => drop(std::fs::remove_dir_all(folder)),
            Cleanup::Database { server, name } => drop_database(server, name),
        }
    }
}

/// A fresh SQLite database.
pub async fn fresh_sqlite() -> TestDatabase {
    migrated(empty_sqlite()).await
}

/// A fresh PostgreSQL database; `None`, with a message on stderr, when no server is named.
///
/// # Panics
/// With `CI=true`, when no server is named.
pub async fn fresh_postgres() -> Option<TestDatabase> {
    let server = server()?;
    let client = connect(&server).await;
    let template = template(&client, &server).await;
    Some(migrated(create(&client, server, &format!("TEMPLATE {template}")).await).await)
}

/// A path in a new, empty folder.
pub fn empty_sqlite() -> TestPlace {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let folder = loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tenure-test-{}-{number}", std::process::id()));
        // It may exist already, left by a killed test of an earlier process with this number.
        if std::fs::create_dir(&folder).is_ok() {
            break folder;
        }
        assert!(number < 100_000, "cannot make a folder in {}", std::env::temp_dir().display());
    };
    let url = format!("sqlite:{}", folder.join("tenure.db").display());
    TestPlace { url, cleanup: Cleanup::Folder(folder) }
}

/// A PostgreSQL database without tables; `None` as in [`fresh_postgres`].
pub async fn empty_postgres() -> Option<TestPlace> {
    let server = server()?;
    let client = connect(&server).await;
    Some(create(&client, server, "").await)
}

async fn migrated(place: TestPlace) -> TestDatabase {
    let database =
        Database::open(&place.url, OpenMode::Migrate, MADE_US).await.expect("a test database opens");
    TestDatabase { database, url: place.url.clone(), _place: place }
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
fn server() -> Option<String> {
    if let Ok(url) = std::env::var("TENURE_TEST_POSTGRES")
        && !url.is_empty()
    {
        return Some(url);
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "TENURE_TEST_POSTGRES is not set, and in CI no test may be skipped");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not eprintln!, which is not shown for tests that pass.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED on PostgreSQL: {test} (export TENURE_TEST_POSTGRES=$(scripts/postgres start DIR))"
    );
    None
}

/// The URL of another database on the same server.
pub fn database_url(server: &str, name: &str) -> String {
    let (address, query) =
        server.split_once('?').map_or((server, String::new()), |(a, q)| (a, format!("?{q}")));
    let after_scheme = address.find("://").map_or(0, |at| at + 3);
    let host = match address[after_scheme..].rfind('/') {
        Some(at) => &address[..after_scheme + at],
        None => address,
    };
    format!("{host}/{name}{query}")
}

async fn connect(server: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await.unwrap_or_else(|error| {
        panic!("TENURE_TEST_POSTGRES names a server that cannot be reached: {error}");
    });
    tokio::spawn(connection);
    client
}

async fn create(client: &Client, server: String, template: &str) -> TestPlace {
    let id: Uuid = client.query_one("SELECT gen_random_uuid()", &[]).await.expect("an id").get(0);
    let name = format!("tenure_test_{}", id.simple());
    client.batch_execute(&format!("CREATE DATABASE {name} {template}")).await.expect("a test database");
    TestPlace { url: database_url(&server, &name), cleanup: Cleanup::Database { server, name } }
}

/// The name of a migrated database to copy. It is created if it does not exist.
async fn template(client: &Client, server: &str) -> String {
    let mut hash = Sha256::new();
    MIGRATIONS.iter().for_each(|migration| hash.update(migration.postgres));
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("tenure_template_{hash}");
    if !exists(client, &name).await {
        client.execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK]).await.expect("the lock");
        if !exists(client, &name).await {
            make_template(client, server, &name).await;
        }
        client.execute("SELECT pg_advisory_unlock($1)", &[&TEMPLATE_LOCK]).await.expect("the unlock");
    }
    name
}

async fn exists(client: &Client, name: &str) -> bool {
    let sql = "SELECT count(*) FROM pg_database WHERE datname = $1";
    client.query_one(sql, &[&name]).await.expect("the list of databases").get::<_, i64>(0) > 0
}

/// It has another name until it is finished, so that nobody copies a half-made template.
async fn make_template(client: &Client, server: &str, name: &str) {
    let making = format!("{name}_making");
    let step = async |sql: String| client.batch_execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    step(format!("DROP DATABASE IF EXISTS {making} WITH (FORCE)")).await;
    step(format!("CREATE DATABASE {making}")).await;
    let url = database_url(server, &making);
    Database::open(&url, OpenMode::Migrate, MADE_US).await.expect("the template").close().await;
    step(format!("ALTER DATABASE {making} RENAME TO {name}")).await;
}

/// On a separate thread, because a drop cannot wait for a future and may run inside a runtime.
fn drop_database(server: &str, name: &str) {
    let work = async {
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        if let Err(error) = connect(server).await.batch_execute(&sql).await {
            eprintln!("{sql}: {error}");
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    std::thread::scope(|scope| {
        scope.spawn(|| runtime.map(|runtime| runtime.block_on(work)));
    });
}

/// Runs SQL on a database directly, without a server.
///
/// # Errors
/// The text of the database's error.
///
/// # Panics
/// When there is no such database.
pub async fn raw(url: &str, sql: &str) -> std::result::Result<(), String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let connection = rusqlite::Connection::open(Path::new(path)).expect("a database");
        return connection.execute_batch(sql).map_err(|error| error.to_string());
    }
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a database");
    tokio::spawn(connection);
    let result = client.batch_execute(sql).await;
    result.map_err(|error| error.as_db_error().map_or(error.to_string(), |error| error.message().to_owned()))
}

/// Overwrites the first page of a table. Nobody may have the SQLite database open.
///
/// # Panics
/// When there is no such database or table.
pub fn destroy_page(path: &Path, table: &str) {
    let connection = rusqlite::Connection::open(path).expect("a database");
    let number = |sql, values: &[&str]| {
        let number =
            connection.query_row(sql, rusqlite::params_from_iter(values), |row| row.get::<_, u32>(0));
        number.expect("a number")
    };
    let size = number("SELECT page_size FROM pragma_page_size", &[]);
    let page = number("SELECT rootpage FROM sqlite_master WHERE name = ?", &[table]);
    drop(connection);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("the file");
    file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).expect("the page");
    file.write_all(&vec![0x5a; size as usize]).expect("room");
}

/// Number of statements that this process has read.
pub static READS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Number of rows that anonymous callers can create: attempts, challenges and device logins.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_anonymous_rows(store: &Store) -> Result<i64> {
    let sql = "SELECT (SELECT COUNT(*) FROM sign_in_attempts) + (SELECT COUNT(*) FROM one_time_tokens)
                    + (SELECT COUNT(*) FROM device_logins)";
    let rows = store.database.read(sql, Vec::new()).await?;
    Ok(rows.read_one(Columns::int)?)
}

/// The text of a row of SQLite's EXPLAIN QUERY PLAN.
pub(crate) fn read_plan_line(columns: &mut Columns) -> std::result::Result<String, DatabaseError> {
    let (_id, _parent, _unused) = (columns.int()?, columns.int()?, columns.int()?);
    columns.text()
}

/// Keeps one copy of a statement's text for the life of the program.
pub(crate) fn intern_sql(sql: String) -> &'static str {
    static INTERNED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut interned = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
    let interned = interned.get_or_insert_default();
    if let Some(known) = interned.get(sql.as_str()) {
        return known;
    }
    let new: &'static str = Box::leak(sql.into_boxed_str());
    interned.insert(new);
    new
}

#[cfg(test)]
mod tests {
    use super::database_url;

    #[test]
    fn another_database_on_the_same_server() {
        assert_eq!(database_url("postgres://u@h:1/postgres?x=y", "d"), "postgres://u@h:1/d?x=y");
        assert_eq!(database_url("postgres://u@h", "d"), "postgres://u@h/d");
        assert_eq!(database_url("postgres://u@%2Ftmp/a", "d"), "postgres://u@%2Ftmp/d");
        assert_eq!(database_url("postgres:///a?host=/tmp", "d"), "postgres:///d?host=/tmp");
    }
}
