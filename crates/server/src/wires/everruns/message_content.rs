//! What is said: the parts of messages, as clients send them and as they are shown.

use super::ids::{self, Prefixed};
use super::output::fields;
use crate::failure::{Failure, RequestFailure};
use crate::http::object;
use crate::http::object::AnyObject;
use crate::http::rfc3339::Time;
use domain::agent::{Message, Source};
use domain::ids::SessionId;
use domain::json::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a part of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Text,
    Image,
    ImageFile,
    ToolCall,
    ToolResult,
}

/// The kind of a part. Another, or one of another shape, would break the strict clients.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is looked at")]
struct Text {
    text: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is looked at")]
struct Image {
    base64: Option<String>,
    url: Option<String>,
    media_type: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is looked at")]
struct ImageFile {
    image_id: String,
    filename: Option<String>,
}

/// What an agent gave to a tool stays text.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is looked at")]
struct ToolCall {
    id: String,
    name: String,
    arguments: AnyObject,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its shape is looked at")]
struct ToolResult {
    tool_call_id: String,
    error: Option<String>,
}

/// How a message is to be answered: kept with it, for its worker.
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
            return Ok((text, Json::default()));
        }
        parts.insert("content".to_owned(), json!(content));
        Ok((text, Json::of(&parts)))
    }
}

/// What is expected instead of a part that a user cannot send; nothing when it can be sent.
fn unsendable(part: &Map<String, Value>) -> Option<&'static str> {
    let has =
        |name: &str| part.get(name).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()));
    let shaped = is_known(&Json::of(part));
    match part.get("type").and_then(Value::as_str) {
        Some("text") => (!has("text")).then_some("a text that is not empty"),
        Some("image") => (!shaped || !has("url") && !has("base64")).then_some("a url or base64 of the image"),
        Some("image_file") => (!shaped || !has("image_id")).then_some("an image_id"),
        _ => Some("a part of type text, image or image_file"),
    }
}

/// What is kept with a message beside of its text: see [`Sent::read`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct Kept {
    content: Option<Vec<Json>>,
    controls: Option<Json>,
    metadata: Option<Json>,
    tags: Option<Json>,
}

/// A message as it is shown. Clients of the first generation demand `session_id` and `sequence`.
#[derive(Debug, Serialize)]
pub struct Shown {
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

impl Shown {
    /// A message of a session.
    pub fn new(session: SessionId, message: Message) -> Shown {
        let kept = match message.parts.is_list() {
            true => Kept { content: message.parts.read(), ..Kept::default() },
            false => message.parts.read::<Kept>().filter(|kept| kept.content.is_some()).unwrap_or_default(),
        };
        let mut content = kept.content.unwrap_or_default();
        content.retain(is_known);
        if content.is_empty() {
            content.push(Json::of(&json!({ "type": "text", "text": message.text })));
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
            controls: kept.controls.and_then(|controls| controls.read()),
            metadata: kept.metadata.filter(Json::is_object),
            tags: kept.tags.and_then(|tags| tags.read()),
            created_at: Time(message.created),
        }
    }
}

fn is_known(part: &Json) -> bool {
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
        let sent: Sent = serde_json::from_value(body).map_err(|error| error.to_string())?;
        let read = sent.read().map_err(|failure| failure.to_string())?;
        Ok((read.0, read.1.value()))
    }

    fn shown(text: &str, parts: Value) -> Value {
        let message = Message {
            id: MessageId::new(Micros(1), [7; 10]),
            sequence: 3,
            source: Source::Agent,
            author: None,
            text: text.to_owned(),
            parts: parts.into(),
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
