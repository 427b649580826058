//! What is said: the parts of messages, as clients send them and as they are shown.

use super::answer::fields;
use super::ids::{self, Prefixed};
use crate::failure::{Failure, RequestFailure};
use crate::wires::object;
use crate::wires::times::Time;
use domain::agent::{Message, Source};
use domain::ids::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Parts that clients know. Another, or one of another shape, would break the strict ones.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(dead_code, reason = "only their shape is looked at")]
enum Part {
    Text { text: String },
    Image { base64: Option<String>, url: Option<String>, media_type: Option<String> },
    ImageFile { image_id: String, filename: Option<String> },
    ToolCall { id: String, name: String, arguments: Map<String, Value> },
    ToolResult { tool_call_id: String, error: Option<String> },
}

/// How a message is to be answered: kept with it, for its worker.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Controls {
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_disclosure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<Map<String, Value>>,
}

/// A message that a client sends.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with a message")]
pub struct Sent {
    /// What is said.
    #[serde(deserialize_with = "object::one")]
    pub message: SentMessage,
    /// Not read as [`Controls`] at once: a list would be taken for one, field by field.
    #[serde(default)]
    controls: Option<Map<String, Value>>,
    /// Whatever the client wants to find again.
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    /// What people sort messages by.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// What is said.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with a content")]
pub struct SentMessage {
    #[serde(default)]
    role: Option<String>,
    content: Vec<Map<String, Value>>,
}

impl Sent {
    /// The text of it, and all of its parts as they are kept: nothing when there is only one text.
    ///
    /// # Errors
    /// [`RequestFailure::Body`] for another role than the user's, no content, and parts that a user cannot send.
    pub fn read(self) -> Result<(String, Value), Failure> {
        let wrong = |sentence: String| Err(RequestFailure::Body(sentence).into());
        if self.message.role.as_deref().is_some_and(|role| role != "user") {
            return wrong("message.role: expected user: answers come from workers".to_owned());
        }
        let content = self.message.content;
        if content.is_empty() {
            return wrong("message.content: expected at least one part".to_owned());
        }
        for (at, part) in content.iter().enumerate() {
            if let Some(expected) = unsendable(part) {
                return wrong(format!("message.content[{at}]: expected {expected}"));
            }
        }
        let controls = self.controls.as_ref().map(fields::<Controls>).transpose()?;
        let texts = content.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
        let text = texts.collect::<Vec<_>>().join("\n");
        let more = [
            ("controls", controls.map(|controls| json!(controls))),
            ("metadata", self.metadata.map(Value::Object)),
            ("tags", self.tags.map(Value::from)),
        ];
        let more = more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut parts = more.collect::<Map<_, _>>();
        let only_text = matches!(content.as_slice(), [part] if part.len() == 2 && part["type"] == "text");
        if parts.is_empty() && only_text {
            return Ok((text, Value::Null));
        }
        parts.insert("content".to_owned(), json!(content));
        Ok((text, Value::Object(parts)))
    }
}

/// What is expected instead of a part that a user cannot send; nothing when it can be sent.
fn unsendable(part: &Map<String, Value>) -> Option<&'static str> {
    let has =
        |name: &str| part.get(name).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()));
    let shaped = is_known(&Value::Object(part.clone()));
    match part.get("type").and_then(Value::as_str) {
        Some("text") => (!has("text")).then_some("a text that is not empty"),
        Some("image") => (!shaped || !has("url") && !has("base64")).then_some("a url or base64 of the image"),
        Some("image_file") => (!shaped || !has("image_id")).then_some("an image_id"),
        _ => Some("a part of type text, image or image_file"),
    }
}

/// A message as it is shown. Clients of the first generation demand `session_id` and `sequence`.
#[derive(Debug, Serialize)]
pub struct Shown {
    id: Prefixed,
    session_id: Prefixed,
    sequence: i64,
    role: &'static str,
    content: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controls: Option<Controls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    created_at: Time,
}

