//! The writer thread: commits all waiting batches together.
//!
//! A durable commit costs milliseconds, whatever its size. While one is running, further batches gather. So groups
//! grow with the number of callers.

use super::reader::query;
use super::wal::{WalHead, WalIndex};
use super::{bind, shutdown_error, to_database_error};
use crate::database::commits::{ExtendedFeeds, FollowerSlot, ReadRows};
use crate::database::counts::{WriteCounters, WriteCounts};
use crate::database::signal::Signals;
use crate::database::task_end::TaskEnd;
use crate::database::{Batch, BatchResult, DatabaseError, Rows, Statement, Topic};
use rusqlite::Connection;
use rusqlite::ffi;
use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Maximum number of batches in one transaction.
const GROUP: usize = 256;
/// Maximum number of waiting batches; further callers wait until there is room.
const WAITING: usize = 4096;
/// How often an idle writer checks whether another process wrote.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// What the thread is asked for.
enum WriterRequest {
    Write(SqliteWriteRequest),
    /// To tell the follower of every commit before, and to say when that is done.
    Follow(oneshot::Sender<()>),
}

/// A batch, and the channel for its outcome.
struct SqliteWriteRequest {
    batch: Batch,
    reply: oneshot::Sender<BatchResult>,
    /// Its slot in the queue, freed when it leaves.
    _slot: OwnedSemaphorePermit,
}

/// The writer thread.
pub(super) struct SqliteWriter {
    /// `None` once closed. The lock is held for one push, and never across an await.
    requests: Mutex<Option<Sender<WriterRequest>>>,
    slots: Arc<Semaphore>,
    counts: WriteCounters,
    follower: FollowerSlot,
    position: FollowerPosition,
    ended: TaskEnd,
}

/// How far the follower was told of commits.
#[derive(Clone)]
struct FollowerPosition {
    wal: WalIndex,
    /// The head of the log's index at a moment before which it was told of every commit.
    head: Arc<Mutex<Option<WalHead>>>,
}

impl FollowerPosition {
    /// Whether it was told of every commit before this call. Where the head cannot be read, this is not known, and the
    /// follower is told of other processes' commits within [`CHECK_INTERVAL`] only.
    fn is_current(&self) -> bool {
        let now = self.wal.read_head();
        now.is_none() || now == *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, head: Option<WalHead>) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }
}

impl SqliteWriter {
    pub(super) fn start(
        connection: Connection,
        wal: WalIndex,
        signals: Signals,
    ) -> Result<Self, DatabaseError> {
        let (sender, receiver) = mpsc::channel();
        let ended = TaskEnd::new(1);
        let guard = ended.guard();
        let counts = WriteCounters::default();
        let follower = FollowerSlot::default();
        let position = FollowerPosition { wal, head: Arc::default() };
        let mut write_loop = SqliteWriteLoop {
            known_version: data_version(&connection)?,
            connection,
            signals,
            counts: counts.clone(),
            follower: follower.clone(),
            position: position.clone(),
        };
        std::thread::Builder::new()
            .name("sqlite-write".into())
            .spawn(move || {
                write_loop.work(&receiver);
                drop(write_loop);
                drop(guard);
            })
            .map_err(|error| DatabaseError::Failed(format!("cannot start a thread: {error}")))?;
        let slots = Arc::new(Semaphore::new(WAITING));
        Ok(SqliteWriter { requests: Mutex::new(Some(sender)), slots, counts, follower, position, ended })
    }

    /// What is told of every commit.
    pub(super) fn follower(&self) -> &FollowerSlot {
        &self.follower
    }

    pub(super) fn write_counts(&self) -> WriteCounts {
        self.counts.write_counts()
    }

