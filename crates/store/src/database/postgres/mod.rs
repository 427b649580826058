//! The shared database: a pool of connections for each lane of reads, one for writes, and one for notifications.

mod connection;
pub(super) mod dump;
mod listener;
mod reader;
mod schema;
mod transaction;
mod value;
mod writer;

use crate::database::Batch;
use crate::database::counts::WriteCounts;
use crate::database::damage::Damage;
use crate::database::lanes::{Lane, Lanes, Readers};
use crate::database::location::{PostgresUrl, Protection};
use crate::database::signal::Signals;
use crate::database::{DatabaseError, OpenMode, Rows, Statement};
use connection::{PostgresAddress, to_database_error};
use futures_util::future::BoxFuture;
use futures_util::poll;
use reader::PostgresReaders;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::AbortHandle;
use uuid::Uuid;
use writer::PostgresWriter;

/// Maximum duration of [`Lane::Brief`].
const BRIEF: Duration = Duration::from_millis(25);

/// An open PostgreSQL database; clones share it.
#[derive(Clone)]
pub struct Postgres {
    inner: Arc<PostgresInner>,
}

struct PostgresInner {
    damage: Damage,
    lanes: Lanes,
    keys: PostgresReaders,
    scans: PostgresReaders,
    /// A separate connection, so that a ping waits behind no other read.
    pings: PostgresReaders,
    writer: PostgresWriter,
    signals: Signals,
    listener: AbortHandle,
}

impl Drop for PostgresInner {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Postgres {
    pub(super) async fn open(
        url: &PostgresUrl,
        protection: Protection,
        mode: OpenMode,
        readers: &Readers,
        now_us: i64,
    ) -> Result<Self, DatabaseError> {
        let address = PostgresAddress::new(url, protection)?;
        let mut client = address.client().await?;
        schema::prepare(&mut client, mode, now_us).await?;
        let node = load_node_id(&client).await?;
        let (keys, scans) = Readers::split(readers.postgres);
        let lanes = Lanes::new(readers, scans);
        let [keys, scans, pings] =
            [keys, scans, 1].map(|lines| PostgresReaders::new(&address, lines, readers));
        let (keys, scans, pings) = (keys?, scans?, pings?);
        let signals = Signals::default();
        let listener = listener::start(address.clone(), node, signals.clone()).await?;
        let writer = PostgresWriter::start(address, node, signals.clone());
        let damage = Damage::default();
        let inner = PostgresInner { damage, lanes, keys, scans, pings, writer, signals, listener };
        Ok(Postgres { inner: Arc::new(inner) })
    }

    pub(super) fn damage(&self) -> &Damage {
        &self.inner.damage
    }

    pub(super) fn write_counts(&self) -> WriteCounts {
        self.inner.writer.write_counts()
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.inner.lanes
    }

    /// Reads all statements in one snapshot.
    pub(super) async fn read(
        &self,
        lane: Lane,
        statements: &[Statement],
    ) -> Result<Vec<Rows>, DatabaseError> {
        match lane {
            Lane::Key => self.inner.keys.read(statements, None).await,
            Lane::Brief => self.inner.keys.read(statements, Some(BRIEF)).await,
            Lane::Scan(limit) => self.inner.scans.read(statements, Some(limit)).await,
        }
    }

    pub(super) async fn apply(&self, batch: Batch) -> Result<(), DatabaseError> {
        self.inner.writer.apply(batch).await
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    pub(super) async fn ping(&self) -> Result<(), DatabaseError> {
        self.inner.pings.ping().await
    }

    pub(super) async fn close(&self) {
        self.inner.writer.close().await;
        self.inner.listener.abort();
        for readers in [&self.inner.keys, &self.inner.scans, &self.inner.pings] {
            readers.close();
        }
        self.inner.signals.close();
    }
}

/// An id for this opening of the database, so that a server recognizes its own notifications. The database creates
/// it, because randomness is an argument in this crate.
async fn load_node_id(client: &tokio_postgres::Client) -> Result<Uuid, DatabaseError> {
    let row =
        client.query_one("SELECT gen_random_uuid()", &[]).await.map_err(|error| to_database_error(&error))?;
    Ok(row.get(0))
}

/// Sends all requests one after the other without waiting, then takes the responses: one round trip for all.
///
/// tokio-postgres sends a request when it is first polled, so the order of polling is the order of sending.
pub(super) async fn run_in_order<T>(mut steps: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut polled = Vec::with_capacity(steps.len());
    for step in &mut steps {
        polled.push(poll!(step.as_mut()));
    }
    let mut results = Vec::with_capacity(steps.len());
    for (step, polled) in steps.into_iter().zip(polled) {
        results.push(match polled {
            Poll::Ready(result) => result,
            Poll::Pending => step.await,
        });
    }
    results
}
