//! Agent sessions: list, load, change, archive, end. `create.rs` creates them.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::agents::change::change_agent_session;
use crate::operations::sessions::actions::describe_end;
use crate::operations::sessions::{
    Encoding, ListedSession, SessionSource, count_sessions, ids, list_sessions,
};
use crate::services::caller_cache::Pins;
pub use domain::agent::TagsUpdate;
use domain::agent::{AgentCommand, AgentSession, AgentState, SessionFilter};
use domain::ids::{AgentId, OrganizationId, SessionId};
use domain::page::{ListRange, ListSlice};
use domain::session::{
    EndReason, FieldValue, Filter, ListPart, ListScope, SessionKey, SessionKind, ValueField,
};
use index::{Facet, Index, SessionRef};
use std::collections::BTreeSet;
use store::access::{UseSessions, ViewSessions};
use store::{Granted, GrantedAccount, LoadedSessions, Store};

/// How many sessions of one family are archived together. This is only a safety bound: families have no cycles.
const MAX_FAMILY: usize = 10_000;
/// How many tags are counted at most.
const MAX_TAG_FACETS: usize = 100;

/// Changes to a session.
#[derive(Debug, Clone, Default)]
pub struct AgentSessionUpdate {
    /// A new title; an inner `None` removes it.
    pub title: Option<Option<String>>,
    /// Changes to the tags.
    pub tags: Option<TagsUpdate>,
}

impl AgentSessionUpdate {
    fn to_command(&self) -> AgentCommand {
        AgentCommand::Describe { title: self.title.clone(), tags: self.tags.clone() }
    }
}

/// Session counts of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// All of its sessions.
    pub total: u64,
    /// Session count per state; states with no sessions are omitted.
    pub by_state: Vec<(AgentState, u64)>,
    /// Number of archived sessions.
    pub archived: u64,
}

/// Session counts by agent, state, tag and origin, for the sessions of a filter; highest count first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFacets {
    /// By agent.
    pub agents: Vec<(AgentId, u64)>,
    /// By state.
    pub states: Vec<(AgentState, u64)>,
    /// By tag; at most 100.
    pub tags: Vec<(String, u64)>,
    /// By origin.
    pub origins: Vec<(String, u64)>,
}

/// Lists a page of the organization's agent sessions, newest first, with the total.
pub async fn list_agent_sessions(
    app: &App,
    granted: &Granted<ViewSessions>,
    filter: &SessionFilter,
    range: ListRange,
    encoding: Encoding<'_, AgentSession>,
) -> Result<ListSlice<ListedSession>, Failure> {
    let filter = filter.to_filter(search(app, granted, filter).await?);
    list_sessions(app, &OrganizationAgents::new(app, granted), filter, range, encoding).await
}

/// Lists agent sessions of all organizations, newest first, with the total.
pub async fn list_account_agent_sessions(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    filter: &SessionFilter,
    range: ListRange,
    encoding: Encoding<'_, AgentSession>,
) -> Result<ListSlice<ListedSession>, Failure> {
    let source = AccountAgents { scope: filter.account_scope(), ..AccountAgents::new(app, granted) };
    list_sessions(app, &source, filter.to_filter(None), range, encoding).await
}

/// Counts agent sessions of all organizations.
pub async fn count_account_agent_sessions(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    filter: &SessionFilter,
) -> Result<u64, Failure> {
    let source = AccountAgents { scope: filter.account_scope(), ..AccountAgents::new(app, granted) };
    count_sessions(app, &source, filter.to_filter(None)).await
}

/// The sessions that have the words of a filter. The database finds them.
async fn search(
    app: &App,
    granted: &Granted<ViewSessions>,
    filter: &SessionFilter,
) -> Result<Option<BTreeSet<SessionId>>, Failure> {
    match &filter.search {
        Some(text) => Ok(Some(app.store.search_agent_sessions(granted, text).await?)),
        None => Ok(None),
    }
}

/// The agent sessions of one organization.
pub struct OrganizationAgents<'a> {
    store: &'a Store,
    granted: &'a Granted<ViewSessions>,
}

impl<'a> OrganizationAgents<'a> {
    /// Those that the grant gives access to.
    pub fn new(app: &'a App, granted: &'a Granted<ViewSessions>) -> OrganizationAgents<'a> {
        OrganizationAgents { store: &app.store, granted }
    }
}

/// The agent sessions of several organizations.
pub struct AccountAgents<'a> {
    store: &'a Store,
    granted: &'a GrantedAccount<ViewSessions>,
    scope: ListScope,
}