    pub(super) async fn apply(&self, batch: Batch) -> BatchResult {
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| shutdown_error())?;
        let (reply, outcome) = oneshot::channel();
        self.push(WriterRequest::Write(SqliteWriteRequest { batch, reply, _slot: slot }))?;
        outcome.await.unwrap_or_else(|_| Err(shutdown_error()))
    }

    /// Waits until the follower was told of every commit before this call, of this process and of others.
    pub(super) async fn wait_until_followed(&self) -> Result<(), DatabaseError> {
        if self.position.is_current() {
            return Ok(());
        }
        let (reply, done) = oneshot::channel();
        self.push(WriterRequest::Follow(reply))?;
        done.await.map_err(|_| shutdown_error())
    }

    fn push(&self, request: WriterRequest) -> BatchResult {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.as_ref().ok_or_else(shutdown_error)?.send(request).map_err(|_| shutdown_error())
    }

    /// Accepts no more batches, and waits until those accepted are done.
    pub(super) async fn close(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.slots.close();
        self.ended.wait().await;
        self.follower.set(None);
    }
}

/// The state of the thread.
struct SqliteWriteLoop {
    connection: Connection,
    signals: Signals,
    counts: WriteCounters,
    follower: FollowerSlot,
    position: FollowerPosition,
    /// `data_version` at the last check. On this connection, only commits of other processes change it.
    known_version: i64,
}

/// A committed group: the outcome of each batch, and whether no other process wrote before it.
struct CommittedGroup {
    outcomes: Vec<BatchResult>,
    alone: bool,
}

