//! The readers of the rows of summaries.

use crate::access::credentials::parse_principal_kind;
use crate::agents::labels::parse_labels;
use crate::agents::session_body::read_session;
use crate::database::{Columns, DatabaseError, Rows};
use crate::devices::sessions::read_session_id;
use domain::agent::{AgentState, Usage};
use domain::ids::{AgentId, DeviceId, OrganizationId, PrincipalId, SessionId};
use domain::session::{
    AgentSummary, DeviceState, DeviceSummary, EndReason, KindSummary, LoginState, LoginSummary, SessionKey,
    SessionKind, SessionState, Summary,
};

/// Sessions that were read.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Their summaries.
    pub(super) summaries: Vec<Summary>,
    /// Agent sessions whose labels are not of their revision: their bodies must be read.
    pub(super) unlabelled: Vec<SessionKey>,
}

/// Reads the rows of a kind.
pub(super) fn read_summaries(kind: SessionKind, rows: Rows) -> Result<Found, DatabaseError> {
    let (mut summaries, mut unlabelled) = (Vec::with_capacity(rows.len()), Vec::new());
    match kind {
        SessionKind::Agent => {
            for (key, summary) in rows.read_all(read_agent)?.into_iter().flatten() {
                match summary {
                    Some(summary) => summaries.push(summary),
                    None => unlabelled.push(key),
                }
            }
        }
        SessionKind::Device => {
            let mut rows = rows.read_all(read_device)?.into_iter().flatten().collect::<Vec<_>>();
            rows.sort_by_key(|(summary, hold)| (position(summary), hold.as_ref().map(|hold| hold.position)));
            for (summary, hold) in rows {
                if summaries.last().is_none_or(|last: &Summary| last.key != summary.key) {
                    summaries.push(summary);
                }
                if let (Some(hold), Some(summary)) = (hold, summaries.last_mut()) {
                    add_hold(summary, hold);
                }
            }
        }
        SessionKind::Login => summaries.extend(rows.read_all(read_login)?.into_iter().flatten()),
    }
    Ok(Found { summaries, unlabelled })
}

/// Reads the rows of bodies.
pub(super) fn read_bodies(rows: Rows) -> Result<Vec<Summary>, DatabaseError> {
    let summaries = rows.read_all(|columns| {
        if columns.maybe_int()?.is_none() {
            columns.skip_rest();
            return Ok(None);
        }
        Ok(Some(read_session(columns)?.summary()))
    })?;
    Ok(summaries.into_iter().flatten().collect())
}

/// The position of a session in the list of all organizations' sessions of its kind.
pub(super) fn position(summary: &Summary) -> (SessionId, OrganizationId) {
    (summary.key.id, summary.key.organization)
}

/// Reads the key of a session; `None`, and no more columns, for a key without a session.
fn read_key(kind: SessionKind, columns: &mut Columns) -> Result<Option<SessionKey>, DatabaseError> {
    let Some(organization) = columns.maybe_id()? else {
        columns.skip_rest();
        return Ok(None);
    };
    Ok(Some(SessionKey { organization: OrganizationId(organization), kind, id: read_session_id(columns)? }))
}

/// Reads an agent session: its key, and its summary unless its labels are of another revision.
fn read_agent(columns: &mut Columns) -> Result<Option<(SessionKey, Option<Summary>)>, DatabaseError> {
    let Some(key) = read_key(SessionKind::Agent, columns)? else { return Ok(None) };
    let (revision, owner) = (columns.int()?, PrincipalId(columns.id()?));
    let mut agent = AgentSummary { agent: Some(AgentId(columns.id()?)), ..AgentSummary::default() };
    let state = SessionState::Agent(columns.word(AgentState::parse)?);
    agent.origin = columns.text()?;
    agent.category = columns.maybe_text()?;
    agent.playbook = columns.maybe_text()?;
    agent.schedule = columns.maybe_text()?;
    agent.automation = columns.maybe_text()?;
    let parent = (columns.maybe_time()?, columns.maybe_int()?);
    agent.parent = parent.0.zip(parent.1).map(|(at, tail)| SessionId::new(at, tail as u64));
    agent.archived = columns.maybe_int()?.is_some();
    let updated = columns.time()?;
    let Some(labels) = parse_labels(&columns.text()?, revision)? else { return Ok(Some((key, None))) };
    agent.titled = labels.titled;
    agent.tags = labels.tags;
    agent.repos = labels.repos;
    agent.model = labels.model;
    agent.usage = Usage {
        acus: labels.acus,
        input_tokens: labels.input_tokens,
        output_tokens: labels.output_tokens,
        ..Usage::default()
    };
    let summary = Summary {
        key,
        revision,
        owner,
        owner_kind: labels.owner_kind,
        state,
        updated,
        ended: labels.ended,
        expires: None,
        of_kind: KindSummary::Agent(agent),
    };
    Ok(Some((key, Some(summary))))
}

