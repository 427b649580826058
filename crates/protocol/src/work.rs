//! The messages between servers and workers: JSON over HTTP below [`WORK_PATH`]. `Authorization: Bearer …` has the worker's
//! key for a claim, and [`TurnAssignment::token`] for requests about the claimed turn. A body has at most 1 MiB unless the
//! server's settings say otherwise.
//!
//! | request | credential | response |
//! |---|---|---|
//! | `POST /tenure/v1/work/claim` [`TurnClaim`] | key | 200 [`TurnAssignment`], or 204 when there was no turn in time |
//! | `POST /tenure/v1/work/{session}/heartbeat` [`Heartbeat`] | token | 200 [`LeaseRenewal`] |
//! | `POST /tenure/v1/work/{session}/report` [`TurnReport`] | token | 200 [`LeaseRenewal`] |
//! | `POST /tenure/v1/work/{session}/done` [`TurnCompletion`] | token | 204 |
//!
//! **Credentials.** The header `X-Organization-Id` of a claim chooses one organization; without it, a key of the account
//! claims turns of all organizations. A token is valid for one claim of one turn and gives access to nothing else. It ends
//! when the turn ends, when another worker claims the turn, when the key of the claim is revoked or expires, and when the
//! key's owner loses the permission to connect workers. Requests then get 401, except that a repeated `done` still gets 204
//! until the session's next turn ends.
//!
//! **Leases.** A claim lasts for [`TurnAssignment::lease_seconds`]. Each heartbeat and report extends it by the same time.
//! Every claim has a fencing number larger than the one before. A request with an older number gets 409, and the worker
//! drops the turn: it has ended, or another worker has it.
//!
//! **Retries.** The items of a turn are numbered from 0, in order. A report states the number of its first item, and the
//! server skips the items that it already has. So a worker repeats a report until it gets a response. A repeated `done`
//! gets the same response as the first. A report without items states that the work has started. After a turn was
//! cancelled, the server takes no more of its items.
//!
//! A well-formed item that the server cannot take (an event of a kind that workers do not report, or a structured output
//! that does not fit its schema) becomes a line of the turn's log with the reason: to repeat it would not help.
//!
//! **Errors.** 401 and 403 are about the credential: for a claim they end the worker, for a turn they end the turn. 400,
//! 413 and 422 mean that the request is wrong and must not be repeated. All other errors are worth a retry. Both sides
//! ignore unknown fields.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Path of the requests of workers, below the server's base URL.
pub const WORK_PATH: &str = "/tenure/v1/work";

/// Maximum time that a claim can wait, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 30;

/// Maximum number of items of a report.
pub const MAX_REPORT_ITEMS: usize = 1000;

/// A request for a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnClaim {
    /// The worker's name, for people.
    pub worker: String,
    /// Only turns of agents with these names; `None` for all agents. The agents need not exist yet.
    #[serde(default)]
    pub agents: Option<Vec<String>>,
    /// How long to wait when there is no turn, in seconds; at most [`MAX_WAIT_SECONDS`].
    #[serde(default)]
    pub wait_seconds: u64,
}

/// The token of a turn. Its `Debug` output hides it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TurnTokenText(pub String);

impl TurnTokenText {
    /// Whether there is no token. A worker removes it before it passes the assignment to its command.
    pub fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for TurnTokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnToken(…)")
    }
}

/// A claimed turn: one message to answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnAssignment {
    /// The session's organization. Every further request about the turn repeats it.
    pub organization: Uuid,
    /// The session.
    pub session: Uuid,
    /// Its title; can be empty.
    #[serde(default)]
    pub title: String,
    /// The agent that answers.
    pub agent: AgentBrief,
    /// The turn's id.
    pub turn: Uuid,
    /// The turn's number in its session, from 1.
    pub number: i64,
    /// The fencing number of this claim.
    pub fence: i64,
    /// Attempt number: 1 for the first worker to claim this turn.
    pub attempt: u32,
    /// The credential for requests about this turn.
    #[serde(default, skip_serializing_if = "TurnTokenText::is_absent")]
    pub token: TurnTokenText,
    /// How long the claim lasts without a heartbeat or report, in seconds; at least 1.
    pub lease_seconds: u64,
    /// The message to answer.
    pub message: IncomingMessage,
    /// The session's secrets.
    #[serde(default)]
    pub secrets: Secrets,
    /// The JSON Schema of the session's structured output.
    #[serde(default)]
    pub output_schema: Option<Value>,
    /// The session's repositories: `owner/repo`.
    #[serde(default)]
    pub repos: Vec<String>,
    /// The agent's capabilities, as the client sent them.
    #[serde(default)]
    pub capabilities: Value,
}