impl SqliteWriteLoop {
    fn work(&mut self, requests: &Receiver<WriterRequest>) {
        loop {
            let (mut group, mut waiting) = (Vec::new(), Vec::new());
            match requests.recv_timeout(CHECK_INTERVAL) {
                Ok(first) => {
                    for request in std::iter::once(first).chain(requests.try_iter().take(GROUP - 1)) {
                        match request {
                            WriterRequest::Write(request) => group.push(request),
                            WriterRequest::Follow(reply) => waiting.push(reply),
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Before the group: its commit takes milliseconds.
            if group.is_empty() || !waiting.is_empty() {
                self.check_other_writers();
            }
            for reply in waiting {
                // Fails only when the caller is gone.
                let _ = reply.send(());
            }
            if !group.is_empty() {
                self.handle_group(group);
            }
        }
    }

    fn handle_group(&mut self, group: Vec<SqliteWriteRequest>) {
        let outcomes = match self.commit(&group) {
            Ok(committed) => {
                let topics = Self::topics_of(&group, &committed);
                self.follow(&topics, committed.alone);
                self.notify(&topics, committed.alone);
                self.check_other_writers();
                committed.outcomes
            }
            Err(error) => {
                self.recover();
                self.follower.follow(self, || ExtendedFeeds::Unknown);
                let text = error.to_string();
                tracing::error!(error = text, batches = group.len(), "a group of batches was not committed");
                let make_error = match error {
                    DatabaseError::Damaged(_) => DatabaseError::Damaged,
                    _ => DatabaseError::Failed,
                };
                group.iter().map(|_| Err(make_error(text.clone()))).collect()
            }
        };
        for (request, outcome) in group.into_iter().zip(outcomes) {
            // Fails only when the caller is gone.
            let _ = request.reply.send(outcome);
        }
    }

    /// Writes a group in one transaction. After an error, nobody knows whether any of it was written.
    fn commit(&mut self, group: &[SqliteWriteRequest]) -> Result<CommittedGroup, DatabaseError> {
        self.execute("BEGIN IMMEDIATE")?;
        let version = data_version(&self.connection)?;
        let outcomes = group.iter().map(|request| self.batch(&request.batch)).collect::<Result<_, _>>()?;
        self.execute("COMMIT")?;
        self.counts.add_commit(group.len());
        let alone = version == self.known_version;
        self.known_version = version;
        Ok(CommittedGroup { outcomes, alone })
    }

    /// The inner result is the batch's own; the outer one fails when the whole transaction is lost.
    fn batch(&self, batch: &Batch) -> Result<BatchResult, DatabaseError> {
        self.execute("SAVEPOINT batch")?;
        let run = |(number, statement)| self.statement(number, statement);
        let outcome = batch.statements.iter().enumerate().try_for_each(run);
        if let Err(error) = &outcome {
            if let DatabaseError::Damaged(message) = error {
                return Err(DatabaseError::Damaged(message.clone()));
            }
            // A full or failing disk may end the transaction, and with it the batches before this one.
            if self.connection.is_autocommit() {
                return Err(DatabaseError::Failed(format!("the transaction was lost: {error}")));
            }
            self.execute("ROLLBACK TO batch")?;
        }
        self.execute("RELEASE batch")?;
        Ok(outcome)
    }

    fn statement(&self, number: usize, statement: &Statement) -> BatchResult {
        let mut prepared =
            self.connection.prepare_cached(statement.sql).map_err(|error| to_database_error(&error))?;
        bind(&mut prepared, &statement.values)?;
        let rows = prepared.raw_execute().map_err(|error| refusal_error(number, &error))?;
        match u64::try_from(rows).unwrap_or(u64::MAX) {
            1 => Ok(()),
            rows if statement.exactly_one => Err(DatabaseError::Unmet { statement: number, rows }),
            _ => Ok(()),
        }
    }

    fn execute(&self, sql: &'static str) -> Result<(), DatabaseError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]).map(drop);
        run().map_err(|error| to_database_error(&error))
    }

    /// After an error, no transaction may stay open: nothing could be written ever again.
    fn recover(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(error = error.to_string(), "a failed transaction could not be rolled back");
        }
    }

    /// The topics of the batches that were committed.
    fn topics_of(group: &[SqliteWriteRequest], committed: &CommittedGroup) -> BTreeSet<Topic> {
        let outcomes = group.iter().zip(&committed.outcomes);
        Batch::topics_of_commit(outcomes.map(|(request, outcome)| (&request.batch, outcome.is_ok())))
    }

    /// Tells the follower of a commit, before its writers are answered.
    fn follow(&self, topics: &BTreeSet<Topic>, alone: bool) {
        let feeds = topics.iter().filter_map(|topic| match topic {
            Topic::Feed(organization) => Some(*organization),
            _ => None,
        });
        self.follower.follow(self, || match alone {
            true => ExtendedFeeds::Of(feeds.collect()),
            false => ExtendedFeeds::Unknown,
        });
    }

    fn notify(&self, topics: &BTreeSet<Topic>, alone: bool) {
        match alone {
            true => self.signals.wake(topics),
            false => self.signals.wake_all(),
        }
    }

    /// Tells the follower of other processes' commits. It was told of this process's already, so afterwards it knows every
    /// commit before this call.
    fn check_other_writers(&mut self) {
        let head = self.position.wal.read_head();
        match data_version(&self.connection) {
            Ok(version) if version == self.known_version => {}
            Ok(version) => {
                self.known_version = version;
                self.follower.follow(self, || ExtendedFeeds::Unknown);
                self.signals.wake_all();
            }
            Err(error) => {
                tracing::error!(error = error.to_string(), "cannot check whether another process wrote");
                return;
            }
        }
        self.position.set(head);
    }
}

impl ReadRows for SqliteWriteLoop {
    fn read(&self, statement: &Statement) -> Result<Rows, DatabaseError> {
        query(&self.connection, statement.sql, &statement.values)
    }
}

pub(super) fn data_version(connection: &Connection) -> Result<i64, DatabaseError> {
    let query = || connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0));
    query().map_err(|error: rusqlite::Error| to_database_error(&error))
}

fn refusal_error(statement: usize, error: &rusqlite::Error) -> DatabaseError {
    const TAKEN: [i32; 3] =
        [ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_ROWID];
    match error {
        rusqlite::Error::SqliteFailure(code, _) if TAKEN.contains(&code.extended_code) => {
            DatabaseError::Taken { statement }
        }
        other => to_database_error(other),
    }
}