/// Reads the columns after the key that device sessions and login sessions share.
fn read_shared(
    key: SessionKey,
    state: SessionState,
    of_kind: KindSummary,
    columns: &mut Columns,
) -> Result<Summary, DatabaseError> {
    Ok(Summary {
        key,
        revision: columns.int()?,
        owner: PrincipalId(columns.id()?),
        owner_kind: columns.maybe_word(parse_principal_kind)?,
        state,
        updated: key.id.creation_time(),
        ended: columns.maybe_time()?.zip(columns.maybe_word(EndReason::parse)?),
        expires: None,
        of_kind,
    })
}

/// What the summary of a session needs of a hold.
struct HoldRow {
    position: i64,
    is_open: bool,
    summary: DeviceSummary,
}

/// Reads a device session, and one of its holds.
fn read_device(columns: &mut Columns) -> Result<Option<(Summary, Option<HoldRow>)>, DatabaseError> {
    let Some(key) = read_key(SessionKind::Device, columns)? else { return Ok(None) };
    let state = SessionState::Device(DeviceState::Empty);
    let mut summary = read_shared(key, state, KindSummary::Device(DeviceSummary::default()), columns)?;
    summary.updated = columns.time()?;
    if let Some((at, _)) = summary.ended {
        summary.state = SessionState::Device(DeviceState::Ended);
        summary.updated = summary.updated.max(at);
    }
    let Some(position) = columns.maybe_int()? else {
        columns.skip_rest();
        return Ok(Some((summary, None)));
    };
    let hold = HoldRow {
        position,
        is_open: columns.maybe_int()?.is_none(),
        summary: DeviceSummary {
            platform: columns.maybe_text()?,
            device: columns.maybe_id()?.map(DeviceId),
            device_type: columns.maybe_text()?,
            name: columns.maybe_text()?,
            version: columns.maybe_text()?,
        },
    };
    Ok(Some((summary, Some(hold))))
}

/// Adds the next hold of a session: its open holds and its newest one come in their order.
fn add_hold(summary: &mut Summary, hold: HoldRow) {
    match summary.state {
        SessionState::Device(DeviceState::Ended | DeviceState::Holding) => {}
        _ if hold.is_open => {
            let has_device = hold.summary.device.is_some();
            let state = if has_device { DeviceState::Holding } else { DeviceState::Queued };
            summary.state = SessionState::Device(state);
        }
        _ => {}
    }
    summary.of_kind = KindSummary::Device(hold.summary);
}

/// Reads a login session; `None` also when what only login sessions have is lost, as for all other reads.
fn read_login(columns: &mut Columns) -> Result<Option<Summary>, DatabaseError> {
    let Some(key) = read_key(SessionKind::Login, columns)? else { return Ok(None) };
    let state = SessionState::Login(LoginState::Open);
    let mut summary = read_shared(key, state, KindSummary::Login(LoginSummary::default()), columns)?;
    let Some(authenticated) = columns.maybe_time()? else {
        columns.skip_rest();
        return Ok(None);
    };
    let expires = columns.time()?;
    match summary.ended {
        Some((at, _)) => {
            summary.state = SessionState::Login(LoginState::Ended);
            summary.updated = at;
        }
        None => {
            summary.updated = summary.updated.max(authenticated);
            summary.expires = Some(expires);
        }
    }
    summary.of_kind = KindSummary::Login(LoginSummary {
        address: columns.maybe_text()?,
        client: columns.text()?,
        methods: columns.text()?.split_whitespace().map(str::to_owned).collect(),
    });
    Ok(Some(summary))
}
