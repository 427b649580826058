//! One interface for SQLite and PostgreSQL, so that every statement is written once.
//!
//! Placeholders are `$1`, `$2`, … in both databases. SQLite treats them as *names* and numbers them by first
//! appearance, so values are always bound by name, never by position.

mod columns;
mod commits;
mod counts;
mod damage;
pub mod dump;
mod lanes;
mod location;
mod migrate;
mod postgres;
mod signal;
mod sqlite;
mod task_end;
mod value;
mod work_wait;

use damage::Damage;
use lanes::Lane;
use location::Location;
use signal::Signals;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

pub use columns::{Columns, Rows};
pub(crate) use commits::{CommitFollower, ExtendedFeeds, ReadRows};
pub use counts::WriteCounts;
pub use lanes::{Readers, ScanCaller};
pub use migrate::{MIGRATIONS, Migration, SCHEMA_VERSION};
pub use signal::{Topic, Watch};
#[cfg(feature = "testing")]
pub(crate) use sqlite::BoundValue;
pub use sqlite::lock::ServerLock;
pub use value::Value;
pub use work_wait::WorkWait;

/// A database error.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A statement of a batch with [`Statement::exactly_one`] changed another number of rows.
    #[error("statement {statement} of the batch changed {rows} rows instead of one")]
    Unmet {
        /// Position of the statement in [`Batch::statements`].
        statement: usize,
        /// The number of rows it changed.
        rows: u64,
    },
    /// A row with the same key exists.
    #[error("statement {statement} of the batch: a row with this key exists")]
    Taken {
        /// Position of the statement in [`Batch::statements`].
        statement: usize,
    },
    /// Another version of the program wrote the data, or there is none.
    #[error("{0}")]
    Schema(String),
    /// Pages or rows are damaged. Only a backup helps.
    #[error("{0}")]
    Damaged(String),
    /// A read exceeded its deadline and was ended.
    #[error("a read took longer than {seconds} s and was ended")]
    Slow {
        /// The deadline.
        seconds: u64,
    },
    /// Too many scans are running or waiting.
    #[error("too many lists and counts at once")]
    Crowded {
        /// Whether some of them are the caller's own.
        own: bool,
    },
    /// The database could not be reached for a read, after some attempts. The text is for the log.
    #[error("{0}")]
    Away(String),
    /// The database cannot be reached or refused the statement. The text is for the log, not for callers.
    #[error("{0}")]
    Failed(String),
}

/// The outcome of one batch.
type BatchResult = Result<(), DatabaseError>;

/// One statement with its values: `values[0]` is `$1`.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The portable SQL text.
    pub sql: &'static str,
    /// The values of `$1`, `$2`, …
    pub values: Vec<Value>,
    /// Whether the statement must change exactly one row; otherwise the whole batch is rolled back.
    pub exactly_one: bool,
}

/// How every statement begins that writes entries of the change feed. Its `$1` is the organization.
const FEED_INSERT: &str = "INSERT INTO changes";

impl Statement {
    /// The topics of the change feed that it extends.
    fn feed_topics(&self) -> impl Iterator<Item = Topic> {
        let organization = match self.values.first() {
            Some(Value::Id(organization)) if self.sql.starts_with(FEED_INSERT) => Some(*organization),
            _ => None,
        };
        organization.into_iter().flat_map(|organization| [Topic::Feed(organization), Topic::AnyFeed])
    }
}

/// Statements that are written all or none.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Organizations whose counter row is locked, in sorted order, before any statement of the group runs.
    pub locks: BTreeSet<Uuid>,
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// What it changes. Tasks that wait for these topics are woken after the commit.
    pub topics: BTreeSet<Topic>,
}

impl Batch {
    /// The same batch with one more topic.
    #[must_use]
    pub fn with_topic(mut self, topic: Topic) -> Batch {
        self.topics.insert(topic);
        self
    }

