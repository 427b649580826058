//! The events of an agent session, which clients can follow.

use crate::ids::{EventId, MessageId, SessionId, TurnId};
use crate::json::Json;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal)*) => {
        /// The kind of an event: the names of Everruns, and two that only Tenure has (`turn.returned` and `worker.log`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$name),*];

            /// Its name on the wires and in the store.
            pub fn name(self) -> &'static str {
                match self {
                    $(EventKind::$name => $word,)*
                }
            }
        }
    };
}

event_kinds! {
    /// The session was created. `{agent, model}`.
    SessionStarted = "session.started"
    /// A turn began, so the session is active. `{turn, message, attempt}`.
    SessionActivated = "session.activated"
    /// A turn ended and no message waits. `{turn, usage}`.
    SessionIdled = "session.idled"
    /// A user's message: `{message}`, the whole [`Message`](super::Message).
    InputMessage = "input.message"
    /// A worker claimed a turn. `{turn, message, attempt}`.
    TurnStarted = "turn.started"
    /// The message was answered. `{turn, duration_ms, usage}`.
    TurnCompleted = "turn.completed"
    /// The turn failed; there is no answer. `{turn, error, exit_code}`.
    TurnFailed = "turn.failed"
    /// The turn was cancelled. `{turn, reason}`; `turn` is `null` when no worker had claimed the message.
    TurnCancelled = "turn.cancelled"
    /// The worker was lost; another one can claim the turn again. `{turn, attempt}`.
    TurnReturned = "turn.returned"
    /// The first piece of an answer came. `{turn}`.
    OutputStarted = "output.message.started"
    /// A piece of the answer. `{turn, delta, offset}`: offset in bytes from the beginning of the answer.
    OutputDelta = "output.message.delta"
    /// A message of the agent: `{message}`, the whole [`Message`](super::Message).
    OutputCompleted = "output.message.completed"
    /// The worker logged a line. `{turn, line}`.
    WorkerLog = "worker.log"
    /// Data as the worker reported it.
    ReasonStarted = "reason.started"
    /// Data as the worker reported it.
    ReasonCompleted = "reason.completed"
    /// Data as the worker reported it.
    ThinkingStarted = "reason.thinking.started"
    /// Data as the worker reported it.
    ThinkingDelta = "reason.thinking.delta"
    /// Data as the worker reported it.
    ThinkingCompleted = "reason.thinking.completed"
    /// Data as the worker reported it.
    ActStarted = "act.started"
    /// Data as the worker reported it.
    ActCompleted = "act.completed"
    /// Data as the worker reported it.
    ToolStarted = "tool.started"
    /// Data as the worker reported it.
    ToolCompleted = "tool.completed"
    /// Data as the worker reported it.
    LlmGeneration = "llm.generation"
}

impl EventKind {
    /// The kind with this name.
    pub fn parse(name: &str) -> Option<EventKind> {
        EventKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether workers report it. All other kinds follow from commands.
    pub fn is_worker_event(self) -> bool {
        use EventKind::*;
        matches!(
            self,
            ReasonStarted
                | ReasonCompleted
                | ThinkingStarted
                | ThinkingDelta
                | ThinkingCompleted
                | ActStarted
                | ActCompleted
                | ToolStarted
                | ToolCompleted
                | LlmGeneration
        )
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        EventKind::parse(&name).ok_or_else(|| serde::de::Error::custom("not a kind of event"))
    }
}

/// The turn and the message that an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventContext {
    /// The turn.
    pub turn: Option<TurnId>,
    /// The user's message that the turn answers.
    pub input: Option<MessageId>,
}

/// An event of an agent session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, which contains its sequence.
    pub id: EventId,
    /// Its session.
    pub session: SessionId,
    /// Its position in the session: 1, 2, … without gaps.
    pub sequence: i64,
    /// Its kind.
    pub kind: EventKind,
    /// Its data, as documented at each kind.
    pub data: Json,
    /// The turn and the message that it belongs to.
    pub context: EventContext,
    /// When it happened.
    pub at: Micros,
}

/// Maximum bytes of event data in a page. The event that crosses it is the last of the page.
pub const MAX_EVENT_BYTES: u32 = 4 << 20;

/// A query for events of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Only events after this sequence; 0 for all.
    pub after: i64,
    /// Only events before this sequence.
    pub before: Option<i64>,
    /// Only events of these kinds.
    pub kinds: Option<Vec<EventKind>>,
    /// No events of these kinds.
    pub exclude: Vec<EventKind>,
    /// Only events of this turn.
    pub turn: Option<TurnId>,
    /// Maximum number of events.
    pub limit: u32,
    /// Maximum bytes of data: the event that crosses it is the last one, so at least one is returned.
    pub bytes: u32,
    /// Whether to return the newest events, newest first.
    pub newest_first: bool,
}

impl EventQuery {
    /// The first `limit` events after a sequence.
    pub fn new(after: i64, limit: u32) -> EventQuery {
        let (before, kinds, exclude, turn) = (None, None, Vec::new(), None);
        EventQuery { after, before, kinds, exclude, turn, limit, bytes: MAX_EVENT_BYTES, newest_first: false }
    }

    /// Whether an event matches, apart from the limits.
    pub fn matches(&self, event: &Event) -> bool {
        event.sequence > self.after
            && self.before.is_none_or(|before| event.sequence < before)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind))
            && !self.exclude.contains(&event.kind)
            && self.turn.is_none_or(|turn| event.context.turn == Some(turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.name()), Some(*kind));
        }
        assert_eq!(EventKind::parse("turn"), None);
    }

    #[test]
    fn workers_cannot_report_events_that_commands_cause() {
        for word in
            ["input.message", "turn.started", "turn.completed", "session.idled", "output.message.completed"]
        {
            assert_eq!(EventKind::parse(word).map(EventKind::is_worker_event), Some(false), "{word}");
        }
    }
}
