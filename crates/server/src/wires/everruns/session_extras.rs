//! Client settings of a session that Tenure stores and returns, but does not use.
//!
//! Every list of sessions returns them, and published clients break on a list with a value of an unknown shape. So their
//! shape is checked, and unknown fields are dropped.

use super::ids;
use crate::failure::{Failure, RequestFailure};
use crate::http::object;
use crate::http::object::AnyObject;
use domain::json::Json;
use serde::{Deserialize, Serialize};

/// Largest size as JSON, in bytes. A page of a list repeats it up to a hundred times.
const MAX_BYTES: usize = 256 << 10;

/// A session's client settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionExtras {
    /// `harness_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harness_id: Option<String>,
    /// BCP 47.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    /// The client's capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<AnyObject>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::maybe_list")]
    tools: Option<Vec<Tool>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::maybe_list")]
    initial_files: Option<Vec<InitialFile>>,
    /// Instructions for the agent before the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    /// Most requests to the model in a turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_iterations: Option<u32>,
    /// Whether tools can run in parallel.
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::maybe")]
    network_access: Option<NetworkAccess>,
    /// MCP servers, which offer tools.
    #[serde(rename = "mcpServers", skip_serializing_if = "Option::is_none")]
    mcp_servers: Option<Json>,
}

/// A tool of the client, or a built-in one.
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

/// A file that the session starts with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct InitialFile {
    path: String,
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_readonly: Option<bool>,
}

/// Which hosts the session can connect to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct NetworkAccess {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocked: Vec<String>,
}

impl SessionExtras {
    /// Reads the stored form. Empty when another wire stored something else there.
    pub fn from_stored(extra: &Json) -> SessionExtras {
        extra.read().unwrap_or_default()
    }

    /// The form in which a session stores them.
    ///
    /// # Errors
    /// [`RequestFailure::Body`] for a malformed `harness_id`, and for more than 256 KiB.
    pub fn to_stored(&self) -> Result<Json, Failure> {
        let wrong = |sentence: String| Failure::from(RequestFailure::Body(sentence));
        if self.harness_id.as_ref().is_some_and(|id| !ids::is_harness(id)) {
            return Err(wrong(
                "harness_id: expected harness_ and 32 lower-case hexadecimal digits".to_owned(),
            ));
        }
        if *self == SessionExtras::default() {
            return Ok(Json::default());
        }
        let stored = Json::encode(self);
        if stored.text().len() > MAX_BYTES {
            let sentence =
                format!("tools, files and settings of a session: expected at most {MAX_BYTES} bytes");
            return Err(wrong(sentence));
        }
        Ok(stored)
    }

    /// Takes the harness's id: the client's, or the default one.
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
    fn values_that_strict_clients_cannot_read_are_refused_or_left_out() {
        let tool =
            json!({ "type": "client_side", "name": "ls", "description": "", "parameters": {}, "colour": 1 });
        let extras: SessionExtras = serde_json::from_value(json!({ "tools": [tool], "other": 1 })).unwrap();
        let tool = json!({ "type": "client_side", "name": "ls", "description": "", "parameters": {} });
        assert_eq!(extras.to_stored().unwrap().value(), json!({ "tools": [tool] }));
        for wrong in [
            json!({ "tools": [{ "type": "client_side", "name": "ls" }] }),
            json!({ "tools": [{ "type": "other", "name": "ls", "description": "", "parameters": {} }] }),
            json!({ "initial_files": [{ "path": "a" }] }),
            json!({ "network_access": { "allowed": "*" } }),
            json!({ "hints": [] }),
        ] {
            assert!(serde_json::from_value::<SessionExtras>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn extras_have_a_size_limit() {
        let of = |length: usize| SessionExtras {
            system_prompt: Some("x".repeat(length)),
            ..SessionExtras::default()
        };
        assert!(of(MAX_BYTES - 100).to_stored().is_ok());
        assert!(of(MAX_BYTES).to_stored().is_err());
        assert!(SessionExtras::default().to_stored().unwrap().is_null());
    }

    #[test]
    fn data_stored_by_another_wire_is_not_shown() {
        for extra in [Value::Null, json!("x"), json!({ "tools": "all" }), json!({ "other": {} })] {
            assert_eq!(
                SessionExtras::from_stored(&extra.clone().into()),
                SessionExtras::default(),
                "{extra}"
            );
        }
    }
}
