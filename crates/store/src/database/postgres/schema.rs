//! The schema in PostgreSQL: checks and migrations.

use super::connection::to_database_error;
use crate::database::migrate::{self, AppliedMigration, Migration};
use crate::database::{DatabaseError, OpenMode};
use tokio_postgres::Client;

/// Locked while migrating, so that servers that start together take turns. An arbitrary number.
const MIGRATION_LOCK: i64 = 0x7465_6e75_7265_0001;

/// Checks the server, and migrates or checks the schema.
pub(super) async fn prepare(client: &mut Client, mode: OpenMode, now_us: i64) -> Result<(), DatabaseError> {
    check_server(client).await?;
    match mode {
        OpenMode::Migrate => migrate_all(client, now_us).await,
        OpenMode::Existing => {
            migrate::require_current(load_applied(client).await?.as_deref(), Migration::postgres_text)
        }
    }
}

async fn migrate_all(client: &mut Client, now_us: i64) -> Result<(), DatabaseError> {
    // First without the lock: a server that only restarts does not have to wait.
    if let Some(applied) = load_applied(client).await?
        && migrate::pending(&applied, Migration::postgres_text)?.is_empty()
    {
        return Ok(());
    }
    // The lock belongs to the session and is taken before the transaction. A transaction that waits inside would not
    // see tables that were created meanwhile, because names are looked up in a cache that is renewed when a
    // transaction begins. After an error the caller closes the connection, which releases the lock.
    let lock = client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await;
    lock.map_err(|error| to_database_error(&error))?;
    while migrate_one(client, now_us).await? {}
    let unlock = client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await;
    unlock.map(drop).map_err(|error| to_database_error(&error))
}

async fn check_server(client: &Client) -> Result<(), DatabaseError> {
    let sql = "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int";
    let row = client.query_one(sql, &[]).await.map_err(|error| to_database_error(&error))?;
    let (encoding, version): (String, i32) = (row.get(0), row.get(1));
    if encoding != "UTF8" {
        return Err(DatabaseError::Failed(format!(
            "the PostgreSQL database has the encoding {encoding}: create it with ENCODING 'UTF8'"
        )));
    }
    // gen_random_uuid() came with 13.
    if version < 130_000 {
        return Err(DatabaseError::Failed("PostgreSQL 13 or newer is needed".into()));
    }
    Ok(())
}

/// `None` when there is no table of migrations.
async fn load_applied(
    client: &impl tokio_postgres::GenericClient,
) -> Result<Option<Vec<AppliedMigration>>, DatabaseError> {
    let exists = "SELECT to_regclass('schema_migrations') IS NOT NULL";
    if !client.query_one(exists, &[]).await.map_err(|error| to_database_error(&error))?.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "SELECT version, checksum FROM schema_migrations ORDER BY version";
    let rows = client.query(sql, &[]).await.map_err(|error| to_database_error(&error))?;
    let line = |row: &tokio_postgres::Row| AppliedMigration { version: row.get(0), checksum: row.get(1) };
    Ok(Some(rows.iter().map(line).collect()))
}

/// Applies the next migration in its own transaction. Returns `false` when there is none left.
async fn migrate_one(client: &mut Client, now_us: i64) -> Result<bool, DatabaseError> {
    let transaction = client.transaction().await.map_err(|error| to_database_error(&error))?;
    let applied = load_applied(&transaction).await?.unwrap_or_default();
    let Some(next) = migrate::pending(&applied, Migration::postgres_text)?.first() else {
        return Ok(false);
    };
    run(&transaction, next, now_us).await.map_err(|error| {
        DatabaseError::Failed(format!(
            "migration {} ({}): {}",
            next.version,
            next.name,
            to_database_error(&error)
        ))
    })?;
    transaction.commit().await.map_err(|error| to_database_error(&error))?;
    Ok(true)
}

async fn run(
    transaction: &tokio_postgres::Transaction<'_>,
    migration: &Migration,
    now_us: i64,
) -> Result<(), tokio_postgres::Error> {
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, \
             checksum TEXT NOT NULL, applied_us BIGINT NOT NULL)",
        )
        .await?;
    transaction.batch_execute(migration.postgres).await?;
    let checksum = migrate::checksum(migration.postgres);
    let sql = "INSERT INTO schema_migrations (version, name, checksum, applied_us) VALUES ($1, $2, $3, $4)";
    transaction.execute(sql, &[&migration.version, &migration.name, &checksum, &now_us]).await?;
    Ok(())
}
