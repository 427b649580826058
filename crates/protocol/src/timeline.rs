//! What happened in a session, of any kind, on Tenure's own wire.

use crate::sessions::Principal;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// The most moments on a page.
pub const MAX_MOMENTS: u32 = 500;
/// The moments on a page, unless a request says otherwise.
pub const DEFAULT_MOMENTS: u32 = 100;

/// A page of a session's timeline, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline<D = serde_json::Value> {
    /// What happened.
    pub data: Vec<TimelineEntry<D>>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// Something that happened in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry<D = serde_json::Value> {
    /// When.
    pub at: Time,
    /// What, such as `session.started`, `device.granted` or `input.message`.
    #[serde(rename = "type")]
    pub moment_type: String,
    /// Who did it; `None` when nobody in particular did.
    pub actor: Option<Principal>,
    /// What, for people.
    pub text: String,
    /// What else is known, by the type.
    pub details: D,
}