    /// The topics of the batches that were committed. No batch names those of the change feed: its statements do.
    fn topics_of_commit<'a>(outcomes: impl Iterator<Item = (&'a Batch, bool)>) -> BTreeSet<Topic> {
        let committed = outcomes.filter(|(_, is_committed)| *is_committed).map(|(batch, _)| batch);
        let topics = |batch: &'a Batch| {
            let feeds = batch.statements.iter().flat_map(Statement::feed_topics);
            batch.topics.iter().cloned().chain(feeds)
        };
        committed.flat_map(topics).collect()
    }
}

/// How quickly a healthy database must answer a trivial query.
const PING: Duration = Duration::from_secs(5);

/// An open database.
#[derive(Clone)]
pub enum Database {
    /// An embedded SQLite database.
    Sqlite(sqlite::Sqlite),
    /// A PostgreSQL database, which servers can share.
    Postgres(postgres::Postgres),
}

/// Whether opening may change the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Creates what is missing and brings the schema up to date: for `serve`, `demo` and `migrate`.
    ///
    /// On PostgreSQL the database itself must exist; its tables are created.
    Migrate,
    /// Uses the database as it is or refuses it: for administration commands, which run beside a server.
    Existing,
}

impl Database {
    /// Opens a database.
    ///
    /// * `sqlite:PATH`: a file. [`OpenMode::Migrate`] creates it for its owner only (0600), and missing folders too
    ///   (0700).
    /// * `postgres://user:password@host:port/database`, with `?sslmode=` one of
    ///   * `disable`: never encrypted;
    ///   * `prefer` (the default): encrypted if the server supports it, without a check of the certificate. It does
    ///     not protect against an attacker who can change traffic;
    ///   * `require`: always encrypted, without a check of the certificate. It protects against eavesdropping only;
    ///   * `verify-full`: always encrypted. The certificate must be for the host in the URL, and be signed by an
    ///     authority that this machine trusts (or that the file in `SSL_CERT_FILE` names).
    ///
    /// `now_us` is the time in microseconds since 1970. It is stored with each migration that is applied.
    ///
    /// # Errors
    /// [`DatabaseError::Schema`] when there is no data, or the program cannot use its schema version.
    /// [`DatabaseError::Failed`] when the URL is malformed or the database cannot be reached. No error has the
    /// password of the URL.
    pub async fn open(url: &str, mode: OpenMode, now_us: i64) -> Result<Database, DatabaseError> {
        Database::open_with(url, mode, Readers::default(), now_us).await
    }

    /// Opens a database with a number of readers and deadlines.
    ///
    /// # Errors
    /// Those of [`Database::open`].
    pub async fn open_with(
        url: &str,
        mode: OpenMode,
        readers: Readers,
        now_us: i64,
    ) -> Result<Database, DatabaseError> {
        match location::parse(url)? {
            Location::Sqlite(path) => {
                sqlite::Sqlite::open(&path, mode, readers, now_us).await.map(Database::Sqlite)
            }
            Location::Postgres(url, protection) => {
                let opened = postgres::Postgres::open(&url, protection, mode, &readers, now_us).await;
                opened.map(Database::Postgres)
            }
        }
    }

    /// Runs one statement that finds its rows by key. It cannot write.
    ///
    /// # Errors
    /// [`DatabaseError::Slow`] after [`Readers::read_timeout`], [`DatabaseError::Crowded`], [`DatabaseError::Away`]
    /// and [`DatabaseError::Failed`].
    pub async fn read(&self, sql: &'static str, values: Vec<Value>) -> Result<Rows, DatabaseError> {
        let [rows] = self.read_all([Statement { sql, values, exactly_one: false }]).await?;
        Ok(rows)
    }

    /// Runs several statements in one snapshot, each of which finds its rows by key. Returns the rows of each, in
    /// order.
    ///
    /// # Errors
    /// Those of [`Database::read`].
    pub async fn read_all<const N: usize>(
        &self,
        statements: [Statement; N],
    ) -> Result<[Rows; N], DatabaseError> {
        let read = self.read_in_lane(Lane::Key, statements.to_vec());
        rows_of_each(lanes::with_deadline(self.lanes().read_timeout, read).await?)
    }

