//! Turns, and what workers report about them.

use super::{Attachment, EventKind, PullRequest, Usage};
use crate::credential::SecretHash;
use crate::ids::{MessageId, TurnId};
use crate::json::Json;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// Maximum number of attempts of a turn: one more after its worker was lost.
pub const MAX_ATTEMPTS: i64 = 2;

/// A turn: a worker's work on one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// Its number in the session, from 1.
    pub number: i64,
    /// The sequence of the message that it answers.
    pub message: i64,
    /// The id of that message.
    pub input: MessageId,
    /// Attempt number, from 1.
    pub attempt: i64,
    /// The worker that holds it, by its name for itself.
    pub worker: String,
    /// When the lease ends. A heartbeat extends it without a new revision.
    pub lease: Micros,
    /// Its fencing number: larger than those of all earlier claims of the session.
    pub fence: i64,
    /// Its state.
    pub state: TurnState,
    /// When this attempt began.
    pub started: Micros,
    /// The sequence of the last event before this attempt.
    pub events_before: i64,
    /// Number of items reported in this attempt. Repeated items are recognized by it.
    pub reported: i64,
    /// Bytes of streamed text that are in no message yet.
    pub streamed: i64,
    /// The sequence of the first event with this text.
    pub streamed_from: i64,
    /// Number of messages of the agent in it. A turn with one is not attempted again: the user's message could be
    /// answered twice.
    pub said: i64,
    /// Its usage.
    pub usage: Usage,
    /// Set at a usage limit: the worker should finish, and its lease is not extended.
    pub stopping: bool,
    /// The turn before and its fencing number, if its worker ended it. A repeated `done` is recognized by it.
    pub previous: Option<(TurnId, i64)>,
    /// The credential for requests about this turn; `None` for turns of older versions of Tenure.
    pub grant: Option<TurnCredential>,
    /// The credential of `previous`.
    pub previous_grant: Option<TurnCredential>,
}

/// The credential of one turn for its worker. Each claim creates a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnCredential {
    /// The hash of the turn's token.
    pub token: SecretHash,
    /// The hash of the API key that claimed the turn. The token is valid only while that key is.
    pub key: SecretHash,
}

impl Turn {
    /// The claim of a token, of this turn or the one before: the turn's id, its fencing number, and the hash of the key
    /// that claimed it.
    pub fn find_claim(&self, token: SecretHash) -> Option<(TurnId, i64, SecretHash)> {
        let this = self.grant.map(|grant| (self.id, self.fence, grant));
        let before = self.previous.zip(self.previous_grant).map(|((id, fence), grant)| (id, fence, grant));
        let found = [this, before].into_iter().flatten().find(|(.., grant)| grant.token == token);
        found.map(|(id, fence, grant)| (id, fence, grant.key))
    }
}

/// The state of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// A worker holds it and has not reported yet.
    Claimed,
    /// Its worker has reported.
    Working,
    /// Its worker was lost; another one can claim it.
    Returned,
    /// The message was answered.
    Answered,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its second worker was lost too.
    Lost,
}

/// A batch of items that a worker reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnItems {
    /// The number of the first item in this attempt, from 0.
    pub first: i64,
    /// The items, in order.
    pub items: Vec<TurnItem>,
}

/// An item that a worker reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnItem {
    /// A piece of the answer.
    Output(String),
    /// A line of the log, for the worker's operator.
    Log(String),
    /// An event of a kind for which [`EventKind::is_worker_event`] holds.
    Event {
        /// Its kind.
        kind: EventKind,
        /// Its data.
        data: Json,
    },
    /// A whole message. It replaces the text streamed before it.
    Message {
        /// Its text.
        text: String,
        /// All parts, or `null`.
        parts: Json,
        /// Its attachments.
        attachments: Vec<Attachment>,
    },
    /// Usage since the last item of this kind.
    Usage(Usage),
    /// A pull request, or its new state.
    PullRequest(PullRequest),
    /// The structured output of the session. The caller has checked it against the schema.
    StructuredOutput(Json),
    /// The title of the session.
    Title(String),
}

/// How a turn ended, as its worker reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEnding {
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
        /// The exit code of the worker's command.
        exit_code: Option<i64>,
    },
    /// The worker stopped as requested.
    Cancelled,
}
