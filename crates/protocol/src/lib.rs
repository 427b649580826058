//! What a Tenure server says to its hosts, and they to it; for its workers see [`work`].
//!
//! A host opens one WebSocket to `/tenure/v1/host` of each server it is told of, with its key as
//! `Authorization: Bearer …`, and speaks JSON text frames: [`FromHost`] one way, [`ToHost`] the other.
//! The order is: host `hello`; server `welcome`; host `devices` (all of them, and again whenever
//! they change); server `holds`, `clean` and `call`s; host `answer`s and `cleaned`.
//!
//! **Fencing.** Every grant of a device has a number larger than the one before. The host remembers per
//! device the largest number it has seen and whether that grant has ended, and refuses a `call` of an
//! older or ended one with [`STALE_HOLD`]. So a server that was cut off cannot drive a device
//! that somebody else holds by now.
//!
//! Both sides ignore fields they do not know; neither ignores a message type it does not know:
//! the connection is closed with a reason instead, since skipping an order is worse than reconnecting.

pub mod work;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The version of this protocol; both sides refuse another.
pub const PROTOCOL_VERSION: u32 = 1;

/// Path of the WebSocket, below the server's base URL.
pub const HOST_PATH: &str = "/tenure/v1/host";

/// Path of the files a call refers to: `GET {HOST_FILES_PATH}/{id}` fetches one, `PUT` stores one.
/// Both take the host's key as `Authorization: Bearer …`.
pub const HOST_FILES_PATH: &str = "/tenure/v1/host/files";

/// Header by which a worker or a host says whom it serves: `account`, or `organization`, which the header
/// `x-organization-id` may name. Without it, the key decides.
pub const SERVES_HEADER: &str = "x-tenure-serves";

/// Header by which the server warns a worker, in a sentence for its log: that its key can do more than it needs.
pub const WARNING_HEADER: &str = "x-tenure-warning";

/// Close code for a host whose name another connection took over: two machines would otherwise take the name from
/// one another for ever, so the older one ends instead of connecting again.
pub const CLOSE_REPLACED: u16 = 4001;

/// JSON-RPC error code of a call whose hold has ended or was replaced (fencing).
pub const STALE_HOLD: i64 = -32020;

/// JSON-RPC error code of a device that is known but cannot be reached now.
pub const DEVICE_UNAVAILABLE: i64 = -32021;

/// JSON-RPC error code of a command that did not end in time.
pub const DEVICE_TIMEOUT: i64 = -32050;

/// JSON-RPC error code of anything that went wrong on the host.
pub const HOST_FAILED: i64 = -32000;

/// A frame from a host to a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum FromHost {
    /// The first frame: who is calling.
    Hello {
        /// [`PROTOCOL_VERSION`] of the host.
        protocol: u32,
        /// The host's name, unique in its organization; a newer connection of the same name replaces the older.
        name: String,
        /// The program's version, for people.
        version: String,
    },
    /// Everything that hangs on the host now. What is missing here is offline.
    Devices {
        /// All devices, in no order.
        devices: Vec<DeviceReport>,
    },
    /// The outcome of a [`ToHost::Call`]: exactly one of `result` and `error`.
    Answer {
        /// The call's id.
        id: u64,
        /// What the device's driver answered, unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
        /// Why there is no result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<CallError>,
    },
    /// A device was cleaned after its hold and may be handed out again.
    Cleaned {
        /// The device.
        serial: String,
        /// The fencing number of the hold that was cleaned up after.
        fence: i64,
        /// What could not be cleaned, in words for the operator; the device is handed out all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
}

/// A frame from a server to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum ToHost {
    /// The answer to [`FromHost::Hello`].
    Welcome {
        /// [`PROTOCOL_VERSION`] of the server.
        protocol: u32,
        /// The server's id of this host.
        host: Uuid,
    },
    /// The holds that stand on this host's devices: after the first `devices`, and after each change.
    /// A device that is not in the list is held by nobody.
    Holds {
        /// All of them.
        holds: Vec<HoldNotice>,
    },
    /// A hold has ended: refuse its calls from now on, clean the device and say [`FromHost::Cleaned`].
    /// May be repeated after a reconnect; cleaning twice must do no harm.
    Clean {
        /// The device.
        serial: String,
        /// The fencing number of the hold that ended.
        fence: i64,
    },
    /// Drive a device.
    Call {
        /// Chosen by the server, unique on this connection.
        id: u64,
        /// The device.
        serial: String,
        /// The fencing number of the caller's hold.
        fence: i64,
        /// A `device.*` method of mobilecli.
        method: String,
        /// Its parameters as the client gave them, less `deviceId`; always an object.
        params: Value,
        /// The file that the call is about: the app to install, or where to put a finished recording.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<CallFile>,
        /// How long the server will wait for the answer, in milliseconds.
        timeout_ms: u64,
    },
}

/// A device as its host sees it.
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
    /// What a person calls it.
    pub name: String,
    /// The manufacturer's model; may be empty.
    #[serde(default)]
    pub model: String,
    /// Version of the operating system.
    #[serde(default)]
    pub version: String,
    /// Whether it can be driven now.
    pub online: bool,
}

/// One hold that stands.
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

/// Why a call has no result, in JSON-RPC's terms.
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
