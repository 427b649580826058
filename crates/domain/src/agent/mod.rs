//! Agent sessions: conversations in which workers answer the messages of users.

mod decision;
mod events;
mod filter;
mod limits;
mod rules;
mod state;
mod talk;
#[cfg(test)]
mod tests;
mod turns;
mod worker;

pub use events::{Event, EventContext, EventKind, EventQuery, MAX_EVENT_BYTES};
pub use filter::{SessionFilter, TimeRange};
pub use limits::{UsageLimits, cycle_days, day};
pub use rules::{AgentChange, AgentCommand, Moment, TagsUpdate, decide, may_act_on};
pub use state::{ActivityGroup, AgentState, RunPhase, SuspendReason};
pub use talk::{Attachment, MAX_ATTACHMENTS, MAX_MESSAGE_BYTES, Message, MessageSource, NewMessage};
pub use worker::{MAX_ATTEMPTS, Turn, TurnCredential, TurnEnding, TurnItem, TurnItems, TurnState};

use crate::ids::{AgentId, MessageId, OrganizationId, PrincipalId, SessionId};
use crate::json::Json;
use crate::principal::PrincipalKind;
use crate::refusal::Refusal;
use crate::session::{Ending, SessionKey, SessionKind};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// The name of the agent that every organization has. It is created on first use.
pub const DEFAULT_AGENT: &str = "default";
/// Maximum length of an agent's name, in characters.
pub const MAX_AGENT_NAME_CHARS: usize = 128;
/// Maximum number of tags of a session.
pub const MAX_TAGS: usize = 50;
/// Maximum length of a tag, in characters.
pub const MAX_TAG_CHARS: usize = 256;
/// Maximum length of a title, in characters.
pub const MAX_TITLE_CHARS: usize = 1_000;
/// Length of the previews in lists, of the first message and of the last answer, in characters.
pub const PREVIEW_CHARS: usize = 200;
/// Maximum number of messages of a session that wait for an answer.
pub const MAX_WAITING: usize = 1_000;
/// Maximum number of child sessions of a session.
pub const MAX_CHILDREN: usize = 10_000;

/// The categories of sessions, from the newest version of Devin's API (`category` of a session).
pub const CATEGORIES: [&str; 15] = [
    "bug_fixing",
    "ci_cd_and_devops",
    "code_quality_and_security",
    "code_review",
    "code_review_and_analysis",
    "data_and_automation",
    "documentation_and_content",
    "feature_development",
    "migrations_and_upgrades",
    "other",
    "production_investigation",
    "refactoring_and_optimization",
    "research_and_exploration",
    "security",
    "unit_test_generation",
];

/// An agent. Workers choose the turns to claim by the agent's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id.
    pub id: AgentId,
    /// Its name for workers, unique among the agents that are not deleted.
    pub name: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its purpose.
    pub description: Option<String>,
    /// The prompt before every conversation.
    pub system_prompt: String,
    /// Its preferred model, by the worker's name for it.
    pub model: Option<String>,
    /// Tags for sorting agents.
    pub tags: Vec<String>,
    /// Its capabilities as the client sent them. Stored without checks.
    pub capabilities: Json,
    /// When it was created.
    pub created: Micros,
    /// When it was last changed.
    pub updated: Micros,
}

/// Agent compute units (ACUs), stored in millionths, so that sums are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acus(pub i64);

impl Acus {
    /// A number of whole units.
    pub const fn whole(units: i64) -> Acus {
        Acus(units.saturating_mul(1_000_000))
    }

    /// The number of units, for people and wires.
    pub fn units(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }

    /// Converts a number of units; `None` for a number that is negative, too large or not finite.
    pub fn from_units(units: f64) -> Option<Acus> {
        let millionths = (units * 1_000_000.0).round();
        (0.0..9e15).contains(&millionths).then_some(Acus(millionths as i64))
    }
}

/// Usage of a session or a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read by the model.
    pub input_tokens: i64,
    /// Tokens written by the model.
    pub output_tokens: i64,
    /// Tokens that the model read from its cache.
    pub cache_read_tokens: i64,
    /// Tokens that the model wrote to its cache.
    pub cache_creation_tokens: i64,
    /// The total cost.
    pub acus: Acus,
}

