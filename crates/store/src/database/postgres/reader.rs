//! Reading from PostgreSQL: a pool of lines for each lane.
//!
//! A read whose caller stops waiting is cancelled at the server, and its line never goes back to the pool: it would hand
//! out a line with a query under way.

use super::connection::{PostgresAddress, to_database_error};
use super::run_in_order;
use crate::database::DatabaseError;
use crate::database::lanes::Readers;
use crate::database::{Row, Statement, Value};
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

/// How long a read waits for a line when all are in use.
const WAIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a read begins again that lost its line, besides once for each line of the pool.
const ATTEMPTS: usize = 5;
/// How long it may take to tell the server that a query is not wanted any more.
const CANCEL: Duration = Duration::from_secs(5);

/// What asks must not write, just as in SQLite.
///
/// And it goes by the keys, just as in SQLite: every question here is a look-up or a short walk of an index. Left to
/// itself, PostgreSQL guesses that a page (`LIMIT $3`) is a tenth of the organization, and then reads and sorts all of
/// it; or it takes another plan after the statistics were taken at a bad moment. One plan for each statement, whatever
/// the values, also saves the time for planning, which was a third of all.
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

/// The lines of one lane.
pub(super) struct PostgresReaders {
    pool: Pool,
    lines: usize,
    away: Duration,
    tls: MakeRustlsConnect,
}

/// Why a question got no answer.
enum ReadError {
    /// The line broke or the server is away: reading again on another line is worth a try.
    Lost(DatabaseError),
    /// Another try would not help.
    Final(DatabaseError),
}

impl PostgresReaders {
    /// Lines on which the server itself ends a statement that takes too long, even when this process is gone.
    pub(super) fn new(
        address: &PostgresAddress,
        lines: u32,
        readers: &Readers,
    ) -> Result<Self, DatabaseError> {
        let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.config.clone(), address.tls.clone(), fast);
        let settings = format!("{SETTINGS}; SET statement_timeout = {}", readers.read_timeout.as_millis());
        let set = Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
        });
        let lines = lines as usize;
        let pool = Pool::builder(manager)
            .max_size(lines)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .post_create(set)
            .build()
            .map_err(|error| DatabaseError::Failed(format!("cannot make a pool of connections: {error}")))?;
        Ok(PostgresReaders { pool, lines, away: readers.away, tls: address.tls.clone() })
    }

    /// Reads all statements at one moment, each of them for at most `limit`. Waits for a server that is away.
    pub(super) async fn read(
        &self,
        statements: &[Statement],
        limit: Option<Duration>,
    ) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let mut last = None;
        for _ in 0..self.lines + ATTEMPTS {
            let line = self.line().await?;
            match line.ask(statements, limit).await {
                Ok(answers) => return Ok(answers),
                Err(ReadError::Lost(error)) => last = Some(error),
                Err(ReadError::Final(error)) => return Err(error),
            }
        }
        Err(away_error(last))
    }

    /// Asks once whether the database answers.
    pub(super) async fn ping(&self) -> Result<(), DatabaseError> {
        let one = [Statement { sql: "SELECT 1", values: Vec::new(), exactly_one: false }];
        // The line may have broken since it was used last: then a new one tells.
        for _ in 0..self.lines {
            let line = self.try_line().await.map_err(ReadError::into_error)?;
            match line.ask(&one, None).await {
                Err(ReadError::Lost(_)) => {}
                outcome => return outcome.map(drop).map_err(ReadError::into_error),
            }
        }
        let line = self.try_line().await.map_err(ReadError::into_error)?;
        line.ask(&one, None).await.map(drop).map_err(ReadError::into_error)
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// A line, which a server that is away has some time to give.
    async fn line(&self) -> Result<ReadConnection, DatabaseError> {
        let mut last = None;
        let connecting = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.try_line().await {
                    Ok(line) => return Ok(line),
                    Err(ReadError::Lost(error)) => last = Some(error),
                    Err(ReadError::Final(error)) => return Err(error),
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let connected = timeout(self.away, connecting).await;
        connected.unwrap_or_else(|_| Err(away_error(last)))
    }

    async fn try_line(&self) -> Result<ReadConnection, ReadError> {
        match self.pool.get().await {
            Ok(object) => Ok(ReadConnection { object: Some(object), tls: self.tls.clone() }),
            Err(PoolError::Backend(error)) => Err(to_read_error(&error)),
            Err(PoolError::PostCreateHook(HookError::Backend(error))) => Err(to_read_error(&error)),
            Err(PoolError::Timeout(_)) => Err(ReadError::Final(DatabaseError::Crowded { own: false })),
            Err(other) => {
                Err(ReadError::Final(DatabaseError::Failed(format!("no line to the database: {other}"))))
            }
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
        // Without a code it came from the line, or from us: a value that does not fit.
        None if error.is_closed() || is_connection_error(error) => ReadError::Lost(to_database_error(error)),
        None => ReadError::Final(to_database_error(error)),
    }
}

/// Whether the line failed while it was made or used.
fn is_connection_error(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
}

/// A line in use.
struct ReadConnection {
    /// `None` once the line is free again.
    object: Option<Object>,
    tls: MakeRustlsConnect,
}

impl Drop for ReadConnection {
    /// Ends what is still under way, and keeps the line out of the pool.
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let client = Object::take(object);
        let (cancel, tls) = (client.cancel_token(), self.tls.clone());
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Ok(Err(error)) = timeout(CANCEL, cancel.cancel_query(tls)).await {
                tracing::debug!(error = error.to_string(), "a query that nobody waits for was not cancelled");
            }
            // Only now: a closed line does not end its query.
            drop(client);
        });
    }
}

