//! Agent sessions: loading, creating, changing and deleting them. `lists.rs` lists them.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{Granted, GrantedAccount, PermissionType, System, UseSessions, ViewSessions};
use crate::agents::changes::{self as written, CycleLimit, key};
use crate::agents::secrets::{self, SealedSecret};
use crate::agents::session_body::{LoadedAgentSession, read_session};
#[cfg(feature = "testing")]
use crate::database::Statement;
use crate::database::{Batch, Columns, DatabaseError, Topic};
use crate::devices::sessions::to_stale;
use crate::feed::feed_entry;
use crate::rows::{any_rows, batch, one_row, values};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::agent::{AgentChange, AgentSession, MessageSource, WorkDemand};
use domain::ids::{OrganizationId, SessionId};
use domain::refusal::Thing;
use domain::session::{FeedChange, SessionKind};
use domain::time::Micros;
use std::collections::BTreeSet;

/// One session: its lease, which heartbeats extend, and its body.
pub(crate) const ONE: &str = "
    SELECT s.lease_us, b.body FROM agent_sessions s
    JOIN agent_bodies b ON b.organization = $1 AND b.created_us = $2
    WHERE s.organization = $1 AND s.created_us = $2 AND s.tail = $3";

/// One session of any organization.
const ANYWHERE: &str = "
    SELECT s.lease_us, b.body FROM agent_sessions s
    JOIN agent_bodies b ON b.organization = s.organization AND b.created_us = s.created_us
    WHERE s.created_us = $1 AND s.tail = $2";

/// The last of the consecutive times that begin at one that is taken.
const TAKEN: &str = "
    SELECT MAX(created_us) FROM
        (SELECT created_us, created_us - ROW_NUMBER() OVER (ORDER BY created_us) AS run
         FROM agent_sessions WHERE organization = $1 AND created_us >= $2) t
    WHERE run = $2 - 1";

/// A new session, and what happens with its creation.
#[derive(Debug, Clone)]
pub struct NewAgentSession {
    /// The session in its initial state.
    pub session: AgentSession,
    /// Its first changes, such as the first message.
    pub changes: Vec<AgentChange>,
    /// The parent session as it was loaded, and its changes.
    pub parent: Option<(LoadedAgentSession, Vec<AgentChange>)>,
    /// Its secrets.
    pub secrets: Vec<SealedSecret>,
}

impl Store {
    /// An agent session.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also for a session of another organization.
    pub async fn load_agent_session(
        &self,
        granted: &Granted<ViewSessions>,
        id: SessionId,
    ) -> Result<LoadedAgentSession> {
        let rows = self.read(granted, ONE, values![id.creation_time(), id.tail() as i64]).await?;
        rows.read_first(read_session)?.ok_or(Refusal::NotFound(Thing::Session).into())
    }

