//! The schema in PostgreSQL: looking at it and bringing it up to date.

use super::connection::to_database_error;
use crate::database::migrate::{self, AppliedMigration, Migration};
use crate::database::{DatabaseError, OpenMode};
use tokio_postgres::Client;

/// Held while migrating, so that servers which start together take turns. An arbitrary number of our own.
const MIGRATION_LOCK: i64 = 0x7465_6e75_7265_0001;

/// Checks that the server can keep our data, and that the schema is, or becomes, the one of this program.
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
    // Without the lock first: a server that only restarts needs to wait for nobody.
    if let Some(applied) = load_applied(client).await?
        && migrate::pending(&applied, Migration::postgres_text)?.is_empty()
    {
        return Ok(());
    }
    // Of the session, and taken before the transaction that looks at the tables: a transaction that waits inside
    // does not see tables which were made meanwhile, because names are looked up in a cache that is renewed when a
    // transaction begins. After an error the caller hangs up, which sets it free.
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

/// Applies the next migration in a transaction of its own; false when there is none left.
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