impl Shown {
    /// A message of a session.
    pub fn new(session: SessionId, message: Message) -> Shown {
        let (content, mut more) = match message.parts {
            Value::Array(parts) => (parts, Map::new()),
            Value::Object(mut more) => match more.remove("content") {
                Some(Value::Array(parts)) => (parts, more),
                _ => (Vec::new(), Map::new()),
            },
            _ => (Vec::new(), Map::new()),
        };
        let mut content = content.into_iter().filter(is_known).collect::<Vec<_>>();
        if content.is_empty() {
            content.push(json!({ "type": "text", "text": message.text }));
        }
        Shown {
            id: ids::message(message.id),
            session_id: ids::session(session),
            sequence: message.sequence,
            role: match message.source {
                Source::User => "user",
                Source::Agent => "agent",
            },
            content,
            controls: more.remove("controls").and_then(|controls| serde_json::from_value(controls).ok()),
            metadata: more.remove("metadata").filter(Value::is_object),
            tags: more.remove("tags").and_then(|tags| serde_json::from_value(tags).ok()),
            created_at: Time(message.created),
        }
    }
}

fn is_known(part: &Value) -> bool {
    Part::deserialize(part).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::MessageId;
    use domain::time::Micros;

    fn read(body: Value) -> Result<(String, Value), String> {
        let sent: Sent = serde_json::from_value(body).map_err(|error| error.to_string())?;
        sent.read().map_err(|failure| failure.to_string())
    }

    fn shown(text: &str, parts: Value) -> Value {
        let message = Message {
            id: MessageId::new(Micros(1), [7; 10]),
            sequence: 3,
            source: Source::Agent,
            author: None,
            text: text.to_owned(),
            parts,
            attachments: Vec::new(),
            answers: Some(1),
            created: Micros(1),
        };
        serde_json::to_value(Shown::new(SessionId::new(Micros(1), 1), message)).unwrap()
    }

    #[test]
    fn one_text_is_kept_as_the_text_alone() {
        let body = json!({ "message": { "role": "user", "content": [{ "type": "text", "text": "hello" }] } });
        assert_eq!(read(body).unwrap(), ("hello".to_owned(), Value::Null));
    }

    #[test]
    fn more_than_that_is_kept_whole_and_shown_again() {
        let content = json!([{ "type": "text", "text": "look" }, { "type": "image", "url": "https://example.com/a.png" },
                             { "type": "text", "text": "here" }]);
        let body = json!({ "message": { "content": content }, "controls": { "model_id": "model_1" }, "tags": ["a"] });
        let (text, parts) = read(body).unwrap();
        assert_eq!(text, "look\nhere");
        let shown = shown(&text, parts);
        assert_eq!(shown["content"], content);
        assert_eq!(shown["controls"], json!({ "model_id": "model_1" }));
        assert_eq!(shown["tags"], json!(["a"]));
        assert_eq!(shown.get("metadata"), None);
    }

    #[test]
    fn what_a_user_cannot_send_is_refused_by_its_place() {
        let of = |content: Value| read(json!({ "message": { "content": content } })).unwrap_err();
        let kinds = "expected a part of type text, image or image_file";
        assert!(of(json!([])).contains("at least one part"));
        assert!(
            of(json!([{ "type": "text", "text": "" }]))
                .contains("content[0]: expected a text that is not empty")
        );
        assert!(
            of(json!([{ "type": "text", "text": "a" }, { "type": "tool_call" }]))
                .contains(&format!("content[1]: {kinds}"))
        );
        assert!(of(json!([{ "type": "image" }])).contains("a url or base64"));
        assert!(of(json!([{ "type": "image_file" }])).contains("an image_id"));
        let role = json!({ "message": { "role": "agent", "content": [{ "type": "text", "text": "a" }] } });
        assert!(read(role).unwrap_err().contains("message.role: expected user"));
    }

    #[test]
    fn whatever_a_worker_calls_parts_is_shown_as_what_strict_clients_read() {
        let text = json!([{ "type": "text", "text": "hi" }]);
        for parts in [
            Value::Null,
            json!([]),
            json!({}),
            json!("x"),
            json!([{ "type": "video" }]),
            json!({ "content": 1 }),
        ] {
            assert_eq!(shown("hi", parts.clone())["content"], text, "{parts}");
        }
        let call = json!([{ "type": "tool_call", "id": "1", "name": "ls", "arguments": {} }]);
        assert_eq!(shown("hi", call.clone())["content"], call);
    }
}
