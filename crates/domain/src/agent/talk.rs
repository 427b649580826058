//! The messages of an agent session.

use crate::ids::{FileId, MessageId, PrincipalId};
use crate::json::Json;
use crate::refusal::Refusal;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// Maximum length of a message's text, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Maximum number of attachments of a message.
pub const MAX_ATTACHMENTS: usize = 100;

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageSource {
    /// A user or a service user.
    User,
    /// The agent.
    Agent,
}

impl MessageSource {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            MessageSource::User => "user",
            MessageSource::Agent => "agent",
        }
    }

    /// The source with this name.
    pub fn parse(name: &str) -> Option<MessageSource> {
        [MessageSource::User, MessageSource::Agent].into_iter().find(|source| source.name() == name)
    }
}

/// A file attached to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The stored file; `None` when it is stored elsewhere.
    pub id: Option<FileId>,
    /// Its name.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Its media type, as its sender stated it.
    pub content_type: Option<String>,
    /// Its length in bytes, if known.
    pub size: Option<i64>,
}

/// A message of a user to add to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// The text.
    pub text: String,
    /// All parts as the client sent them; `null` when there is only text. Stored without checks.
    pub parts: Json,
    /// Its author.
    pub author: PrincipalId,
    /// Its attachments.
    pub attachments: Vec<Attachment>,
}

/// A message of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its position in the session: 1, 2, … without gaps, counted over both sources.
    pub sequence: i64,
    /// Who wrote it.
    pub source: MessageSource,
    /// Its author; `None` for messages of the agent.
    pub author: Option<PrincipalId>,
    /// The text.
    pub text: String,
    /// All parts as the client or the worker sent them; `null` when there is only text.
    pub parts: Json,
    /// Its attachments.
    pub attachments: Vec<Attachment>,
    /// For messages of the agent: the sequence of the message that it answers.
    pub answers: Option<i64>,
    /// When it was added.
    pub created: Micros,
}

impl Message {
    /// Its approximate size in bytes.
    pub fn bytes(&self) -> usize {
        let files = self.attachments.iter().map(|file| file.name.len() + file.url.len());
        self.text.len() + self.parts.text().len() + files.sum::<usize>()
    }
}

impl NewMessage {
    /// Checks everything that can be checked without the session.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for an empty message, a text that is too long or has NUL characters, and too many attachments.
    pub fn check(&self) -> Result<(), Refusal> {
        let said = !self.text.trim().is_empty() || !self.parts.is_null() || !self.attachments.is_empty();
        if !said {
            return Err(Refusal::invalid("message", "a text that is not empty"));
        }
        if self.text.len() > MAX_MESSAGE_BYTES || self.text.contains('\0') {
            let expected = format!("at most {MAX_MESSAGE_BYTES} bytes of text without NUL");
            return Err(Refusal::invalid("message", expected));
        }
        if self.attachments.len() > MAX_ATTACHMENTS {
            return Err(Refusal::invalid("attachments", format!("at most {MAX_ATTACHMENTS} attachments")));
        }
        Ok(())
    }
}
