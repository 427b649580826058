//! The messages between a Tenure server and its hosts; for its workers see [`work`]. The other modules are the shapes of
//! Tenure's own wire for everybody else: [`sessions`], [`new_session`], [`actions`], [`timeline`], [`views`], [`fleet`],
//! [`agents`], [`directory`], [`lists`] and [`problem`].
//!
//! A host opens one WebSocket to `/tenure/v1/host` of each of its servers, with its key as `Authorization: Bearer …`. Both
//! sides send JSON text frames: the host [`FromHost`], the server [`ToHost`]. The host begins with `hello`, and the server
//! replies with `welcome`. Then the host sends `devices` (all of them, and again whenever they change), the server sends
//! `holds`, `clean` and `call`, and the host replies with `answer` and `cleaned`.
//!
//! **Fencing.** Every hold of a device has a fencing number larger than the one before. The host remembers the largest
//! number of each device and whether that hold has ended, and refuses a `call` of an older or ended hold with
//! [`STALE_HOLD`]. So a server that was cut off cannot drive a device that somebody else holds now.
//!
//! Both sides ignore unknown fields. On an unknown message type they close the connection with a reason: to skip a message
//! would be worse than to reconnect.

pub mod actions;
pub mod agents;
pub mod directory;
pub mod fleet;
pub mod lists;
pub mod new_session;
pub mod problem;
pub mod sessions;
pub mod time;
pub mod timeline;
pub mod views;
pub mod work;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The version of this protocol. Both sides refuse other versions.
pub const PROTOCOL_VERSION: u32 = 1;

/// Path of the WebSocket, below the server's base URL.
pub const HOST_PATH: &str = "/tenure/v1/host";

/// Path of the files of calls: `GET {HOST_FILES_PATH}/{id}` downloads a file, `PUT` uploads one. Both need the host's key
/// as `Authorization: Bearer …`.
pub const HOST_FILES_PATH: &str = "/tenure/v1/host/files";

/// Header of workers and hosts that chooses whom they serve: `account` or `organization`. The header `x-organization-id`
/// can name the organization. Without this header, the key decides.
pub const SERVES_HEADER: &str = "x-tenure-serves";

/// Header with a warning for the worker's log: the worker's key has more permissions than it needs.
pub const WARNING_HEADER: &str = "x-tenure-warning";

/// Close code for a host when another connection takes over its name. The older host then ends instead of reconnecting:
/// otherwise two machines would take the name from each other for ever.
pub const CLOSE_REPLACED: u16 = 4001;

/// JSON-RPC error code: the call's hold has ended or was replaced (fencing).
pub const STALE_HOLD: i64 = -32020;

/// JSON-RPC error code: the device is known but cannot be reached now.
pub const DEVICE_UNAVAILABLE: i64 = -32021;

/// JSON-RPC error code: the command timed out.
pub const DEVICE_TIMEOUT: i64 = -32050;

/// JSON-RPC error code: another error on the host.
pub const HOST_FAILED: i64 = -32000;

/// A frame from a host to a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum FromHost {
    /// The first frame: the host's identity.
    Hello {
        /// [`PROTOCOL_VERSION`] of the host.
        protocol: u32,
        /// The host's name, unique in its organization; a newer connection of the same name replaces the older.
        name: String,
        /// The program's version, for people.
        version: String,
    },
    /// All devices that are connected to the host now. Devices that are missing in the list are offline.
    Devices {
        /// The devices, in any order.
        devices: Vec<DeviceReport>,
    },
    /// The reply to a [`ToHost::Call`], with exactly one of `result` and `error`.
    Answer {
        /// The call's id.
        id: u64,
        /// The result of the device's driver, unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
        /// Why there is no result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<CallError>,
    },
    /// A device was cleaned up after a hold and can be held again.
    Cleaned {
        /// The device.
        serial: String,
        /// The fencing number of that hold.
        fence: i64,
        /// What could not be cleaned up, in words for the operator. The device can be held all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
}

/// A frame from a server to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum ToHost {
    /// The reply to [`FromHost::Hello`].
    Welcome {
        /// [`PROTOCOL_VERSION`] of the server.
        protocol: u32,
        /// The server's id of this host.
        host: Uuid,
    },
    /// The current holds on this host's devices: sent after the first `devices`, and after each change. A device that is not
    /// in the list has no hold.
    Holds {
        /// All current holds.
        holds: Vec<HoldNotice>,
    },
    /// A hold has ended: the host refuses its calls from now on, cleans up the device and replies [`FromHost::Cleaned`]. It may
    /// be repeated after a reconnect, so cleaning up twice must do no harm.
    Clean {
        /// The device.
        serial: String,
        /// The fencing number of the hold that ended.
        fence: i64,
    },
    /// A command to a device.
    Call {
        /// Chosen by the server, unique on this connection.
        id: u64,
        /// The device.
        serial: String,
        /// The fencing number of the caller's hold.
        fence: i64,
        /// A `device.*` method of mobilecli.
        method: String,
        /// The client's parameters without `deviceId`; always an object.
        params: Value,
        /// The file of the call: the app to install, or where to upload a finished recording.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<CallFile>,
        /// How long the server waits for the reply, in milliseconds.
        timeout_ms: u64,
    },
}

/// A device as its host reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceReport {
    /// Serial number or UDID, unique on the host.
    pub serial: String,
    /// `android` or `ios`.
    pub platform: String,
    /// `real`, `emulator` or `simulator`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name for people.
    pub name: String,
    /// The manufacturer's name of the model; can be empty.
    #[serde(default)]
    pub model: String,
    /// Version of the operating system.
    #[serde(default)]
    pub version: String,
    /// Whether it is usable now.
    pub online: bool,
}

/// A current hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldNotice {
    /// The device.
    pub serial: String,
    /// Its fencing number.
    pub fence: i64,
}

/// A file of a [`ToHost::Call`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallFile {
    /// Its id below [`HOST_FILES_PATH`].
    pub id: Uuid,
    /// The name its sender gave it: ASCII letters, digits, `_`, `.` and `-` only.
    pub name: String,
}

/// The error of a call, as in JSON-RPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallError {
    /// A JSON-RPC error code.
    pub code: i64,
    /// The kind of failure.
    pub message: String,
    /// One sentence for people. A string, because clients fail on anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}
