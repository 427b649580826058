//! The stored form of an agent session: the JSON of `agent_bodies.body`.
//!
//! To add a field: give it `#[serde(default)]`, raise [`VERSION`], and add frozen bodies of the new version to
//! `bodies/`. The tests fail until all of this is done.

#[cfg(test)]
mod tests;

use crate::Result;
use crate::agents::unknown_fields::{Part, keep_unknown_fields};
use crate::database::{Columns, DatabaseError};
use crate::rows::{json_error, parse_json, to_json};
use domain::agent::{
    Acus, AgentChange, AgentSession, AgentState, NewSession, PullRequest, Turn, TurnCredential, TurnState,
    Usage,
};
use domain::credential::SecretHash;
use domain::ids::{AgentId, MessageId, OrganizationId, PrincipalId, SessionId, TurnId};
use domain::json::Json;
use domain::principal::PrincipalKind;
use domain::session::{EndReason, Ending};
use domain::time::Micros;
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// The version of the bodies that this version of Tenure writes. Bodies without a version are of version 1.
const VERSION: u32 = 1;

/// The objects in a body that a newer version may have added fields to.
const PARTS: [Part; 5] = [
    Part { field: "given", identity: None, parts: &[] },
    USAGE,
    Part { field: "pull_requests", identity: Some("url"), parts: &[] },
    Part {
        field: "turn",
        identity: Some("id"),
        parts: &[
            USAGE,
            Part { field: "grant", identity: Some("token"), parts: &[] },
            Part { field: "previous_grant", identity: Some("token"), parts: &[] },
        ],
    },
    Part { field: "ended", identity: Some("reason"), parts: &[] },
];
const USAGE: Part = Part { field: "usage", identity: None, parts: &[] };

