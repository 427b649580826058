//! Agent sessions: an agent at work on messages.

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
pub use filter::{Range, SessionFilter};
pub use limits::{Limits, cycle_days, day};
pub use rules::{Change, Command, Moment, decide, may_act_on};
pub use state::{Doing, Group, State, SuspendReason};
pub use talk::{Attachment, MAX_ATTACHMENTS, MAX_MESSAGE_BYTES, Message, NewMessage, Source};
pub use worker::{Answer, Item, MAX_ATTEMPTS, Report, Turn, TurnGrant, TurnState};

use crate::ids::{AgentId, MessageId, OrganizationId, PrincipalId, SessionId};
use crate::json::Json;
use crate::principal::PrincipalKind;
use crate::refusal::Refusal;
use crate::session::Ending;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// The agent that every organization has, made on demand.
pub const DEFAULT_AGENT: &str = "default";
/// How many tags a session may have.
pub const MAX_TAGS: usize = 50;
/// How long one tag may be, in characters.
pub const MAX_TAG_CHARS: usize = 256;
/// How long a title may be, in characters.
pub const MAX_TITLE_CHARS: usize = 1_000;
/// How many characters of the first message and of the last answer are shown in lists.
pub const PREVIEW_CHARS: usize = 200;
/// How many messages may wait for an answer in one session.
pub const MAX_WAITING: usize = 1_000;
/// How many children a session may have.
pub const MAX_CHILDREN: usize = 10_000;

/// What work may be about: the words of Devin's newest list, `category` of a session.
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

/// Who works: what a worker runs is known by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id.
    pub id: AgentId,
    /// What workers know it by, unique among those that are not deleted.
    pub name: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it is told before every conversation.
    pub system_prompt: String,
    /// The model it prefers, as its worker knows it.
    pub model: Option<String>,
    /// What people sort agents by.
    pub tags: Vec<String>,
    /// What it can do, as the client wrote it: kept and not judged.
    pub capabilities: Json,
    /// When it was made.
    pub created: Micros,
    /// When it was last changed.
    pub updated: Micros,
}

/// Agent compute units, in millionths, so that sums are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acus(pub i64);

impl Acus {
    /// Whole units.
    pub const fn whole(units: i64) -> Acus {
        Acus(units.saturating_mul(1_000_000))
    }

    /// As a number of units, for people and wires.
    pub fn units(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }

    /// From a number of units; nothing for what is no amount.
    pub fn from_units(units: f64) -> Option<Acus> {
        let millionths = (units * 1_000_000.0).round();
        (0.0..9e15).contains(&millionths).then_some(Acus(millionths as i64))
    }
}

/// What was used.
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
    /// What it costs in the end.
    pub acus: Acus,
}

impl Usage {
    /// Both together.
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

    /// Whether no number of it is below zero: usage never shrinks.
    pub fn grows(self) -> bool {
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

/// A pull request that came of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Where it is.
    pub url: String,
    /// Where it stands, as its host says it: `open`, `merged`, `closed`.
    pub state: Option<String>,
}

/// What a session is created with and keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// Whose it is.
    pub owner: PrincipalId,
    /// Whether that is a person or a machine.
    pub owner_kind: PrincipalKind,
    /// Who created it; another than the owner when somebody acts in the owner's name.
    pub created_by: PrincipalId,
    /// Who works in it.
    pub agent: AgentId,
    /// The agent's name, as it was at the time.
    pub agent_name: String,
    /// What people call it.
    pub title: Option<String>,
    /// What people sort it by.
    pub tags: Vec<String>,
    /// The model it prefers.
    pub model: Option<String>,
    /// What the agent can do in it, as the client wrote it.
    pub capabilities: Json,
    /// Where it came from: `api`, `cli`, `slack`.
    pub origin: String,
    /// What it is about: one of [`CATEGORIES`].
    pub category: Option<String>,
    /// What it is about, more closely.
    pub subcategory: Option<String>,
    /// The playbook that it follows.
    pub playbook: Option<String>,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// The automation that started it.
    pub automation: Option<String>,
    /// The repositories that it works in: `owner/repo`.
    pub repos: Vec<String>,
    /// The session that started it.
    pub parent: Option<SessionId>,
    /// The JSON Schema of its structured output.
    pub output_schema: Option<Json>,
    /// How much it may use.
    pub max_acus: Option<Acus>,
    /// What else a wire was given and gives back: kept and not judged.
    pub extra: Json,
}

