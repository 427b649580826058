//! Reader threads. Each has a connection with prepared statements. Each lane has its own threads.

use super::file::open_reader;
use super::{bind, shutdown_error, to_database_error};
use crate::database::task_end::TaskEnd;
use crate::database::{DatabaseError, Rows, Statement, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Number of steps that SQLite takes between two checks whether anybody still waits for the result: some 50 µs.
const STEPS: i32 = 2_000;
/// Number of those checks until a brief read is ended: some milliseconds.
const BRIEF: u32 = 100;

/// Statements to read in one snapshot, and the channel for the result.
struct ReadJob {
    statements: Vec<Statement>,
    /// The number of checks after which it is ended.
    budget: Option<u32>,
    /// Set when nobody waits for the result any more.
    cancelled: Arc<AtomicBool>,
    reply: oneshot::Sender<ReadResult>,
}

/// The rows of each statement.
type ReadResult = Result<Vec<Rows>, DatabaseError>;

/// Dropped when the caller stops waiting; the reader then ends the read.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The waiting reads. It uses types of std because the readers are threads. Tasks never block here: they hold the
/// lock for one push.
#[derive(Default)]
struct ReadQueue {
    state: Mutex<ReadQueueState>,
    arrived: Condvar,
    /// Set when the database is closed: running reads then end.
    ending: Arc<AtomicBool>,
}

#[derive(Default)]
struct ReadQueueState {
    jobs: VecDeque<ReadJob>,
    closed: bool,
}

impl ReadQueue {
    fn push(&self, job: ReadJob, first: bool) -> Result<(), DatabaseError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(shutdown_error());
        }
        if first {
            state.jobs.push_front(job)
        } else {
            state.jobs.push_back(job)
        }
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for the next read; `None` when the queue is closed and empty.
    fn pop(&self) -> Option<ReadJob> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .arrived
            .wait_while(state, |state| state.jobs.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.jobs.pop_front()
    }

    fn close(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.arrived.notify_all();
    }
}

/// The reader threads of one lane.
pub(super) struct SqliteReaders {
    queue: Arc<ReadQueue>,
    ended: TaskEnd,
}

impl Drop for SqliteReaders {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl SqliteReaders {
    pub(super) fn start(path: &Path, name: &str, threads: u32) -> Result<Self, DatabaseError> {
        let readers = SqliteReaders { queue: Arc::default(), ended: TaskEnd::new(threads) };
        for number in 0..threads {
            let mut connection = open_reader(path)?;
            let queue = readers.queue.clone();
            let guard = readers.ended.guard();
            std::thread::Builder::new()
                .name(format!("sqlite-{name}-{number}"))
                .spawn(move || {
                    serve(&mut connection, &queue);
                    // The file is closed before the end is reported.
                    drop(connection);
                    drop(guard);
                })
                .map_err(|error| DatabaseError::Failed(format!("cannot start a thread: {error}")))?;
        }
        Ok(readers)
    }

    /// Reads all statements in one snapshot. The read ends when the caller stops waiting.
    pub(super) async fn read(&self, statements: Vec<Statement>, brief: bool) -> ReadResult {
        self.submit(statements, brief.then_some(BRIEF), false).await
    }

    /// Checks that a reader answers, before all waiting reads.
    pub(super) async fn ping(&self) -> Result<(), DatabaseError> {
        let one = Statement { sql: "SELECT 1", values: Vec::new(), exactly_one: false };
        self.submit(vec![one], None, true).await.map(drop)
    }

    async fn submit(&self, statements: Vec<Statement>, budget: Option<u32>, first: bool) -> ReadResult {
        let (reply, result) = oneshot::channel();
        let guard = CancelOnDrop(Arc::default());
        self.queue.push(ReadJob { statements, budget, cancelled: guard.0.clone(), reply }, first)?;
        result.await.unwrap_or_else(|_| Err(shutdown_error()))
    }

    pub(super) async fn close(&self) {
        self.queue.close();
        self.ended.wait().await;
    }
}

fn serve(connection: &mut Connection, queue: &ReadQueue) {
    while let Some(ReadJob { statements, budget, cancelled, reply }) = queue.pop() {
        if reply.is_closed() {
            continue;
        }
        let mut checks = 0;
        let flags = [cancelled, queue.ending.clone()];
        let is_over = move || {
            checks += 1;
            flags.iter().any(|flag| flag.load(Ordering::Relaxed))
                || budget.is_some_and(|budget| checks > budget)
        };
        let result = match connection.progress_handler(STEPS, Some(is_over)) {
            Ok(()) => run_statements(connection, &statements),
            Err(error) => Err(to_database_error(&error)),
        };
        // A send can only fail when nobody waits for the result any more.
        drop(reply.send(result));
    }
}

fn run_statements(connection: &Connection, statements: &[Statement]) -> ReadResult {
    // A single statement has its own snapshot.
    let snapshot = (statements.len() > 1).then(|| connection.unchecked_transaction()).transpose();
    // Rolls back when it is dropped, which for a reader is the same as a commit.
    let _snapshot = snapshot.map_err(|error| to_database_error(&error))?;
    statements.iter().map(|statement| query(connection, statement.sql, &statement.values)).collect()
}

/// Runs a statement that reads.
pub(super) fn query(connection: &Connection, sql: &str, values: &[Value]) -> Result<Rows, DatabaseError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| to_database_error(&error))?;
    bind(&mut statement, values)?;
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(|error| read_error(&error))? {
        // Collecting results would not know the width, and allocate again as the row grows.
        let mut values = Vec::with_capacity(width);
        for column in 0..width {
            values.push(cell(row, column)?);
        }
        found.push(values);
    }
    Ok(Rows::new(found))
}

fn read_error(error: &rusqlite::Error) -> DatabaseError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => DatabaseError::Slow { seconds: 0 },
        _ => to_database_error(error),
    }
}

fn cell(row: &rusqlite::Row<'_>, column: usize) -> Result<Value, DatabaseError> {
    match row.get_ref(column).map_err(|error| to_database_error(&error))? {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(value) => Ok(Value::Int(value)),
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec())
            .map(Value::Text)
            .map_err(|_| DatabaseError::Failed(format!("column {column} is not UTF-8"))),
        // Most blobs are ids, and an id needs no allocation.
        ValueRef::Blob(bytes) if bytes.len() == 16 => {
            Ok(Uuid::from_slice(bytes).map_or_else(|_| Value::Bytes(bytes.to_vec()), Value::Id))
        }
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_vec())),
        ValueRef::Real(_) => Err(DatabaseError::Failed(format!(
            "column {column} is a floating-point number, which the portable subset does not have"
        ))),
    }
}