impl<'a> AccountAgents<'a> {
    /// Those of all organizations, also of deleted ones.
    pub fn new(app: &'a App, granted: &'a GrantedAccount<ViewSessions>) -> AccountAgents<'a> {
        let scope = ListScope::Account { organizations: None, deleted: true };
        AccountAgents { store: &app.store, granted, scope }
    }

    /// Only those of one organization; none without one.
    #[must_use]
    pub fn limit(self, organization: Option<OrganizationId>) -> AccountAgents<'a> {
        let organizations = Some(organization.into_iter().collect());
        AccountAgents { scope: ListScope::Account { organizations, deleted: true }, ..self }
    }
}

impl SessionSource for OrganizationAgents<'_> {
    type Session = AgentSession;

    fn parts(&self) -> Vec<ListPart> {
        vec![ListPart {
            scope: ListScope::Organization(self.granted.organization()),
            filter: Filter::has_text(ValueField::Kind, [SessionKind::Agent.name()]),
        }]
    }

    async fn load(&self, keys: &[SessionKey]) -> Result<LoadedSessions<AgentSession>, store::Error> {
        self.store.load_agent_sessions(self.granted, &ids(keys)).await
    }

    fn session_ref(session: &AgentSession) -> SessionRef {
        SessionRef { key: session.key(), revision: session.revision }
    }
}

impl SessionSource for AccountAgents<'_> {
    type Session = AgentSession;

    fn parts(&self) -> Vec<ListPart> {
        vec![ListPart {
            scope: self.scope.clone(),
            filter: Filter::has_text(ValueField::Kind, [SessionKind::Agent.name()]),
        }]
    }

    async fn load(&self, keys: &[SessionKey]) -> Result<LoadedSessions<AgentSession>, store::Error> {
        self.store.load_account_agent_sessions(self.granted, keys).await
    }

    fn session_ref(session: &AgentSession) -> SessionRef {
        OrganizationAgents::session_ref(session)
    }
}

/// Those of `tags` that a session of the organization has.
pub async fn list_existing_tags(
    app: &App,
    granted: &Granted<ViewSessions>,
    tags: &[String],
) -> Result<Vec<String>, Failure> {
    existing_tags(app, &ListScope::Organization(granted.organization()), tags).await
}

/// Those of `tags` that a session has in the organizations that the filter names.
pub async fn list_account_existing_tags(
    app: &App,
    _: &GrantedAccount<ViewSessions>,
    filter: &SessionFilter,
    tags: &[String],
) -> Result<Vec<String>, Failure> {
    existing_tags(app, &filter.account_scope(), tags).await
}

async fn existing_tags(app: &App, scope: &ListScope, tags: &[String]) -> Result<Vec<String>, Failure> {
    let now = app.now();
    let exists =
        |index: &Index, tag: &String| index.exists(scope, &Filter::has_text(ValueField::Tag, [tag]), now);
    let find = |index: &Index| tags.iter().filter(|tag| exists(index, tag)).cloned().collect();
    app.sessions.read(now, find).await
}

/// Loads an agent session.
///
/// # Errors
/// [`Refusal::NotFound`](domain::Refusal::NotFound).
pub async fn load_agent_session(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    Ok(app.store.load_agent_session(granted, id).await?.into_session())
}

/// Loads an agent session of any organization.
///
/// # Errors
/// [`Refusal::NotFound`](domain::Refusal::NotFound).
pub async fn find_agent_session(
    app: &App,
    granted: &GrantedAccount<ViewSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    Ok(app.store.find_agent_session(granted, id).await?.into_session())
}

/// Changes title and tags, in one batch. `revision` is the one that the session must still have, if any.
///
/// # Errors
/// [`Refusal`](domain::Refusal) `NotFound`, `NotYours`, `Invalid`; [`RequestFailure::Precondition`] for another revision.
pub async fn update_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    update: AgentSessionUpdate,
    revision: Option<i64>,
) -> Result<AgentSession, Failure> {
    let command = |session: &AgentSession| match revision.is_none_or(|known| known == session.revision) {
        true => Ok(update.to_command()),
        false => Err(RequestFailure::Precondition.into()),
    };
    Ok(change_agent_session(app, granted, id, command).await?.session)
}

/// Deletes a session with its messages. A running turn is stopped first, so that its worker learns of it. When the
/// request is repeated, the session is deleted already.
///
/// # Errors
/// `NotFound`; `NotYours`; [`Failure::Busy`] after too many attempts.
pub async fn delete_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<(), Failure> {
    if app.store.find_earlier_creation(granted).await?.is_some() {
        return Ok(());
    }
    for _ in 0..50 {
        let ended = end_session(app, granted, id, "deleted by its user".to_owned()).await?;
        match app.store.delete_agent_session(granted, &ended, app.now()).await {
            Err(store::Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy)
}

/// Stops the running turn. When no worker has claimed it, drops the waiting messages.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn cancel_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    run_command(app, granted, id, AgentCommand::Cancel).await
}

/// Archives a session and the sessions that it started, and stops their turns.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn archive_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    let session = run_command(app, granted, id, AgentCommand::Archive).await?;
    let mut family = session.children.clone();
    let mut next = 0;
    while next < family.len().min(MAX_FAMILY) {
        match run_command(app, granted, family[next], AgentCommand::Archive).await {
            Ok(child) => family.extend(child.children),
            // The child was deleted, or belongs to another member.
            Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
        next += 1;
    }
    Ok(session)
}

/// Restores an archived session; the sessions that it started stay archived.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn unarchive_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<AgentSession, Failure> {
    run_command(app, granted, id, AgentCommand::Unarchive).await
}

