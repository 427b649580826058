//! One transaction for a group of batches.
//!
//! First everything is sent at once without savepoints, which is the cheapest and nearly always succeeds. If a
//! batch is refused, the group is done again with a savepoint before each batch: a refusal then undoes that batch
//! and those after it, and the rest is sent anew from there. So a group costs two round trips, and one more for
//! every refusal.

use super::connection::{Address, failed};
use super::in_order;
use super::listener::payloads;
use super::writer::Outcome;
use crate::database::{Batch, DatabaseError, Topic};
use futures_util::future::BoxFuture;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

/// How long the work of a transaction, or its commit, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commits are on the disk before they are answered, whatever the server's default (a stricter one stays). What a
/// hung server of ours has locked is set free, and a statement that takes too long is ended, by PostgreSQL itself.
const SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false)
      WHERE current_setting('synchronous_commit') IN ('off', 'local');
     SET default_transaction_isolation = 'read committed';
     SET default_transaction_read_only = off;
     SET idle_in_transaction_session_timeout = '30s';
     SET statement_timeout = '30s'";

/// Sorted, because two servers that lock the same rows in different orders wait for each other.
const LOCK: &str =
    "SELECT organization FROM counters WHERE organization = ANY($1) ORDER BY organization FOR UPDATE";
const NOTIFY: &str = "SELECT pg_notify('tenure', $1)";

/// Why a group was not committed.
pub(super) enum Trouble {
    /// A deadlock or the like: nothing is kept, the line is well.
    Again(DatabaseError),
    /// The line broke before the commit was asked for: nothing is kept.
    Lost(DatabaseError),
    /// It cannot be known, or another attempt would not help.
    Final(DatabaseError),
}

/// The line of the writer, with the statements prepared on it.
pub(super) struct Line {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    lock: Statement,
    notify: Statement,
}

impl Line {
    pub(super) async fn connect(address: &Address) -> Result<Self, DatabaseError> {
        let client = address.client().await?;
        Self::prepare_all(client).await.map_err(|error| failed(&error))
    }

    async fn prepare_all(client: Client) -> Result<Self, Error> {
        client.batch_execute(SETTINGS).await?;
        let lock = client.prepare(LOCK).await?;
        let notify = client.prepare(NOTIFY).await?;
        Ok(Line { client, prepared: HashMap::new(), lock, notify })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Prepares what a batch needs and is not prepared yet. Before the transaction: a mistake would end it.
    async fn prepare(&mut self, batch: &Batch) -> Result<Outcome, Trouble> {
        for statement in &batch.statements {
            if self.prepared.contains_key(statement.sql) {
                continue;
            }
            match self.client.prepare(statement.sql).await {
                Ok(prepared) => drop(self.prepared.insert(statement.sql, prepared)),
                Err(error) if error.as_db_error().is_some() => return Ok(Err(failed(&error))),
                Err(error) => return Err(Trouble::Lost(failed(&error))),
            }
        }
        Ok(Ok(()))
    }
}

/// The topics of the batches that were kept.
pub(super) fn changed(batches: &[Batch], outcomes: &[Outcome]) -> BTreeSet<Topic> {
    Batch::kept(batches.iter().zip(outcomes.iter().map(Result::is_ok)))
}

/// Does all batches and commits those that were not refused.
pub(super) async fn run(line: &mut Line, batches: &[Batch], node: Uuid) -> Result<Vec<Outcome>, Trouble> {
    let outcomes = match timeout(PATIENCE, work(line, batches)).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(trouble)) => return Err(settle(line, trouble).await),
        Err(_) => return Err(Trouble::Final(DatabaseError::Failed("the database took too long".into()))),
    };
    if outcomes.iter().all(Result::is_err) {
        roll_back(line).await?;
        return Ok(outcomes);
    }
    let changed = changed(batches, &outcomes);
    match timeout(PATIENCE, commit(line, node, &changed)).await {
        Ok(committed) => committed.map(|()| outcomes),
        Err(_) => Err(Trouble::Final(unknown("no answer in time"))),
    }
}

/// Leaves no transaction open on a line that is to be used again.
async fn settle(line: &Line, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Again(error) => roll_back(line).await.err().unwrap_or(Trouble::Again(error)),
        other => other,
    }
}

async fn roll_back(line: &Line) -> Result<(), Trouble> {
    line.client.batch_execute("ROLLBACK").await.map_err(|error| Trouble::Lost(failed(&error)))
}

/// Begins a transaction and does all batches, leaving out those that are refused.
async fn work(line: &mut Line, batches: &[Batch]) -> Result<Vec<Outcome>, Trouble> {
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        outcomes.push(line.prepare(batch).await?);
    }
    let group = Group { line, batches };
    let Some((refused, error)) = group.send(Opening::Begin, &outcomes, 0, false).await? else {
        return Ok(outcomes);
    };
    if batches.len() == 1 {
        outcomes[refused] = Err(error);
        return Ok(outcomes);
    }
    let (mut opening, mut from) = (Opening::Again, 0);
    while let Some((refused, error)) = group.send(opening, &outcomes, from, true).await? {
        outcomes[refused] = Err(error);
        (opening, from) = (Opening::Undo(refused), refused + 1);
    }
    Ok(outcomes)
}

