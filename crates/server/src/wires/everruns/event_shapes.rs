//! The JSON shapes of events.

use super::ids::{self, Prefixed};
use super::message_content::MessageShape;
use crate::http::rfc3339::Time;
use domain::agent::{Event, EventKind, Message};
use domain::ids::{AgentId, MessageId, TurnId};
use domain::json::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Most bytes of accumulated text that a piece of an answer repeats. Each piece repeats the text before it, which grows
/// with the square of the answer's length; beyond this limit a piece comes alone.
pub const MAX_ACCUMULATED: usize = 64 << 10;

/// An event in this wire's shape.
#[derive(Debug, Serialize)]
pub struct EventShape {
    /// The event's id, for `since_id`.
    pub id: Prefixed,
    /// The event's kind, which is also the name of its frame in a stream.
    #[serde(rename = "type")]
    pub kind: &'static str,
    ts: Time,
    session_id: Prefixed,
    sequence: i64,
    context: Context,
    data: Json,
}

#[derive(Debug, Serialize)]
struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<Prefixed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_message_id: Option<Prefixed>,
}

impl EventShape {
    /// The shape of an event. A piece of an answer repeats the text streamed before it.
    pub fn new(event: Event, streamed: &mut StreamedText) -> EventShape {
        let context = Context {
            turn_id: event.context.turn.map(ids::turn),
            input_message_id: event.context.input.map(ids::message),
        };
        EventShape {
            id: ids::event(event.id),
            kind: event.kind.name(),
            ts: Time(event.at),
            session_id: ids::session(event.session),
            sequence: event.sequence,
            context,
            data: data_shape(&event, streamed),
        }
    }

    /// Approximate length as JSON, in bytes.
    pub fn bytes(&self) -> usize {
        self.data.text().len()
    }
}

/// The stored data of an event about a message.
#[derive(Deserialize)]
struct MessageData {
    message: Message,
}

/// The data of an event about a message, in this wire's shape.
#[derive(Serialize)]
struct MessageDataShape {
    message: MessageShape,
}

/// An event's data, with the vendor's field names.
fn data_shape(event: &Event, streamed: &mut StreamedText) -> Json {
    if event.kind.is_worker_event() {
        return event.data.clone();
    }
    if matches!(event.kind, EventKind::InputMessage | EventKind::OutputCompleted) {
        return match event.data.read::<MessageData>() {
            Some(MessageData { message }) => {
                Json::encode(&MessageDataShape { message: MessageShape::new(event.session, message) })
            }
            None => Json::encode(&json!({})),
        };
    }
    // The data of all other events is the domain's own, and small except for its texts.
    let mut data = event.data.read::<Map<String, Value>>().unwrap_or_default();
    match event.kind {
        EventKind::TurnCompleted => {
            data.insert("iterations".to_owned(), 1.into());
        }
        EventKind::TurnFailed => {
            if let Some(code) = data.get("exit_code").and_then(Value::as_i64) {
                data.insert("error_code".to_owned(), format!("exit_{code}").into());
            }
        }
        EventKind::OutputDelta => {
            if let Some(text) = streamed.take(event) {
                data.insert("accumulated".to_owned(), text.into());
            }
        }
        _ => {}
    }
    rename_id(&mut data, "agent", "agent_id", |id| ids::agent(AgentId(id)));
    rename_id(&mut data, "message", "input_message_id", |id| ids::message(MessageId(id)));
    // A message that was cancelled before a worker claimed it has no turn, but clients require the field.
    rename_id(&mut data, "turn", "turn_id", |id| ids::turn(TurnId(id)));
    if let Some(model) = data.remove("model") {
        data.insert("model_id".to_owned(), model);
    }
    if let Some(Value::Object(usage)) = data.get_mut("usage") {
        usage.remove("acus");
    }
    data.retain(|_, value| !value.is_null());
    Json::encode(&data)
}

fn rename_id(data: &mut Map<String, Value>, from: &str, to: &str, prefixed: impl Fn(Uuid) -> Prefixed) {
    if let Some(value) = data.remove(from) {
        let id = Uuid::deserialize(&value).unwrap_or_default();
        data.insert(to.to_owned(), prefixed(id).to_string().into());
    }
}

/// The text of an unfinished answer, as far as a reader has followed it.
#[derive(Debug, Default)]
pub struct StreamedText {
    turn: Option<TurnId>,
    text: String,
}

/// The stored data of a piece of an answer.
#[derive(Debug, Deserialize)]
struct Piece {
    delta: String,
    offset: usize,
}

