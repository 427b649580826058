//! The labels of an agent session: what its summary needs and has no column of its own in `agent_sessions`, as JSON. A
//! server that starts reads the summaries of all sessions, so it cannot read their bodies.
//!
//! Labels are a copy. They count only for the revision that they were written for, and when this version or a newer one
//! wrote them: during an upgrade server by server, an older server changes a session without its labels. Otherwise the
//! body counts. To add a field: give it `#[serde(default)]` and raise [`VERSION`].

use crate::Result;
use crate::database::DatabaseError;
use crate::rows::{parse_json, to_json};
use domain::agent::{Acus, AgentSession};
use domain::principal::PrincipalKind;
use domain::session::EndReason;
use domain::time::Micros;
use serde::{Deserialize, Serialize};

/// The version of the labels that this version of Tenure writes.
const VERSION: u32 = 1;

/// The labels of a session.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Labels {
    version: u32,
    revision: i64,
    pub(crate) owner_kind: Option<PrincipalKind>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) titled: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) tags: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) repos: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) ended: Option<(Micros, EndReason)>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) acus: Acus,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) input_tokens: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) output_tokens: i64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The text of a session's labels.
pub(crate) fn format_labels(session: &AgentSession) -> Result<String> {
    let given = &session.given;
    to_json(&Labels {
        version: VERSION,
        revision: session.revision,
        owner_kind: Some(given.owner_kind),
        titled: given.title.is_some(),
        tags: given.tags.clone(),
        repos: given.repos.clone(),
        model: given.model.clone(),
        ended: session.ended.as_ref().map(|(at, ending)| (*at, ending.reason)),
        acus: session.usage.acus,
        input_tokens: session.usage.input_tokens,
        output_tokens: session.usage.output_tokens,
    })
}

/// Parses labels; `None` when they were not written for this revision of the session.
pub(crate) fn parse_labels(text: &str, revision: i64) -> Result<Option<Labels>, DatabaseError> {
    let labels: Labels = parse_json(text)?;
    Ok(Some(labels).filter(|labels| labels.version >= VERSION && labels.revision == revision))
}
