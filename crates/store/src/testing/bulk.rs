//! Writes millions of imported sessions, for load programs.
//!
//! The rows are those of the store's own statements: each statement of an import is parsed once, and only its values are
//! kept. A statement that is not understood is an error, so a change of the store's statements cannot go unnoticed. Rows
//! are written without the checks of an import, by one transaction for many sessions, and secondary indexes are built at
//! the end.

mod postgres;
mod sqlite;

use crate::agents::sessions::imported_statements;
use crate::database::dump::sqlite_path;
use crate::database::{DatabaseError, Statement, Value};
use crate::devices::sessions::import_statements;
use crate::feed::feed_entry;
use crate::logins::sessions::insert as insert_login;
use crate::rows::{one_row, values};
use crate::{NewAgentSession, Result};
use domain::credential::SecretHash;
use domain::device::DeviceSession;
use domain::ids::OrganizationId;
use domain::login::Login;
use domain::session::{FeedChange, SessionKey, SessionKind};
use domain::time::Micros;
use std::collections::{BTreeMap, HashMap, HashSet};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use super::database_url;
pub use postgres::{BareTables, postgres_backend, recreate_database};

/// The tables that sessions are written to. Their secondary indexes are built at the end.
const TABLES: [&str; 6] = ["sessions", "holds", "logins", "agent_sessions", "agent_bodies", "changes"];

/// A session to write.
pub enum PastSession {
    /// A device session that has ended, with its holds.
    Device(DeviceSession),
    /// An agent session.
    Agent(Box<NewAgentSession>),
    /// A login session, open or ended, and the hash of its secret.
    Login(Box<Login>, SecretHash),
}

impl PastSession {
    /// The statements that import it.
    fn statements(&self) -> Result<Vec<Statement>> {
        match self {
            PastSession::Device(session) => Ok(import_statements(session)),
            PastSession::Agent(new) => imported_statements(new),
            PastSession::Login(login, hash) => Ok(login_import_statements(login, hash)),
        }
    }
}

/// The statements that import a login session, open or ended, without the checks of opening one.
fn login_import_statements(login: &Login, hash: &SecretHash) -> Vec<Statement> {
    let [session, own] = insert_login(login, hash, None);
    let key = SessionKey { organization: OrganizationId::PEOPLE, kind: SessionKind::Login, id: login.id };
    let created = feed_entry(key, 1, FeedChange::Created, login.id.creation_time());
    let Some((at, ending)) = &login.ended else {
        return [session, own].into_iter().chain(created).collect();
    };
    let ended = one_row(
        "INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us, ended_us,
                               end_reason, end_actor, end_evidence)
         VALUES ($1, 'login', $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        session
            .values
            .into_iter()
            .chain(values![*at, ending.reason, ending.actor, ending.evidence.as_str()])
            .collect(),
    );
    let over = feed_entry(key, login.revision, FeedChange::Ended, *at);
    [ended, own].into_iter().chain(created).chain(over).collect()
}

/// The table and the columns that an INSERT writes, and where their values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InsertPlan {
    table: &'static str,
    columns: Vec<&'static str>,
    sources: Vec<BulkSource>,
    /// Whether a row whose key exists is left out.
    skips_existing: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum BulkSource {
    /// The statement's value with this number.
    Value(usize),
    /// A literal.
    Literal(Value),
    /// The counter of the organization in the value with this number.
    Counter(usize),
}

impl InsertPlan {
    /// Parses `INSERT INTO table (columns) VALUES (items)`.
    fn parse(sql: &'static str) -> Option<InsertPlan> {
        let (table, rest) = sql.strip_prefix("INSERT INTO ")?.split_once('(')?;
        let (columns, rest) = rest.split_once(')')?;
        let rest = rest.trim_start().strip_prefix("VALUES")?.trim_start().strip_prefix('(')?;
        let end = find_end(rest)?;
        let skips_existing = match rest[end + 1..].split_whitespace().collect::<Vec<_>>().join(" ").as_str() {
            "" => false,
            "ON CONFLICT DO NOTHING" => true,
            _ => return None,
        };
        let sources = split_items(&rest[..end]).map(|item| BulkSource::parse(item.trim()));
        let plan = InsertPlan {
            table: table.trim(),
            columns: columns.split(',').map(str::trim).collect(),
            sources: sources.collect::<Option<_>>()?,
            skips_existing,
        };
        (plan.columns.len() == plan.sources.len()).then_some(plan)
    }
}

