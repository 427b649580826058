//! One transaction for a group of batches.
//!
//! First, everything is sent at once without savepoints, which is cheapest and nearly always succeeds. If a batch is
//! refused, the group is repeated with a savepoint before each batch. A refusal then rolls back that batch and those
//! after it, and the rest is sent again. So a group costs two round trips, and one more for every refusal.

use super::connection::{PostgresAddress, to_database_error};
use super::listener::build_payloads;
use super::run_in_order;
use crate::database::{Batch, BatchResult, DatabaseError, Topic};
use futures_util::future::BoxFuture;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

/// Maximum duration of a transaction's statements, and of its commit.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commits are durable before they are acknowledged, whatever the server's default (a stricter one stays). PostgreSQL
/// itself releases the locks of a hung server of ours, and ends a statement that takes too long.
const SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false)
      WHERE current_setting('synchronous_commit') IN ('off', 'local');
     SET default_transaction_isolation = 'read committed';
     SET default_transaction_read_only = off;
     SET idle_in_transaction_session_timeout = '30s';
     SET statement_timeout = '30s'";

/// Sorted, because two servers that lock the same rows in different orders deadlock.
const LOCK: &str =
    "SELECT organization FROM counters WHERE organization = ANY($1) ORDER BY organization FOR UPDATE";
const NOTIFY: &str = "SELECT pg_notify('tenure', $1)";

/// Why a group was not committed.
pub(super) enum WriteError {
    /// A deadlock or a serialization failure: nothing is written, and the connection is fine.
    Again(DatabaseError),
    /// The connection broke before the commit was sent: nothing is written.
    Lost(DatabaseError),
    /// The outcome is unknown, or a retry would not help.
    Final(DatabaseError),
}

/// The connection of the writer, with its prepared statements.
pub(super) struct WriteConnection {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    lock: Statement,
    notify: Statement,
}

impl WriteConnection {
    pub(super) async fn connect(address: &PostgresAddress) -> Result<Self, DatabaseError> {
        let client = address.client().await?;
        Self::prepare_all(client).await.map_err(|error| to_database_error(&error))
    }

    async fn prepare_all(client: Client) -> Result<Self, Error> {
        client.batch_execute(SETTINGS).await?;
        let lock = client.prepare(LOCK).await?;
        let notify = client.prepare(NOTIFY).await?;
        Ok(WriteConnection { client, prepared: HashMap::new(), lock, notify })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Prepares missing statements of a batch. Before the transaction, because an error would end it.
    async fn prepare(&mut self, batch: &Batch) -> Result<BatchResult, WriteError> {
        for statement in &batch.statements {
            if self.prepared.contains_key(statement.sql) {
                continue;
            }
            match self.client.prepare(statement.sql).await {
                Ok(prepared) => drop(self.prepared.insert(statement.sql, prepared)),
                Err(error) if error.as_db_error().is_some() => return Ok(Err(to_database_error(&error))),
                Err(error) => return Err(WriteError::Lost(to_database_error(&error))),
            }
        }
        Ok(Ok(()))
    }
}

/// The topics of the batches that were committed.
pub(super) fn topics_of_commit(batches: &[Batch], outcomes: &[BatchResult]) -> BTreeSet<Topic> {
    Batch::topics_of_commit(batches.iter().zip(outcomes.iter().map(Result::is_ok)))
}

/// Runs all batches and commits those that were not refused.
pub(super) async fn run(
    connection: &mut WriteConnection,
    batches: &[Batch],
    node: Uuid,
) -> Result<Vec<BatchResult>, WriteError> {
    let outcomes = match timeout(PATIENCE, run_batches(connection, batches)).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(error)) => return Err(roll_back_after(connection, error).await),
        Err(_) => return Err(WriteError::Final(DatabaseError::Failed("the database took too long".into()))),
    };
    if outcomes.iter().all(Result::is_err) {
        roll_back(connection).await?;
        return Ok(outcomes);
    }
    let changed = topics_of_commit(batches, &outcomes);
    match timeout(PATIENCE, commit(connection, node, &changed)).await {
        Ok(Ok(())) => Ok(outcomes),
        Ok(Err(error)) => Err(roll_back_after(connection, error).await),
        Err(_) => Err(WriteError::Final(unknown_outcome("no answer in time"))),
    }
}

/// Leaves no transaction open on a connection that is used again.
async fn roll_back_after(connection: &WriteConnection, error: WriteError) -> WriteError {
    match error {
        WriteError::Again(error) => roll_back(connection).await.err().unwrap_or(WriteError::Again(error)),
        other => other,
    }
}

async fn roll_back(connection: &WriteConnection) -> Result<(), WriteError> {
    connection
        .client
        .batch_execute("ROLLBACK")
        .await
        .map_err(|error| WriteError::Lost(to_database_error(&error)))
}

/// Begins a transaction and runs all batches, except those that are refused.
async fn run_batches(
    connection: &mut WriteConnection,
    batches: &[Batch],
) -> Result<Vec<BatchResult>, WriteError> {
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        outcomes.push(connection.prepare(batch).await?);
    }
    let group = BatchGroup { connection, batches };
    let Some((refused, error)) = group.send(GroupStart::Begin, &outcomes, 0, false).await? else {
        return Ok(outcomes);
    };
    if batches.len() == 1 {
        outcomes[refused] = Err(error);
        return Ok(outcomes);
    }
    let (mut opening, mut from) = (GroupStart::Again, 0);
    while let Some((refused, error)) = group.send(opening, &outcomes, from, true).await? {
        outcomes[refused] = Err(error);
        (opening, from) = (GroupStart::Undo(refused), refused + 1);
    }
    Ok(outcomes)
}

