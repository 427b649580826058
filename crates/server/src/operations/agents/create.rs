//! Creates an agent session with its first message, its secrets and its entry in the parent, in one batch.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents;
use crate::operations::agents::change::decision_moment;
use crate::operations::agents::definitions;
use crate::operations::agents::messages::MessageDraft;
use crate::operations::agents::secrets;
use domain::Refusal;
use domain::agent::{
    self, Acus, Agent, AgentCommand, AgentSession, CATEGORIES, NewMessage, NewSession, decide,
};
use domain::ids::{AgentId, PrincipalId, SessionId, random_tail};
use domain::json::Json;
use domain::principal::PrincipalKind;
use domain::refusal::Thing;
use store::access::{ImpersonateSessions, UseSessions, ViewSessions};
use store::{Granted, NewAgentSession, SealedSecret};

/// How often creation is tried again because the parent has changed meanwhile.
const ATTEMPTS: u32 = 50;
/// Maximum length of a short text of a session, such as its origin, in characters.
const MAX_WORD_CHARS: usize = 512;
/// Maximum number of repositories of a session.
const MAX_REPOS: usize = 100;
/// Maximum number of secrets of a session.
const MAX_SECRETS: usize = 100;

/// Which agent works in a new session.
#[derive(Debug, Clone, Default)]
pub enum AgentChoice {
    /// The organization's default agent.
    #[default]
    Default,
    /// The agent with this id.
    Id(AgentId),
    /// The agent with this name.
    Name(String),
}

/// A secret of a session. Only its worker receives it.
#[derive(Clone)]
pub struct NewSecret {
    /// The name of the environment variable.
    pub key: String,
    /// The secret value; never included in a response.
    pub value: String,
    /// Whether to hide it from people.
    pub sensitive: bool,
}

/// A session to be created.
#[derive(Clone, Default)]
pub struct AgentSessionDraft {
    /// The agent that works in it.
    pub agent: AgentChoice,
    /// The title.
    pub title: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// The preferred model; `None` means the agent's.
    pub model: Option<String>,
    /// What the agent can do in it.
    pub capabilities: Json,
    /// Where the session comes from; `None` means `api`.
    pub origin: Option<String>,
    /// One of [`CATEGORIES`].
    pub category: Option<String>,
    /// A more specific category.
    pub subcategory: Option<String>,
    /// Id of the playbook that the session follows.
    pub playbook: Option<String>,
    /// Id of the schedule that started the session.
    pub schedule: Option<String>,
    /// Id of the automation that started the session.
    pub automation: Option<String>,
    /// The repositories that it works in.
    pub repos: Vec<String>,
    /// The session that started this one.
    pub parent: Option<SessionId>,
    /// JSON Schema of the structured output.
    pub output_schema: Option<Json>,
    /// Limit of usage.
    pub max_acus: Option<Acus>,
    /// Fields of the wire that Tenure stores and returns unchanged.
    pub extra: Json,
    /// The owner; `None` means the caller.
    pub attribute_to: Option<PrincipalId>,
    /// Its secrets.
    pub secrets: Vec<NewSecret>,
    /// The first message.
    pub message: Option<MessageDraft>,
}