impl Usage {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, more: Usage) -> Usage {
        Usage {
            input_tokens: self.input_tokens.saturating_add(more.input_tokens),
            output_tokens: self.output_tokens.saturating_add(more.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(more.cache_read_tokens),
            cache_creation_tokens: self.cache_creation_tokens.saturating_add(more.cache_creation_tokens),
            acus: Acus(self.acus.0.saturating_add(more.acus.0)),
        }
    }

    /// Whether no number is negative.
    pub fn is_non_negative(self) -> bool {
        let numbers = [
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_creation_tokens,
            self.acus.0,
        ];
        numbers.into_iter().all(|number| number >= 0)
    }
}

/// A pull request created in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its URL.
    pub url: String,
    /// Its state by the name of its host: `open`, `merged`, `closed`.
    pub state: Option<String>,
}

/// The fields that a session is created with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its owner.
    pub owner: PrincipalId,
    /// Whether the owner is a user or a service user.
    pub owner_kind: PrincipalKind,
    /// Its creator. Differs from the owner when the creator acts in the owner's name.
    pub created_by: PrincipalId,
    /// Its agent.
    pub agent: AgentId,
    /// The agent's name when the session was created.
    pub agent_name: String,
    /// Its title.
    pub title: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its preferred model.
    pub model: Option<String>,
    /// The agent's capabilities in it, as the client sent them.
    pub capabilities: Json,
    /// Where it was created: `api`, `cli`, `slack`.
    pub origin: String,
    /// Its category: one of [`CATEGORIES`].
    pub category: Option<String>,
    /// Its subcategory.
    pub subcategory: Option<String>,
    /// The playbook that it follows.
    pub playbook: Option<String>,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// The automation that started it.
    pub automation: Option<String>,
    /// Its repositories: `owner/repo`.
    pub repos: Vec<String>,
    /// The session that started it.
    pub parent: Option<SessionId>,
    /// The JSON Schema for its structured output.
    pub output_schema: Option<Json>,
    /// Its usage limit; `None` for no limit.
    pub max_acus: Option<Acus>,
    /// Other fields that a wire received and returns. Stored without checks.
    pub extra: Json,
}

/// An agent session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSession {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id, which contains the time of creation.
    pub id: SessionId,
    /// The fields that it was created with; the title and the tags are the current ones.
    pub given: NewSession,
    /// Its state.
    pub state: AgentState,
    /// The beginning of its first message.
    pub preview: Option<String>,
    /// The beginning of its last answer.
    pub output_preview: Option<String>,
    /// The sessions that it started, oldest first.
    pub children: Vec<SessionId>,
    /// The pull requests created in it.
    pub pull_requests: Vec<PullRequest>,
    /// Its structured output, which fits `output_schema`.
    pub structured_output: Option<Json>,
    /// Its usage.
    pub usage: Usage,
    /// When it was archived.
    pub archived: Option<Micros>,
    /// When its first turn began.
    pub started: Option<Micros>,
    /// When its last turn ended; `None` while a turn is open or a message waits.
    pub finished: Option<Micros>,
    /// When it last changed.
    pub updated: Micros,
    /// Number of messages of users.
    pub user_messages: i64,
    /// Number of messages of the agent.
    pub agent_messages: i64,
    /// The messages that no turn has taken, in order: sequence and id of each.
    pub waiting: Vec<(i64, MessageId)>,
    /// The newest turn.
    pub turn: Option<Turn>,
    /// The sequence of its newest event.
    pub events: i64,
    /// Incremented with every change.
    pub revision: i64,
    /// When and how it was ended.
    pub ended: Option<(Micros, Ending)>,
}

/// Whether a session needs a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkDemand {
    /// No.
    None,
    /// A turn waits for a worker.
    Waiting,
    /// A worker holds the turn.
    Taken {
        /// The fencing number of the claim: larger than those of all earlier claims of the session.
        fence: i64,
    },
}

