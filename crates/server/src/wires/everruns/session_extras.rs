//! What a client says of a session that Tenure keeps for it and does not judge.
//!
//! It is given back to everybody who lists sessions, and published clients break on a list with one thing in it that has
//! another shape than they know. So its shape is checked, and what they do not know is left out.

use super::ids;
use crate::failure::{Failure, RequestFailure};
use crate::http::object;
use crate::http::object::AnyObject;
use domain::json::Json;
use serde::{Deserialize, Serialize};

/// How long it may be all together, as JSON: a page of a list has it a hundred times.
const MAX_BYTES: usize = 256 << 10;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// `harness_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harness_id: Option<String>,
    /// BCP 47.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    /// What the client can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<AnyObject>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::maybe_list")]
    tools: Option<Vec<Tool>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::maybe_list")]
    initial_files: Option<Vec<InitialFile>>,
    /// What the agent is told before the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    /// How often the model may be asked in a turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_iterations: Option<u32>,
    /// Whether tools may run side by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::maybe")]
    network_access: Option<NetworkAccess>,
    /// Servers of tools.
    #[serde(rename = "mcpServers", skip_serializing_if = "Option::is_none")]
    mcp_servers: Option<Json>,
}

/// A tool that the client runs, or asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: ToolKind,
    name: String,
    description: String,
    parameters: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hints: Option<Json>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToolKind {
    Builtin,
    ClientSide,
}

/// A file that the session begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct InitialFile {
    path: String,
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_readonly: Option<bool>,
}

/// Where the session may connect to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct NetworkAccess {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocked: Vec<String>,
}

impl Kept {
    /// Out of what a session keeps; nothing of it when another wire wrote something else there.
    pub fn of(extra: &Json) -> Kept {
        extra.read().unwrap_or_default()
    }

    /// As a session keeps it.
    ///
    /// # Errors
    /// [`RequestFailure::Body`] for what is no harness, and when it is too long.
    pub fn extra(&self) -> Result<Json, Failure> {
        let wrong = |sentence: String| Failure::from(RequestFailure::Body(sentence));
        if self.harness_id.as_ref().is_some_and(|id| !ids::is_harness(id)) {
            return Err(wrong(
                "harness_id: expected harness_ and 32 lower-case hexadecimal digits".to_owned(),
            ));
        }
        if *self == Kept::default() {
            return Ok(Json::default());
        }
        let kept = Json::of(self);
        if kept.text().len() > MAX_BYTES {
            let sentence =
                format!("tools, files and settings of a session: expected at most {MAX_BYTES} bytes");
            return Err(wrong(sentence));
        }
        Ok(kept)
    }

    /// The id of the harness: the client's own, or the default one.
    pub fn take_harness(&mut self) -> String {
        let own = self.harness_id.take().filter(|id| ids::is_harness(id));
        own.unwrap_or_else(|| ids::default_harness().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_strict_clients_cannot_read_is_refused_or_left_out() {
        let tool =
            json!({ "type": "client_side", "name": "ls", "description": "", "parameters": {}, "colour": 1 });
        let kept: Kept = serde_json::from_value(json!({ "tools": [tool], "other": 1 })).unwrap();
        let tool = json!({ "type": "client_side", "name": "ls", "description": "", "parameters": {} });
        assert_eq!(kept.extra().unwrap().value(), json!({ "tools": [tool] }));
        for wrong in [
            json!({ "tools": [{ "type": "client_side", "name": "ls" }] }),
            json!({ "tools": [{ "type": "other", "name": "ls", "description": "", "parameters": {} }] }),
            json!({ "initial_files": [{ "path": "a" }] }),
            json!({ "network_access": { "allowed": "*" } }),
            json!({ "hints": [] }),
        ] {
            assert!(serde_json::from_value::<Kept>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_is_not_longer_than_a_list_can_bear() {
        let of = |length: usize| Kept { system_prompt: Some("x".repeat(length)), ..Kept::default() };
        assert!(of(MAX_BYTES - 100).extra().is_ok());
        assert!(of(MAX_BYTES).extra().is_err());
        assert!(Kept::default().extra().unwrap().is_null());
    }

    #[test]
    fn what_another_wire_kept_there_is_not_shown() {
        for extra in [Value::Null, json!("x"), json!({ "tools": "all" }), json!({ "other": {} })] {
            assert_eq!(Kept::of(&extra.clone().into()), Kept::default(), "{extra}");
        }
    }
}