impl TurnAssignment {
    /// The reference to this turn for further requests.
    pub fn turn_ref(&self) -> TurnRef {
        TurnRef { organization: self.organization, turn: self.turn, fence: self.fence }
    }
}

/// The secrets of a session, by name. Only the session's worker gets them. The `Debug` output hides the values.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(pub BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An agent, with the fields that its worker needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentBrief {
    /// Its name, unique in the organization.
    pub name: String,
    /// Its system prompt.
    #[serde(default)]
    pub system_prompt: Option<String>,
    /// The model to use: the session's, or else the agent's.
    #[serde(default)]
    pub model: Option<String>,
}

/// A message of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncomingMessage {
    /// Its id.
    pub id: Uuid,
    /// The whole text.
    pub text: String,
    /// The content as the client sent it, including the text; empty if there is only text.
    #[serde(default)]
    pub parts: Vec<Value>,
    /// The attached files.
    #[serde(default)]
    pub attachments: Vec<AttachmentBrief>,
}

/// A file attached to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentBrief {
    /// The name its sender gave it.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Its media type, as its sender stated it.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Its length in bytes, if known.
    #[serde(default)]
    pub size: Option<i64>,
}

/// A reference to a claimed turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRef {
    /// The session's organization.
    pub organization: Uuid,
    /// The turn's id.
    pub turn: Uuid,
    /// The fencing number of the claim.
    pub fence: i64,
}

/// A request to extend a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The turn.
    #[serde(flatten)]
    pub turn_ref: TurnRef,
}

/// The response to a heartbeat or a report: the claim was extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenewal {
    /// How long the claim lasts from now, in seconds.
    pub lease_seconds: u64,
    /// Whether the turn is to be cancelled. The worker then stops and reports [`TurnOutcome::Cancelled`].
    pub cancelled: bool,
}

/// A report of items of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnReport {
    /// The turn.
    #[serde(flatten)]
    pub turn_ref: TurnRef,
    /// The number of the first item in this attempt of the turn, from 0.
    pub first: u64,
    /// The items, in order; at most [`MAX_REPORT_ITEMS`].
    pub items: Vec<ReportedItem>,
}

/// An item of a turn. Texts must not contain NUL characters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReportedItem {
    /// A piece of the answer. The answer consists of all pieces since the start of the turn or since the last `message`.
    Output {
        /// The text to append.
        text: String,
    },
    /// A line of the log, for the worker's operator.
    Log {
        /// The line, without a line break.
        line: String,
    },
    /// An event of the session.
    Event {
        /// Its kind, one of those that workers report: `tool.started`.
        event: String,
        /// Its data.
        #[serde(default)]
        data: Value,
    },
    /// A whole message of the agent. It replaces the output since the last one.
    Message {
        /// The whole text.
        text: String,
        /// The content including the text, if it is more than text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<Value>,
    },
    /// Usage since the last item of this kind.
    Usage(ReportedUsage),
    /// A pull request that was opened or changed, identified by its URL.
    PullRequest(ReportedPullRequest),
    /// The session's structured output. It replaces an earlier one.
    StructuredOutput {
        /// The value. It must fit the session's `output_schema`.
        value: Value,
    },
    /// The session's title. It replaces an earlier one.
    Title {
        /// The title: one line.
        title: String,
    },
}

/// Usage, which is added to the usage of the session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportedUsage {
    /// Tokens read by the model.
    pub input_tokens: u64,
    /// Tokens written by the model.
    pub output_tokens: u64,
    /// Tokens that the model read from its cache.
    pub cache_read_tokens: u64,
    /// Tokens that the model wrote to its cache.
    pub cache_creation_tokens: u64,
    /// Agent compute units.
    pub acus: f64,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedPullRequest {
    /// Its URL.
    pub url: String,
    /// Its state by the name of its host: `open`, `merged`, `closed`.
    #[serde(default)]
    pub state: Option<String>,
}