/// What goes before the batches.
enum Opening {
    /// A new transaction.
    Begin,
    /// A new transaction in place of the present one.
    Again,
    /// The same transaction, without the batch of this number and those after it.
    Undo(usize),
}

/// The batches of a transaction and the line it runs on.
struct Group<'a> {
    line: &'a Line,
    batches: &'a [Batch],
}

/// Which batch and statement an answer belongs to; `None` for what we do around them.
type Place = Option<(usize, usize)>;

impl Group<'_> {
    /// Sends an opening and all batches from number `from` on that were not refused already. Returns the first that
    /// is refused now, and why.
    async fn send(
        &self,
        opening: Opening,
        outcomes: &[Outcome],
        from: usize,
        savepoints: bool,
    ) -> Result<Option<(usize, DatabaseError)>, Trouble> {
        let mut places: Vec<Place> = Vec::new();
        let mut steps: Vec<BoxFuture<'_, Result<u64, Error>>> = self.open(opening);
        places.resize(steps.len(), None);
        for number in (from..self.batches.len()).filter(|number| outcomes[*number].is_ok()) {
            if savepoints {
                steps.push(self.execute(format!("SAVEPOINT b{number}")));
                places.push(None);
            }
            for (position, statement) in self.batches[number].statements.iter().enumerate() {
                let prepared = &self.line.prepared[statement.sql];
                steps.push(Box::pin(self.line.client.execute_raw(prepared, &statement.values)));
                places.push(Some((number, position)));
            }
        }
        for (place, answer) in places.into_iter().zip(in_order(steps).await) {
            if let Some(refusal) = self.judge(place, answer)? {
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }

    fn open(&self, opening: Opening) -> Vec<BoxFuture<'_, Result<u64, Error>>> {
        let begin = match opening {
            Opening::Begin => vec![self.execute("BEGIN".into())],
            Opening::Again => vec![self.execute("ROLLBACK".into()), self.execute("BEGIN".into())],
            Opening::Undo(number) => return vec![self.execute(format!("ROLLBACK TO SAVEPOINT b{number}"))],
        };
        let locks: BTreeSet<Uuid> =
            self.batches.iter().flat_map(|batch| batch.locks.iter().copied()).collect();
        let mut steps = begin;
        if !locks.is_empty() {
            let locks: Vec<Uuid> = locks.into_iter().collect();
            let client = &self.line.client;
            steps.push(Box::pin(async move { client.execute(&self.line.lock, &[&locks]).await }));
        }
        steps
    }

    fn execute(&self, sql: String) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { self.line.client.batch_execute(&sql).await.map(|()| 0) })
    }

    /// Says whether an answer refuses the batch that it belongs to.
    fn judge(
        &self,
        place: Place,
        answer: Result<u64, Error>,
    ) -> Result<Option<(usize, DatabaseError)>, Trouble> {
        let error = match (answer, place) {
            (Ok(rows), Some((batch, statement))) => {
                let unmet = rows != 1 && self.batches[batch].statements[statement].exactly_one;
                return Ok(unmet.then_some((batch, DatabaseError::Unmet { statement, rows })));
            }
            (Ok(_), None) => return Ok(None),
            (Err(error), _) => error,
        };
        match (again(&error), place) {
            (Some(trouble), _) => Err(trouble),
            (None, Some((batch, statement))) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Ok(Some((batch, DatabaseError::Taken { statement })))
            }
            (None, Some((batch, _))) => Ok(Some((batch, failed(&error)))),
            (None, None) => Err(Trouble::Final(failed(&error))),
        }
    }
}

/// What an error before the commit means when it is not about one batch.
fn again(error: &Error) -> Option<Trouble> {
    const RETRY: [SqlState; 2] = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    const ENDED: [SqlState; 4] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    match error.code() {
        Some(code) if RETRY.contains(code) => Some(Trouble::Again(failed(error))),
        Some(code) if ENDED.contains(code) => Some(Trouble::Lost(failed(error))),
        None if error.is_closed() => Some(Trouble::Lost(failed(error))),
        _ => None,
    }
}

/// Tells the other servers and commits, in one round trip.
async fn commit(line: &Line, node: Uuid, changed: &BTreeSet<Topic>) -> Result<(), Trouble> {
    let told = payloads(node, changed);
    let mut steps: Vec<BoxFuture<'_, Result<u64, Error>>> = Vec::new();
    for told in &told {
        steps.push(Box::pin(async move { line.client.execute(&line.notify, &[told]).await }));
    }
    steps.push(Box::pin(async { line.client.batch_execute("COMMIT").await.map(|()| 0) }));
    let answers = in_order(steps).await;
    // In order: had the first failed, the COMMIT would have been a rollback that calls itself a success.
    for answer in answers {
        if let Err(error) = answer {
            return Err(match again(&error) {
                Some(Trouble::Again(error)) => Trouble::Again(error),
                _ => Trouble::Final(unknown(&failed(&error).to_string())),
            });
        }
    }
    Ok(())
}

fn unknown(why: &str) -> DatabaseError {
    DatabaseError::Failed(format!("it is not known whether the commit was kept: {why}"))
}
