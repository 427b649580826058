//! Reads from PostgreSQL: a pool of connections for each lane.
//!
//! When a caller stops waiting, its query is cancelled at the server, and its connection never goes back to the pool:
//! the pool would hand out a connection with a running query.

use super::connection::{PostgresAddress, to_database_error};
use super::run_in_order;
use crate::database::DatabaseError;
use crate::database::lanes::Readers;
use crate::database::{Rows, Statement, Value};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a read waits for a connection when all are in use.
const WAIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a read that lost its connection is repeated, in addition to once for each connection of the pool.
const ATTEMPTS: usize = 5;
/// How long cancelling a query may take.
const CANCEL: Duration = Duration::from_secs(5);

/// Connections for reads cannot write, just as in SQLite.
///
/// And they use the keys, just as in SQLite: every statement is a look-up or a short walk of an index. By default,
/// PostgreSQL guesses that a page (`LIMIT $3`) is a tenth of the organization, and then reads and sorts all of it; or
/// it changes the plan after statistics were taken at a bad moment. One plan for each statement, whatever the values,
/// also saves planning, which took a third of the time.
const SETTINGS: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;
     SET plan_cache_mode = force_generic_plan;
     SET enable_hashjoin = off;
     SET enable_mergejoin = off;
     SET enable_seqscan = off;
     SET enable_bitmapscan = off;
     SET max_parallel_workers_per_gather = 0;
     SET jit = off;
     SET lock_timeout = '10s';
     SET idle_in_transaction_session_timeout = '30s'";

/// The connections of one lane.
pub(super) struct PostgresReaders {
    pool: Pool,
    connections: usize,
    connect_timeout: Duration,
    tls: MakeRustlsConnect,
}

/// Why a read failed.
enum ReadError {
    /// The connection broke or the server cannot be reached: a retry on another connection may succeed.
    Lost(DatabaseError),
    /// A retry would not help.
    Final(DatabaseError),
}

impl PostgresReaders {
    /// A pool of connections. The server itself ends a statement that takes too long, even when this process is gone.
    pub(super) fn new(
        address: &PostgresAddress,
        connections: u32,
        readers: &Readers,
    ) -> Result<Self, DatabaseError> {
        let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.config.clone(), address.tls.clone(), fast);
        let settings = format!("{SETTINGS}; SET statement_timeout = {}", readers.read_timeout.as_millis());
        let set = Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
        });
        let connections = connections as usize;
        let pool = Pool::builder(manager)
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .post_create(set)
            .build()
            .map_err(|error| DatabaseError::Failed(format!("cannot make a pool of connections: {error}")))?;
        Ok(PostgresReaders {
            pool,
            connections,
            connect_timeout: readers.connect_timeout,
            tls: address.tls.clone(),
        })
    }

    /// Reads all statements in one snapshot, each for at most `limit`. Waits for a server that cannot be reached.
    pub(super) async fn read(
        &self,
        statements: &[Statement],
        limit: Option<Duration>,
    ) -> Result<Vec<Rows>, DatabaseError> {
        let mut last = None;
        for _ in 0..self.connections + ATTEMPTS {
            let connection = self.connection().await?;
            match connection.execute(statements, limit).await {
                Ok(results) => return Ok(results),
                Err(ReadError::Lost(error)) => last = Some(error),
                Err(ReadError::Final(error)) => return Err(error),
            }
        }
        Err(away_error(last))
    }

    /// Checks once whether the database answers.
    pub(super) async fn ping(&self) -> Result<(), DatabaseError> {
        let one = [Statement { sql: "SELECT 1", values: Vec::new(), exactly_one: false }];
        // The connection may have broken since its last use. Then a new one decides.
        for _ in 0..self.connections {
            let connection = self.try_connection().await.map_err(ReadError::into_error)?;
            match connection.execute(&one, None).await {
                Err(ReadError::Lost(_)) => {}
                outcome => return outcome.map(drop).map_err(ReadError::into_error),
            }
        }
        let connection = self.try_connection().await.map_err(ReadError::into_error)?;
        connection.execute(&one, None).await.map(drop).map_err(ReadError::into_error)
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// A connection. Waits for a server that cannot be reached.
    async fn connection(&self) -> Result<ReadConnection, DatabaseError> {
        let mut last = None;
        let connecting = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.try_connection().await {
                    Ok(connection) => return Ok(connection),
                    Err(ReadError::Lost(error)) => last = Some(error),
                    Err(ReadError::Final(error)) => return Err(error),
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let connected = timeout(self.connect_timeout, connecting).await;
        connected.unwrap_or_else(|_| Err(away_error(last)))
    }

    async fn try_connection(&self) -> Result<ReadConnection, ReadError> {
        match self.pool.get().await {
            Ok(object) => Ok(ReadConnection { object: Some(object), tls: self.tls.clone() }),
            Err(PoolError::Backend(error)) => Err(to_read_error(&error)),
            Err(PoolError::PostCreateHook(HookError::Backend(error))) => Err(to_read_error(&error)),
            Err(PoolError::Timeout(_)) => Err(ReadError::Final(DatabaseError::Crowded { own: false })),
            Err(other) => Err(ReadError::Final(DatabaseError::Failed(format!(
                "no connection to the database: {other}"
            )))),
        }
    }
}

fn away_error(last: Option<DatabaseError>) -> DatabaseError {
    let text = last.map_or_else(|| "the database does not answer".to_owned(), |error| error.to_string());
    DatabaseError::Away(text)
}

impl ReadError {
    fn into_error(self) -> DatabaseError {
        match self {
            ReadError::Lost(error) | ReadError::Final(error) => error,
        }
    }
}

fn to_read_error(error: &Error) -> ReadError {
    const AWAY: [SqlState; 4] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    const ENDED: [SqlState; 2] = [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE];
    match error.code() {
        Some(code) if AWAY.contains(code) => ReadError::Lost(to_database_error(error)),
        Some(code) if ENDED.contains(code) => ReadError::Final(DatabaseError::Slow { seconds: 0 }),
        Some(_) => ReadError::Final(to_database_error(error)),
        // Without a code, the error is about the connection, or about a value of ours that does not fit.
        None if error.is_closed() || is_connection_error(error) => ReadError::Lost(to_database_error(error)),
        None => ReadError::Final(to_database_error(error)),
    }
}

/// Whether connecting or the connection failed.
fn is_connection_error(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
}

/// A connection in use.
struct ReadConnection {
    /// `None` once the read is over.
    object: Option<Object>,
    tls: MakeRustlsConnect,
}

impl Drop for ReadConnection {
    /// Cancels a running query, and keeps the connection out of the pool.
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let client = Object::take(object);
        let (cancel, tls) = (client.cancel_token(), self.tls.clone());
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Ok(Err(error)) = timeout(CANCEL, cancel.cancel_query(tls)).await {
                tracing::debug!(error = error.to_string(), "a query that nobody waits for was not cancelled");
            }
            // Not earlier: closing a connection does not end its query.
            drop(client);
        });
    }
}

