//! Agents: who works in sessions.

use crate::app::App;
use crate::failure::Failure;
use domain::Refusal;
use domain::agent::{self, Agent};
use domain::ids::AgentId;
use domain::json::Json;
use domain::page::Listed;
use domain::refusal::Thing;
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// How often a change is decided anew because somebody else was faster.
const ATTEMPTS: u32 = 50;
/// How long a system prompt may be, in bytes.
const MAX_PROMPT_BYTES: usize = 256 << 10;
/// How long the other texts of an agent may be, in characters.
const MAX_TEXT_CHARS: usize = 10_000;
/// How long a search may be, in characters.
const MAX_SEARCH_CHARS: usize = 1_000;

/// An agent that somebody wants to have.
#[derive(Debug, Clone, Default)]
pub struct NewAgent {
    /// Its id, when the client has chosen one; one that is taken is refused as its name would be.
    pub id: Option<AgentId>,
    /// What workers know it by.
    pub name: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it is told before every conversation.
    pub system_prompt: String,
    /// The model it prefers.
    pub model: Option<String>,
    /// What people sort agents by.
    pub tags: Vec<String>,
    /// What it can do, as the client wrote it.
    pub capabilities: Json,
}

/// What is to change in an agent; what is `None` stays, and of an inner `None` nothing is left.
#[derive(Debug, Clone, Default)]
pub struct AgentUpdate {
    /// What workers know it by.
    pub name: Option<String>,
    /// What people call it.
    pub display_name: Option<Option<String>>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// What it is told before every conversation.
    pub system_prompt: Option<String>,
    /// The model it prefers.
    pub model: Option<Option<String>>,
    /// What people sort agents by.
    pub tags: Option<Vec<String>>,
    /// What it can do.
    pub capabilities: Option<Json>,
}

/// Which agents are asked for.
#[derive(Debug, Clone, Default)]
pub struct AgentQuery {
    /// A part of a name or description, whatever the case.
    pub search: Option<String>,
    /// After so many.
    pub offset: u32,
    /// At most this many.
    pub limit: u32,
}

/// The agent that an earlier attempt at the same request has made.
///
/// # Errors
/// `NotFound` when it was deleted since.
pub async fn find_created_agent(app: &App, granted: &Granted<UseSessions>) -> Result<Option<Agent>, Failure> {
    match app.store.find_earlier_creation(granted).await? {
        Some(made) => load_agent(app, &granted.authorize()?, AgentId(made)).await.map(Some),
        None => Ok(None),
    }
}

/// Makes an agent.
///
/// # Errors
/// [`Refusal::Exists`] for a name that another has; [`Refusal::Invalid`].
pub async fn create_agent(
    app: &App,
    granted: &Granted<UseSessions>,
    new: NewAgent,
) -> Result<Agent, Failure> {
    if let Some(made) = find_created_agent(app, granted).await? {
        return Ok(made);
    }
    let now = app.now();
    let made = check_agent(Agent {
        organization: granted.organization(),
        id: new.id.unwrap_or_else(|| AgentId::new(now, app.random_bytes())),
        name: new.name,
        display_name: new.display_name,
        description: new.description,
        system_prompt: new.system_prompt,
        model: new.model,
        tags: new.tags,
        capabilities: new.capabilities,
        created: now,
        updated: now,
    })?;
    app.store.create_agent(granted, &made).await?;
    Ok(made)
}

/// The organization's agents, newest first.
///
/// # Errors
/// [`Refusal::Invalid`] for what cannot be searched for.
pub async fn list_agents(
    app: &App,
    granted: &Granted<ViewSessions>,
    query: &AgentQuery,
) -> Result<Listed<Agent>, Failure> {
    let fits = |text: &String| text.chars().count() <= MAX_SEARCH_CHARS && !text.contains('\0');
    if !query.search.as_ref().is_none_or(fits) {
        return Err(Refusal::invalid("search", format!("at most {MAX_SEARCH_CHARS} characters")).into());
    }
    Ok(app.store.list_agents(granted, query.search.as_deref(), query.offset, query.limit).await?)
}

/// One agent.
///
/// # Errors
/// [`Refusal::NotFound`], also when it was deleted.
pub async fn load_agent(app: &App, granted: &Granted<ViewSessions>, id: AgentId) -> Result<Agent, Failure> {
    Ok(app.store.load_agent(granted, id).await?)
}

/// The agent of a name.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn load_agent_by_name(
    app: &App,
    granted: &Granted<ViewSessions>,
    name: &str,
) -> Result<Agent, Failure> {
    // What can be no name is the name of nobody.
    agent::agent_name(name).map_err(|_| Refusal::NotFound(Thing::Agent))?;
    Ok(app.store.load_agent_by_name(granted, name).await?)
}

/// The agent that every organization has.
///
/// # Errors
/// Only those of the store.
pub async fn ensure_default_agent(app: &App, granted: &Granted<UseSessions>) -> Result<Agent, Failure> {
    let now = app.now();
    Ok(app.store.ensure_default_agent(granted, AgentId::new(now, app.random_bytes()), now).await?)
}

/// Changes an agent. Sessions that it works in keep the name by which workers were asked for it.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Exists`]; [`Refusal::Invalid`]; [`Failure::Busy`] after too many tries.
pub async fn update_agent(
    app: &App,
    granted: &Granted<UseSessions>,
    id: AgentId,
    update: AgentUpdate,
) -> Result<Agent, Failure> {
    let view = granted.authorize::<ViewSessions>()?;
    for _ in 0..ATTEMPTS {
        let before = app.store.load_agent(&view, id).await?;
        let after = check_agent(apply_update(&before, update.clone(), app.now()))?;
        match app.store.update_agent(granted, &before, &after).await {
            Err(store::Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy)
}

/// Deletes an agent, which frees its name. Its sessions stay, and what waits in them waits on.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete_agent(app: &App, granted: &Granted<UseSessions>, id: AgentId) -> Result<(), Failure> {
    Ok(app.store.delete_agent(granted, id, app.now()).await?)
}

fn apply_update(before: &Agent, update: AgentUpdate, now: domain::time::Micros) -> Agent {
    let mut after = before.clone();
    let AgentUpdate { name, display_name, description, system_prompt, model, tags, capabilities } = update;
    after.name = name.unwrap_or(after.name);
    after.display_name = display_name.unwrap_or(after.display_name);
    after.description = description.unwrap_or(after.description);
    after.system_prompt = system_prompt.unwrap_or(after.system_prompt);
    after.model = model.unwrap_or(after.model);
    after.tags = tags.unwrap_or(after.tags);
    after.capabilities = capabilities.unwrap_or(after.capabilities);
    after.updated = now;
    after
}

fn check_agent(mut made: Agent) -> Result<Agent, Refusal> {
    agent::agent_name(&made.name)?;
    made.tags = agent::tags(made.tags)?;
    if made.system_prompt.len() > MAX_PROMPT_BYTES || made.system_prompt.contains('\0') {
        return Err(Refusal::invalid("system_prompt", format!("at most {MAX_PROMPT_BYTES} bytes")));
    }
    for (field, text) in
        [("display_name", &made.display_name), ("description", &made.description), ("model", &made.model)]
    {
        let fits = |text: &String| text.chars().count() <= MAX_TEXT_CHARS && !text.contains('\0');
        if !text.as_ref().is_none_or(fits) {
            return Err(Refusal::invalid(field, format!("at most {MAX_TEXT_CHARS} characters")));
        }
    }
    Ok(made)
}