impl AgentSession {
    /// A new session without messages.
    pub fn new(organization: OrganizationId, id: SessionId, given: NewSession) -> AgentSession {
        AgentSession {
            organization,
            id,
            given,
            state: AgentState::New,
            preview: None,
            output_preview: None,
            children: Vec::new(),
            pull_requests: Vec::new(),
            structured_output: None,
            usage: Usage::default(),
            archived: None,
            started: None,
            finished: None,
            updated: id.creation_time(),
            user_messages: 0,
            agent_messages: 0,
            waiting: Vec::new(),
            turn: None,
            events: 0,
            revision: 1,
            ended: None,
        }
    }

    /// What identifies it.
    pub fn key(&self) -> SessionKey {
        SessionKey { organization: self.organization, kind: SessionKind::Agent, id: self.id }
    }

    /// The sequence of the newest message.
    pub fn messages(&self) -> i64 {
        self.user_messages + self.agent_messages
    }

    /// The turn that a worker holds.
    pub fn open_turn(&self) -> Option<&Turn> {
        self.turn.as_ref().filter(|turn| turn.is_open())
    }

    /// Whether it needs a worker.
    pub fn work_demand(&self) -> WorkDemand {
        if let Some(turn) = self.open_turn() {
            return WorkDemand::Taken { fence: turn.fence };
        }
        let returned = self.turn.as_ref().is_some_and(|turn| turn.state == TurnState::Returned);
        let asked = returned || !self.waiting.is_empty();
        let can = self.state.can_run_turn() && self.archived.is_none();
        if asked && can { WorkDemand::Waiting } else { WorkDemand::None }
    }

    /// The text that a search looks in, in lower case.
    pub fn search_text(&self) -> String {
        let parts = [&self.given.title, &self.preview, &self.output_preview];
        let parts = parts.into_iter().flatten().map(|part| part.to_lowercase());
        parts.collect::<Vec<_>>().join("\n")
    }
}

/// Checks tags and removes duplicates.
///
/// # Errors
/// [`Refusal::Invalid`] for more than [`MAX_TAGS`] tags, and for a tag that is empty or too long.
pub fn check_tags(tags: Vec<String>) -> Result<Vec<String>, Refusal> {
    // Checked before the tags are compared: a request can contain hundreds of thousands.
    if tags.len() > MAX_TAGS {
        return Err(Refusal::invalid("tags", format!("at most {MAX_TAGS} tags")));
    }
    let mut kept: Vec<String> = Vec::new();
    for tag in tags {
        if tag.trim().is_empty() || tag.chars().count() > MAX_TAG_CHARS || tag.contains('\0') {
            return Err(Refusal::invalid("tags", format!("tags of 1 to {MAX_TAG_CHARS} characters")));
        }
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    Ok(kept)
}

/// Checks a title. An empty title becomes `None`.
///
/// # Errors
/// [`Refusal::Invalid`] for more than [`MAX_TITLE_CHARS`] characters, and for a NUL character.
pub fn check_title(title: Option<String>) -> Result<Option<String>, Refusal> {
    let fits = |title: &String| title.chars().count() <= MAX_TITLE_CHARS && !title.contains('\0');
    match title {
        Some(title) if !fits(&title) => {
            Err(Refusal::invalid("title", format!("at most {MAX_TITLE_CHARS} characters")))
        }
        title => Ok(title.filter(|title| !title.is_empty())),
    }
}

/// Checks the name of an agent, which is an option of workers and a part of URLs.
///
/// # Errors
/// [`Refusal::Invalid`] for a name that is blank, has control characters or is longer than 128 characters.
pub fn check_agent_name(name: &str) -> Result<(), Refusal> {
    let fits = name.chars().count() <= MAX_AGENT_NAME_CHARS && !name.chars().any(char::is_control);
    if fits && !name.trim().is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid("name", format!("1 to {MAX_AGENT_NAME_CHARS} characters on one line")))
}

/// The first [`PREVIEW_CHARS`] characters of a text, for lists.
pub fn preview(text: &str) -> String {
    text.chars().take(PREVIEW_CHARS).collect()
}