    /// Runs statements that count, search or walk a table, in one snapshot. They never take the readers that
    /// [`Database::read`] needs. The bounds of scans count for `caller`.
    ///
    /// # Errors
    /// [`DatabaseError::Crowded`] when too many scans are running, [`DatabaseError::Slow`] after
    /// [`Readers::scan_timeout`], and the other errors of [`Database::read`].
    pub async fn scan<const N: usize>(
        &self,
        caller: ScanCaller,
        statements: [Statement; N],
    ) -> Result<[Rows; N], DatabaseError> {
        rows_of_each(self.lanes().scan(caller, |lane| self.read_in_lane(lane, statements.to_vec())).await?)
    }

    /// Runs scans one after the other, in one place of the lane of scans and under one deadline, so that a caller who waits
    /// for a place holds no rows. Each has its own snapshot. `next` takes the rows of a statement, whose text it is given,
    /// and returns the statement that follows. The first statement may run twice: it is tried in the lane of keys.
    ///
    /// # Errors
    /// Those of [`Database::scan`] and of `next`.
    pub async fn scan_each<T: Default + Send>(
        &self,
        caller: ScanCaller,
        first: Statement,
        next: impl Fn(&mut T, &'static str, Rows) -> Result<Option<Statement>, DatabaseError> + Sync,
    ) -> Result<T, DatabaseError> {
        let (first, next) = (&first, &next);
        let read = |lane| async move {
            let (mut all, mut waiting) = (T::default(), Some(first.clone()));
            while let Some(statement) = waiting {
                let sql = statement.sql;
                let [rows] = rows_of_each(self.read_in_lane(lane, vec![statement]).await?)?;
                waiting = next(&mut all, sql, rows)?;
                // Only one statement is as cheap as a read by key.
                if waiting.is_some() && lane == Lane::Brief {
                    return Err(DatabaseError::Slow { seconds: 0 });
                }
            }
            Ok(all)
        };
        self.lanes().scan(caller, read).await
    }

    async fn read_in_lane(&self, lane: Lane, statements: Vec<Statement>) -> Result<Vec<Rows>, DatabaseError> {
        self.damage().record(match self {
            Database::Sqlite(database) => database.read(lane, statements).await,
            Database::Postgres(database) => database.read(lane, &statements).await,
        })
    }

    fn lanes(&self) -> &lanes::Lanes {
        match self {
            Database::Sqlite(database) => database.lanes(),
            Database::Postgres(database) => database.lanes(),
        }
    }

    /// Writes a batch, all or nothing. After `Ok` it is durable.
    ///
    /// Batches of concurrent callers are committed together. A refused batch does not affect the others. A caller
    /// that stops waiting does not cancel its batch.
    ///
    /// # Errors
    /// [`DatabaseError::Unmet`] and [`DatabaseError::Taken`] when the data is not as expected; nothing is changed.
    /// [`DatabaseError::Failed`] when the statement or the database failed. If that happened during the commit,
    /// nobody can know whether the batch was written, and the text says so. [`DatabaseError::Damaged`] once damage
    /// was found.
    pub async fn apply(&self, batch: Batch) -> Result<(), DatabaseError> {
        if batch.statements.is_empty() {
            return Ok(());
        }
        self.damage().refuse_writes()?;
        self.damage().record(match self {
            Database::Sqlite(database) => database.apply(batch).await,
            Database::Postgres(database) => database.apply(batch).await,
        })
    }

    /// Sets what follows the commits of an SQLite database from now on.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] for a PostgreSQL database.
    pub(crate) fn follow_commits(&self, follower: Box<dyn CommitFollower>) -> Result<(), DatabaseError> {
        match self {
            Database::Sqlite(database) => database.follower().set(Some(follower)),
            Database::Postgres(_) => {
                return Err(DatabaseError::Failed("only commits of SQLite can be followed".into()));
            }
        }
        Ok(())
    }

    /// The version of the data of an SQLite database, which every commit of any process changes, and the rows of a
    /// statement unless the version is `known`. It takes microseconds and reads on this thread, so the statement must
    /// find few rows by key. It records no damage: whoever gets an error reads in another way.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`], also for a PostgreSQL database.
    pub(crate) fn read_unless_known(
        &self,
        known: Option<i64>,
        statement: impl FnOnce() -> Statement,
    ) -> Result<(i64, Option<Rows>), DatabaseError> {
        match self {
            Database::Sqlite(database) => database.read_unless_known(known, statement),
            Database::Postgres(_) => {
                Err(DatabaseError::Failed("only SQLite says whether it has changed".into()))
            }
        }
    }

    /// Waits until the follower of an SQLite database was told of every commit before this call, of any process. A PostgreSQL
    /// database has no follower.
    ///
    /// # Errors
    /// The database is closed.
    pub(crate) async fn wait_until_followed(&self) -> Result<(), DatabaseError> {
        match self {
            Database::Sqlite(database) => database.wait_until_followed().await,
            Database::Postgres(_) => Ok(()),
        }
    }

    /// Waits for commits on these topics from now on, of this process and of all others that share the database.
    pub fn watch(&self, topics: impl IntoIterator<Item = Topic>) -> Watch {
        self.signals().watch(topics.into_iter().collect())
    }

    /// Waits for turns from now on, as a worker of one organization or of all, for some agents or for all.
    pub fn wait_for_work(&self, organization: Option<Uuid>, agents: Option<Vec<String>>) -> WorkWait {
        self.signals().wait_for_work(organization, agents)
    }

    /// The number of workers on this server that wait for a turn and are not reading.
    pub fn waiting_workers(&self) -> usize {
        self.signals().waiting_workers()
    }

    fn signals(&self) -> &Signals {
        match self {
            Database::Sqlite(database) => database.signals(),
            Database::Postgres(database) => database.signals(),
        }
    }

    /// Counts of writes since the database was opened.
    pub fn write_counts(&self) -> WriteCounts {
        match self {
            Database::Sqlite(database) => database.write_counts(),
            Database::Postgres(database) => database.write_counts(),
        }
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres(_) => "postgres",
        }
    }

