//! What servers and workers say to each other: JSON over HTTP below [`WORK_PATH`]. `Authorization: Bearer …` carries the
//! worker's key for a claim, and [`Assignment::token`] for all that is said about the claimed turn. A body has at most
//! 1 MiB unless the server is set otherwise.
//!
//! | request | credential | answer |
//! |---|---|---|
//! | `POST /tenure/v1/work/claim` [`Claim`] | key | 200 [`Assignment`], or 204 when nothing came in time |
//! | `POST /tenure/v1/work/{session}/heartbeat` [`Heartbeat`] | token | 200 [`Beat`] |
//! | `POST /tenure/v1/work/{session}/report` [`Report`] | token | 200 [`Beat`] |
//! | `POST /tenure/v1/work/{session}/done` [`Done`] | token | 204 |
//!
//! **Credentials.** `X-Organization-Id` of a claim chooses one organization; without it a key of the account reaches all
//! of them. A token is good for one claim of one turn: it opens nothing else, and it ends when the turn ends, when
//! another worker claims the turn, and when the key that claimed is revoked or expires or its owner may not connect workers
//! any more. Afterwards it gets 401, except that a repeated `done` is still answered until the session's next turn ends.
//!
//! **Leases.** A claimed turn is the worker's for [`Assignment::lease_seconds`], and again from each heartbeat and
//! report. Every claim has a fencing number larger than the one before; whatever comes with an older one is answered
//! 409, and the worker drops the turn: somebody else has it, or it is over.
//!
//! **Nothing twice.** The items of a turn are numbered from 0 in the order in which they came to be. A report says
//! the number of its first item; the server skips those it has. So a report may be repeated until an answer
//! comes. `done` with the fence of a turn that is done already is answered as it was the first time. A report without
//! items says that the work has begun. Once a turn is cancelled nothing more of it is taken.
//!
//! An item that can be read and not taken (an event that is not a worker's to tell of, a structured output that does
//! not fit its schema) becomes a line of the log that says why: repeating it would not help.
//!
//! 401 and 403 are about the credential: those of a claim end the worker, those of a turn end that turn. 400, 413 and 422 are a request that will
//! not do however often it comes. Everything else may be better next time. Both sides ignore fields they do not know.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Path of everything here, below the server's base URL.
pub const WORK_PATH: &str = "/tenure/v1/work";

/// Longest that a claim may wait, in seconds.
pub const MOST_WAIT_SECONDS: u64 = 30;

/// Most items of one report.
pub const MOST_ITEMS: usize = 1000;

/// Asks for a turn to work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The worker's name, for people.
    pub worker: String,
    /// Only turns of agents with these names; `None` is any. One that does not exist yet is waited for.
    #[serde(default)]
    pub agents: Option<Vec<String>>,
    /// How long to wait when there is nothing to do, at most [`MOST_WAIT_SECONDS`].
    #[serde(default)]
    pub wait_seconds: u64,
}

/// The credential of one turn. It is not printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TurnToken(pub String);

impl TurnToken {
    /// Whether there is none: what a worker hands on to its command has none.
    pub fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for TurnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnToken(…)")
    }
}

/// A turn to work on: one message that wants an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The session's organization; said again with everything about the turn.
    pub organization: Uuid,
    /// The session.
    pub session: Uuid,
    /// Its title; may be empty.
    #[serde(default)]
    pub title: String,
    /// Who is to answer.
    pub agent: AgentBrief,
    /// The turn's id.
    pub turn: Uuid,
    /// Its number in its session, from 1.
    pub number: i64,
    /// The fencing number of this claim.
    pub fence: i64,
    /// Attempt number: 1 for the first worker to claim this turn.
    pub attempt: u32,
    /// The credential of everything that is said about this turn.
    #[serde(default, skip_serializing_if = "TurnToken::is_absent")]
    pub token: TurnToken,
    /// How long the claim holds without a heartbeat, at least 1.
    pub lease_seconds: u64,
    /// What is to be answered.
    pub message: IncomingMessage,
    /// The session's secrets.
    #[serde(default)]
    pub secrets: Secrets,
    /// The JSON Schema of the session's structured output.
    #[serde(default)]
    pub output_schema: Option<Value>,
    /// The repositories that the session is about: `owner/repo`.
    #[serde(default)]
    pub repos: Vec<String>,
    /// What the agent is to be able to do, as the client wrote it.
    #[serde(default)]
    pub capabilities: Value,
}