impl StreamedText {
    /// Whether an event continues an answer whose beginning the reader has not followed.
    pub fn misses(&self, event: &Event) -> bool {
        event.kind == EventKind::OutputDelta
            && piece_offset(event).is_some_and(|offset| {
                (1..=MAX_ACCUMULATED).contains(&offset)
                    && (self.turn != event.context.turn || self.text.len() != offset)
            })
    }

    /// Takes an event. For a piece of an answer, returns the text up to its end, unless that is unknown or too long.
    pub fn take(&mut self, event: &Event) -> Option<&str> {
        if event.kind != EventKind::OutputDelta {
            return None;
        }
        let piece = event.data.read::<Piece>()?;
        if piece.offset == 0 {
            self.turn = event.context.turn;
            self.text.clear();
        }
        let goes_on = self.turn == event.context.turn && self.text.len() == piece.offset;
        if !goes_on || piece.offset + piece.delta.len() > MAX_ACCUMULATED {
            *self = StreamedText::default();
            return None;
        }
        self.text.push_str(&piece.delta);
        Some(&self.text)
    }
}

/// The position of a piece in its answer, in bytes.
pub fn piece_offset(event: &Event) -> Option<usize> {
    #[derive(Deserialize)]
    struct Place {
        offset: usize,
    }
    event.data.read::<Place>().map(|place| place.offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::agent::EventContext;
    use domain::ids::{EventId, SessionId};
    use domain::time::Micros;

    fn event(kind: EventKind, data: Value) -> Event {
        let turn = Some(TurnId(Uuid::from_u128(5)));
        Event {
            id: EventId::new(Micros(1), [7; 10], 4),
            session: SessionId::new(Micros(1), 1),
            sequence: 4,
            kind,
            data: data.into(),
            context: EventContext { turn, input: Some(MessageId(Uuid::from_u128(6))) },
            at: Micros(1),
        }
    }

    fn told(kind: EventKind, data: Value) -> Value {
        serde_json::to_value(EventShape::new(event(kind, data), &mut StreamedText::default())).unwrap()["data"].clone()
    }

    #[test]
    fn event_data_uses_the_vendors_words() {
        let (turn, message) = (Uuid::from_u128(5), Uuid::from_u128(6));
        let (turn_id, message_id) =
            (ids::turn(TurnId(turn)).to_string(), ids::message(MessageId(message)).to_string());
        assert_eq!(
            told(EventKind::TurnStarted, json!({ "turn": turn, "message": message, "attempt": 1 })),
            json!({ "turn_id": turn_id, "input_message_id": message_id, "attempt": 1 })
        );
        assert_eq!(
            told(
                EventKind::TurnCompleted,
                json!({ "turn": turn, "duration_ms": 5, "usage": { "input_tokens": 1, "acus": 2 } })
            ),
            json!({ "turn_id": turn_id, "duration_ms": 5, "usage": { "input_tokens": 1 }, "iterations": 1 })
        );
        assert_eq!(
            told(EventKind::TurnFailed, json!({ "turn": turn, "error": "no", "exit_code": 3 })),
            json!({ "turn_id": turn_id, "error": "no", "exit_code": 3, "error_code": "exit_3" })
        );
        let nobody = ids::turn(TurnId(Uuid::nil())).to_string();
        assert_eq!(
            told(EventKind::TurnCancelled, json!({ "turn": null, "reason": "user" })),
            json!({ "turn_id": nobody, "reason": "user" })
        );
        let workers = json!({ "turn": 1, "message": "mine" });
        assert_eq!(told(EventKind::ToolStarted, workers.clone()), workers, "a worker's data is not changed");
    }

    #[test]
    fn deltas_carry_the_text_so_far() {
        let mut streamed = StreamedText::default();
        let piece = |delta: &str, offset: usize| {
            event(EventKind::OutputDelta, json!({ "delta": delta, "offset": offset }))
        };
        assert_eq!(streamed.take(&piece("Hé", 0)), Some("Hé"));
        assert_eq!(streamed.take(&piece("llo", 3)), Some("Héllo"));
        assert_eq!(streamed.take(&event(EventKind::WorkerLog, json!({}))), None);
        assert_eq!(streamed.take(&piece("!", 6)), Some("Héllo!"));
        assert!(streamed.misses(&piece("x", 9)));
        assert_eq!(streamed.take(&piece("x", 9)), None, "a gap");
        assert!(!streamed.misses(&piece("A", 0)));
        assert_eq!(streamed.take(&piece("A", 0)), Some("A"), "the next answer");
        let long = "x".repeat(MAX_ACCUMULATED);
        assert_eq!(streamed.take(&piece(&long, 1)), None, "too long");
        assert!(!streamed.misses(&piece("y", MAX_ACCUMULATED + 1)), "too far in to catch up");
    }
}
