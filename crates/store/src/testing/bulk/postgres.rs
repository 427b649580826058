//! Writes rows to a PostgreSQL database, by COPY.

use super::{Counter, Counters, InsertPlan, Rows, TABLES};
use crate::Result;
use crate::database::{DatabaseError, Value};
use crate::testing::database_url;
use std::pin::Pin;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, NoTls};

/// Creates an empty database on a server, in place of one with this name. Returns its URL.
///
/// # Errors
/// [`DatabaseError::Failed`].
pub async fn recreate_database(server: &str, name: &str) -> Result<String> {
    run(async {
        let client = connect(server).await?;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await
    })
    .await?;
    Ok(database_url(server, name))
}

/// A connection's process on a PostgreSQL server, and the connection that keeps it alive.
///
/// # Errors
/// [`DatabaseError::Failed`].
pub async fn postgres_backend(url: &str) -> Result<(u32, impl Send + Sync + use<>)> {
    let found = run(async {
        let client = connect(url).await?;
        let id: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        Ok((id.unsigned_abs(), client))
    });
    Ok(found.await?)
}

/// Two tables with the rows of new device sessions and of their feed entries, and nothing that a server does besides.
pub struct BareTables {
    client: Client,
    session: tokio_postgres::Statement,
    entry: tokio_postgres::Statement,
}

impl BareTables {
    /// Creates the tables in a database of Tenure.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`].
    pub async fn create(url: &str) -> Result<BareTables> {
        let created = run(async {
            let client = connect(url).await?;
            client
                .batch_execute(
                    "DROP TABLE IF EXISTS bare_sessions, bare_changes;
                     CREATE TABLE bare_sessions (LIKE sessions INCLUDING ALL);
                     CREATE TABLE bare_changes (LIKE changes INCLUDING ALL)",
                )
                .await?;
            let session = "INSERT INTO bare_sessions (organization, kind, created_us, tail, principal, revision, activity_us)
                           VALUES ($1, 'device', $2, $2, $1, 1, $2)";
            let entry = "INSERT INTO bare_changes
                             (organization, sequence, kind, session_us, session_tail, revision, what, at_us)
                         VALUES ($1, $2, 'device', $2, $2, 1, 'created', $2)";
            let (session, entry) = (client.prepare(session).await?, client.prepare(entry).await?);
            Ok(BareTables { client, session, entry })
        });
        Ok(created.await?)
    }

    /// Inserts `count` sessions in one transaction, pipelined.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`].
    pub async fn insert(&self, first: i64, count: i64) -> Result<()> {
        let numbers = (first..first + count).collect::<Vec<_>>();
        let organization = uuid::Uuid::from_u128(7);
        let inserted = run(async {
            let begin = self.client.batch_execute("BEGIN");
            let rows = numbers.iter().flat_map(|number| {
                [&self.session, &self.entry].map(|statement| async move {
                    self.client.execute(statement, &[&organization, number]).await
                })
            });
            // All are sent before the first response is waited for.
            let commit = self.client.batch_execute("COMMIT");
            let (begun, rows, committed) =
                futures_util::join!(begin, futures_util::future::join_all(rows), commit);
            begun?;
            rows.into_iter().collect::<Result<Vec<_>, _>>()?;
            committed
        });
        Ok(inserted.await?)
    }
}

/// The rows of one plan, which are copied on a connection of their own.
struct Copy {
    writer: Pin<Box<BinaryCopyInWriter>>,
    // Ends the connection when it is dropped.
    _client: Client,
}

/// The connections, and how to build the indexes again.
pub(super) struct BulkPostgresWriter {
    url: String,
    client: Client,
    copies: Vec<Copy>,
    indexes: Vec<String>,
}

impl BulkPostgresWriter {
    /// Connects and drops the secondary indexes.
    pub(super) async fn open(url: &str) -> Result<BulkPostgresWriter, DatabaseError> {
        run(async {
            let client = connect(url).await?;
            let sql = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY ($1)
                       AND schemaname = current_schema()
                       AND indexname NOT IN (SELECT conname FROM pg_constraint)";
            let mut indexes = Vec::new();
            for row in client.query(sql, &[&TABLES.as_slice()]).await? {
                client.batch_execute(&format!("DROP INDEX {}", row.get::<_, String>(0))).await?;
                indexes.push(row.get(1));
            }
            Ok(BulkPostgresWriter { url: url.to_owned(), client, copies: Vec::new(), indexes })
        })
        .await
    }

    /// All counters.
    pub(super) async fn counters(&mut self) -> Result<Counters, DatabaseError> {
        run(async {
            let rows = self.client.query("SELECT organization, sequence, pruned FROM counters", &[]).await?;
            let read = |row: &tokio_postgres::Row| {
                (row.get(0), Counter { sequence: row.get(1), pruned: row.get(2) })
            };
            Ok(rows.iter().map(read).collect())
        })
        .await
    }

    /// Writes all rows that come.
    pub(super) async fn write_all(&mut self, mut rows: Receiver<Rows>) -> Result<(), DatabaseError> {
        run(async {
            while let Some(Rows { plans, rows }) = rows.recv().await {
                while self.copies.len() < plans.len() {
                    let copy = begin_copy(&self.url, &plans[self.copies.len()]).await?;
                    self.copies.push(copy);
                }
                for row in rows {
                    let values = row.values.iter().map(|value: &Value| value as &(dyn ToSql + Sync));
                    let values = values.collect::<Vec<_>>();
                    self.copies[row.plan].writer.as_mut().write(&values).await?;
                }
            }
            for mut copy in self.copies.drain(..) {
                copy.writer.as_mut().finish().await?;
            }
            Ok(())
        })
        .await
    }

    /// Writes the counters and builds the indexes.
    pub(super) async fn finish(self, counters: &Counters) -> Result<(), DatabaseError> {
        run(async {
            let sql = "INSERT INTO counters (organization, sequence, pruned) VALUES ($1, $2, $3)
                       ON CONFLICT (organization)
                       DO UPDATE SET sequence = excluded.sequence, pruned = excluded.pruned";
            let statement = self.client.prepare(sql).await?;
            for (organization, counter) in counters {
                self.client.execute(&statement, &[organization, &counter.sequence, &counter.pruned]).await?;
            }
            self.client.batch_execute("SET maintenance_work_mem = '512MB'").await?;
            for sql in &self.indexes {
                self.client.batch_execute(sql).await?;
            }
            self.client.batch_execute("VACUUM (ANALYZE)").await?;
            self.client.batch_execute("CHECKPOINT").await
        })
        .await
    }
}

async fn begin_copy(url: &str, plan: &InsertPlan) -> Result<Copy, Error> {
    let client = connect(url).await?;
    let columns = plan.columns.join(", ");
    let described = client.prepare(&format!("SELECT {columns} FROM {}", plan.table)).await?;
    let types = described.columns().iter().map(|column| column.type_().clone()).collect::<Vec<Type>>();
    let sql = format!("COPY {} ({columns}) FROM STDIN BINARY", plan.table);
    let sink = client.copy_in(&sql).await?;
    Ok(Copy { writer: Box::pin(BinaryCopyInWriter::new(sink, &types)), _client: client })
}

async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn run<T>(steps: impl Future<Output = Result<T, Error>>) -> Result<T, DatabaseError> {
    let to_error = |error: Error| {
        let message =
            error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        DatabaseError::Failed(format!("postgres: {message}"))
    };
    steps.await.map_err(to_error)
}