/// Declares the stored form of a struct of the domain that has the same fields, and both conversions. A field with
/// another type than in the domain names the function that converts it.
macro_rules! stored {
    ($name:ident is $domain:ident { $($(#[$serde:meta])* $field:ident: $type:ty $(= $convert:path)?,)* }) => {
        #[derive(Serialize, Deserialize)]
        struct $name {
            $($(#[$serde])* $field: $type,)*
        }

        impl From<$domain> for $name {
            fn from($domain { $($field),* }: $domain) -> $name {
                $name { $($field: $($convert)?($field)),* }
            }
        }

        impl From<$name> for $domain {
            fn from($name { $($field),* }: $name) -> $domain {
                $domain { $($field: $($convert)?($field)),* }
            }
        }
    };
}

stored! {
    StoredProperties is NewSession {
        owner: PrincipalId,
        owner_kind: PrincipalKind,
        created_by: PrincipalId,
        agent: AgentId,
        agent_name: String,
        title: Option<String>,
        tags: Vec<String>,
        model: Option<String>,
        capabilities: Json,
        origin: String,
        category: Option<String>,
        subcategory: Option<String>,
        playbook: Option<String>,
        schedule: Option<String>,
        automation: Option<String>,
        repos: Vec<String>,
        parent: Option<SessionId>,
        output_schema: Option<Json>,
        max_acus: Option<Acus>,
        extra: Json,
    }
}

stored! {
    StoredUsage is Usage {
        input_tokens: i64,
        output_tokens: i64,
        cache_read_tokens: i64,
        cache_creation_tokens: i64,
        acus: Acus,
    }
}

stored! {
    StoredPullRequest is PullRequest {
        url: String,
        state: Option<String>,
    }
}

stored! {
    StoredTurnCredential is TurnCredential {
        token: SecretHash,
        key: SecretHash,
    }
}

stored! {
    StoredEnding is Ending {
        reason: EndReason,
        actor: Option<PrincipalId>,
        evidence: String,
    }
}

stored! {
    StoredTurn is Turn {
        id: TurnId,
        number: i64,
        message: i64,
        input: MessageId,
        attempt: i64,
        worker: String,
        lease: Micros,
        fence: i64,
        state: TurnState,
        started: Micros,
        events_before: i64,
        reported: i64,
        streamed: i64,
        streamed_from: i64,
        said: i64,
        usage: StoredUsage = Into::into,
        stopping: bool,
        previous: Option<(TurnId, i64)>,
        // The first bodies of version 1 have no grants.
        #[serde(default)]
        grant: Option<StoredTurnCredential> = convert_option,
        #[serde(default)]
        previous_grant: Option<StoredTurnCredential> = convert_option,
    }
}

/// A body. Fields without a default have been in every body since version 1.
#[derive(Serialize, Deserialize)]
struct StoredAgentSession {
    #[serde(default = "first_version")]
    version: u32,
    organization: OrganizationId,
    id: SessionId,
    given: StoredProperties,
    state: AgentState,
    preview: Option<String>,
    output_preview: Option<String>,
    children: Vec<SessionId>,
    pull_requests: Vec<StoredPullRequest>,
    structured_output: Option<Json>,
    usage: StoredUsage,
    archived: Option<Micros>,
    started: Option<Micros>,
    finished: Option<Micros>,
    updated: Micros,
    user_messages: i64,
    agent_messages: i64,
    waiting: Vec<(i64, MessageId)>,
    turn: Option<StoredTurn>,
    events: i64,
    revision: i64,
    ended: Option<(Micros, StoredEnding)>,
}

fn first_version() -> u32 {
    1
}

impl StoredAgentSession {
    fn new(session: AgentSession, version: u32) -> StoredAgentSession {
        StoredAgentSession {
            version,
            organization: session.organization,
            id: session.id,
            given: session.given.into(),
            state: session.state,
            preview: session.preview,
            output_preview: session.output_preview,
            children: session.children,
            pull_requests: session.pull_requests.into_iter().map(Into::into).collect(),
            structured_output: session.structured_output,
            usage: session.usage.into(),
            archived: session.archived,
            started: session.started,
            finished: session.finished,
            updated: session.updated,
            user_messages: session.user_messages,
            agent_messages: session.agent_messages,
            waiting: session.waiting,
            turn: convert_option(session.turn),
            events: session.events,
            revision: session.revision,
            ended: session.ended.map(|(at, ending)| (at, ending.into())),
        }
    }

    fn into_session(self) -> AgentSession {
        AgentSession {
            organization: self.organization,
            id: self.id,
            given: self.given.into(),
            state: self.state,
            preview: self.preview,
            output_preview: self.output_preview,
            children: self.children,
            pull_requests: self.pull_requests.into_iter().map(Into::into).collect(),
            structured_output: self.structured_output,
            usage: self.usage.into(),
            archived: self.archived,
            started: self.started,
            finished: self.finished,
            updated: self.updated,
            user_messages: self.user_messages,
            agent_messages: self.agent_messages,
            waiting: self.waiting,
            turn: convert_option(self.turn),
            events: self.events,
            revision: self.revision,
            ended: self.ended.map(|(at, ending)| (at, ending.into())),
        }
    }
}

fn convert_option<T: Into<U>, U>(value: Option<T>) -> Option<U> {
    value.map(Into::into)
}

/// A body of a newer version, as it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NewerBody {
    version: u32,
    text: String,
}

/// An agent session as the store loaded it. A change is decided on the session within, and given back with this: a
/// newer server may have stored fields that this version does not know, and the store keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedAgentSession {
    session: AgentSession,
    newer: Option<NewerBody>,
}

impl Deref for LoadedAgentSession {
    type Target = AgentSession;

    fn deref(&self) -> &AgentSession {
        &self.session
    }
}

impl LoadedAgentSession {
    /// The session alone, for callers that do not change it.
    pub fn into_session(self) -> AgentSession {
        self.session
    }

    /// A session that no other server has written yet.
    pub(crate) fn new(session: AgentSession) -> LoadedAgentSession {
        LoadedAgentSession { session, newer: None }
    }

    /// The session after a batch of changes; see [`AgentSession::with_changes`].
    pub(crate) fn apply_changes(&self, changes: &[AgentChange], now: Micros) -> LoadedAgentSession {
        LoadedAgentSession {
            session: self.session.clone().with_changes(changes, now),
            newer: self.newer.clone(),
        }
    }

    /// Its body, in the newest version that has written it.
    pub(crate) fn body(&self) -> Result<String> {
        let version = self.newer.as_ref().map_or(VERSION, |newer| newer.version);
        let body = to_json(&StoredAgentSession::new(self.session.clone(), version))?;
        match &self.newer {
            Some(newer) => {
                Ok(keep_unknown_fields(&body, &newer.text, &PARTS).map_err(|error| json_error(&error))?)
            }
            None => Ok(body),
        }
    }
}

/// Reads a session from its lease and its body.
pub(crate) fn read_session(columns: &mut Columns) -> Result<LoadedAgentSession, DatabaseError> {
    let (lease, text) = (columns.maybe_time()?, columns.text()?);
    let stored: StoredAgentSession = parse_json(&text)?;
    let version = stored.version;
    let mut session = stored.into_session();
    if let (Some(lease), Some(turn)) = (lease, session.turn.as_mut()) {
        turn.lease = lease;
    }
    Ok(LoadedAgentSession { session, newer: (version > VERSION).then_some(NewerBody { version, text }) })
}
