//! Device sessions: devices, and the holds on them.

mod filter;
mod queue;
mod rules;

pub use filter::{DeviceFilter, DeviceFilters, DeviceProfile};
pub use queue::{DeviceAssignment, QueuedRequest, assign_devices, can_hold, estimate_wait, number_places};
pub use rules::{Actor, DeviceChange, DeviceCommand, MAX_HOLDS, MAX_OPEN_HOLDS, decide};

use crate::ids::{DeviceId, HoldId, HostId, OrganizationId, PrincipalId, SessionId};
use crate::session::Ending;
use crate::time::Micros;

/// A phone or emulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The host that it is connected to.
    pub host: HostId,
    /// Its organization; [`OrganizationId::ACCOUNT`] for the shared pool.
    pub organization: OrganizationId,
    /// Its name on its host.
    pub serial: String,
    /// Its name on the wires: the serial, unless a device of another host has the same.
    pub handle: String,
    /// The properties that filters compare.
    pub profile: DeviceProfile,
    /// The manufacturer's name of the model; can be empty.
    pub model: String,
    /// Whether its host reports it as usable.
    pub online: bool,
    /// The fencing number of its newest hold; incremented with each hold.
    pub fence: i64,
    /// The hold that holds it.
    pub holder: Option<HoldId>,
    /// Whether its last hold has ended and its host has not cleaned it up yet.
    pub cleaning: bool,
}

impl Device {
    /// Whether it can be held now.
    pub fn is_free(&self) -> bool {
        self.availability() == Availability::Free
    }

    /// Whether it can be held, or why not.
    pub fn availability(&self) -> Availability {
        match self {
            Device { holder: Some(_), .. } => Availability::Held,
            Device { cleaning: true, .. } => Availability::Cleaning,
            Device { online: false, .. } => Availability::Offline,
            _ => Availability::Free,
        }
    }
}

/// Whether a device can be held, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Availability {
    /// It can be held.
    Free,
    /// A session holds it.
    Held,
    /// Its last hold has ended, and its host has not cleaned it yet.
    Cleaning,
    /// It is not connected.
    Offline,
}

/// The device of a hold, as it was when the hold was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDevice {
    /// The device.
    pub device: DeviceId,
    /// The hold's fencing number: larger than those of all earlier holds of the device.
    pub fence: i64,
    /// The device's name on the wires.
    pub handle: String,
    /// The device's properties.
    pub profile: DeviceProfile,
    /// The manufacturer's name of the model; can be empty.
    pub model: String,
}

/// The state of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// Waiting for a device.
    Pending,
    /// A device is held.
    InUse,
    /// It ended.
    Released,
}

impl HoldState {
    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            HoldState::Pending => "pending",
            HoldState::InUse => "in_use",
            HoldState::Released => "released",
        }
    }
}

/// A request for a device, and the hold that it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id; clients call it the allocation.
    pub id: HoldId,
    /// Who requested it.
    pub principal: PrincipalId,
    /// The requested platform. The other filters matter only while the request waits: see [`QueuedRequest`].
    pub platform: String,
    /// When it was requested.
    pub requested: Micros,
    /// The device that is or was held.
    pub held: Option<HeldDevice>,
    /// When the device was granted.
    pub granted: Option<Micros>,
    /// Time of the last command, accurate to about 30 s.
    pub activity: Micros,
    /// When and why it ended.
    pub ended: Option<(Micros, Ending)>,
}

impl Hold {
    /// Its state.
    pub fn state(&self) -> HoldState {
        match (&self.ended, &self.held) {
            (Some(_), _) => HoldState::Released,
            (None, Some(_)) => HoldState::InUse,
            (None, None) => HoldState::Pending,
        }
    }

    /// Whether a client's name refers to this hold: the device's handle, or the hold's id.
    pub fn has_name(&self, name: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.handle == name)
            || crate::ids::parse_uuid(name) == Some(self.id.0)
    }
}

/// A device session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSession {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id, which contains the time of creation.
    pub id: SessionId,
    /// Who created it.
    pub owner: PrincipalId,
    /// Incremented with every change.
    pub revision: i64,
    /// Since when it has no open holds; `None` while it has one, and before its first.
    pub released: Option<Micros>,
    /// Time of the last request for a device or end of a hold.
    pub activity: Micros,
    /// When and why it ended.
    pub ended: Option<(Micros, Ending)>,
    /// All of its holds, oldest first.
    pub holds: Vec<Hold>,
}

impl DeviceSession {
    /// A new session without holds.
    pub fn new(organization: OrganizationId, id: SessionId, owner: PrincipalId) -> DeviceSession {
        DeviceSession {
            organization,
            id,
            owner,
            revision: 1,
            released: None,
            activity: id.creation_time(),
            ended: None,
            holds: Vec::new(),
        }
    }

    /// The holds that have not ended.
    pub fn open_holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(|hold| hold.ended.is_none())
    }

    /// The newest hold. It represents the session on wires that show only one.
    pub fn newest_hold(&self) -> Option<&Hold> {
        self.holds.last()
    }

    /// Since when it has no open holds, for clients: at the latest the end of the session.
    pub fn release_time(&self) -> Option<Micros> {
        self.released.or(self.ended.as_ref().map(|(at, _)| *at))
    }
}
