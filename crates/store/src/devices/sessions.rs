//! Device sessions: listing, loading, creating and changing them.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::{Granted, System, UseSessions, ViewSessions};
use crate::database::{Batch, Columns, DatabaseError, Statement, Topic, Value};
use crate::devices::holds::{self, hold_columns, read_hold};
use crate::feed::feed_entry;
use crate::rows::{LoadedSessions, batch, one_row, postgres_times, values};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::clock_watch::WRONG;
use domain::device::{DeviceChange, DeviceSession, Hold};
use domain::ids::{OrganizationId, PrincipalId, SessionId};
use domain::refusal::Thing;
use domain::session::{EndReason, FeedChange, SessionKey, SessionKind};
use domain::time::Micros;
use serde_json::json;

/// The columns of a session; see [`read_session`].
macro_rules! session_columns {
    () => {
        "s.created_us, s.tail, s.principal, s.revision, s.released_us, s.activity_us,
         s.ended_us, s.end_reason, s.end_actor, s.end_evidence"
    };
}
pub(crate) use session_columns;

/// Sessions of one organization `$1` by the times in `$2`, and their holds. The two databases differ in how a JSON text
/// becomes rows.
pub(crate) struct ByTimes {
    pub(crate) sessions: &'static str,
    /// Only open holds and the newest 50 of each session: a page has hundreds of sessions, and each may have had a
    /// thousand holds.
    pub(crate) holds: &'static str,
}

/// SQLite keeps the order of a cross join.
pub(crate) const SQLITE_BY_TIMES: ByTimes = ByTimes {
    sessions: concat!(
        "SELECT ",
        session_columns!(),
        " FROM json_each($2) k
          CROSS JOIN sessions s ON s.organization = $1 AND s.kind = 'device' AND s.created_us = k.value
          ORDER BY s.created_us DESC"
    ),
    holds: concat!(
        "SELECT h.session_us, ",
        hold_columns!(),
        " FROM (SELECT h.*, ROW_NUMBER() OVER (PARTITION BY h.session_us ORDER BY h.position DESC) AS age
                FROM json_each($2) k CROSS JOIN holds h ON h.organization = $1 AND h.session_us = k.value) h
          WHERE h.age <= 50 OR h.released_us IS NULL ORDER BY h.session_us DESC, h.position"
    ),
};

/// The limit and the numbering keep PostgreSQL from turning these into joins, which would read all sessions or holds of an
/// organization.
pub(crate) const POSTGRES_BY_TIMES: ByTimes = ByTimes {
    sessions: concat!(
        "SELECT ",
        session_columns!(),
        " FROM (",
        postgres_times!(),
        ") k
          CROSS JOIN LATERAL (SELECT * FROM sessions s
              WHERE s.organization = $1 AND s.kind = 'device' AND s.created_us = k.created_us LIMIT 1) s
          ORDER BY s.created_us DESC"
    ),
    holds: concat!(
        "SELECT h.session_us, ",
        hold_columns!(),
        " FROM (",
        postgres_times!(),
        ") k
          CROSS JOIN LATERAL (SELECT h.*, ROW_NUMBER() OVER (ORDER BY h.position DESC) AS age FROM holds h
              WHERE h.organization = $1 AND h.session_us = k.created_us) h
          WHERE h.age <= 50 OR h.released_us IS NULL ORDER BY h.session_us DESC, h.position"
    ),
};

/// One session with its holds.
pub(crate) const ONE: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    hold_columns!(),
    " FROM sessions s LEFT JOIN holds h ON h.organization = $1 AND h.session_us = $2
      WHERE s.organization = $1 AND s.kind = 'device' AND s.created_us = $2 AND s.tail = $3
      ORDER BY h.position"
);

/// The last of the consecutive times that begin at one that is taken.
const TAKEN: &str = "
    SELECT MAX(created_us) FROM
        (SELECT created_us, created_us - ROW_NUMBER() OVER (ORDER BY created_us) AS run
         FROM sessions WHERE organization = $1 AND kind = 'device' AND created_us >= $2) t
    WHERE run = $2 - 1";

/// How many microseconds after its own time an import searches for a free one.
const MOST_TAKEN: u32 = 1_000;

