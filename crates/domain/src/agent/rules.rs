//! What may happen to an agent session.

use super::{
    AgentSession, Answer, Event, Message, NewMessage, PullRequest, Report, State, Turn, Usage,
};
use crate::device::Actor;
use crate::ids::{SessionId, TurnId};
use crate::refusal::Refusal;
use crate::session::{EndReason, Ending, What};
use crate::time::Micros;
use serde_json::Value;

/// What a rule needs of the moment it decides in.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: Micros,
    /// For the ids of what is made; all of one decision may have it in common.
    pub random: [u8; 10],
    /// Until when a worker that gives a sign of life now has its turn.
    pub lease: Micros,
    /// What the organization may still use in this cycle; nothing when it has no limit.
    pub cycle_left: Option<super::Acus>,
}

/// What somebody wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Note that it was created: the first command of every session.
    Start,
    /// Say something.
    Post(NewMessage),
    /// Stop the turn that somebody works on; when nobody does, let go of the messages that wait.
    Cancel,
    /// Put it away, and to sleep.
    Archive,
    /// Bring it back. It sleeps until somebody says something.
    Unarchive,
    /// End it for good.
    End {
        /// Why.
        reason: EndReason,
        /// What the reason was judged by.
        evidence: String,
    },
    /// Call it something else.
    SetTitle(Option<String>),
    /// Have these tags and no others.
    SetTags(Vec<String>),
    /// Have these tags too.
    AddTags(Vec<String>),
    /// Note a session that it started.
    AddChild(SessionId),
    /// Take the next message up, or a turn whose worker was lost. Nothing happens when there is neither.
    Claim {
        /// What the worker calls itself.
        worker: String,
        /// The id of the turn, if it is a new one.
        turn: TurnId,
    },
    /// What a worker has to say of its turn.
    Report {
        /// Which.
        turn: TurnId,
        /// The number that its claim was given.
        fence: i64,
        /// What it says.
        report: Report,
    },
    /// A worker is done with its turn.
    Finish {
        /// Which.
        turn: TurnId,
        /// The number that its claim was given.
        fence: i64,
        /// How it ended.
        answer: Answer,
        /// What was streamed since the last whole message: it becomes one.
        streamed: String,
    },
    /// A worker gave no sign of life until its lease ran out.
    LoseLease {
        /// The number that its claim was given.
        fence: i64,
    },
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something was said: a row of the messages.
    Said(Message),
    /// Something happened: a row of the events.
    Happened(Event),
    /// It stands elsewhere.
    State(State),
    /// The sequences of the messages that no turn has taken.
    Waiting(Vec<i64>),
    /// The newest turn is this now.
    Turn(Turn),
    /// What it used more: a row of the organization's day. The store keeps it only while the organization's limit
    /// stands to it as it did when it was decided.
    Spent(Usage),
    /// It is called this.
    Title(Option<String>),
    /// It has these tags.
    Tags(Vec<String>),
    /// It was put away, or brought back.
    Archived(Option<Micros>),
    /// It started this session.
    Child(SessionId),
    /// A pull request came of it, or changed.
    PullRequest(PullRequest),
    /// It came to this.
    StructuredOutput(Value),
    /// It is over.
    Ended(Ending),
}

impl Change {
    /// What the change feed says of it.
    pub fn what(&self) -> What {
        match self {
            Change::Ended(_) => What::Ended,
            _ => What::Changed,
        }
    }

    /// What the change feed says of a batch; nothing for what streams by in a turn, of which the turn's end is told.
    pub fn feed_line(changes: &[Change]) -> Option<What> {
        let streams = |change: &Change| match change {
            Change::Happened(event) => event.kind.is_streamed(),
            Change::Turn(turn) => turn.state == super::TurnState::Working,
            Change::State(_) => false,
            _ => false,
        };
        let loud = || changes.iter().filter(|change| !streams(change)).map(Change::what);
        loud().find(|what| *what == What::Ended).or_else(|| loud().next())
    }
}

/// Decides what a command does to a session. What is so already changes nothing, so that a client may repeat it.
///
/// # Errors
/// The rule that stands against it.
pub fn decide(
    session: &AgentSession,
    actor: Actor,
    command: Command,
    moment: &Moment,
) -> Result<Vec<Change>, Refusal> {
    let _ = (session, actor, command, moment);
    Ok(Vec::new())
}
