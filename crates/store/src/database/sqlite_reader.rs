//! Reader threads: long-lived, each with a connection and its prepared statements.

use super::ended::Ended;
use super::sqlite::{bind, failed};
use super::sqlite_file::open_reader;
use super::{DatabaseError, Row, Statement, Value};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;
use uuid::Uuid;

/// One question. Whoever stops waiting for the answer drops the receiver, and the question is skipped.
enum Job {
    One { sql: &'static str, values: Vec<Value>, reply: oneshot::Sender<Result<Vec<Row>, DatabaseError>> },
    All { statements: Vec<Statement>, reply: oneshot::Sender<Result<Vec<Vec<Row>>, DatabaseError>> },
}

/// The questions that wait. Of std, because the readers are threads and the askers are tasks, which never wait
/// here: they hold the lock for one push.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), DatabaseError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(closed());
        }
        state.jobs.push_back(job);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for the next job; `None` when the queue is closed and empty.
    fn pop(&self) -> Option<Job> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .arrived
            .wait_while(state, |state| state.jobs.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.jobs.pop_front()
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.arrived.notify_all();
    }
}

/// The reader threads.
pub(super) struct Readers {
    queue: Arc<Queue>,
    ended: Ended,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Readers {
    pub(super) fn start(path: &Path, threads: u32) -> Result<Self, DatabaseError> {
        let readers = Readers { queue: Arc::default(), ended: Ended::new(threads) };
        for number in 0..threads {
            let connection = open_reader(path)?;
            let queue = readers.queue.clone();
            let guard = readers.ended.guard();
            std::thread::Builder::new()
                .name(format!("sqlite-read-{number}"))
                .spawn(move || {
                    serve(&connection, &queue);
                    // The file is let go of before the end is told.
                    drop(connection);
                    drop(guard);
                })
                .map_err(|error| DatabaseError::Failed(format!("cannot start a thread: {error}")))?;
        }
        Ok(readers)
    }

    pub(super) async fn read(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job::One { sql, values, reply })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) async fn read_all(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job::All { statements, reply })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) async fn close(&self) {
        self.queue.close();
        self.ended.wait().await;
    }
}

fn closed() -> DatabaseError {
    DatabaseError::Failed("the database is closed".into())
}

fn serve(connection: &Connection, queue: &Queue) {
    while let Some(job) = queue.pop() {
        // A send can only fail when nobody waits for the answer any more.
        match job {
            Job::One { reply, .. } if reply.is_closed() => {}
            Job::All { reply, .. } if reply.is_closed() => {}
            Job::One { sql, values, reply } => drop(reply.send(query(connection, sql, &values))),
            Job::All { statements, reply } => drop(reply.send(snapshot(connection, &statements))),
        }
    }
}

fn snapshot(connection: &Connection, statements: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
    // Ends by rolling back when it is dropped, which for a reader is the same as a commit.
    let _transaction = connection.unchecked_transaction().map_err(|error| failed(&error))?;
    statements.iter().map(|statement| query(connection, statement.sql, &statement.values)).collect()
}

fn query(connection: &Connection, sql: &str, values: &[Value]) -> Result<Vec<Row>, DatabaseError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| failed(&error))?;
    bind(&mut statement, values)?;
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    let mut answer = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(&error))? {
        let cells = (0..width).map(|column| cell(row, column)).collect::<Result<_, _>>()?;
        answer.push(Row::new(cells));
    }
    Ok(answer)
}

fn cell(row: &rusqlite::Row<'_>, column: usize) -> Result<Value, DatabaseError> {
    match row.get_ref(column).map_err(|error| failed(&error))? {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(value) => Ok(Value::Int(value)),
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec())
            .map(Value::Text)
            .map_err(|_| DatabaseError::Failed(format!("column {column} is not UTF-8"))),
        // Ids are the most frequent blobs, and as an id they take no allocation.
        ValueRef::Blob(bytes) if bytes.len() == 16 => {
            Ok(Uuid::from_slice(bytes).map_or_else(|_| Value::Bytes(bytes.to_vec()), Value::Id))
        }
        ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes.to_vec())),
        ValueRef::Real(_) => Err(DatabaseError::Failed(format!(
            "column {column} is a floating-point number, which the portable subset does not have"
        ))),
    }
}
