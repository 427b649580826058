//! The builder of a decision: the changes so far, and the session after them.

use super::{
    Acus, AgentChange, AgentSession, AgentState, Attachment, Event, EventContext, EventKind, Message,
    MessageSource, Moment, NewMessage, PullRequest, Turn, TurnState, WorkDemand,
};
use crate::ids::{EventId, MessageId, TurnId};
use crate::json::Json;
use crate::time::Micros;
use serde::Serialize;
use serde_json::{Value, json};

/// The data of an event about a message. It is serialized directly to text: a JSON tree would copy the whole message.
#[derive(Serialize)]
struct Saying<'a> {
    message: &'a Message,
}

/// A decision that is being built.
pub(super) struct Decision<'a> {
    /// The session after the changes so far.
    pub session: AgentSession,
    /// The time, random bytes and limits of this decision.
    pub moment: &'a Moment,
    /// What the organization has left in this cycle, after the changes so far; `None` without a limit.
    pub cycle_left: Option<Acus>,
    changes: Vec<AgentChange>,
}

impl<'a> Decision<'a> {
    pub fn new(session: &AgentSession, moment: &'a Moment) -> Decision<'a> {
        Decision { session: session.clone(), moment, cycle_left: moment.cycle_left, changes: Vec::new() }
    }

    pub fn changes(self) -> Vec<AgentChange> {
        self.changes
    }

    pub fn push(&mut self, change: AgentChange) {
        if let (AgentChange::Usage(usage), Some(left)) = (&change, &mut self.cycle_left) {
            left.0 = left.0.saturating_sub(usage.acus.0);
        }
        self.session.apply(&change, self.moment.now);
        self.changes.push(change);
    }

    /// Adds an event.
    pub fn add_event(&mut self, kind: EventKind, data: impl Into<Json>, context: EventContext) {
        let sequence = self.session.events + 1;
        self.push(AgentChange::Event(Event {
            id: EventId::new(self.moment.now, self.moment.random, sequence),
            session: self.session.id,
            sequence,
            kind,
            data: data.into(),
            context,
            at: self.moment.now,
        }));
    }

    pub fn set_state(&mut self, state: AgentState) {
        if self.session.state != state {
            self.push(AgentChange::State(state));
        }
    }

    /// Adds a message of a user, which then waits for an answer.
    pub fn add_user_message(&mut self, new: NewMessage) {
        let message = Message {
            id: new.id,
            sequence: self.session.messages() + 1,
            source: MessageSource::User,
            author: Some(new.author),
            text: new.text,
            parts: new.parts,
            attachments: new.attachments,
            answers: None,
            created: self.moment.now,
        };
        let waiting = self.session.waiting.iter().copied().chain([(message.sequence, message.id)]).collect();
        let context = EventContext { turn: None, input: Some(message.id) };
        self.add_event(EventKind::InputMessage, Json::encode(&Saying { message: &message }), context);
        self.push(AgentChange::Message(message));
        self.push(AgentChange::Waiting(waiting));
    }

    /// Adds a message of the agent, as an answer of `turn`. It contains the text streamed so far.
    pub fn add_agent_message(
        &mut self,
        turn: &mut Turn,
        text: String,
        parts: Json,
        attachments: Vec<Attachment>,
    ) {
        let sequence = self.session.messages() + 1;
        let message = Message {
            id: self.message_id(sequence),
            sequence,
            source: MessageSource::Agent,
            author: None,
            text,
            parts,
            attachments,
            answers: Some(turn.message),
            created: self.moment.now,
        };
        (turn.streamed, turn.streamed_from) = (0, 0);
        turn.said += 1;
        self.add_event(
            EventKind::OutputCompleted,
            Json::encode(&Saying { message: &message }),
            turn.context(),
        );
        self.push(AgentChange::Message(message));
    }

    /// The id of a message that a rule creates. The sequence makes the ids of one decision differ.
    fn message_id(&self, sequence: i64) -> MessageId {
        let mut random = self.moment.random;
        for (byte, more) in random[2..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= more;
        }
        MessageId::new(self.moment.now, random)
    }

    /// Closes a turn in its final state, with an event.
    pub fn close(&mut self, mut turn: Turn, state: TurnState, kind: EventKind, mut data: Value) {
        turn.state = state;
        data["turn"] = json!(turn.id);
        self.add_event(kind, data, turn.context());
        self.push(AgentChange::Turn(Box::new(turn)));
    }

    /// Adds [`EventKind::SessionIdled`] when no work is left for workers.
    pub fn settle(&mut self, context: EventContext) {
        if self.session.work_demand() == WorkDemand::None {
            let usage = self.session.usage;
            self.add_event(EventKind::SessionIdled, json!({ "turn": context.turn, "usage": usage }), context);
        }
    }
}

impl Turn {
    /// The context of this turn's events.
    pub(super) fn context(&self) -> EventContext {
        EventContext { turn: Some(self.id), input: Some(self.input) }
    }

    /// Whether a worker still holds it.
    pub fn is_open(&self) -> bool {
        matches!(self.state, TurnState::Claimed | TurnState::Working)
    }

    /// Whether it is this turn, under the claim with this fencing number.
    pub(super) fn is(&self, turn: TurnId, fence: i64) -> bool {
        self.id == turn && self.fence == fence
    }
}

impl AgentSession {
    /// The session after a batch of changes at `now`. A batch increments the revision by one.
    #[must_use]
    pub fn with_changes(mut self, changes: &[AgentChange], now: Micros) -> AgentSession {
        for change in changes {
            self.apply(change, now);
        }
        self.revision += 1;
        self.updated = self.updated.max(now);
        self
    }

    fn apply(&mut self, change: &AgentChange, now: Micros) {
        match change {
            AgentChange::Message(message) => self.count_message(message),
            AgentChange::Event(event) => self.events = event.sequence,
            AgentChange::State(state) => self.state = *state,
            AgentChange::Waiting(waiting) => {
                self.waiting.clone_from(waiting);
                self.finished = if waiting.is_empty() { self.finished } else { None };
            }
            AgentChange::Turn(turn) => self.set_turn(turn, now),
            AgentChange::Usage(usage) => self.usage = self.usage.plus(*usage),
            AgentChange::Title(title) => self.given.title.clone_from(title),
            AgentChange::Tags(tags) => self.given.tags.clone_from(tags),
            AgentChange::Archived(at) => self.archived = *at,
            AgentChange::Child(child) => self.children.push(*child),
            AgentChange::PullRequest(request) => self.pull_request(request),
            AgentChange::StructuredOutput(value) => self.structured_output = Some(value.clone()),
            AgentChange::Ended(ending) => self.ended = Some((now, ending.clone())),
        }
    }

    fn count_message(&mut self, message: &Message) {
        let beginning = || Some(super::preview(&message.text));
        match message.source {
            MessageSource::User => {
                self.user_messages += 1;
                self.preview = self.preview.take().or_else(beginning);
            }
            MessageSource::Agent => {
                self.agent_messages += 1;
                self.output_preview = beginning();
            }
        }
    }

    fn set_turn(&mut self, turn: &Turn, now: Micros) {
        self.started = self.started.or(Some(turn.started));
        let over = !turn.is_open() && turn.state != TurnState::Returned;
        self.finished = (over && self.waiting.is_empty()).then_some(now);
        self.turn = Some(turn.clone());
    }

    fn pull_request(&mut self, request: &PullRequest) {
        match self.pull_requests.iter_mut().find(|known| known.url == request.url) {
            Some(known) => known.state.clone_from(&request.state),
            None => self.pull_requests.push(request.clone()),
        }
    }
}