    /// Checks within seconds that the database answers. It does not wait behind other reads.
    ///
    /// # Errors
    /// [`DatabaseError::Slow`] and [`DatabaseError::Failed`].
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let ping = async {
            match self {
                Database::Sqlite(database) => database.ping().await,
                Database::Postgres(database) => database.ping().await,
            }
        };
        lanes::with_deadline(PING, ping).await
    }

    /// The schema version of the database, if a newer program has changed it since it was opened.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] when the database cannot be read.
    pub async fn newer_schema(&self) -> Result<Option<i64>, DatabaseError> {
        let rows = self.read("SELECT MAX(version) FROM schema_migrations", Vec::new()).await?;
        let schema = rows.read_one(Columns::int)?;
        Ok(Some(schema).filter(|schema| *schema > SCHEMA_VERSION))
    }

    /// Checks for damage. Reads all of an SQLite database on a separate thread with low priority, so that nobody
    /// waits for it. PostgreSQL checks pages itself as it reads them.
    ///
    /// # Errors
    /// [`DatabaseError::Damaged`]; [`DatabaseError::Failed`] when the check cannot run.
    pub async fn check(&self) -> Result<(), DatabaseError> {
        match self {
            Database::Sqlite(database) => self.damage().record(database.check().await),
            Database::Postgres(_) => Ok(()),
        }
    }

    /// The damage that a check, a read or a write has found since the database was opened. Writes are refused from
    /// then on.
    pub fn damage_report(&self) -> Option<&str> {
        self.damage().message()
    }

    fn damage(&self) -> &Damage {
        match self {
            Database::Sqlite(database) => database.damage(),
            Database::Postgres(database) => database.damage(),
        }
    }

    /// Writes the batches that were submitted, then ends all threads and connections. Later uses of any clone fail,
    /// and all waiting for commits ends. May be called more than once.
    pub async fn close(&self) {
        match self {
            Database::Sqlite(database) => database.close().await,
            Database::Postgres(database) => database.close().await,
        }
    }
}

/// One result for each statement.
fn rows_of_each<const N: usize>(results: Vec<Rows>) -> Result<[Rows; N], DatabaseError> {
    results.try_into().map_err(|results: Vec<_>| {
        DatabaseError::Failed(format!("{} results of {N} statements", results.len()))
    })
}