impl Assignment {
    /// What names this turn in every further request.
    pub fn claimed(&self) -> Claimed {
        Claimed { organization: self.organization, turn: self.turn, fence: self.fence }
    }
}

/// Names and values that only the session's worker is told. Their values are not printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(pub BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An agent, as far as its worker needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentBrief {
    /// Its name, unique in the organization.
    pub name: String,
    /// What it is told to be.
    #[serde(default)]
    pub system_prompt: Option<String>,
    /// The model it is to use: the session's, or else the agent's.
    #[serde(default)]
    pub model: Option<String>,
}

/// A message of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncomingMessage {
    /// Its id.
    pub id: Uuid,
    /// All of its text.
    pub text: String,
    /// Its content as the client gave it, text and all else; empty if it was text alone.
    #[serde(default)]
    pub parts: Vec<Value>,
    /// Files that came with it.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The name its sender gave it.
    pub name: String,
    /// Where it can be fetched.
    pub url: String,
    /// What it is, as its sender said.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Its length in bytes, if that is known.
    #[serde(default)]
    pub size: Option<i64>,
}

/// A turn as its worker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The session's organization.
    pub organization: Uuid,
    /// The turn's id.
    pub turn: Uuid,
    /// The fencing number of the claim.
    pub fence: i64,
}

/// Keeps a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The turn.
    #[serde(flatten)]
    pub claimed: Claimed,
}

/// The claim holds; the answer to a heartbeat and to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// For how long from now.
    pub lease_seconds: u64,
    /// Somebody wants this turn to end: the worker ends it and says [`Outcome::Cancelled`].
    pub cancelled: bool,
}

/// What happened in a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The turn.
    #[serde(flatten)]
    pub claimed: Claimed,
    /// The number of the first item in this turn and attempt, from 0.
    pub first: u64,
    /// In the order in which it happened; at most [`MOST_ITEMS`].
    pub items: Vec<Item>,
}

/// One thing that happened in a turn. No text has a NUL character.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// A piece of the answer. All pieces since the turn began, or since the last `message`, are the answer.
    Output {
        /// To be appended.
        text: String,
    },
    /// A line that the agent wrote for its operator.
    Log {
        /// Without the line break.
        line: String,
    },
    /// Anything that is worth an event in the session.
    Event {
        /// Its type, one of those that are a worker's to tell of: `tool.started`.
        event: String,
        /// What belongs to it.
        #[serde(default)]
        data: Value,
    },
    /// A whole message of the agent, in place of the output since the last one.
    Message {
        /// All of its text.
        text: String,
        /// Its content, text and all else, if it is more than text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<Value>,
    },
    /// What was used up since the last report of it.
    Usage(Usage),
    /// A pull request was opened or changed; the address says which.
    PullRequest(PullRequest),
    /// The session's structured output, in place of an earlier one.
    StructuredOutput {
        /// It must fit the schema that the session was created with.
        value: Value,
    },
    /// The session's title, in place of an earlier one.
    Title {
        /// One line.
        title: String,
    },
}

/// What was used up. Amounts are added to those of the session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens that the model read.
    pub input_tokens: u64,
    /// Tokens that it wrote.
    pub output_tokens: u64,
    /// Tokens that it read from its cache.
    pub cache_read_tokens: u64,
    /// Tokens that it wrote to its cache.
    pub cache_creation_tokens: u64,
    /// Agent compute units.
    pub acus: f64,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its address.
    pub url: String,
    /// `open`, `merged`, `closed`: whatever the forge says.
    #[serde(default)]
    pub state: Option<String>,
}

