//! Agent sessions: list, get, change, put away, end. How they are created is in `agent_create.rs`.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents::change::change_agent_session;
use domain::agent::{self, AgentSession, Command, SessionFilter};
use domain::ids::SessionId;
use domain::page::{Listed, Select};
use domain::session::EndReason;
use std::collections::HashSet;
use store::access::{UseSessions, ViewSessions};
use store::{Granted, GrantedAccount, SessionFacets, SessionStats};

/// How many sessions of one family are put away together: a family has no loops, so this is only a bound.
const MOST_PUT_AWAY: usize = 10_000;

/// What is to change in a session.
#[derive(Debug, Clone, Default)]
pub struct AgentSessionUpdate {
    /// A new title, or none.
    pub title: Option<Option<String>>,
    /// Other tags.
    pub tags: Option<TagsUpdate>,
}

/// What is to change in a session's tags.
#[derive(Debug, Clone)]
pub enum TagsUpdate {
    /// These and no others.
    Replace(Vec<String>),
    /// These too.
    Append(Vec<String>),
}

/// A stretch of the organization's agent sessions, newest first, and how many there are.
///
/// # Errors
/// Only those of the store.
pub async fn list_agent_sessions(
    app: &App,
    granted: &Granted<ViewSessions>,
    filter: &SessionFilter,
    select: Select,
) -> Result<Listed<AgentSession>, Failure> {
    Ok(app.store.list_agent_sessions(granted, filter, select).await?)
}

/// The like over all organizations.
///
/// # Errors
/// Only those of the store.
pub async fn list_account_agent_sessions(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    filter: &SessionFilter,
    select: Select,
) -> Result<Listed<AgentSession>, Failure> {
    Ok(app.store.list_account_agent_sessions(granted, filter, select).await?)
}

/// Which of these tags some session of the organization has.
///
/// # Errors
/// Only those of the store.
pub async fn list_existing_tags(
    app: &App,
    granted: &Granted<ViewSessions>,
    tags: &[String],
) -> Result<Vec<String>, Failure> {
    Ok(app.store.list_existing_tags(granted, tags).await?)
}

/// Which of these tags some session has of the organizations that a filter names.
///
/// # Errors
/// Only those of the store.
pub async fn list_account_existing_tags(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    filter: &SessionFilter,
    tags: &[String],
) -> Result<Vec<String>, Failure> {
    Ok(app.store.list_account_existing_tags(granted, filter, tags).await?)
}

/// One agent session.
///
/// # Errors
/// [`Refusal::NotFound`](domain::Refusal::NotFound).
pub async fn load_agent_session(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    Ok(app.store.load_agent_session(granted, id).await?)
}

/// One agent session, whatever its organization, which is in it.
///
/// # Errors
/// [`Refusal::NotFound`](domain::Refusal::NotFound).
pub async fn find_agent_session(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    Ok(app.store.find_agent_session(granted, id).await?)
}

/// Changes title and tags.
///
/// # Errors
/// [`Refusal`](domain::Refusal) `NotFound`, `NotYours`, `Invalid`.
pub async fn update_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    update: AgentSessionUpdate,
) -> Result<AgentSession, Failure> {
    let mut commands = Vec::new();
    commands.extend(update.tags.map(|tags| match tags {
        TagsUpdate::Replace(tags) => Command::SetTags(tags),
        TagsUpdate::Append(tags) => Command::AddTags(tags),
    }));
    // What is wrong with the title is said before the tags are changed: nothing should be done by half.
    update.title.clone().map(agent::title).transpose()?;
    commands.extend(update.title.map(Command::SetTitle));
    // Whether the caller may is asked even when there is nothing to do.
    let mut session = run_command(app, granted, id, Command::AddTags(Vec::new())).await?;
    for command in commands {
        session = run_command(app, granted, id, command).await?;
    }
    Ok(session)
}

/// Deletes a session and all that was said in it. A turn under way is stopped first, so that its worker is told.
/// Repeated, it was deleted before.
///
/// # Errors
/// `NotFound`; `NotYours`; [`Failure::Busy`] after too many tries.
pub async fn delete_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<(), Failure> {
    if app.store.find_earlier_creation(granted).await?.is_some() {
        return Ok(());
    }
    for _ in 0..50 {
        let ended = end_session(app, granted, id, "deleted by its user").await?;
        match app.store.delete_agent_session(granted, &ended, app.now()).await {
            Err(store::Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy)
}

/// Stops the turn that somebody works on; when nobody does, lets go of the messages that wait.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn cancel_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    run_command(app, granted, id, Command::Cancel).await
}

/// Puts a session away, and all that it started; what is at work in them is stopped.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn archive_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    let session = run_command(app, granted, id, Command::Archive).await?;
    let mut family = session.children.clone();
    let mut next = 0;
    while next < family.len().min(MOST_PUT_AWAY) {
        match run_command(app, granted, family[next], Command::Archive).await {
            Ok(child) => family.extend(child.children),
            // A child that was deleted, or that is another member's.
            Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
        next += 1;
    }
    Ok(session)
}

/// Brings a session back; what it started stays away.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn unarchive_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    run_command(app, granted, id, Command::Unarchive).await
}

/// Ends a session for good, and puts it away too when that is asked for.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn terminate_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    and_archive: bool,
) -> Result<AgentSession, Failure> {
    let ended = end_session(app, granted, id, "ended by its user").await?;
    if and_archive { archive_agent_session(app, granted, id).await } else { Ok(ended) }
}

/// Puts a session on top of the caller's own lists.
///
/// # Errors
/// `NotFound`.
pub async fn pin_session(app: &App, granted: &Granted<ViewSessions>, id: SessionId) -> Result<(), Failure> {
    Ok(app.store.pin_session(granted, id).await?)
}

/// Takes it off again. What is not pinned stays so.
///
/// # Errors
/// `NotFound`.
pub async fn unpin_session(app: &App, granted: &Granted<ViewSessions>, id: SessionId) -> Result<(), Failure> {
    Ok(app.store.unpin_session(granted, id).await?)
}

/// Which of these the caller has pinned.
///
/// # Errors
/// Only those of the store.
pub async fn list_pinned_sessions(
    app: &App,
    granted: &Granted<ViewSessions>,
    ids: &[SessionId],
) -> Result<HashSet<SessionId>, Failure> {
    Ok(app.store.list_pinned_sessions(granted, ids).await?.into_iter().collect())
}

/// How many sessions of the organization stand where.
///
/// # Errors
/// Only those of the store.
pub async fn load_agent_session_stats(
    app: &App,
    granted: &Granted<ViewSessions>,
) -> Result<SessionStats, Failure> {
    Ok(app.store.load_agent_session_stats(granted).await?)
}

/// Which values the sessions of a list have, and how often.
///
/// # Errors
/// Only those of the store.
pub async fn load_agent_session_facets(
    app: &App,
    granted: &Granted<ViewSessions>,
    filter: &SessionFilter,
) -> Result<SessionFacets, Failure> {
    Ok(app.store.load_agent_session_facets(granted, filter).await?)
}

async fn end_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    evidence: &str,
) -> Result<AgentSession, Failure> {
    let command = Command::End { reason: EndReason::Released, evidence: evidence.to_owned() };
    run_command(app, granted, id, command).await
}

async fn run_command(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    command: Command,
) -> Result<AgentSession, Failure> {
    Ok(change_agent_session(app, granted, id, |_| Ok(command.clone())).await?.session)
}