impl ReadConnection {
    async fn execute(
        mut self,
        statements: &[Statement],
        limit: Option<Duration>,
    ) -> Result<Vec<Rows>, ReadError> {
        let Some(object) = &self.object else { return Err(ReadError::Lost(away_error(None))) };
        let (results, is_idle) = match (statements, limit) {
            ([one], None) => (read_once(object, one).await.map(|rows| vec![rows]), true),
            _ => snapshot(object, statements, limit).await,
        };
        let object = self.object.take();
        let results = results.map_err(|error| to_read_error(&error));
        // The pool checks neither for an open transaction nor, at once, for a broken connection: it would hand both out
        // again.
        if !is_idle || matches!(results, Err(ReadError::Lost(_))) {
            drop(object.map(Object::take));
        }
        results?.into_iter().map(rows).collect::<Result<_, _>>().map_err(ReadError::Final)
    }
}

async fn read_once(connection: &Object, statement: &Statement) -> Result<Vec<tokio_postgres::Row>, Error> {
    let prepared = connection.prepare_cached(statement.sql).await?;
    query(connection, &prepared, &statement.values).await
}

async fn query(
    connection: &Object,
    prepared: &tokio_postgres::Statement,
    values: &[Value],
) -> Result<Vec<tokio_postgres::Row>, Error> {
    let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        values.iter().map(|value| value as _).collect();
    connection.query(prepared, &values).await
}

/// Reads all statements in one snapshot and in one round trip. Also says whether the transaction has ended, so that the
/// connection can be used again.
async fn snapshot(
    connection: &Object,
    statements: &[Statement],
    limit: Option<Duration>,
) -> (Result<Vec<Vec<tokio_postgres::Row>>, Error>, bool) {
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        match connection.prepare_cached(statement.sql).await {
            Ok(one) => prepared.push(one),
            Err(error) => return (Err(error), true),
        }
    }
    let limit = limit.map(|limit| format!("; SET LOCAL statement_timeout = {}", limit.as_millis()));
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{}", limit.unwrap_or_default());
    let execute = |sql: String| async move { connection.batch_execute(&sql).await.map(|()| Vec::new()) };
    let mut steps: Vec<BoxFuture<'_, Result<Vec<tokio_postgres::Row>, Error>>> = Vec::new();
    steps.push(Box::pin(execute(begin)));
    for (statement, prepared) in statements.iter().zip(&prepared) {
        steps.push(Box::pin(query(connection, prepared, &statement.values)));
    }
    // Sent along with the rest: after an error it rolls back. It has the time limit too, and when that ends it, an
    // aborted transaction stays open. What was read before it is good all the same.
    steps.push(Box::pin(execute("COMMIT".to_owned())));
    let mut results = run_in_order(steps).await;
    let is_ended = results.pop().is_some_and(|committed| committed.is_ok());
    let results = results.into_iter().collect::<Result<Vec<_>, _>>();
    (results.map(|mut results| results.split_off(1)), is_ended)
}

fn rows(rows: Vec<tokio_postgres::Row>) -> Result<Rows, DatabaseError> {
    rows.iter().map(row).collect::<Result<_, _>>().map(Rows::new)
}

fn row(row: &tokio_postgres::Row) -> Result<Vec<Value>, DatabaseError> {
    let cell = |column: usize| {
        row.try_get::<_, Value>(column).map_err(|_| {
            let found = row.columns()[column].type_();
            DatabaseError::Failed(format!(
                "column {column} has the type {found}, which the portable subset does not have: CAST it"
            ))
        })
    };
    (0..row.len()).map(cell).collect()
}