impl Store {
    /// The organization's device sessions with these ids, newest first, with their open holds and their newest ones.
    pub async fn load_device_sessions(
        &self,
        granted: &Granted<ViewSessions>,
        ids: &[SessionId],
    ) -> Result<LoadedSessions<DeviceSession>> {
        let statements = if self.database.kind() == "sqlite" { &SQLITE_BY_TIMES } else { &POSTGRES_BY_TIMES };
        let values = || values![times_json(ids)];
        let statements = [(statements.sessions, values()), (statements.holds, values())];
        let [rows, holds] = self.read_snapshot(granted, statements).await?;
        let mut items = rows.read_all(|columns| read_session(granted.organization(), columns))?;
        let holds = holds.read_all(|columns| Ok((columns.time()?, read_hold(columns)?)))?;
        join_holds(&mut items, holds);
        Ok(items.into())
    }

    /// A device session with its holds.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also for a session of another organization.
    pub async fn load_device_session(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
    ) -> Result<DeviceSession> {
        let rows = self.read(granted, ONE, values![id.creation_time(), id.tail() as i64]).await?;
        let rows = rows
            .read_all(|columns| Ok((read_session(granted.organization(), columns)?, read_hold(columns)?)))?;
        let mut rows = rows.into_iter();
        let (mut found, first) = rows.next().ok_or(Refusal::NotFound(Thing::Session))?;
        found.holds = first.into_iter().chain(rows.filter_map(|(_, hold)| hold)).collect();
        Ok(found)
    }

    /// Creates a device session at `preferred`, or at the next microsecond that no other session of the organization
    /// has: nobody has seen the id yet.
    ///
    /// # Errors
    /// [`Refusal::NotAMember`] when the organization was deleted meanwhile.
    pub async fn create_device_session(
        &self,
        granted: &Granted<UseSessions>,
        owner: PrincipalId,
        preferred: Micros,
        tail: u64,
    ) -> Result<DeviceSession> {
        let organization = granted.organization();
        loop {
            let created = self.next_time(organization, SessionKind::Device, preferred);
            let session = DeviceSession::new(organization, SessionId::new(created, tail), owner);
            match self.insert_session(&session, record_creation(granted, session.id.uuid())).await {
                Err(Error::Stale) => self.skip_taken(granted, SessionKind::Device, TAKEN, created).await?,
                outcome => return outcome.map(|()| session),
            }
        }
    }

    async fn insert_session(&self, session: &DeviceSession, creation: Option<Statement>) -> Result<()> {
        let organization = session.organization;
        let exists = one_row(
            "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
            values![organization],
        );
        let insert = one_row(
            "INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, activity_us)
             VALUES ($1, 'device', $2, $3, $4, 1, $5)",
            values![
                organization,
                session.id.creation_time(),
                session.id.tail() as i64,
                session.owner,
                session.activity
            ],
        );
        let mut statements = vec![exists, insert];
        statements.extend(creation);
        statements.extend(session_feed_entry(session, FeedChange::Created, session.id.creation_time()));
        self.apply(batch([organization], statements), |_| Refusal::NotAMember.into()).await
    }

    /// The time for a new session: `preferred`, or right after the newest that this process has given out. A time far
    /// ahead of the clock came from a wrong clock: new sessions do not continue from it.
    pub(crate) fn next_time(
        &self,
        organization: OrganizationId,
        kind: SessionKind,
        preferred: Micros,
    ) -> Micros {
        let mut newest = self.newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = newest.entry((organization, kind)).or_insert(Micros(0));
        let follows = last.duration_since(preferred) <= WRONG;
        *last = if follows { Micros(preferred.0.max(last.0 + 1)) } else { preferred };
        *last
    }

    /// Continues after a run of taken times. Another process, or an earlier run of this server, has used them.
    pub(crate) async fn skip_taken(
        &self,
        granted: &Granted<UseSessions>,
        kind: SessionKind,
        sql: &'static str,
        taken: Micros,
    ) -> Result<()> {
        let rows = self.read(granted, Scan(sql), values![taken]).await?;
        let end = rows.read_first(Columns::maybe_int)?.flatten().unwrap_or(taken.0);
        let mut newest = self.newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = newest.entry((granted.organization(), kind)).or_insert(Micros(0));
        last.0 = last.0.max(end);
        Ok(())
    }