/// The end of a turn. All of its items have been reported before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnCompletion {
    /// The turn.
    #[serde(flatten)]
    pub turn_ref: TurnRef,
    /// How it ended.
    pub outcome: TurnOutcome,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnOutcome {
    /// Answered, and the task is done.
    Finished,
    /// Answered.
    WaitingForUser,
    /// The agent asks for approval to continue.
    WaitingForApproval,
    /// There is no answer.
    Failed {
        /// The reason, for people.
        message: String,
        /// The exit code of the worker's command, if it exited by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
    /// The worker stopped as requested.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claimed() -> TurnRef {
        TurnRef { organization: Uuid::from_u128(1), turn: Uuid::from_u128(2), fence: 3 }
    }

    /// Workers can be programs of others, so the JSON on the wire must not change by accident.
    #[test]
    fn the_wire_is_as_documented() {
        let turn = |more: Value| {
            let mut all = json!({"organization": Uuid::from_u128(1), "turn": Uuid::from_u128(2), "fence": 3});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let usage =
            ReportedUsage { input_tokens: 1, output_tokens: 2, acus: 0.5, ..ReportedUsage::default() };
        let pull_request = ReportedPullRequest { url: "u".into(), state: Some("open".into()) };
        let items = vec![
            ReportedItem::Output { text: "a".into() },
            ReportedItem::Log { line: "b".into() },
            ReportedItem::Event { event: "tool.started".into(), data: json!({"c": 1}) },
            ReportedItem::Message { text: "d".into(), parts: Vec::new() },
            ReportedItem::Usage(usage),
            ReportedItem::PullRequest(pull_request),
            ReportedItem::StructuredOutput { value: json!([1]) },
            ReportedItem::Title { title: "e".into() },
        ];
        let report = TurnReport { turn_ref: claimed(), first: 4, items };
        let written = turn(json!({"first": 4, "items": [
            {"type": "output", "text": "a"},
            {"type": "log", "line": "b"},
            {"type": "event", "event": "tool.started", "data": {"c": 1}},
            {"type": "message", "text": "d"},
            {"type": "usage", "input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 0,
                "cache_creation_tokens": 0, "acus": 0.5},
            {"type": "pull_request", "url": "u", "state": "open"},
            {"type": "structured_output", "value": [1]},
            {"type": "title", "title": "e"},
        ]}));
        assert_eq!(serde_json::to_value(&report).unwrap(), written);
        assert_eq!(serde_json::from_value::<TurnReport>(written).unwrap(), report);

        let failed = TurnOutcome::Failed { message: "no".into(), exit_code: Some(3) };
        let outcomes = [
            (TurnOutcome::WaitingForUser, json!({"type": "waiting_for_user"})),
            (failed, json!({"type": "failed", "message": "no", "exit_code": 3})),
        ];
        for (outcome, written) in outcomes {
            let done = TurnCompletion { turn_ref: claimed(), outcome };
            assert_eq!(serde_json::to_value(&done).unwrap(), turn(json!({"outcome": written})));
        }
    }

    #[test]
    fn a_removed_token_is_neither_printed_nor_written() {
        assert!(!format!("{:?}", TurnTokenText("turn_secret".to_owned())).contains("secret"));
        assert!(TurnTokenText::default().is_absent() && !TurnTokenText("turn_secret".to_owned()).is_absent());
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = Secrets(BTreeMap::from([("KEY".to_owned(), "hidden".to_owned())]));
        assert_eq!(format!("{secrets:?}"), "{\"KEY\"}");
    }

    #[test]
    fn optional_fields_can_be_omitted() {
        let message = json!({"id": Uuid::nil(), "text": "hi"});
        let little = json!({
            "organization": Uuid::nil(), "session": Uuid::nil(), "agent": {"name": "a"}, "turn": Uuid::nil(),
            "number": 1, "fence": 1, "attempt": 1, "lease_seconds": 30, "message": message, "of a later version": true,
        });
        let assignment: TurnAssignment = serde_json::from_value(little).unwrap();
        assert_eq!((assignment.title.as_str(), assignment.message.attachments.len()), ("", 0));
        assert_eq!((assignment.secrets.0.len(), assignment.output_schema), (0, None));
        let claim: TurnClaim = serde_json::from_value(json!({"worker": "w"})).unwrap();
        assert_eq!((claim.agents, claim.wait_seconds), (None, 0));
    }
}
