//! The shared database: reads over a pool, writes over one line of their own, news over another.

use super::Batch;
use super::counts::Written;
use super::damage::Damage;
use super::location::{Protection, Secret};
use super::postgres_line::{Address, failed};
use super::postgres_listener;
use super::postgres_schema;
use super::postgres_writer::Writer;
use super::signal::Signals;
use super::{DatabaseError, OpenMode, Row, Statement, Value};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::future::BoxFuture;
use futures_util::poll;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// How long a read waits for a line.
const WAIT: Duration = Duration::from_secs(10);
/// How soon a server that is well answers the simplest question.
const PING: Duration = Duration::from_secs(5);

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
     SET jit = off";

/// An open PostgreSQL database; clones share it.
#[derive(Clone)]
pub struct Postgres {
    inner: Arc<Inner>,
}

struct Inner {
    damage: Damage,
    pool: Pool,
    writer: Writer,
    /// Lines for reading.
    lines: usize,
    signals: Signals,
    listener: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Postgres {
    pub(super) async fn open(
        url: &Secret,
        protection: Protection,
        mode: OpenMode,
        lines: u32,
        now_us: i64,
    ) -> Result<Self, DatabaseError> {
        let address = Address::new(url, protection)?;
        let mut client = address.client().await?;
        postgres_schema::prepare(&mut client, mode, now_us).await?;
        let node = node_id(&client).await?;
        let lines = lines as usize;
        let pool = pool(&address, lines)?;
        let signals = Signals::default();
        let listener = postgres_listener::start(address.clone(), node, signals.clone()).await?;
        let writer = Writer::start(address, node, signals.clone());
        Ok(Postgres {
            inner: Arc::new(Inner { damage: Damage::default(), pool, writer, lines, signals, listener }),
        })
    }

    pub(super) fn damage(&self) -> &Damage {
        &self.inner.damage
    }

    pub(super) fn written(&self) -> Written {
        self.inner.writer.written()
    }

    pub(super) async fn read(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let mut broken = 0;
        loop {
            let line = self.line().await?;
            match read_once(&line, sql, &values).await {
                Err(error) if lost(&error) && broken < self.inner.lines => broken += discard(line),
                outcome => return rows(outcome.map_err(|error| failed(&error))?),
            }
        }
    }

    pub(super) async fn read_all(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let mut broken = 0;
        let answers = loop {
            let line = self.line().await?;
            match snapshot(&line, &statements).await {
                Err(error) if lost(&error) && broken < self.inner.lines => broken += discard(line),
                outcome => break outcome.map_err(|error| failed(&error))?,
            }
        };
        answers.into_iter().map(rows).collect()
    }

    pub(super) async fn apply(&self, batch: Batch) -> Result<(), DatabaseError> {
        self.inner.writer.apply(batch).await
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    pub(super) async fn ping(&self) -> Result<(), DatabaseError> {
        match tokio::time::timeout(PING, self.read("SELECT 1", Vec::new())).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(DatabaseError::Failed("the database does not answer".into())),
        }
    }

    pub(super) async fn close(&self) {
        self.inner.writer.close().await;
        self.inner.listener.abort();
        self.inner.pool.close();
        self.inner.signals.close();
    }

    async fn line(&self) -> Result<Object, DatabaseError> {
        self.inner.pool.get().await.map_err(|error| match error {
            deadpool_postgres::PoolError::Backend(error) => failed(&error),
            other => DatabaseError::Failed(format!("no line to the database: {other}")),
        })
    }
}

/// Names this opening of the database, so that a server knows its own news. From the database, because
/// randomness is not ours to make here.
async fn node_id(client: &tokio_postgres::Client) -> Result<Uuid, DatabaseError> {
    let row = client.query_one("SELECT gen_random_uuid()", &[]).await.map_err(|error| failed(&error))?;
    Ok(row.get(0))
}

fn pool(address: &Address, lines: usize) -> Result<Pool, DatabaseError> {
    let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(address.config.clone(), address.tls.clone(), fast);
    let settings = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
        Box::pin(async move { client.batch_execute(SETTINGS).await.map_err(HookError::Backend) })
    });
    Pool::builder(manager)
        .max_size(lines)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(WAIT))
        .post_create(settings)
        .build()
        .map_err(|error| DatabaseError::Failed(format!("cannot make a pool of connections: {error}")))
}

/// Keeps a broken line out of the pool, which may not have noticed yet and would hand it out again; after a restart
/// of the database all of its lines may be broken.
fn discard(line: Object) -> usize {
    drop(Object::take(line));
    1
}

/// Whether the line broke, in which case reading again on another one is worth a try.
fn lost(error: &Error) -> bool {
    error.is_closed() || error.code() == Some(&SqlState::ADMIN_SHUTDOWN)
}

async fn read_once(
    line: &Object,
    sql: &'static str,
    values: &[Value],
) -> Result<Vec<tokio_postgres::Row>, Error> {
    let prepared = line.prepare_cached(sql).await?;
    query(line, &prepared, values).await
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
async fn snapshot(line: &Object, statements: &[Statement]) -> Result<Vec<Vec<tokio_postgres::Row>>, Error> {
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        prepared.push(line.prepare_cached(statement.sql).await?);
    }
    let execute = |sql: &'static str| async move { line.batch_execute(sql).await.map(|()| Vec::new()) };
    let mut steps: Vec<BoxFuture<'_, Result<Vec<tokio_postgres::Row>, Error>>> = Vec::new();
    steps.push(Box::pin(execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")));
    for (statement, prepared) in statements.iter().zip(&prepared) {
        steps.push(Box::pin(query(line, prepared, &statement.values)));
    }
    // Sent along with the rest, so that the transaction ends even when nobody waits for the answers any more.
    steps.push(Box::pin(execute("COMMIT")));
    let mut answers: Vec<_> = in_order(steps).await.into_iter().collect::<Result<_, _>>()?;
    answers.pop();
    answers.remove(0);
    Ok(answers)
}

/// Sends all requests one after the other without waiting, then takes the answers: one round trip for all.
///
/// A request of tokio-postgres goes out when it is first polled, so the order of polling is the order on the line.
pub(super) async fn in_order<T>(mut steps: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut first = Vec::with_capacity(steps.len());
    for step in &mut steps {
        first.push(poll!(step.as_mut()));
    }
    let mut answers = Vec::with_capacity(steps.len());
    for (step, first) in steps.into_iter().zip(first) {
        answers.push(match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => step.await,
        });
    }
    answers
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