    /// An agent session of any organization.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn find_agent_session(
        &self,
        granted: &GrantedAccount<ViewSessions>,
        id: SessionId,
    ) -> Result<LoadedAgentSession> {
        let one = [(ANYWHERE, values![id.creation_time(), id.tail() as i64])];
        let [rows] = self.read_account(granted, one).await?;
        rows.read_first(read_session)?.ok_or(Refusal::NotFound(Thing::Session).into())
    }

    /// Creates the session that `build` returns for an id. The id has the time `now`, or the next microsecond that no
    /// other session of the organization has: nobody has seen the id yet. The parent changes in the same batch.
    ///
    /// # Errors
    /// [`Error::Stale`] when the parent has changed since it was loaded; [`Refusal::NotAMember`] when the
    /// organization was deleted meanwhile; the refusals of `build`.
    pub async fn create_agent_session(
        &self,
        granted: &Granted<UseSessions>,
        now: Micros,
        tail: u64,
        build: impl Fn(SessionId) -> std::result::Result<NewAgentSession, Refusal>,
    ) -> Result<LoadedAgentSession> {
        let organization = granted.organization();
        loop {
            let created = self.next_time(organization, SessionKind::Agent, now);
            let new = build(SessionId::new(created, tail))?;
            let parent = new.parent.as_ref().map_or(organization, |(parent, _)| parent.organization);
            let written = [new.session.organization, parent];
            assert_eq!([organization; 2], written, "a grant is for its own organization only");
            let (session, mut batch, time_checks) = build_new_session(&new, now)?;
            batch.statements.extend(record_creation(granted, session.id.uuid()));
            match self.database.apply(batch).await {
                Ok(()) => return Ok(session),
                Err(DatabaseError::Unmet { statement: 0, .. }) => return Err(Refusal::NotAMember.into()),
                Err(DatabaseError::Taken { statement } | DatabaseError::Unmet { statement, .. })
                    if time_checks.contains(&statement) =>
                {
                    self.skip_taken(granted, SessionKind::Agent, TAKEN, created).await?;
                }
                Err(error) => return Err(to_stale(error)),
            }
        }
    }

    /// Imports a session with its own times: it and all that happened to it until `now`, in one batch.
    ///
    /// # Errors
    /// [`Error::Stale`] when another session has the same time; [`Refusal::NotAMember`] when there is no such
    /// organization.
    pub async fn import_agent_session(
        &self,
        _: &System,
        new: &NewAgentSession,
        now: Micros,
    ) -> Result<LoadedAgentSession> {
        let (session, batch, _) = build_new_session(new, now)?;
        match self.database.apply(batch).await {
            Ok(()) => Ok(session),
            Err(DatabaseError::Unmet { statement: 0, .. }) => Err(Refusal::NotAMember.into()),
            Err(DatabaseError::Taken { .. } | DatabaseError::Unmet { .. }) => Err(Error::Stale),
            Err(error) => Err(to_stale(error)),
        }
    }

    /// Writes the changes that were decided on a loaded session, all or none. Returns the changed session.
    ///
    /// # Errors
    /// [`Error::Stale`] when the session has changed since it was loaded, when a heartbeat came for a turn that is
    /// taken away, or when the usage would reach the limit of the cycle and the decision found that it does not.
    pub async fn change_agent_session<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        before: LoadedAgentSession,
        changes: &[AgentChange],
        now: Micros,
        limit: Option<CycleLimit>,
    ) -> Result<LoadedAgentSession> {
        assert_eq!(granted.organization(), before.organization, "a grant is for its own organization only");
        if changes.is_empty() {
            return Ok(before);
        }
        let (after, mut batch) = build_change(&before, changes, now, limit.as_ref())?;
        let user_message = changes.iter().find_map(|change| match change {
            AgentChange::Message(message) if message.source == MessageSource::User => Some(message.id),
            _ => None,
        });
        batch.statements.extend(user_message.and_then(|message| record_creation(granted, message.0)));
        self.apply(batch, |_| Error::Stale).await?;
        Ok(after)
    }

    /// Deletes a session. It disappears at once; [`Store::purge_agents`] removes its messages and events later.
    ///
    /// # Errors
    /// [`Error::Stale`] when it has changed since it was loaded.
    pub async fn delete_agent_session(
        &self,
        granted: &Granted<UseSessions>,
        before: &AgentSession,
        now: Micros,
    ) -> Result<()> {
        let (organization, created) = (before.organization, before.id.creation_time());
        assert_eq!(granted.organization(), organization, "a grant is for its own organization only");
        let mut statements = vec![
            granted.one_row(
                "DELETE FROM agent_sessions WHERE organization = $1 AND created_us = $2 AND revision = $3",
                values![created, before.revision],
            ),
            granted.one_row(
                "DELETE FROM agent_bodies WHERE organization = $1 AND created_us = $2",
                values![created],
            ),
            granted.one_row(
                "INSERT INTO agent_purges (organization, session_us) VALUES ($1, $2)",
                values![created],
            ),
            granted.any_rows(
                "DELETE FROM secrets WHERE organization = $1 AND session_us = $2",
                values![created],
            ),
        ];
        statements.extend(feed_entry(key(before), before.revision + 1, FeedChange::Deleted, now));
        statements.extend(record_creation(granted, before.id.uuid()));
        self.apply(batch([organization], statements).with_topic(session_topic(before)), |_| Error::Stale)
            .await
    }

    /// Removes rows of deleted sessions: of each of a few sessions at most `rows` messages and events. Returns
    /// whether any are left.
    pub async fn purge_agents(&self, system: &System, rows: u32, now: Micros) -> Result<bool> {
        let sql = "SELECT organization, session_us FROM agent_purges LIMIT 16";
        let purges = self.read_unscoped(system, Scan(sql), values![]).await?;
        let has_more = !purges.is_empty();
        for (organization, session) in
            purges.read_all(|columns| Ok((OrganizationId(columns.id()?), columns.time()?)))?
        {
            self.purge(&system.grant(organization), session, rows, now).await?;
        }
        Ok(has_more)
    }

    async fn purge(
        &self,
        granted: &Granted<ViewSessions>,
        session: Micros,
        rows: u32,
        now: Micros,
    ) -> Result<()> {
        let first = "SELECT COALESCE((SELECT MIN(sequence) FROM messages WHERE organization = $1 AND session_us = $2),
                                     (SELECT MIN(sequence) FROM events WHERE organization = $1 AND session_us = $2))";
        let found = self.read(granted, first, values![session]).await?;
        let Some(lowest) = found.read_one(Columns::maybe_int)? else {
            return self.finish_purge(granted, session).await;
        };
        let until = lowest.saturating_add(i64::from(rows));
        let mut statements = Vec::new();
        for id in self
            .list_attachments(granted, session, until)
            .await?
            .into_iter()
            .filter_map(|(_, file, _)| file.id)
        {
            let sql = "UPDATE files SET expires_us = $3 WHERE organization = $1 AND id = $2";
            statements.push(granted.any_rows(sql, values![id, now]));
        }
        for sql in [
            "DELETE FROM messages WHERE organization = $1 AND session_us = $2 AND sequence < $3",
            "DELETE FROM events WHERE organization = $1 AND session_us = $2 AND sequence < $3",
        ] {
            statements.push(granted.any_rows(sql, values![session, until]));
        }
        self.apply(batch([], statements), |_| Error::Stale).await
    }

    async fn finish_purge(&self, granted: &Granted<ViewSessions>, session: Micros) -> Result<()> {
        let pins = "DELETE FROM pins WHERE organization = $1 AND session_us = $2";
        let purge = "DELETE FROM agent_purges WHERE organization = $1 AND session_us = $2";
        let statements = [pins, purge].map(|sql| granted.any_rows(sql, values![session]));
        self.apply(batch([], statements.to_vec()), |_| Error::Stale).await
    }
}

