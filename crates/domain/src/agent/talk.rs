//! What is said in a session.

use crate::ids::{FileId, MessageId, PrincipalId};
use crate::json::Json;
use crate::refusal::Refusal;
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// How long the text of one message may be, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// How many files one message may come with.
pub const MAX_ATTACHMENTS: usize = 100;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person or a machine that gives work.
    User,
    /// The agent.
    Agent,
}

impl Source {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Source::User => "user",
            Source::Agent => "agent",
        }
    }

    /// The source of a word.
    pub fn parse(name: &str) -> Option<Source> {
        [Source::User, Source::Agent].into_iter().find(|source| source.name() == name)
    }
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The file, when it is kept here.
    pub id: Option<FileId>,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What it is, as it was said when it was sent.
    pub content_type: Option<String>,
    /// How long it is, in bytes, when that is known.
    pub size: Option<i64>,
}

/// A message that somebody wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// Its text.
    pub text: String,
    /// All of its parts, as the client wrote them; `null` when it is only the text. Kept and not judged.
    pub parts: Json,
    /// In whose name it is sent.
    pub author: PrincipalId,
    /// What comes with it.
    pub attachments: Vec<Attachment>,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its place in its session: 1, 2, … without gaps, over both sources.
    pub sequence: i64,
    /// Who said it.
    pub source: Source,
    /// The person or machine that said it; nobody for the agent.
    pub author: Option<PrincipalId>,
    /// Its text.
    pub text: String,
    /// All of its parts, as the client or the worker wrote them; `null` when it is only the text.
    pub parts: Json,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// For a message of the agent: the sequence of what it answers.
    pub answers: Option<i64>,
    /// When it was said.
    pub created: Micros,
}

impl Message {
    /// About how many bytes it is.
    pub fn bytes(&self) -> usize {
        let files = self.attachments.iter().map(|file| file.name.len() + file.url.len());
        self.text.len() + self.parts.text().len() + files.sum::<usize>()
    }
}

impl NewMessage {
    /// Checks what can be checked without the session.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for an empty or overlong text, or too many attachments.
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