/// Ends a session.
///
/// # Errors
/// `NotFound`; `NotYours`; `Invalid` for a reason that cannot be kept.
pub async fn end_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    reason: Option<&str>,
) -> Result<AgentSession, Failure> {
    end_session(app, granted, id, describe_end("ended by its user", reason)?).await
}

/// Ends a session, and archives it if `and_archive` is set.
///
/// # Errors
/// `NotFound`; `NotYours`.
pub async fn terminate_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    and_archive: bool,
) -> Result<AgentSession, Failure> {
    let ended = end_agent_session(app, granted, id, None).await?;
    if and_archive { archive_agent_session(app, granted, id).await } else { Ok(ended) }
}

/// Pins a session to the top of the caller's lists.
///
/// # Errors
/// `NotFound`.
pub async fn pin_session(app: &App, granted: &Granted<ViewSessions>, id: SessionId) -> Result<(), Failure> {
    Ok(app.store.pin_session(granted, id).await?)
}

/// Unpins a session. A session that is not pinned stays so.
///
/// # Errors
/// `NotFound`.
pub async fn unpin_session(app: &App, granted: &Granted<ViewSessions>, id: SessionId) -> Result<(), Failure> {
    Ok(app.store.unpin_session(granted, id).await?)
}

/// The sessions that the caller has pinned.
pub async fn list_pinned_sessions(app: &App, granted: &Granted<ViewSessions>) -> Result<Pins, Failure> {
    app.callers.list_pins(&app.store, granted).await
}

/// Counts the organization's sessions.
pub async fn load_agent_session_stats(
    app: &App,
    granted: &Granted<ViewSessions>,
) -> Result<SessionStats, Failure> {
    let scope = ListScope::Organization(granted.organization());
    let filter = SessionFilter::default().to_filter(None);
    let fields = [ValueField::State, ValueField::Archived];
    let now = app.now();
    let count = |index: &Index| index.facets(&scope, &filter, now, fields);
    let [states, archived] = app.sessions.read(now, count).await?;
    let mut by_state = read_states(states);
    by_state.sort_by_key(|(state, _)| state.name());
    Ok(SessionStats {
        total: by_state.iter().map(|(_, count)| count).sum(),
        by_state,
        archived: archived.iter().map(|facet| facet.count).sum(),
    })
}

/// Counts the organization's sessions that match a filter.
pub async fn load_agent_session_facets(
    app: &App,
    granted: &Granted<ViewSessions>,
    filter: &SessionFilter,
) -> Result<SessionFacets, Failure> {
    let scope = ListScope::Organization(granted.organization());
    let filter = filter.to_filter(search(app, granted, filter).await?);
    let fields = [ValueField::Agent, ValueField::State, ValueField::Tag, ValueField::Origin];
    let now = app.now();
    let count = |index: &Index| index.facets(&scope, &filter, now, fields);
    let [agents, states, mut tags, origins] = app.sessions.read(now, count).await?;
    tags.truncate(MAX_TAG_FACETS);
    let agents = agents.into_iter().filter_map(|facet| match facet.value {
        FieldValue::Id(id) => Some((AgentId(id), facet.count)),
        FieldValue::Text(_) => None,
    });
    Ok(SessionFacets {
        agents: agents.collect(),
        states: read_states(states),
        tags: read_texts(tags),
        origins: read_texts(origins),
    })
}

async fn end_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    evidence: String,
) -> Result<AgentSession, Failure> {
    let command = AgentCommand::End { reason: EndReason::Released, evidence };
    run_command(app, granted, id, command).await
}

async fn run_command(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    command: AgentCommand,
) -> Result<AgentSession, Failure> {
    Ok(change_agent_session(app, granted, id, |_| Ok(command.clone())).await?.session)
}

fn read_states(facets: Vec<Facet>) -> Vec<(AgentState, u64)> {
    let texts = read_texts(facets).into_iter();
    texts.filter_map(|(name, count)| Some((AgentState::parse(&name)?, count))).collect()
}

fn read_texts(facets: Vec<Facet>) -> Vec<(String, u64)> {
    let text = |facet: Facet| match facet.value {
        FieldValue::Text(text) => Some((text, facet.count)),
        FieldValue::Id(_) => None,
    };
    facets.into_iter().filter_map(text).collect()
}