/// A turn is over. All of its items were reported before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The turn.
    #[serde(flatten)]
    pub claimed: Claimed,
    /// How it went.
    pub outcome: Outcome,
}

/// How a turn went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outcome {
    /// The agent's task is done; another message may begin a new one.
    Finished,
    /// The message is answered.
    WaitingForUser,
    /// The agent wants a person's approval before it goes on.
    WaitingForApproval,
    /// There is no answer.
    Failed {
        /// What went wrong, for people.
        message: String,
        /// Of the command, if it ended by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
    /// It was ended because somebody wanted so.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claimed() -> Claimed {
        Claimed { organization: Uuid::from_u128(1), turn: Uuid::from_u128(2), fence: 3 }
    }

    /// Other programs than ours may be workers: what is on the wire must not change by accident.
    #[test]
    fn the_wire_is_as_documented() {
        let turn = |more: Value| {
            let mut all = json!({"organization": Uuid::from_u128(1), "turn": Uuid::from_u128(2), "fence": 3});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let usage = Usage { input_tokens: 1, output_tokens: 2, acus: 0.5, ..Usage::default() };
        let pull_request = PullRequest { url: "u".into(), state: Some("open".into()) };
        let items = vec![
            Item::Output { text: "a".into() },
            Item::Log { line: "b".into() },
            Item::Event { event: "tool.started".into(), data: json!({"c": 1}) },
            Item::Message { text: "d".into(), parts: Vec::new() },
            Item::Usage(usage),
            Item::PullRequest(pull_request),
            Item::StructuredOutput { value: json!([1]) },
            Item::Title { title: "e".into() },
        ];
        let report = Report { claimed: claimed(), first: 4, items };
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
        assert_eq!(serde_json::from_value::<Report>(written).unwrap(), report);

        let failed = Outcome::Failed { message: "no".into(), exit_code: Some(3) };
        let outcomes = [
            (Outcome::WaitingForUser, json!({"type": "waiting_for_user"})),
            (failed, json!({"type": "failed", "message": "no", "exit_code": 3})),
        ];
        for (outcome, written) in outcomes {
            let done = Done { claimed: claimed(), outcome };
            assert_eq!(serde_json::to_value(&done).unwrap(), turn(json!({"outcome": written})));
        }
    }

    #[test]
    fn a_token_is_neither_printed_nor_written_when_it_was_taken_out() {
        assert!(!format!("{:?}", TurnToken("turn_secret".to_owned())).contains("secret"));
        assert!(TurnToken::default().is_absent() && !TurnToken("turn_secret".to_owned()).is_absent());
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = Secrets(BTreeMap::from([("KEY".to_owned(), "hidden".to_owned())]));
        assert_eq!(format!("{secrets:?}"), "{\"KEY\"}");
    }

    #[test]
    fn what_may_be_left_out_may() {
        let message = json!({"id": Uuid::nil(), "text": "hi"});
        let little = json!({
            "organization": Uuid::nil(), "session": Uuid::nil(), "agent": {"name": "a"}, "turn": Uuid::nil(),
            "number": 1, "fence": 1, "attempt": 1, "lease_seconds": 30, "message": message, "of a later version": true,
        });
        let assignment: Assignment = serde_json::from_value(little).unwrap();
        assert_eq!((assignment.title.as_str(), assignment.message.attachments.len()), ("", 0));
        assert_eq!((assignment.secrets.0.len(), assignment.output_schema), (0, None));
        let claim: Claim = serde_json::from_value(json!({"worker": "w"})).unwrap();
        assert_eq!((claim.agents, claim.wait_seconds), (None, 0));
    }
}
