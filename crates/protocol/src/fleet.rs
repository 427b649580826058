//! The fleet on Tenure's own wire: devices, hosts, and requests that wait for a device.

use crate::sessions::{Named, Principal};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The state of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetState {
    /// It can be held.
    Free,
    /// A session holds it.
    Held,
    /// Its last hold has ended, and its host cleans it.
    Cleaning,
    /// It is not connected.
    Offline,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetDevice {
    /// Its name on the wires.
    pub id: String,
    /// Its platform, such as `ios`.
    pub platform: String,
    /// Its type, such as `real` or `emulator`.
    #[serde(rename = "type")]
    pub device_type: String,
    /// Its name, such as `Pixel 9`.
    pub name: String,
    /// The manufacturer's name of the model.
    pub model: Option<String>,
    /// The version of its operating system.
    pub version: Option<String>,
    /// The name of its host.
    pub host: String,
    /// Its organization; `None` for a device of the shared pool.
    pub organization: Option<Named>,
    /// Its state.
    pub state: FleetState,
    /// Who holds it; `None` also when the holder's session is not visible to the caller.
    pub hold: Option<DeviceHold>,
}

/// Who holds a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHold {
    /// Who asked for it.
    pub owner: Principal,
    /// The session.
    pub session: Uuid,
    /// Since when.
    pub since: Time,
}

/// A machine with devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetHost {
    /// Its name for itself.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Its organization; `None` for a host of the shared pool.
    pub organization: Option<Named>,
    /// Whether it is connected to a server.
    pub online: bool,
    /// When a server last heard from it.
    pub seen: Option<Time>,
    /// How many of its devices are in each state; each state is there.
    pub devices: BTreeMap<FleetState, u64>,
}

/// A request that waits for a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its place: 1 for a request that no earlier one competes with.
    pub place: u64,
    /// Its session.
    pub session: Uuid,
    /// Its organization.
    pub organization: Named,
    /// Who asks.
    pub owner: Principal,
    /// What is asked for: all of it must match.
    pub filters: Vec<WantedProperty>,
    /// Since when.
    pub since: Time,
    /// How much longer it will wait, in seconds, as others did in the last 7 days; `None` when nobody waited as long.
    pub estimated_wait: Option<u64>,
}

/// A property that a device must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedProperty {
    /// `platform`, `type`, `name` or `version`.
    pub attribute: String,
    /// `EQUALS`, `STARTS_WITH`, `CONTAINS`, `GREATER_THAN`, …
    pub operator: String,
    /// The value to compare with.
    pub value: String,
}