    /// Writes the changes that were decided on a loaded session, all or none. Returns the changed session.
    ///
    /// # Errors
    /// [`Error::Stale`] when the session, or a device to hand over, has changed since it was loaded;
    /// [`Refusal::DeviceLimit`].
    pub async fn change_device_session(
        &self,
        granted: &Granted<UseSessions>,
        before: DeviceSession,
        changes: &[DeviceChange],
        now: Micros,
    ) -> Result<DeviceSession> {
        assert_eq!(granted.organization(), before.organization, "a grant is for its own organization only");
        let Some(last) = changes.last() else { return Ok(before) };
        let revision = before.revision;
        let after = before.with_changes(changes, now);
        let mut statements = vec![update_session(&after, revision)];
        let (mut limits, mut creation) = (Vec::new(), None);
        for change in changes {
            if let DeviceChange::Requested { hold, .. } = change {
                limits.push(statements.len());
                creation = record_creation(granted, hold.id.0);
            }
            statements.extend(holds::statements(&after, change, now));
        }
        statements.extend(creation);
        statements.extend(session_feed_entry(&after, last.feed_change(), now));
        // Changes of devices are ordered by the pool's row, so that two servers cannot deadlock.
        let batch = holds_batch(after.organization, statements);
        match self.database.apply(batch).await {
            Ok(()) => Ok(after),
            Err(DatabaseError::Unmet { statement, .. }) if limits.contains(&statement) => {
                Err(self.device_limit(granted).await?)
            }
            Err(error) => Err(to_stale(error)),
        }
    }

    /// Applies a batch. `unmet` gives the error for a statement whose expectation failed.
    pub(crate) async fn apply(&self, batch: Batch, unmet: impl Fn(usize) -> Error) -> Result<()> {
        match self.database.apply(batch).await {
            Err(DatabaseError::Unmet { statement, .. }) => Err(unmet(statement)),
            Err(error) => Err(to_stale(error)),
            Ok(()) => Ok(()),
        }
    }

    /// The organization's sessions with their revisions, oldest first, to compare with a replay of the change feed.
    pub async fn list_session_revisions(
        &self,
        granted: &Granted<ViewSessions>,
        kind: SessionKind,
        limit: u32,
    ) -> Result<Vec<(SessionId, i64)>> {
        let sql = "SELECT created_us, tail, revision FROM sessions
                   WHERE (organization, kind) >= ($1, $2) AND (organization, kind) <= ($1, $2)
                   ORDER BY organization, kind, created_us LIMIT $3";
        let agents = "SELECT created_us, tail, revision FROM agent_sessions
                      WHERE organization = $1 ORDER BY organization, created_us LIMIT $2";
        let rows = match kind {
            SessionKind::Agent => self.read(granted, Scan(agents), values![limit]).await?,
            kind => self.read(granted, Scan(sql), values![kind.name(), limit]).await?,
        };
        Ok(rows.read_all(|columns| Ok((read_session_id(columns)?, columns.int()?)))?)
    }

    /// Imports an ended session with its own times, in one batch. Returns it with the time at which it was stored:
    /// its own, or the next free microsecond.
    ///
    /// # Errors
    /// [`Error::Stale`] when too many times in a row are taken: it must be a repeated import.
    pub async fn import_device_session(
        &self,
        system: &System,
        mut session: DeviceSession,
    ) -> Result<DeviceSession> {
        for _ in 0..MOST_TAKEN {
            match self.insert_past(system, &session).await {
                Err(Error::Stale) => {
                    session.id = SessionId::new(Micros(session.id.creation_time().0 + 1), session.id.tail());
                }
                outcome => return outcome.map(|()| session),
            }
        }
        Err(Error::Stale)
    }

    async fn insert_past(&self, _: &System, session: &DeviceSession) -> Result<()> {
        self.apply(holds_batch(session.organization, import_statements(session)), |_| Error::Stale).await
    }
}

/// The statements that import an ended session.
pub(crate) fn import_statements(session: &DeviceSession) -> Vec<Statement> {
    let mut statements = vec![insert_imported(session)];
    for hold in &session.holds {
        statements.extend(holds::insert_imported_hold(session, hold));
    }
    statements.extend(session_feed_entry(session, FeedChange::Created, session.id.creation_time()));
    statements
}

/// A batch that changes holds of devices or waiting requests.
fn holds_batch(organization: OrganizationId, statements: Vec<Statement>) -> Batch {
    let batch = batch([organization, OrganizationId::ACCOUNT], statements);
    batch.with_topic(Topic::Devices).with_topic(Topic::Holds(organization.0))
}

