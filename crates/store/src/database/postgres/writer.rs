//! The writer task: commits all waiting batches together, over its own connection.

use super::connection::PostgresAddress;
use super::transaction::{self as transaction, WriteConnection, WriteError};
use crate::database::counts::{WriteCounters, WriteCounts};
use crate::database::signal::Signals;
use crate::database::task_end::{TaskEnd, TaskGuard};
use crate::database::{Batch, BatchResult, DatabaseError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Maximum number of batches in one transaction.
const GROUP: usize = 256;
/// Maximum number of waiting batches; further callers wait until there is room.
const WAITING: usize = 4096;
/// How long a group waits for a server that cannot be reached before its batches fail.
const AWAY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a group is tried after a deadlock or a lost connection before its commit.
const ATTEMPTS: u32 = 5;

/// A batch, and the channel for its outcome.
struct PostgresWriteRequest {
    batch: Batch,
    reply: oneshot::Sender<BatchResult>,
}

/// The writer task.
pub(super) struct PostgresWriter {
    /// `None` once closed. The lock is held for a clone, and never across an await.
    requests: Mutex<Option<mpsc::Sender<PostgresWriteRequest>>>,
    counts: WriteCounters,
    ended: TaskEnd,
}

impl PostgresWriter {
    pub(super) fn start(address: PostgresAddress, node: Uuid, signals: Signals) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let ended = TaskEnd::new(1);
        let counts = WriteCounters::default();
        let write_loop = PostgresWriteLoop {
            address,
            node,
            signals,
            counts: counts.clone(),
            connection: None,
            unreachable: false,
            _guard: ended.guard(),
        };
        tokio::spawn(write_loop.work(receiver));
        PostgresWriter { requests: Mutex::new(Some(sender)), counts, ended }
    }

    pub(super) fn write_counts(&self) -> WriteCounts {
        self.counts.write_counts()
    }

    pub(super) async fn apply(&self, batch: Batch) -> BatchResult {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (reply, outcome) = oneshot::channel();
        requests
            .ok_or_else(shutdown_error)?
            .send(PostgresWriteRequest { batch, reply })
            .await
            .map_err(|_| shutdown_error())?;
        outcome.await.unwrap_or_else(|_| Err(shutdown_error()))
    }

    /// Accepts no more batches, and waits until those accepted are done.
    pub(super) async fn close(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.ended.wait().await;
    }
}

fn shutdown_error() -> DatabaseError {
    DatabaseError::Failed("the database is closed".into())
}

/// The state of the task.
struct PostgresWriteLoop {
    address: PostgresAddress,
    node: Uuid,
    signals: Signals,
    counts: WriteCounters,
    connection: Option<WriteConnection>,
    /// Whether the server could not be reached last time. Then the next group does not wait for it again.
    unreachable: bool,
    _guard: TaskGuard,
}

impl PostgresWriteLoop {
    async fn work(mut self, mut requests: mpsc::Receiver<PostgresWriteRequest>) {
        let mut group = Vec::with_capacity(GROUP);
        while requests.recv_many(&mut group, GROUP).await > 0 {
            self.handle_group(std::mem::take(&mut group)).await;
        }
    }

    async fn handle_group(&mut self, requests: Vec<PostgresWriteRequest>) {
        let (batches, replies): (Vec<Batch>, Vec<_>) =
            requests.into_iter().map(|request| (request.batch, request.reply)).unzip();
        let outcomes = match self.commit(&batches).await {
            Ok(outcomes) => {
                self.counts.add_commit(batches.len());
                let changed = transaction::topics_of_commit(&batches, &outcomes);
                self.signals.wake(&changed);
                outcomes
            }
            Err(error) => {
                let text = error.to_string();
                tracing::error!(
                    error = text,
                    batches = batches.len(),
                    "a group of batches was not committed"
                );
                batches.iter().map(|_| Err(DatabaseError::Failed(text.clone()))).collect()
            }
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Fails only when the caller is gone.
            let _ = reply.send(outcome);
        }
    }

    /// Commits a group. Retries when nothing can have been written.
    async fn commit(&mut self, batches: &[Batch]) -> Result<Vec<BatchResult>, DatabaseError> {
        let mut last = DatabaseError::Failed("not tried".into());
        for attempt in 0..ATTEMPTS {
            sleep(self.pause(attempt)).await;
            let mut connection = self.connection().await?;
            match transaction::run(&mut connection, batches, self.node).await {
                Ok(outcomes) => {
                    self.connection = Some(connection);
                    return Ok(outcomes);
                }
                Err(WriteError::Again(error)) => {
                    self.connection = Some(connection);
                    last = error;
                }
                // The connection is dropped, and with it any open transaction.
                Err(WriteError::Lost(error)) => last = error,
                Err(WriteError::Final(error)) => return Err(error),
            }
            tracing::warn!(error = last.to_string(), attempt, "retrying a group of batches");
        }
        Err(last)
    }

    /// Grows with the attempts, and differs between servers, so that two of them do not collide in step.
    fn pause(&self, attempt: u32) -> Duration {
        let jitter = Duration::from_millis(u64::from(self.node.as_bytes()[0]) / 8);
        (FIRST_PAUSE / 5 + jitter) * attempt
    }

    /// The connection. Reconnects if needed, within a bounded time.
    async fn connection(&mut self) -> Result<WriteConnection, DatabaseError> {
        if let Some(connection) = self.connection.take().filter(WriteConnection::is_open) {
            return Ok(connection);
        }
        let connected = if self.unreachable {
            WriteConnection::connect(&self.address).await
        } else {
            let mut last = DatabaseError::Failed("the database does not answer".into());
            timeout(AWAY, self.keep_connecting(&mut last)).await.map_err(|_| last)
        };
        self.unreachable = connected.is_err();
        connected
    }

    async fn keep_connecting(&self, last: &mut DatabaseError) -> WriteConnection {
        let mut pause = FIRST_PAUSE;
        loop {
            match WriteConnection::connect(&self.address).await {
                Ok(connection) => return connection,
                Err(error) => *last = error,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
