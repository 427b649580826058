//! The JSON shapes of sessions and agents.
//!
//! A missing value is absent, not `null`, as with the vendor's server. Clients of the first generation require `agent_id`,
//! today's require `harness_id`: both are always present.

use super::ids::{self, Prefixed};
use super::session_extras::SessionExtras;
use crate::http::rfc3339::Time;
use domain::agent::{Agent, AgentSession, Usage};
use domain::json::Json;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A capability of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Capability {
    /// The capability's name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
}

/// A session.
#[derive(Debug, Serialize)]
pub struct Session<'a> {
    id: Prefixed,
    organization_id: Prefixed,
    agent_id: Prefixed,
    harness_id: String,
    owner_principal_id: Prefixed,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_session_id: Option<Prefixed>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    tags: &'a [String],
    capabilities: Capabilities<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'a str>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_preview: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<TokenUsage>,
    created_at: Time,
    updated_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Time>,
    /// The page of the session for people.
    view_url: String,
    #[serde(flatten)]
    extras: SessionExtras,
    /// The last field, because it is the caller's: see `set_pins`.
    is_pinned: bool,
}

impl<'a> Session<'a> {
    /// The shape of a session. `pinned` is whether the caller has pinned it, `base_url` the server's public address.
    pub fn new(session: &'a AgentSession, pinned: bool, base_url: &str) -> Session<'a> {
        let given = &session.given;
        let mut extras = SessionExtras::from_stored(&given.extra);
        let harness_id = extras.take_harness();
        Session {
            id: ids::session(session.id),
            organization_id: ids::organization(session.organization),
            agent_id: ids::agent(given.agent),
            harness_id,
            owner_principal_id: ids::principal(given.owner),
            parent_session_id: given.parent.map(ids::session),
            status: session.state.group().name(),
            title: given.title.as_deref(),
            tags: &given.tags,
            capabilities: Capabilities(&given.capabilities),
            model_id: given.model.as_deref(),
            source: &given.origin,
            preview: session.preview.as_deref(),
            output_preview: session.output_preview.as_deref(),
            usage: TokenUsage::from_usage(session.usage),
            created_at: Time(session.id.creation_time()),
            updated_at: Time(session.updated),
            started_at: session.started.map(Time),
            finished_at: session.finished.map(Time),
            archived_at: session.archived.map(Time),
            view_url: format!("{base_url}/sessions/{}", ids::session(session.id)),
            extras,
            is_pinned: pinned,
        }
    }
}

/// Capabilities, serialized as a list even when none are stored.
#[derive(Debug)]
struct Capabilities<'a>(&'a Json);

impl Serialize for Capabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_list() {
            true => self.0.serialize(serializer),
            false => serializer.collect_seq(std::iter::empty::<()>()),
        }
    }
}

/// Numbers of tokens.
#[derive(Debug, Clone, Copy)]
pub struct TokenUsage(Usage);

impl TokenUsage {
    /// `None` when no model was used.
    pub fn from_usage(usage: Usage) -> Option<TokenUsage> {
        (usage.input_tokens > 0 || usage.output_tokens > 0).then_some(TokenUsage(usage))
    }
}

impl Serialize for TokenUsage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let usage = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("input_tokens", &usage.input_tokens)?;
        map.serialize_entry("output_tokens", &usage.output_tokens)?;
        let caches = [
            ("cache_read_tokens", usage.cache_read_tokens),
            ("cache_creation_tokens", usage.cache_creation_tokens),
        ];
        for (name, tokens) in caches.into_iter().filter(|(_, tokens)| *tokens > 0) {
            map.serialize_entry(name, &tokens)?;
        }
        map.end()
    }
}

/// An agent.
#[derive(Debug, Serialize)]
pub struct AgentShape<'a> {
    id: Prefixed,
    organization_id: Prefixed,
    harness_id: Prefixed,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    system_prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_model_id: Option<&'a str>,
    tags: &'a [String],
    capabilities: Capabilities<'a>,
    status: &'static str,
    created_at: Time,
    updated_at: Time,
}

impl<'a> From<&'a Agent> for AgentShape<'a> {
    fn from(agent: &'a Agent) -> AgentShape<'a> {
        AgentShape {
            id: ids::agent(agent.id),
            organization_id: ids::organization(agent.organization),
            harness_id: ids::default_harness(),
            name: &agent.name,
            display_name: agent.display_name.as_deref(),
            description: agent.description.as_deref(),
            system_prompt: &agent.system_prompt,
            default_model_id: agent.model.as_deref(),
            tags: &agent.tags,
            capabilities: Capabilities(&agent.capabilities),
            status: "active",
            created_at: Time(agent.created),
            updated_at: Time(agent.updated),
        }
    }
}

impl AgentShape<'_> {
    /// The same agent, archived.
    pub fn into_archived(self) -> Self {
        AgentShape { status: "archived", ..self }
    }
}

/// An agent, and whether the request created it.
#[derive(Debug, Serialize)]
pub struct UpsertedAgent<'a> {
    #[serde(flatten)]
    agent: AgentShape<'a>,
    was_created: bool,
}

impl<'a> UpsertedAgent<'a> {
    /// The shape of an agent that was created, or replaced.
    pub fn new(agent: &'a Agent, was_created: bool) -> UpsertedAgent<'a> {
        UpsertedAgent { agent: agent.into(), was_created }
    }
}

/// An agent without ids, in the format that the vendor's command line reads and writes as a file, version 1.
#[derive(Debug, Serialize)]
pub struct AgentManifest<'a> {
    schema_version: u8,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    instructions: &'a str,
    tags: &'a [String],
    capabilities: Capabilities<'a>,
}

impl<'a> From<&'a Agent> for AgentManifest<'a> {
    fn from(agent: &'a Agent) -> AgentManifest<'a> {
        AgentManifest {
            schema_version: 1,
            name: &agent.name,
            display_name: agent.display_name.as_deref(),
            description: agent.description.as_deref(),
            instructions: &agent.system_prompt,
            tags: &agent.tags,
            capabilities: Capabilities(&agent.capabilities),
        }
    }
}

/// A page of a list. The TypeScript client reads `sessions` and `messages` instead of `data`.
#[derive(Debug, Serialize)]
pub struct Page<'a, T> {
    data: &'a [T],
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<&'a [T]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [T]>,
    total: u64,
    offset: u64,
    limit: u64,
}

impl<'a, T> Page<'a, T> {
    /// A page of at most `limit` items after the first `offset` of `total`.
    pub fn new(data: &'a [T], total: u64, offset: u64, limit: u64) -> Page<'a, T> {
        Page { data, sessions: None, messages: None, total, offset, limit }
    }

    /// Repeats the items as `sessions`.
    pub fn add_sessions_field(self) -> Page<'a, T> {
        Page { sessions: Some(self.data), ..self }
    }

    /// Repeats the items as `messages`.
    pub fn add_messages_field(self) -> Page<'a, T> {
        Page { messages: Some(self.data), ..self }
    }
}