/// Creates a session. When the request is repeated, the answer is the session that was created before.
///
/// # Errors
/// [`Refusal::NotFound`] for an agent or parent that is not in the organization; [`Refusal::Invalid`];
/// [`Refusal::Forbidden`] when the caller may not act for the owner; the refusals of the parent, such as
/// [`Refusal::NotYours`].
pub async fn create_agent_session(
    app: &App,
    granted: &Granted<UseSessions>,
    new: AgentSessionDraft,
) -> Result<AgentSession, Failure> {
    if let Some(made) = app.store.find_earlier_creation(granted).await?.and_then(SessionId::from_uuid) {
        if granted.principal() != new.attribute_to.or(granted.principal()) {
            granted.authorize::<ImpersonateSessions>()?;
        }
        return Ok(app.store.load_agent_session(&granted.authorize()?, made).await?.into_session());
    }
    let worker = load_chosen_agent(app, granted, &new.agent).await?;
    let (owner, owner_kind) = resolve_owner(app, granted, new.attribute_to).await?;
    let message = match new.message.clone() {
        Some(post) => Some(agents::messages::prepare_message(app, granted, post, owner).await?),
        None => None,
    };
    let sealed = seal_secrets(app, &new.secrets)?;
    let parent = new.parent;
    let caller = granted.principal().unwrap_or(owner);
    let limits = app.store.load_organization_limits(granted, app.now()).await?;
    if let Some(schema) = &new.output_schema {
        app.schema_validator.check(schema).await?;
    }
    let mut given = build_session(new, &worker, caller)?;
    (given.owner, given.owner_kind) = (owner, owner_kind);
    given.max_acus = match (given.max_acus, limits.max_session_acus) {
        (Some(requested), Some(limit)) => Some(requested.min(limit)),
        (requested, limit) => requested.or(limit),
    };
    let session = insert_session(app, granted, &given, parent, message.as_ref(), &sealed, &limits).await?;
    app.metrics.session_created("agent");
    Ok(session)
}

async fn insert_session(
    app: &App,
    granted: &Granted<UseSessions>,
    given: &NewSession,
    parent: Option<SessionId>,
    message: Option<&NewMessage>,
    secrets: &[SealedSecret],
    limits: &agent::UsageLimits,
) -> Result<AgentSession, Failure> {
    let (organization, actor) = (granted.organization(), granted.actor());
    let tail = random_tail(app.random_bytes());
    for _ in 0..ATTEMPTS {
        let parent = match parent {
            Some(id) => Some(app.store.load_agent_session(&granted.authorize::<ViewSessions>()?, id).await?),
            None => None,
        };
        let now = app.now();
        let moment = decision_moment(app, now, limits);
        let birth = |id: SessionId| {
            let session = AgentSession::new(organization, id, given.clone());
            // The rules would refuse a caller who creates the session for another owner, so Tenure is the actor.
            let begin = |session: &AgentSession, command| {
                decide(session, domain::device::Actor::Tenure, command, &moment)
            };
            let mut changes = begin(&session, AgentCommand::Start)?;
            if let Some(message) = message {
                let started = session.clone().with_changes(&changes, now);
                changes.extend(begin(&started, AgentCommand::Post(message.clone()))?);
            }
            let parent = parent.clone().map(|parent| {
                let changes = decide(&parent, actor, AgentCommand::AddChild(id), &moment)?;
                Ok::<_, Refusal>((parent, changes))
            });
            Ok(NewAgentSession { session, changes, parent: parent.transpose()?, secrets: secrets.to_vec() })
        };
        match app.store.create_agent_session(granted, now, tail, birth).await {
            Err(store::Error::Stale) => {}
            outcome => return Ok(outcome?.into_session()),
        }
    }
    Err(Failure::Busy)
}

async fn load_chosen_agent(
    app: &App,
    granted: &Granted<UseSessions>,
    choice: &AgentChoice,
) -> Result<Agent, Failure> {
    let view = granted.authorize::<ViewSessions>()?;
    match choice {
        AgentChoice::Default => definitions::ensure_default_agent(app, granted).await,
        AgentChoice::Id(id) => definitions::load_agent(app, &view, *id).await,
        AgentChoice::Name(name) => definitions::load_agent_by_name(app, &view, name).await,
    }
}