/// An agent session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSession {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id, which says when it was created.
    pub id: SessionId,
    /// What it was created with; title and tags as they are now.
    pub given: NewSession,
    /// Where it stands.
    pub state: State,
    /// The beginning of its first message.
    pub preview: Option<String>,
    /// The beginning of its last answer.
    pub output_preview: Option<String>,
    /// Sessions that it started, oldest first.
    pub children: Vec<SessionId>,
    /// Pull requests that came of it.
    pub pull_requests: Vec<PullRequest>,
    /// What it came to, in the shape of its schema.
    pub structured_output: Option<Json>,
    /// What it used.
    pub usage: Usage,
    /// When it was put away.
    pub archived: Option<Micros>,
    /// When its first turn began.
    pub started: Option<Micros>,
    /// When its last turn ended; nothing while one is open or waited for.
    pub finished: Option<Micros>,
    /// When it last changed.
    pub updated: Micros,
    /// Messages of users and of the agent.
    pub user_messages: i64,
    /// Messages of the agent.
    pub agent_messages: i64,
    /// The messages that no turn has taken, in order: sequence and id.
    pub waiting: Vec<(i64, MessageId)>,
    /// The newest turn.
    pub turn: Option<Turn>,
    /// The sequence of its newest event.
    pub events: i64,
    /// Grows by one with every change.
    pub revision: i64,
    /// When and how it was ended.
    pub ended: Option<(Micros, Ending)>,
}

/// What a session asks of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// Somebody should take a turn.
    Waiting,
    /// Somebody has the turn, with this fencing number.
    Taken {
        /// Larger than that of every earlier claim of the session.
        fence: i64,
    },
}

impl AgentSession {
    /// A new one, before anything was said.
    pub fn new(organization: OrganizationId, id: SessionId, given: NewSession) -> AgentSession {
        AgentSession {
            organization,
            id,
            given,
            state: State::New,
            preview: None,
            output_preview: None,
            children: Vec::new(),
            pull_requests: Vec::new(),
            structured_output: None,
            usage: Usage::default(),
            archived: None,
            started: None,
            finished: None,
            updated: id.created(),
            user_messages: 0,
            agent_messages: 0,
            waiting: Vec::new(),
            turn: None,
            events: 0,
            revision: 1,
            ended: None,
        }
    }

    /// The sequence of its newest message.
    pub fn messages(&self) -> i64 {
        self.user_messages + self.agent_messages
    }

    /// The turn that somebody works on.
    pub fn open_turn(&self) -> Option<&Turn> {
        self.turn.as_ref().filter(|turn| turn.is_open())
    }

    /// What it asks of workers.
    pub fn work(&self) -> Work {
        if let Some(turn) = self.open_turn() {
            return Work::Taken { fence: turn.fence };
        }
        let returned = self.turn.as_ref().is_some_and(|turn| turn.state == TurnState::Returned);
        let asked = returned || !self.waiting.is_empty();
        let can = self.state.runs() && self.archived.is_none();
        if asked && can { Work::Waiting } else { Work::None }
    }

    /// What a search looks at, in lower case.
    pub fn search_text(&self) -> String {
        let parts = [&self.given.title, &self.preview, &self.output_preview];
        let parts = parts.into_iter().flatten().map(|part| part.to_lowercase());
        parts.collect::<Vec<_>>().join("\n")
    }
}

/// Checks what people sort sessions by, and leaves out what is there twice.
///
/// # Errors
/// [`Refusal::Invalid`] for more than [`MAX_TAGS`], or one that is empty or too long.
pub fn tags(tags: Vec<String>) -> Result<Vec<String>, Refusal> {
    // Before anything is compared: a body may have hundreds of thousands.
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

/// Checks a title. An empty one is none.
///
/// # Errors
/// [`Refusal::Invalid`] for more than [`MAX_TITLE_CHARS`] characters.
pub fn title(title: Option<String>) -> Result<Option<String>, Refusal> {
    let fits = |title: &String| title.chars().count() <= MAX_TITLE_CHARS && !title.contains('\0');
    match title {
        Some(title) if !fits(&title) => {
            Err(Refusal::invalid("title", format!("at most {MAX_TITLE_CHARS} characters")))
        }
        title => Ok(title.filter(|title| !title.is_empty())),
    }
}

/// Checks the name of an agent: what a worker is started with, and what stands in addresses.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn agent_name(name: &str) -> Result<(), Refusal> {
    let plain = !name.trim().is_empty() && name.chars().count() <= 128 && !name.chars().any(char::is_control);
    if plain { Ok(()) } else { Err(Refusal::invalid("name", "1 to 128 characters on one line")) }
}

/// The beginning of a text, for lists.
pub fn preview(text: &str) -> String {
    text.chars().take(PREVIEW_CHARS).collect()
}
