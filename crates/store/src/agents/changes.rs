//! The statements that write a decision on an agent session.

use crate::Result;
use crate::agents::labels::format_labels;
use crate::agents::session_body::LoadedAgentSession;
use crate::database::{Statement, Value};
use crate::rows::{any_rows, one_row, to_json, values};
use domain::agent::{Acus, AgentChange, AgentSession, Event, Message, TurnState, Usage, WorkDemand};
use domain::session::{SessionKey, SessionKind};
use domain::time::Micros;

/// The organization's limit of a billing cycle, as a decision saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CycleLimit {
    /// The limit of all its sessions in the cycle.
    pub limit: Acus,
    /// The first day of the cycle, in days since 1970.
    pub from_day: i64,
    /// The first day of the next cycle.
    pub until_day: i64,
    /// Whether the decision found that the usage reaches the limit. If not, the batch expects that it does not.
    pub crossed: bool,
}

/// The key of a session.
pub(crate) fn key(session: &AgentSession) -> SessionKey {
    SessionKey { organization: session.organization, kind: SessionKind::Agent, id: session.id }
}

/// The rows of a new session.
pub(crate) fn insert(session: &LoadedAgentSession) -> Result<[Statement; 2]> {
    let row = one_row(
        "INSERT INTO agent_sessions
             (organization, created_us, tail, revision, owner, agent, agent_name, state, origin, category, playbook,
              schedule, automation, parent_us, parent_tail, archived_us, updated_us, work, work_us, lease_us, fence,
              labels)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $17, $19, $20, $21)",
        insert_values(session)?,
    );
    let body = one_row(
        "INSERT INTO agent_bodies (organization, created_us, search, body) VALUES ($1, $2, $3, $4)",
        values![session.organization, session.id.creation_time(), search(session), session.body()?],
    );
    Ok([row, body])
}

fn insert_values(session: &AgentSession) -> Result<Vec<Value>> {
    let given = &session.given;
    let (lease, fence) = lease(session);
    Ok(values![
        session.organization,
        session.id.creation_time(),
        session.id.tail() as i64,
        session.revision,
        given.owner,
        given.agent,
        given.agent_name.as_str(),
        session.state.name(),
        given.origin.as_str(),
        given.category.as_deref(),
        given.playbook.as_deref(),
        given.schedule.as_deref(),
        given.automation.as_deref(),
        given.parent.map(|parent| parent.creation_time()),
        given.parent.map(|parent| parent.tail() as i64),
        session.archived,
        session.updated,
        work(session),
        lease,
        fence,
        format_labels(session)?
    ])
}

/// The rows of a changed session. The first statement expects its revision.
pub(crate) fn update(after: &LoadedAgentSession, revision: i64) -> Result<[Statement; 2]> {
    let (lease, fence) = lease(after);
    // A heartbeat may have extended the lease of the same turn meanwhile. It does not change the revision.
    let row = one_row(
        "UPDATE agent_sessions SET revision = $4, state = $5, archived_us = $6, updated_us = $7,
             work_us = CASE WHEN work = $8 THEN work_us ELSE $7 END, work = $8,
             lease_us = CASE WHEN fence = $9 AND lease_us > $10 THEN lease_us ELSE $10 END, fence = $9,
             labels = $11
         WHERE organization = $1 AND created_us = $2 AND revision = $3",
        values![
            after.organization,
            after.id.creation_time(),
            revision,
            after.revision,
            after.state.name(),
            after.archived,
            after.updated,
            work(after),
            fence,
            lease,
            format_labels(after)?
        ],
    );
    let body = one_row(
        "UPDATE agent_bodies SET search = $3, body = $4 WHERE organization = $1 AND created_us = $2",
        values![after.organization, after.id.creation_time(), search(after), after.body()?],
    );
    Ok([row, body])
}

/// The changes in other tables than the session's own.
pub(crate) fn statements(
    before: &AgentSession,
    after: &AgentSession,
    changes: &[AgentChange],
    now: Micros,
    limit: Option<&CycleLimit>,
) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    statements.extend(expect_lease(before, after));
    for change in changes {
        match change {
            AgentChange::Message(message) => statements.push(insert_message(after, message)?),
            AgentChange::Event(event) => statements.push(insert_event(after, event)?),
            AgentChange::Usage(usage) => statements.extend(add_usage(after, usage, now, limit)),
            _ => {}
        }
    }
    Ok(statements)
}

