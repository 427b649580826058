//! What can be done with one session on Tenure's own wire.

use serde::{Deserialize, Deserializer, Serialize};

/// The actions on a session: `POST /tenure/v1/sessions/{session}:{action}`.
pub const ACTIONS: &[&str] = &["end", "extend", "archive", "unarchive", "message"];

/// The body of `:end`. It may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndRequest {
    /// Why, for people: 1 to 500 characters in one line.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The body of `:extend`, `:archive` and `:unarchive`. It may be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyRequest {}

/// The body of `:message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// The text.
    pub text: String,
}

/// A change of an agent session. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionUpdate {
    /// The new title; `null` removes it.
    #[serde(default, deserialize_with = "read_present", skip_serializing_if = "Option::is_none")]
    pub title: Option<Option<String>>,
    /// All of the new tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// Reads a value that is there, so that `null` is not taken for an absent one.
fn read_present<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(reader).map(Some)
}
