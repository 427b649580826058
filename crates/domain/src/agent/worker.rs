//! Turns, and what workers say of them.

use super::{Attachment, EventKind, PullRequest, Usage};
use crate::credential::SecretHash;
use crate::ids::{MessageId, TurnId};
use crate::json::Json;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// How often a turn is begun: once more after its worker was lost.
pub const MAX_ATTEMPTS: i64 = 2;

/// One answer of the agent to one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// 1, 2, … in its session.
    pub number: i64,
    /// The sequence of the message that it answers.
    pub message: i64,
    /// The id of that message.
    pub input: MessageId,
    /// How often it was begun.
    pub attempt: i64,
    /// Who has it: the name that the worker gave itself.
    pub worker: String,
    /// Until when it is the worker's without a sign of life. A heartbeat moves it without a new revision.
    pub lease: Micros,
    /// Larger than that of every earlier claim of the session.
    pub fence: i64,
    /// Where it stands.
    pub state: TurnState,
    /// When this attempt began.
    pub started: Micros,
    /// The sequence of the last event before this attempt.
    pub events_before: i64,
    /// How many items its worker has reported in this attempt: a repeated report is known by it.
    pub reported: i64,
    /// How many bytes of an answer came that are in no message yet.
    pub streamed: i64,
    /// The sequence of the first event that streamed them.
    pub streamed_from: i64,
    /// How many messages the agent said in it: a turn that has said one is not begun again, or a message might be
    /// answered twice.
    pub said: i64,
    /// What it used.
    pub usage: Usage,
    /// Set when the session may use no more: the worker is to finish, and its lease is not prolonged.
    pub stopping: bool,
    /// The turn before, with its fencing number, when its worker ended it: a repeated `done` is known by it.
    pub previous: Option<(TurnId, i64)>,
    /// What the worker shows to speak of this turn; `None` for turns of versions before this one.
    #[serde(default)]
    pub grant: Option<TurnGrant>,
    /// What the worker of `previous` shows.
    #[serde(default)]
    pub previous_grant: Option<TurnGrant>,
}

/// What lets a worker speak of one turn: made when the turn is claimed, replaced when it is claimed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnGrant {
    /// The hash of the turn's token.
    pub token: SecretHash,
    /// The hash of the API key that claimed the turn. The token is good only while that key is.
    pub key: SecretHash,
}

impl Turn {
    /// What a token is good for: the id and fencing number of this turn or the one before, and the hash of the key
    /// that claimed it.
    pub fn opened_by(&self, token: SecretHash) -> Option<(TurnId, i64, SecretHash)> {
        let this = self.grant.map(|grant| (self.id, self.fence, grant));
        let before = self.previous.zip(self.previous_grant).map(|((id, fence), grant)| (id, fence, grant));
        let found = [this, before].into_iter().flatten().find(|(.., grant)| grant.token == token);
        found.map(|(id, fence, grant)| (id, fence, grant.key))
    }
}

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// A worker has it and said nothing yet.
    Claimed,
    /// Its worker works.
    Working,
    /// Its worker was lost; another is to take it up.
    Returned,
    /// The message was answered.
    Answered,
    /// It failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Its second worker was lost too.
    Lost,
}

/// What a worker reports of the turn it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The number of the first item among all of this attempt, from 0.
    pub first: i64,
    /// In order.
    pub items: Vec<Item>,
}

/// One thing that a worker reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// More of the answer.
    Output(String),
    /// A line for who looks after the worker.
    Log(String),
    /// Something that happened: only kinds for which [`EventKind::is_workers`].
    Event {
        /// What.
        kind: EventKind,
        /// More of it.
        data: Json,
    },
    /// A whole message. It takes the place of what was streamed before it.
    Message {
        /// Its text.
        text: String,
        /// Its parts, or `null`.
        parts: Json,
        /// What comes with it.
        attachments: Vec<Attachment>,
    },
    /// What was used since the last report of it.
    Usage(Usage),
    /// A pull request, or its new state.
    PullRequest(PullRequest),
    /// What the session came to. Whoever gives it here has checked it against the schema.
    StructuredOutput(Json),
    /// What people call the session.
    Title(String),
}

/// How a turn ends, as its worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Answered, and there is nothing left to do.
    Finished,
    /// Answered.
    WaitingForUser,
    /// The agent asks whether it may go on.
    WaitingForApproval,
    /// There is no answer.
    Failed {
        /// Why, for people.
        message: String,
        /// What the command ended with.
        exit_code: Option<i64>,
    },
    /// The worker was told to stop and did.
    Cancelled,
}
