//! What happens in a session, as its readers follow it.

use crate::ids::{EventId, MessageId, SessionId, TurnId};
use crate::json::Json;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal)*) => {
        /// What happened: Everruns' words, and two of our own (`turn.returned` and `worker.log`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// All there are.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$name),*];

            /// Its word on the wires and in the store.
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
    /// A turn began, so the session is at work. `{turn, message, attempt}`.
    SessionActivated = "session.activated"
    /// A turn is over and no message waits. `{turn}`.
    SessionIdled = "session.idled"
    /// A user's message: `{message}`, the whole [`Message`](super::Message).
    InputMessage = "input.message"
    /// A worker took a message up. `{turn, message, attempt}`.
    TurnStarted = "turn.started"
    /// The message was answered. `{turn, duration_ms, usage}`.
    TurnCompleted = "turn.completed"
    /// There will be no answer. `{turn, error, exit_code}`.
    TurnFailed = "turn.failed"
    /// Somebody stopped it. `{turn, reason}`; `turn` is `null` for a message that no worker had taken.
    TurnCancelled = "turn.cancelled"
    /// Its worker was lost; another is to begin it again. `{turn, attempt}`.
    TurnReturned = "turn.returned"
    /// The answer begins. `{turn}`.
    OutputStarted = "output.message.started"
    /// More of the answer. `{turn, delta, offset}`: offset in bytes of the answer so far.
    OutputDelta = "output.message.delta"
    /// A message of the agent: `{message}`, the whole [`Message`](super::Message).
    OutputCompleted = "output.message.completed"
    /// A line that the worker logged. `{turn, line}`.
    WorkerLog = "worker.log"
    /// As the worker says it.
    ReasonStarted = "reason.started"
    /// As the worker says it.
    ReasonCompleted = "reason.completed"
    /// As the worker says it.
    ThinkingStarted = "reason.thinking.started"
    /// As the worker says it.
    ThinkingDelta = "reason.thinking.delta"
    /// As the worker says it.
    ThinkingCompleted = "reason.thinking.completed"
    /// As the worker says it.
    ActStarted = "act.started"
    /// As the worker says it.
    ActCompleted = "act.completed"
    /// As the worker says it.
    ToolStarted = "tool.started"
    /// As the worker says it.
    ToolCompleted = "tool.completed"
    /// As the worker says it.
    LlmGeneration = "llm.generation"
}

impl EventKind {
    /// The kind of a word.
    pub fn parse(name: &str) -> Option<EventKind> {
        EventKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether a worker may say that it happened; the others follow from commands.
    pub fn is_workers(self) -> bool {
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

    /// Whether it is one of very many in a turn: such share a line of the change feed.
    pub fn is_streamed(self) -> bool {
        self.is_workers()
            || matches!(self, EventKind::OutputStarted | EventKind::OutputDelta | EventKind::WorkerLog)
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

/// What an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventContext {
    /// The turn it happened in.
    pub turn: Option<TurnId>,
    /// The user's message that the turn answers.
    pub input: Option<MessageId>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, with its sequence in it.
    pub id: EventId,
    /// Its session.
    pub session: SessionId,
    /// Its place in its session: 1, 2, … without gaps.
    pub sequence: i64,
    /// What happened.
    pub kind: EventKind,
    /// More of it; each kind says what.
    pub data: Json,
    /// What it belongs to.
    pub context: EventContext,
    /// When.
    pub at: Micros,
}

/// The most bytes of data that one page of events has, beside of the event that goes over it.
pub const MAX_EVENT_BYTES: u32 = 4 << 20;

/// Which events of a session are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those after this sequence; 0 for all.
    pub after: i64,
    /// Only those before this sequence.
    pub before: Option<i64>,
    /// Only of one of these kinds.
    pub kinds: Option<Vec<EventKind>>,
    /// Of none of these kinds.
    pub exclude: Vec<EventKind>,
    /// Only of this turn.
    pub turn: Option<TurnId>,
    /// At most this many.
    pub limit: u32,
    /// After how many bytes of data no more events follow, whatever the limit; at least one comes.
    pub bytes: u32,
    /// The newest of them, newest first.
    pub newest_first: bool,
}

impl EventQuery {
    /// The first `limit` events after a sequence.
    pub fn after(after: i64, limit: u32) -> EventQuery {
        let (before, kinds, exclude, turn) = (None, None, Vec::new(), None);
        EventQuery { after, before, kinds, exclude, turn, limit, bytes: MAX_EVENT_BYTES, newest_first: false }
    }

    /// Whether it asks for an event, apart from the limit.
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
    fn workers_cannot_say_what_follows_from_commands() {
        for word in
            ["input.message", "turn.started", "turn.completed", "session.idled", "output.message.completed"]
        {
            assert_eq!(EventKind::parse(word).map(EventKind::is_workers), Some(false), "{word}");
        }
    }
}
