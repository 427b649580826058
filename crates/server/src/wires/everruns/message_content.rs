//! The parts of messages, as clients send them and as this wire shows them.

use super::ids::{self, Prefixed};
use super::output::read_fields;
use crate::failure::{Failure, RequestFailure};
use crate::http::object;
use crate::http::object::AnyObject;
use crate::http::rfc3339::Time;
use domain::agent::{Message, MessageSource};
use domain::ids::SessionId;
use domain::json::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The kind of a message's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Text,
    Image,
    ImageFile,
    ToolCall,
    ToolResult,
}

/// A part of a known kind. Strict clients break on other kinds and shapes.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is checked")]
struct Text {
    text: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is checked")]
struct Image {
    base64: Option<String>,
    url: Option<String>,
    media_type: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is checked")]
struct ImageFile {
    image_id: String,
    filename: Option<String>,
}

/// A call of a tool. Its arguments are not parsed.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is checked")]
struct ToolCall {
    id: String,
    name: String,
    arguments: AnyObject,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is checked")]
struct ToolResult {
    tool_call_id: String,
    error: Option<String>,
}

/// How the worker should answer a message. Stored with it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Controls {
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_disclosure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<AnyObject>,
}

/// A message that a client sends.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with a message")]
pub struct SentMessage {
    /// The content.
    #[serde(deserialize_with = "object::one")]
    pub message: SentContent,
    /// Not deserialized as [`Controls`] directly: serde would accept a list for its fields.
    #[serde(default)]
    controls: Option<Map<String, Value>>,
    /// The client's own data, returned as it was sent.
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    /// The client's own labels.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// The content of a message that a client sends.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with a content")]
pub struct SentContent {
    #[serde(default)]
    role: Option<String>,
    content: Vec<Map<String, Value>>,
}

impl SentMessage {
    /// The text and the stored form of the parts, which is null for a single text.
    ///
    /// # Errors
    /// [`RequestFailure::Body`] for another role than `user`, for no content, and for parts that a user cannot send.
    pub fn read(self) -> Result<(String, Json), Failure> {
        let wrong = |sentence: String| Err(RequestFailure::Body(sentence).into());
        if self.message.role.as_deref().is_some_and(|role| role != "user") {
            return wrong("message.role: expected user: answers come from workers".to_owned());
        }
        let content = self.message.content;
        if content.is_empty() {
            return wrong("message.content: expected at least one part".to_owned());
        }
        for (at, part) in content.iter().enumerate() {
            if let Some(expected) = describe_expected(part) {
                return wrong(format!("message.content[{at}]: expected {expected}"));
            }
        }
        let controls = self.controls.as_ref().map(read_fields::<Controls>).transpose()?;
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
            return Ok((text, Json::default()));
        }
        parts.insert("content".to_owned(), json!(content));
        Ok((text, Json::encode(&parts)))
    }
}

/// Describes what was expected instead of a part that a user cannot send. `None` when a user can send it.
fn describe_expected(part: &Map<String, Value>) -> Option<&'static str> {
    let has =
        |name: &str| part.get(name).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()));
    let shaped = has_known_shape(&Json::encode(part));
    match part.get("type").and_then(Value::as_str) {
        Some("text") => (!has("text")).then_some("a text that is not empty"),
        Some("image") => (!shaped || !has("url") && !has("base64")).then_some("a url or base64 of the image"),
        Some("image_file") => (!shaped || !has("image_id")).then_some("an image_id"),
        _ => Some("a part of type text, image or image_file"),
    }
}

/// What is stored with a message besides its text: see [`SentMessage::read`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredParts {
    content: Option<Vec<Json>>,
    controls: Option<Json>,
    metadata: Option<Json>,
    tags: Option<Json>,
}

/// A message in this wire's shape. Clients of the first generation require `session_id` and `sequence`.
#[derive(Debug, Serialize)]
pub struct MessageShape {
    id: Prefixed,
    session_id: Prefixed,
    sequence: i64,
    role: &'static str,
    content: Vec<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controls: Option<Controls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    created_at: Time,
}

impl MessageShape {
    /// The shape of a message of a session.
    pub fn new(session: SessionId, message: Message) -> MessageShape {
        let stored = match message.parts.is_list() {
            true => StoredParts { content: message.parts.read(), ..StoredParts::default() },
            false => message
                .parts
                .read::<StoredParts>()
                .filter(|stored| stored.content.is_some())
                .unwrap_or_default(),
        };
        let mut content = stored.content.unwrap_or_default();
        content.retain(has_known_shape);
        if content.is_empty() {
            content.push(Json::encode(&json!({ "type": "text", "text": message.text })));
        }
        MessageShape {
            id: ids::message(message.id),
            session_id: ids::session(session),
            sequence: message.sequence,
            role: match message.source {
                MessageSource::User => "user",
                MessageSource::Agent => "agent",
            },
            content,
            controls: stored.controls.and_then(|controls| controls.read()),
            metadata: stored.metadata.filter(Json::is_object),
            tags: stored.tags.and_then(|tags| tags.read()),
            created_at: Time(message.created),
        }
    }
}

fn has_known_shape(part: &Json) -> bool {
    let Some(Part { kind }) = Some(part).filter(|part| part.is_object()).and_then(Json::read) else {
        return false;
    };
    match kind {
        Kind::Text => part.read::<Text>().is_some(),
        Kind::Image => part.read::<Image>().is_some(),
        Kind::ImageFile => part.read::<ImageFile>().is_some(),
        Kind::ToolCall => part.read::<ToolCall>().is_some(),
        Kind::ToolResult => part.read::<ToolResult>().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::MessageId;
    use domain::time::Micros;

    fn read(body: Value) -> Result<(String, Value), String> {
        let sent: SentMessage = serde_json::from_value(body).map_err(|error| error.to_string())?;
        let read = sent.read().map_err(|failure| failure.to_string())?;
        Ok((read.0, read.1.value()))
    }

    fn shown(text: &str, parts: Value) -> Value {
        let message = Message {
            id: MessageId::new(Micros(1), [7; 10]),
            sequence: 3,
            source: MessageSource::Agent,
            author: None,
            text: text.to_owned(),
            parts: parts.into(),
            attachments: Vec::new(),
            answers: Some(1),
            created: Micros(1),
        };
        serde_json::to_value(MessageShape::new(SessionId::new(Micros(1), 1), message)).unwrap()
    }

    #[test]
    fn a_single_text_is_stored_as_text() {
        let body = json!({ "message": { "role": "user", "content": [{ "type": "text", "text": "hello" }] } });
        assert_eq!(read(body).unwrap(), ("hello".to_owned(), Value::Null));
    }

    #[test]
    fn unknown_parts_are_stored_whole_and_returned() {
        let content = json!([{ "type": "text", "text": "look" }, { "type": "image", "url": "https://example.com/a.png" },
                             { "type": "text", "text": "here" }]);
        let body = json!({ "message": { "content": content }, "controls": { "model_id": "model_1" }, "tags": ["a"] });
        let (text, parts) = read(body).unwrap();
        assert_eq!(text, "look\nhere");
        let shape = shown(&text, parts);
        assert_eq!(shape["content"], content);
        assert_eq!(shape["controls"], json!({ "model_id": "model_1" }));
        assert_eq!(shape["tags"], json!(["a"]));
        assert_eq!(shape.get("metadata"), None);
    }

    #[test]
    fn invalid_parts_are_refused_with_their_place() {
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
    fn unknown_parts_of_workers_are_shown_in_a_form_that_strict_clients_read() {
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