/// When a turn is taken away because its lease expired, expects that no heartbeat came meanwhile.
fn expect_lease(before: &AgentSession, after: &AgentSession) -> Option<Statement> {
    let open_turn = before.open_turn()?;
    let is_lost = |state| matches!(state, TurnState::Returned | TurnState::Lost);
    after.turn.as_ref().filter(|turn| turn.fence == open_turn.fence && is_lost(turn.state))?;
    Some(one_row(
        "UPDATE agent_bodies SET search = search WHERE organization = $1 AND created_us = $2 AND EXISTS
             (SELECT 1 FROM agent_sessions WHERE organization = $1 AND created_us = $2 AND lease_us = $3)",
        values![before.organization, before.id.creation_time(), open_turn.lease],
    ))
}

fn insert_message(session: &AgentSession, message: &Message) -> Result<Statement> {
    Ok(one_row(
        "INSERT INTO messages (organization, session_us, sequence, id, source, author, at_us, attachments, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        values![
            session.organization,
            session.id.creation_time(),
            message.sequence,
            message.id,
            message.source.name(),
            message.author,
            message.created,
            i64::try_from(message.attachments.len()).unwrap_or(i64::MAX),
            to_json(message)?
        ],
    ))
}

fn insert_event(session: &AgentSession, event: &Event) -> Result<Statement> {
    Ok(one_row(
        "INSERT INTO events (organization, session_us, sequence, id, kind, at_us, turn, input, data)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        values![
            session.organization,
            session.id.creation_time(),
            event.sequence,
            event.id,
            event.kind.name(),
            event.at,
            event.context.turn,
            event.context.input,
            to_json(&event.data)?
        ],
    ))
}

fn add_usage(
    session: &AgentSession,
    usage: &Usage,
    now: Micros,
    limit: Option<&CycleLimit>,
) -> Vec<Statement> {
    let mut statements = Vec::new();
    if let Some(limit) = limit.filter(|limit| !limit.crossed) {
        statements.push(one_row(
            "UPDATE organizations SET name = name WHERE id = $1 AND
                 (SELECT CAST(COALESCE(SUM(acus), 0) AS BIGINT) FROM usage_days
                  WHERE organization = $1 AND day >= $2 AND day < $3) + $4 < $5",
            values![session.organization, limit.from_day, limit.until_day, usage.acus.0, limit.limit.0],
        ));
    }
    statements.push(any_rows(
        "INSERT INTO usage_days (organization, day, session_us, session_tail, owner, origin, acus, input_tokens,
                                 output_tokens, cache_read_tokens, cache_creation_tokens)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (organization, day, session_us, session_tail) DO UPDATE SET
             acus = usage_days.acus + excluded.acus,
             input_tokens = usage_days.input_tokens + excluded.input_tokens,
             output_tokens = usage_days.output_tokens + excluded.output_tokens,
             cache_read_tokens = usage_days.cache_read_tokens + excluded.cache_read_tokens,
             cache_creation_tokens = usage_days.cache_creation_tokens + excluded.cache_creation_tokens",
        values![
            session.organization,
            domain::agent::day(now),
            session.id.creation_time(),
            session.id.tail() as i64,
            session.given.owner,
            session.given.origin.as_str(),
            usage.acus.0,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_creation_tokens
        ],
    ));
    statements
}

/// PostgreSQL cannot store NUL, which a worker's output may contain.
fn search(session: &AgentSession) -> String {
    session.search_text().replace('\0', " ")
}

fn work(session: &AgentSession) -> &'static str {
    match session.work_demand() {
        WorkDemand::None => "none",
        WorkDemand::Waiting => "waiting",
        WorkDemand::Taken { .. } => "taken",
    }
}

fn lease(session: &AgentSession) -> (Option<Micros>, Option<i64>) {
    session.open_turn().map_or((None, None), |turn| (Some(turn.lease), Some(turn.fence)))
}