/// The owner of a new session or the author of a message. Acting for somebody else needs [`ImpersonateSessions`], and
/// works only for members who may use sessions themselves.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::NotFound`] for a principal who is not a member, may not use sessions or is
/// suspended.
pub async fn resolve_owner(
    app: &App,
    granted: &Granted<UseSessions>,
    other: Option<PrincipalId>,
) -> Result<(PrincipalId, PrincipalKind), Failure> {
    let caller = granted.principal().ok_or_else(|| Failure::internal("a session needs an owner"))?;
    let owner = other.unwrap_or(caller);
    if owner != caller {
        granted.authorize::<ImpersonateSessions>()?;
    }
    let (principal, permissions) = app.store.load_principal_in_organization(granted, owner).await?;
    let may_use_sessions = permissions.has(domain::permission::Permission::UseSessions);
    if owner != caller && !(may_use_sessions && principal.state == domain::principal::PrincipalState::Active)
    {
        return Err(Refusal::NotFound(Thing::Member).into());
    }
    Ok((principal.id, principal.kind))
}

fn build_session(new: AgentSessionDraft, worker: &Agent, caller: PrincipalId) -> Result<NewSession, Failure> {
    let origin = new.origin.unwrap_or_else(|| "api".to_owned());
    for (field, word) in [
        ("origin", Some(&origin)),
        ("model", new.model.as_ref()),
        ("subcategory", new.subcategory.as_ref()),
        ("playbook_id", new.playbook.as_ref()),
        ("schedule_id", new.schedule.as_ref()),
        ("automation_id", new.automation.as_ref()),
    ] {
        word.map_or(Ok(()), |word| check_text(field, word))?;
    }
    if new.category.as_ref().is_some_and(|category| !CATEGORIES.contains(&category.as_str())) {
        return Err(Refusal::invalid("category", format!("one of {}", CATEGORIES.join(", "))).into());
    }
    if new.max_acus.is_some_and(|max| max.0 <= 0) {
        return Err(Refusal::invalid("max_acu_limit", "a number greater than zero").into());
    }
    Ok(NewSession {
        owner: caller,
        owner_kind: PrincipalKind::User,
        created_by: caller,
        agent: worker.id,
        agent_name: worker.name.clone(),
        title: agent::check_title(new.title)?,
        tags: agent::check_tags(new.tags)?,
        model: new.model.or_else(|| worker.model.clone()),
        capabilities: new.capabilities,
        origin,
        category: new.category,
        subcategory: new.subcategory,
        playbook: new.playbook,
        schedule: new.schedule,
        automation: new.automation,
        repos: check_repos(new.repos)?,
        parent: new.parent,
        output_schema: new.output_schema,
        max_acus: new.max_acus,
        extra: new.extra,
    })
}

fn check_repos(repos: Vec<String>) -> Result<Vec<String>, Refusal> {
    let mut unique: Vec<String> = Vec::new();
    for repo in repos {
        check_text("repos", &repo)?;
        if !unique.contains(&repo) {
            unique.push(repo);
        }
    }
    if unique.len() > MAX_REPOS {
        return Err(Refusal::invalid("repos", format!("at most {MAX_REPOS} repositories")));
    }
    Ok(unique)
}

fn check_text(field: &str, word: &str) -> Result<(), Refusal> {
    let plain = !word.trim().is_empty() && word.chars().count() <= MAX_WORD_CHARS && !word.contains('\0');
    if plain {
        return Ok(());
    }
    Err(Refusal::invalid(field, format!("1 to {MAX_WORD_CHARS} characters")))
}

fn seal_secrets(app: &App, new: &[NewSecret]) -> Result<Vec<SealedSecret>, Failure> {
    if new.len() > MAX_SECRETS {
        return Err(Refusal::invalid("session_secrets", format!("at most {MAX_SECRETS} secrets")).into());
    }
    let twice = |at: usize, key: &str| new[..at].iter().any(|earlier| earlier.key == key);
    let sealed = new.iter().enumerate().map(|(at, secret)| {
        secrets::check_secret(&secret.key, &secret.value)?;
        if twice(at, &secret.key) {
            return Err(Refusal::invalid("session_secrets", "each key once").into());
        }
        let ciphertext = app.keys.seal(&secret.key, &secret.value, app.random_bytes())?;
        Ok(SealedSecret { key: secret.key.clone(), ciphertext, sensitive: secret.sensitive })
    });
    sealed.collect()
}