/// What is sent before the batches.
enum GroupStart {
    /// A new transaction.
    Begin,
    /// A new transaction in place of the present one.
    Again,
    /// The same transaction, without the batch with this number and those after it.
    Undo(usize),
}

/// The batches of a transaction and its connection.
struct BatchGroup<'a> {
    connection: &'a WriteConnection,
    batches: &'a [Batch],
}

/// The batch and the statement that a response belongs to; `None` for statements around them.
type StatementPosition = Option<(usize, usize)>;

impl BatchGroup<'_> {
    /// Sends the start and all batches from number `from` on that were not refused already. Returns the first that is
    /// refused now, and why.
    async fn send(
        &self,
        opening: GroupStart,
        outcomes: &[BatchResult],
        from: usize,
        savepoints: bool,
    ) -> Result<Option<(usize, DatabaseError)>, WriteError> {
        let mut positions: Vec<StatementPosition> = Vec::new();
        let mut steps: Vec<BoxFuture<'_, Result<u64, Error>>> = self.open(opening);
        positions.resize(steps.len(), None);
        for number in (from..self.batches.len()).filter(|number| outcomes[*number].is_ok()) {
            if savepoints {
                steps.push(self.execute(format!("SAVEPOINT b{number}")));
                positions.push(None);
            }
            for (position, statement) in self.batches[number].statements.iter().enumerate() {
                let prepared = &self.connection.prepared[statement.sql];
                steps.push(Box::pin(self.connection.client.execute_raw(prepared, &statement.values)));
                positions.push(Some((number, position)));
            }
        }
        for (position, result) in positions.into_iter().zip(run_in_order(steps).await) {
            if let Some(refusal) = self.check_result(position, result)? {
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }

    fn open(&self, opening: GroupStart) -> Vec<BoxFuture<'_, Result<u64, Error>>> {
        let begin = match opening {
            GroupStart::Begin => vec![self.execute("BEGIN".into())],
            GroupStart::Again => vec![self.execute("ROLLBACK".into()), self.execute("BEGIN".into())],
            GroupStart::Undo(number) => {
                return vec![self.execute(format!("ROLLBACK TO SAVEPOINT b{number}"))];
            }
        };
        let locks: BTreeSet<Uuid> =
            self.batches.iter().flat_map(|batch| batch.locks.iter().copied()).collect();
        let mut steps = begin;
        if !locks.is_empty() {
            let locks: Vec<Uuid> = locks.into_iter().collect();
            let client = &self.connection.client;
            steps.push(Box::pin(async move { client.execute(&self.connection.lock, &[&locks]).await }));
        }
        steps
    }

    fn execute(&self, sql: String) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { self.connection.client.batch_execute(&sql).await.map(|()| 0) })
    }

    /// Returns the batch that a response refuses, if any.
    fn check_result(
        &self,
        position: StatementPosition,
        result: Result<u64, Error>,
    ) -> Result<Option<(usize, DatabaseError)>, WriteError> {
        let error = match (result, position) {
            (Ok(rows), Some((batch, statement))) => {
                let unmet = rows != 1 && self.batches[batch].statements[statement].exactly_one;
                return Ok(unmet.then_some((batch, DatabaseError::Unmet { statement, rows })));
            }
            (Ok(_), None) => return Ok(None),
            (Err(error), _) => error,
        };
        match (to_write_error(&error), position) {
            (Some(error), _) => Err(error),
            (None, Some((batch, statement))) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Ok(Some((batch, DatabaseError::Taken { statement })))
            }
            (None, Some((batch, _))) => Ok(Some((batch, to_database_error(&error)))),
            (None, None) => Err(WriteError::Final(to_database_error(&error))),
        }
    }
}

/// Classifies an error before the commit that is not about one batch.
fn to_write_error(error: &Error) -> Option<WriteError> {
    const RETRY: [SqlState; 2] = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    const ENDED: [SqlState; 4] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    match error.code() {
        Some(code) if RETRY.contains(code) => Some(WriteError::Again(to_database_error(error))),
        Some(code) if ENDED.contains(code) => Some(WriteError::Lost(to_database_error(error))),
        None if error.is_closed() => Some(WriteError::Lost(to_database_error(error))),
        _ => None,
    }
}

/// Notifies the other servers and commits, in one round trip.
async fn commit(
    connection: &WriteConnection,
    node: Uuid,
    changed: &BTreeSet<Topic>,
) -> Result<(), WriteError> {
    let payloads = build_payloads(node, changed);
    let mut steps: Vec<BoxFuture<'_, Result<u64, Error>>> = Vec::new();
    for payload in &payloads {
        steps.push(Box::pin(async move { connection.client.execute(&connection.notify, &[payload]).await }));
    }
    steps.push(Box::pin(async { connection.client.batch_execute("COMMIT").await.map(|()| 0) }));
    let results = run_in_order(steps).await;
    // In order: if the first had failed, the COMMIT would have been a rollback that reports success.
    for result in results {
        if let Err(error) = result {
            return Err(match to_write_error(&error) {
                Some(WriteError::Again(error)) => WriteError::Again(error),
                _ => WriteError::Final(unknown_outcome(&to_database_error(&error).to_string())),
            });
        }
    }
    Ok(())
}

fn unknown_outcome(why: &str) -> DatabaseError {
    DatabaseError::Failed(format!("the outcome of the commit is unknown: {why}"))
}