impl BulkSource {
    fn parse(item: &str) -> Option<BulkSource> {
        if let Some(number) = item.strip_prefix('$') {
            return Some(BulkSource::Value(number.parse::<usize>().ok()?.checked_sub(1)?));
        }
        if let Some(text) = item.strip_prefix('\'') {
            return Some(BulkSource::Literal(Value::from(text.strip_suffix('\'')?)));
        }
        if let Ok(number) = item.parse::<i64>() {
            return Some(BulkSource::Literal(Value::Int(number)));
        }
        let counter = item.strip_prefix("(SELECT sequence FROM counters WHERE organization = $")?;
        Some(BulkSource::Counter(counter.strip_suffix(')')?.parse::<usize>().ok()?.checked_sub(1)?))
    }
}

/// The position of the parenthesis that ends a list.
fn find_end(list: &str) -> Option<usize> {
    let mut depth = 0;
    list.char_indices().find_map(|(at, c)| {
        depth += match c {
            '(' => 1,
            ')' if depth == 0 => return Some(at),
            ')' => -1,
            _ => 0,
        };
        None
    })
}

/// The items of a list, which are separated by commas outside of parentheses.
fn split_items(list: &'static str) -> impl Iterator<Item = &'static str> {
    let mut depth = 0;
    list.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
}

/// A row to write, by the plan with this number.
struct Row {
    plan: usize,
    values: Vec<Value>,
}

/// Rows in the order of their sessions, and the plans of all rows so far.
struct Rows {
    plans: Vec<InsertPlan>,
    rows: Vec<Row>,
}

/// A counter of an organization.
#[derive(Clone, Copy, Default)]
struct Counter {
    sequence: i64,
    pruned: i64,
}

/// The counters of all organizations.
type Counters = BTreeMap<Uuid, Counter>;

/// Writes sessions to a database that nobody else uses.
pub struct Bulk {
    maker: RowMaker,
    rows: mpsc::Sender<Rows>,
    writer: JoinHandle<Result<Writer, DatabaseError>>,
}

/// Where rows are written to.
enum Writer {
    Sqlite(Box<sqlite::BulkSqliteWriter>),
    Postgres(Box<postgres::BulkPostgresWriter>),
}

impl Bulk {
    /// Begins. The database must have the organizations of the sessions. Entries of the change feed from before
    /// `feed_from` are counted but not written, as if they had been pruned since.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`].
    pub async fn begin(url: &str, feed_from: Micros) -> Result<Bulk> {
        // Few, because each has the rows of thousands of sessions.
        let (sender, receiver) = mpsc::channel(2);
        let (counters, writer) = match sqlite_path(url) {
            Some(path) => {
                let mut writer = sqlite::BulkSqliteWriter::open(&path)?;
                let counters = writer.counters()?;
                let writing = move || writer.write_all(receiver).map(|()| Writer::Sqlite(Box::new(writer)));
                (counters, tokio::task::spawn_blocking(writing))
            }
            None => {
                let mut writer = postgres::BulkPostgresWriter::open(url).await?;
                let counters = writer.counters().await?;
                let writing = async move {
                    writer.write_all(receiver).await.map(|()| Writer::Postgres(Box::new(writer)))
                };
                (counters, tokio::spawn(writing))
            }
        };
        Ok(Bulk { maker: RowMaker::new(counters, feed_from), rows: sender, writer })
    }

    /// Writes sessions: those of an organization in the order of their times.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`], also for a statement that is not understood.
    pub async fn write(&mut self, sessions: &[PastSession]) -> Result<()> {
        let mut rows = Vec::with_capacity(sessions.len() * 4);
        for session in sessions {
            for statement in session.statements()? {
                self.maker.add_statement(statement, &mut rows)?;
            }
        }
        // An error here means that the writer has ended; `finish` says why.
        let _ = self.rows.send(Rows { plans: self.maker.plans.clone(), rows }).await;
        Ok(())
    }

    /// Writes the counters and builds the indexes. Nothing counts before this.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`].
    pub async fn finish(self) -> Result<()> {
        drop(self.rows);
        let writer = self.writer.await.map_err(|error| DatabaseError::Failed(error.to_string()))??;
        match writer {
            Writer::Sqlite(writer) => writer.finish(&self.maker.counters)?,
            Writer::Postgres(writer) => writer.finish(&self.maker.counters).await?,
        }
        Ok(())
    }
}

/// Makes rows of statements, and counts as the database would.
struct RowMaker {
    plans: Vec<InsertPlan>,
    by_sql: HashMap<usize, usize>,
    counters: Counters,
    existing: HashSet<Vec<Value>>,
    /// Entries of the change feed before this are made as if they had been pruned since.
    feed_from: Micros,
}

impl RowMaker {
    fn new(counters: Counters, feed_from: Micros) -> RowMaker {
        RowMaker { plans: Vec::new(), by_sql: HashMap::new(), counters, existing: HashSet::new(), feed_from }
    }

    fn add_statement(&mut self, statement: Statement, rows: &mut Vec<Row>) -> Result<(), DatabaseError> {
        if statement.sql.starts_with("INSERT INTO") {
            return self.add_row(&statement, rows);
        }
        if statement.sql == "UPDATE counters SET sequence = sequence + 1 WHERE organization = $1" {
            self.counter(&statement, 0)?.sequence += 1;
            return Ok(());
        }
        // These change nothing: they are expectations of an import.
        let checks =
            ["UPDATE organizations SET name = name", "UPDATE counters SET sequence = sequence WHERE"];
        if checks.iter().any(|check| statement.sql.starts_with(check)) {
            return Ok(());
        }
        Err(not_understood(statement.sql))
    }

    fn add_row(&mut self, statement: &Statement, rows: &mut Vec<Row>) -> Result<(), DatabaseError> {
        let plan = self.plan(statement.sql)?;
        let InsertPlan { table, sources, skips_existing, .. } = self.plans[plan].clone();
        let mut values = Vec::with_capacity(sources.len());
        for source in &sources {
            values.push(match source {
                BulkSource::Value(number) => statement.values[*number].clone(),
                BulkSource::Literal(value) => value.clone(),
                BulkSource::Counter(number) => Value::Int(self.counter(statement, *number)?.sequence),
            });
        }
        if table == "changes" && self.is_pruned(statement, &values)? {
            return Ok(());
        }
        if !skips_existing || self.existing.insert(values.clone()) {
            rows.push(Row { plan, values });
        }
        Ok(())
    }

    /// Whether an entry of the feed is one of those that a sweep has deleted since. They are the oldest ones.
    fn is_pruned(&mut self, statement: &Statement, values: &[Value]) -> Result<bool, DatabaseError> {
        let is_old = matches!(values.last(), Some(Value::Int(at)) if *at < self.feed_from.0);
        let counter = self.counter(statement, 0)?;
        let is_pruned = is_old && counter.pruned + 1 == counter.sequence;
        if is_pruned {
            counter.pruned = counter.sequence;
        }
        Ok(is_pruned)
    }

    fn counter(&mut self, statement: &Statement, value: usize) -> Result<&mut Counter, DatabaseError> {
        match statement.values.get(value) {
            Some(Value::Id(organization)) => Ok(self.counters.entry(*organization).or_default()),
            _ => Err(not_understood(statement.sql)),
        }
    }

    fn plan(&mut self, sql: &'static str) -> Result<usize, DatabaseError> {
        let address = sql.as_ptr() as usize;
        if let Some(known) = self.by_sql.get(&address) {
            return Ok(*known);
        }
        let plan = InsertPlan::parse(sql).ok_or_else(|| not_understood(sql))?;
        // Two statements can be the same text at two addresses.
        let number = self.plans.iter().position(|known| *known == plan).unwrap_or_else(|| {
            self.plans.push(plan);
            self.plans.len() - 1
        });
        self.by_sql.insert(address, number);
        Ok(number)
    }
}

fn not_understood(sql: &str) -> DatabaseError {
    DatabaseError::Failed(format!("store::testing::bulk does not understand: {sql}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_are_parsed() {
        let sql = "INSERT INTO changes (organization, sequence, kind, at_us)
             VALUES ($1, (SELECT sequence FROM counters WHERE organization = $1), 'device', $2)";
        let plan = InsertPlan::parse(sql).unwrap();
        assert_eq!((plan.table, plan.columns.len(), plan.skips_existing), ("changes", 4, false));
        let literal = BulkSource::Literal(Value::from("device"));
        assert_eq!(
            plan.sources,
            [BulkSource::Value(0), BulkSource::Counter(0), literal, BulkSource::Value(1)]
        );
        let skips = "INSERT INTO served (organization, number) VALUES ($1, 0) ON CONFLICT DO NOTHING";
        assert!(InsertPlan::parse(skips).unwrap().skips_existing);
        for other in [
            "INSERT INTO a (b) VALUES ($1 + 1)",
            "INSERT INTO a (b) VALUES ($1) ON CONFLICT (b) DO UPDATE SET b = 1",
            "INSERT INTO a (b) SELECT 1",
            "INSERT INTO a (b, c) VALUES ($1)",
        ] {
            assert_eq!(InsertPlan::parse(other), None, "{other}");
        }
    }
}