fn insert_imported(session: &DeviceSession) -> Statement {
    let ended = session.ended.as_ref();
    one_row(
        "INSERT INTO sessions (organization, kind, created_us, tail, principal, revision, released_us, activity_us,
                               ended_us, end_reason, end_actor, end_evidence)
         VALUES ($1, 'device', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        values![
            session.organization,
            session.id.creation_time(),
            session.id.tail() as i64,
            session.owner,
            session.revision,
            session.released,
            session.activity,
            ended.map(|(at, _)| *at),
            ended.map(|(_, ending)| ending.reason.name()),
            ended.and_then(|(_, ending)| ending.actor),
            ended.map(|(_, ending)| ending.evidence.as_str())
        ],
    )
}

fn update_session(after: &DeviceSession, revision: i64) -> Statement {
    let ended = after.ended.as_ref();
    one_row(
        "UPDATE sessions SET revision = $4, released_us = $5, activity_us = $6,
                             ended_us = $7, end_reason = $8, end_actor = $9, end_evidence = $10
         WHERE organization = $1 AND kind = 'device' AND created_us = $2 AND revision = $3",
        values![
            after.organization,
            after.id.creation_time(),
            revision,
            after.revision,
            after.released,
            after.activity,
            ended.map(|(at, _)| *at),
            ended.map(|(_, ending)| ending.reason.name()),
            ended.and_then(|(_, ending)| ending.actor),
            ended.map(|(_, ending)| ending.evidence.as_str())
        ],
    )
}

/// The entry of the change feed for a device session.
fn session_feed_entry(session: &DeviceSession, change: FeedChange, at: Micros) -> [Statement; 2] {
    feed_entry(session.key(), session.revision, change, at)
}

/// A failed expectation, or a row that exists already, means that something has changed since it was loaded.
pub(crate) fn to_stale(error: DatabaseError) -> Error {
    match error {
        DatabaseError::Unmet { .. } | DatabaseError::Taken { .. } => Error::Stale,
        error => Error::Database(error),
    }
}

/// The times of ids, as one JSON text: so the text of a statement does not depend on their number.
pub(crate) fn times_json(ids: &[SessionId]) -> String {
    json!(ids.iter().map(|id| id.creation_time().0).collect::<Vec<_>>()).to_string()
}

/// The organizations and times of keys, as one JSON text.
pub(crate) fn keys_json(keys: &[SessionKey]) -> String {
    let key = |key: &SessionKey| (key.organization.0.simple().to_string(), key.id.creation_time().0);
    json!(keys.iter().map(key).collect::<Vec<_>>()).to_string()
}

/// Reads a session's id from two columns: its time and its tail.
pub(crate) fn read_session_id(columns: &mut Columns) -> Result<SessionId, DatabaseError> {
    Ok(SessionId::new(columns.time()?, columns.int()? as u64))
}

/// Reads the key of a device session from three columns: organization, time and tail.
pub(crate) fn read_device_key(columns: &mut Columns) -> Result<SessionKey, DatabaseError> {
    Ok(SessionKey {
        organization: OrganizationId(columns.id()?),
        kind: SessionKind::Device,
        id: read_session_id(columns)?,
    })
}

/// Reads a session from its columns, without its holds.
pub(crate) fn read_session(
    organization: OrganizationId,
    columns: &mut Columns,
) -> Result<DeviceSession, DatabaseError> {
    Ok(DeviceSession {
        organization,
        id: read_session_id(columns)?,
        owner: PrincipalId(columns.id()?),
        revision: columns.int()?,
        released: columns.maybe_time()?,
        activity: columns.time()?,
        ended: columns.maybe_ending()?,
        holds: Vec::new(),
    })
}

/// Adds holds to their sessions. Both are in the order of the sessions, newest first.
fn join_holds(sessions: &mut [DeviceSession], holds: Vec<(Micros, Option<Hold>)>) {
    let mut remaining = sessions.iter_mut().peekable();
    for (created, hold) in holds {
        while remaining.next_if(|session| session.id.creation_time() > created).is_some() {}
        if let Some(session) = remaining.peek_mut().filter(|session| session.id.creation_time() == created) {
            session.holds.extend(hold);
        }
    }
}

impl From<EndReason> for Value {
    fn from(reason: EndReason) -> Value {
        Value::from(reason.name())
    }
}