impl ReadConnection {
    async fn ask(
        mut self,
        statements: &[Statement],
        limit: Option<Duration>,
    ) -> Result<Vec<Vec<Row>>, ReadError> {
        let Some(object) = &self.object else { return Err(ReadError::Lost(away_error(None))) };
        let answers = match (statements, limit) {
            ([one], None) => read_once(object, one).await.map(|rows| vec![rows]),
            _ => snapshot(object, statements, limit).await,
        };
        let object = self.object.take();
        match answers.map_err(|error| to_read_error(&error)) {
            Ok(answers) => answers.into_iter().map(rows).collect::<Result<_, _>>().map_err(ReadError::Final),
            // The pool may not have noticed yet that the line is broken, and would hand it out again.
            Err(ReadError::Lost(error)) => {
                drop(object.map(Object::take));
                Err(ReadError::Lost(error))
            }
            Err(error) => Err(error),
        }
    }
}

async fn read_once(line: &Object, statement: &Statement) -> Result<Vec<tokio_postgres::Row>, Error> {
    let prepared = line.prepare_cached(statement.sql).await?;
    query(line, &prepared, &statement.values).await
}

async fn query(
    line: &Object,
    prepared: &tokio_postgres::Statement,
    values: &[Value],
) -> Result<Vec<tokio_postgres::Row>, Error> {
    let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        values.iter().map(|value| value as _).collect();
    line.query(prepared, &values).await
}

/// All statements in one snapshot and in one round trip.
async fn snapshot(
    line: &Object,
    statements: &[Statement],
    limit: Option<Duration>,
) -> Result<Vec<Vec<tokio_postgres::Row>>, Error> {
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        prepared.push(line.prepare_cached(statement.sql).await?);
    }
    let limit = limit.map(|limit| format!("; SET LOCAL statement_timeout = {}", limit.as_millis()));
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{}", limit.unwrap_or_default());
    let execute = |sql: String| async move { line.batch_execute(&sql).await.map(|()| Vec::new()) };
    let mut steps: Vec<BoxFuture<'_, Result<Vec<tokio_postgres::Row>, Error>>> = Vec::new();
    steps.push(Box::pin(execute(begin)));
    for (statement, prepared) in statements.iter().zip(&prepared) {
        steps.push(Box::pin(query(line, prepared, &statement.values)));
    }
    // Sent along with the rest: after an error it rolls back.
    steps.push(Box::pin(execute("COMMIT".to_owned())));
    let mut answers: Vec<_> = run_in_order(steps).await.into_iter().collect::<Result<_, _>>()?;
    answers.pop();
    answers.remove(0);
    Ok(answers)
}

fn rows(rows: Vec<tokio_postgres::Row>) -> Result<Vec<Row>, DatabaseError> {
    rows.iter().map(row).collect()
}

fn row(row: &tokio_postgres::Row) -> Result<Row, DatabaseError> {
    let cell = |column: usize| {
        row.try_get::<_, Value>(column).map_err(|_| {
            let found = row.columns()[column].type_();
            DatabaseError::Failed(format!(
                "column {column} has the type {found}, which the portable subset does not have: CAST it"
            ))
        })
    };
    (0..row.len()).map(cell).collect::<Result<_, _>>().map(Row::new)
}