/// The statements that import a session that was created at its own time.
#[cfg(feature = "testing")]
pub(crate) fn imported_statements(new: &NewAgentSession) -> Result<Vec<Statement>> {
    let (_, batch, _) = build_new_session(new, new.session.id.creation_time())?;
    Ok(batch.statements)
}

/// Builds a new session and its batch. Also returns the positions of the statements that fail when its time is taken.
fn build_new_session(new: &NewAgentSession, now: Micros) -> Result<(LoadedAgentSession, Batch, Vec<usize>)> {
    let organization = new.session.organization;
    let mut session = new.session.clone().with_changes(&new.changes, now);
    // Nobody has seen it, so its revision stays.
    session.revision = new.session.revision;
    let session = LoadedAgentSession::new(session);
    let created = session.id.creation_time();
    let mut statements = vec![one_row(
        "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
        values![organization],
    )];
    statements.extend(written::insert(&session)?);
    statements.push(one_row(
        "UPDATE counters SET sequence = sequence WHERE organization = $1
             AND NOT EXISTS (SELECT 1 FROM agent_purges WHERE organization = $1 AND session_us = $2)",
        values![organization, created],
    ));
    let time_checks = vec![1, 2, 3];
    statements.push(any_rows(
        "INSERT INTO served (organization, number) VALUES ($1, 0) ON CONFLICT DO NOTHING",
        values![organization],
    ));
    statements.extend(written::statements(&new.session, &session, &new.changes, now, None)?);
    statements.extend(new.secrets.iter().map(|secret| secrets::insert(&session, secret)));
    // Nobody can follow a session before it exists.
    let mut topics = work_topic(None, &session).into_iter().collect::<BTreeSet<_>>();
    if let Some((parent, changes)) = new.parent.as_ref().filter(|(_, changes)| !changes.is_empty()) {
        let (_, parents) = build_change(parent, changes, now, None)?;
        statements.extend(parents.statements);
        topics.extend(parents.topics);
    }
    statements.extend(feed_entry(key(&session), session.revision, FeedChange::Created, created));
    let mut batch = batch([organization], statements);
    batch.topics = topics;
    Ok((session, batch, time_checks))
}

/// Applies changes to a session and builds their batch.
fn build_change(
    before: &LoadedAgentSession,
    changes: &[AgentChange],
    now: Micros,
    limit: Option<&CycleLimit>,
) -> Result<(LoadedAgentSession, Batch)> {
    let after = before.apply_changes(changes, now);
    let mut statements = written::update(&after, before.revision)?.to_vec();
    // These statements read the row before the update changes it.
    let others = written::statements(before, &after, changes, now, limit)?;
    statements.splice(0..0, others);
    statements.extend(feed_entry(key(&after), after.revision, AgentChange::feed_change(changes), now));
    let mut batch = batch([after.organization], statements).with_topic(session_topic(&after));
    batch.topics.extend(work_topic(Some(before.work_demand()), &after));
    Ok((after, batch))
}

/// The topic of those who follow the session's events.
fn session_topic(session: &AgentSession) -> Topic {
    Topic::Agent { organization: session.organization.0, created_us: session.id.creation_time().0 }
}

/// The topic of workers, when a turn of the session begins to wait.
fn work_topic(before: Option<WorkDemand>, after: &AgentSession) -> Option<Topic> {
    let begins = after.work_demand() == WorkDemand::Waiting && before != Some(WorkDemand::Waiting);
    let agent = || after.given.agent_name.as_str().into();
    begins.then(|| Topic::Work { organization: after.organization.0, agent: agent() })
}
