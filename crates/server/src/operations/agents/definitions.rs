//! Agents: the names that sessions are addressed to.

use crate::app::App;
use crate::failure::Failure;
use crate::services::Services;
use domain::Refusal;
use domain::agent::{self, Agent};
use domain::ids::AgentId;
use domain::json::Json;
use domain::page::ListSlice;
use domain::refusal::Thing;
use store::Granted;
use store::access::{UseSessions, ViewSessions};

/// How often a change is tried again because the agent has changed meanwhile.
const ATTEMPTS: u32 = 50;
/// Maximum length of a system prompt, in bytes.
const MAX_PROMPT_BYTES: usize = 256 << 10;
/// Maximum length of the other texts of an agent, in characters.
const MAX_TEXT_CHARS: usize = 10_000;
/// Maximum length of a search, in characters.
const MAX_SEARCH_CHARS: usize = 1_000;
/// How many names are tried for a copy.
const MAX_COPIES: u32 = 100;

/// An agent to be created.
#[derive(Debug, Clone, Default)]
pub struct NewAgent {
    /// The id, when the client chooses it. An id in use is refused like a name in use.
    pub id: Option<AgentId>,
    /// The name that workers claim turns for.
    pub name: String,
    /// The name that people see.
    pub display_name: Option<String>,
    /// What the agent is for.
    pub description: Option<String>,
    /// Instructions for every conversation.
    pub system_prompt: String,
    /// The preferred model.
    pub model: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// What the agent can do, as the client wrote it.
    pub capabilities: Json,
}

/// Changes to an agent. `None` keeps a value, an inner `None` removes it.
#[derive(Debug, Clone, Default)]
pub struct AgentUpdate {
    /// The name that workers claim turns for.
    pub name: Option<String>,
    /// The name that people see.
    pub display_name: Option<Option<String>>,
    /// What the agent is for.
    pub description: Option<Option<String>>,
    /// Instructions for every conversation.
    pub system_prompt: Option<String>,
    /// The preferred model.
    pub model: Option<Option<String>>,
    /// The tags.
    pub tags: Option<Vec<String>>,
    /// What the agent can do, as the client wrote it.
    pub capabilities: Option<Json>,
}

/// Which agents to list.
#[derive(Debug, Clone, Default)]
pub struct AgentQuery {
    /// A part of the name or description, in any case.
    pub search: Option<String>,
    /// How many to skip.
    pub offset: u32,
    /// The most to return.
    pub limit: u32,
}

/// The agent that an earlier attempt at the same request created or deleted.
pub async fn find_earlier_agent(
    services: &Services,
    granted: &Granted<UseSessions>,
) -> Result<Option<Agent>, Failure> {
    Ok(services.store.find_earlier_agent(granted).await?)
}

