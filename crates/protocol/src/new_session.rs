//! `POST /tenure/v1/sessions`: new sessions on Tenure's own wire.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest time, in seconds, that a request waits for a device: `Prefer: wait=60`.
pub const MAX_DEVICE_WAIT_SECONDS: u64 = 60;

/// A session to be created. `kind` says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SessionRequest {
    /// An agent session.
    Agent(AgentSessionRequest),
    /// A device session.
    Device(DeviceSessionRequest),
}

/// An agent session to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSessionRequest {
    /// Its organization. Otherwise the one in the header, or else the caller's default.
    pub organization: Option<Uuid>,
    /// The agent, by its id or name. Otherwise the organization's default agent.
    pub agent: Option<String>,
    /// The text of the first message.
    pub message: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// The preferred model. Otherwise the agent's.
    pub model: Option<String>,
    /// The category.
    pub category: Option<String>,
    /// The repositories that the agent works in.
    pub repos: Vec<String>,
    /// The session that starts it, in the same organization.
    pub parent: Option<Uuid>,
}

/// A device session to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSessionRequest {
    /// Its organization. Otherwise the one in the header, or else the caller's default.
    pub organization: Option<Uuid>,
    /// The device that is requested for it.
    pub request: Option<NewDeviceRequest>,
}

/// A request for a device. The device must have all that is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDeviceRequest {
    /// `android` or `ios`.
    pub platform: String,
    /// `real`, `emulator` or `simulator`.
    #[serde(rename = "type", default)]
    pub device_type: Option<String>,
    /// The name of the device. With `*` at the end, how it begins.
    #[serde(default)]
    pub name: Option<String>,
    /// The version of the operating system; after `>`, `>=`, `<` or `<=`, a bound.
    #[serde(default)]
    pub version: Option<String>,
}