/// Creates an agent.
///
/// # Errors
/// [`Refusal::Exists`] for a name or an id in use, also for the id of a deleted agent; [`Refusal::Invalid`].
pub async fn create_agent(
    services: &Services,
    granted: &Granted<UseSessions>,
    new: NewAgent,
) -> Result<Agent, Failure> {
    if let Some(made) = find_earlier_agent(services, granted).await? {
        return Ok(made);
    }
    let now = services.now();
    let agent = check_agent(Agent {
        organization: granted.organization(),
        id: new.id.unwrap_or_else(|| AgentId::new(now, services.random_bytes())),
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
    let outcome = services.store.create_agent(granted, &agent).await;
    if new.id.is_some() && matches!(outcome, Err(store::Error::Refused(Refusal::Exists(_)))) {
        let view = granted.authorize::<ViewSessions>()?;
        if is_agent_name_free(services, &view, &agent.name, None).await? {
            return Err(Refusal::Exists("an agent with this id, which may be deleted,".to_owned()).into());
        }
    }
    outcome?;
    Ok(agent)
}

/// Copies an agent. The copy has the first free of the names `NAME-copy`, `NAME-copy-2` and so on.
///
/// # Errors
/// [`Refusal::Exists`] when many such names are in use.
pub async fn copy_agent(
    services: &Services,
    granted: &Granted<UseSessions>,
    source: &Agent,
) -> Result<Agent, Failure> {
    let view = granted.authorize::<ViewSessions>()?;
    let display_name = source.display_name.as_ref();
    let display_name = display_name.map(|name| append_suffix(name, " (copy)", MAX_TEXT_CHARS));
    for number in 1..=MAX_COPIES {
        let suffix = if number == 1 { "-copy".to_owned() } else { format!("-copy-{number}") };
        let name = append_suffix(&source.name, &suffix, agent::MAX_AGENT_NAME_CHARS);
        if !is_agent_name_free(services, &view, &name, None).await? {
            continue;
        }
        let copy = NewAgent {
            id: None,
            name,
            display_name: display_name.clone(),
            description: source.description.clone(),
            system_prompt: source.system_prompt.clone(),
            model: source.model.clone(),
            tags: source.tags.clone(),
            capabilities: source.capabilities.clone(),
        };
        match create_agent(services, granted, copy).await {
            // Another request took the name.
            Err(Failure::Refused(Refusal::Exists(_))) => {}
            outcome => return outcome,
        }
    }
    Err(Refusal::Exists(format!("each of {MAX_COPIES} copies of {:?}", source.name)).into())
}

/// Appends a suffix, and first cuts the text where both would be too long.
fn append_suffix(text: &str, suffix: &str, max_chars: usize) -> String {
    text.chars().take(max_chars - suffix.chars().count()).chain(suffix.chars()).collect()
}

/// Whether a new agent can have a name; with `except`, whether that agent can. An invalid name is not free.
pub async fn is_agent_name_free(
    services: &Services,
    granted: &Granted<ViewSessions>,
    name: &str,
    except: Option<AgentId>,
) -> Result<bool, Failure> {
    if agent::check_agent_name(name).is_err() {
        return Ok(false);
    }
    match services.store.load_agent_by_name(granted, name).await {
        Ok(agent) => Ok(Some(agent.id) == except),
        Err(store::Error::Refused(Refusal::NotFound(_))) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Lists the organization's agents, newest first.
///
/// # Errors
/// [`Refusal::Invalid`] for a search that is too long or contains a null character.
pub async fn list_agents(
    app: &App,
    granted: &Granted<ViewSessions>,
    query: &AgentQuery,
) -> Result<ListSlice<Agent>, Failure> {
    let fits = |text: &String| text.chars().count() <= MAX_SEARCH_CHARS && !text.contains('\0');
    if !query.search.as_ref().is_none_or(fits) {
        return Err(Refusal::invalid("search", format!("at most {MAX_SEARCH_CHARS} characters")).into());
    }
    Ok(app.store.list_agents(granted, query.search.as_deref(), query.offset, query.limit).await?)
}

/// Loads an agent.
///
/// # Errors
/// [`Refusal::NotFound`], also for a deleted agent.
pub async fn load_agent(
    services: &Services,
    granted: &Granted<ViewSessions>,
    id: AgentId,
) -> Result<Agent, Failure> {
    Ok(services.store.load_agent(granted, id).await?)
}

/// Loads an agent by its name.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn load_agent_by_name(
    app: &App,
    granted: &Granted<ViewSessions>,
    name: &str,
) -> Result<Agent, Failure> {
    // An invalid name matches no agent.
    agent::check_agent_name(name).map_err(|_| Refusal::NotFound(Thing::Agent))?;
    Ok(app.store.load_agent_by_name(granted, name).await?)
}

/// Loads the organization's default agent, and creates it first if needed.
pub async fn ensure_default_agent(app: &App, granted: &Granted<UseSessions>) -> Result<Agent, Failure> {
    let now = app.now();
    Ok(app.store.ensure_default_agent(granted, AgentId::new(now, app.random_bytes()), now).await?)
}

/// Changes an agent. Its sessions keep the name that workers already claim turns for. An update that changes nothing is not
/// written, so that a repeated request gets the same response.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Exists`]; [`Refusal::Invalid`]; [`Failure::Busy`] after too many attempts.
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
        if after == (Agent { updated: after.updated, ..before.clone() }) {
            return Ok(before);
        }
        match app.store.update_agent(granted, &before, &after).await {
            Err(store::Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy)
}

/// Deletes an agent and frees its name. Its sessions stay, and their turns go on waiting for a worker.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete_agent(app: &App, granted: &Granted<UseSessions>, id: AgentId) -> Result<(), Failure> {
    if find_earlier_agent(app, granted).await?.is_some() {
        return Ok(());
    }
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
    agent::check_agent_name(&made.name)?;
    made.tags = agent::check_tags(made.tags)?;
    if made.system_prompt.len() > MAX_PROMPT_BYTES || made.system_prompt.contains('\0') {
        return Err(Refusal::invalid("system_prompt", format!("at most {MAX_PROMPT_BYTES} bytes")));
    }
    for (field, text) in [
        ("display_name", &made.display_name),
        ("description", &made.description),
        ("default_model_id", &made.model),
    ] {
        let fits = |text: &String| text.chars().count() <= MAX_TEXT_CHARS && !text.contains('\0');
        if !text.as_ref().is_none_or(fits) {
            return Err(Refusal::invalid(field, format!("at most {MAX_TEXT_CHARS} characters")));
        }
    }
    Ok(made)
}
