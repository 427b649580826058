//! Device sessions: who holds which phone.

mod filter;
mod queue;
mod rules;

pub use filter::{Filter, Offer, Wanted};
pub use queue::{Assignment, Waiting, assign, visible};
pub use rules::{Actor, Change, Command, MAX_HOLDS, MAX_OPEN_HOLDS, decide};

use crate::ids::{DeviceId, HoldId, HostId, OrganizationId, PrincipalId, SessionId};
use crate::session::Ending;
use crate::time::Micros;

/// A phone or emulator, as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The machine it hangs on.
    pub host: HostId,
    /// Whose it is; [`OrganizationId::ACCOUNT`] for the shared pool.
    pub organization: OrganizationId,
    /// What its host calls it.
    pub serial: String,
    /// What the wires call it: the serial, unless another host has the same.
    pub handle: String,
    /// What kind of device it is.
    pub offer: Offer,
    /// The manufacturer's model; may be empty.
    pub model: String,
    /// Whether its host says that it can be driven.
    pub online: bool,
    /// The number of its newest hold; grows by one with each.
    pub fence: i64,
    /// Who holds it.
    pub holder: Option<HoldId>,
    /// Whether its last hold has ended and its host has not yet cleaned it.
    pub cleaning: bool,
}

impl Device {
    /// Whether it can be handed over now.
    pub fn free(&self) -> bool {
        self.online && self.holder.is_none() && !self.cleaning
    }
}

/// What is held: a copy made at the time of the grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDevice {
    /// The device.
    pub device: DeviceId,
    /// The hold's fencing number: larger than that of every earlier hold of the device.
    pub fence: i64,
    /// What the wires call the device.
    pub handle: String,
    /// What kind of device it was.
    pub offer: Offer,
    /// The manufacturer's model; may be empty.
    pub model: String,
}

/// Where a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// Waiting for a device.
    Pending,
    /// A device is held.
    InUse,
    /// Over.
    Released,
}

impl HoldState {
    /// The word for it in the store.
    pub fn name(self) -> &'static str {
        match self {
            HoldState::Pending => "pending",
            HoldState::InUse => "in_use",
            HoldState::Released => "released",
        }
    }
}

/// A request for a device and the hold that came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id; clients call it the allocation.
    pub id: HoldId,
    /// Who asked.
    pub principal: PrincipalId,
    /// What was asked for.
    pub wanted: Wanted,
    /// When it was asked for.
    pub requested: Micros,
    /// What is, or was, held.
    pub held: Option<HeldDevice>,
    /// When the device was handed over.
    pub granted: Option<Micros>,
    /// Last command, to about half a minute.
    pub activity: Micros,
    /// When and how it ended.
    pub ended: Option<(Micros, Ending)>,
}

impl Hold {
    /// Where it stands.
    pub fn state(&self) -> HoldState {
        match (&self.ended, &self.held) {
            (Some(_), _) => HoldState::Released,
            (None, Some(_)) => HoldState::InUse,
            (None, None) => HoldState::Pending,
        }
    }

    /// Whether a client means this one: by the device's id, or by the allocation's while there is no device yet.
    pub fn is_called(&self, name: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.handle == name)
            || crate::ids::parse_uuid(name) == Some(self.id.0)
    }
}

/// A device session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSession {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id, which says when it was created.
    pub id: SessionId,
    /// Who created it.
    pub owner: PrincipalId,
    /// Grows by one with every change.
    pub revision: i64,
    /// Since when nothing is held or asked for; nothing until something was.
    pub released: Option<Micros>,
    /// Last request or end of a hold.
    pub activity: Micros,
    /// When and how it ended.
    pub ended: Option<(Micros, Ending)>,
    /// All that it ever held, oldest first.
    pub holds: Vec<Hold>,
}

impl DeviceSession {
    /// A new one without holds.
    pub fn new(organization: OrganizationId, id: SessionId, owner: PrincipalId) -> DeviceSession {
        DeviceSession {
            organization,
            id,
            owner,
            revision: 1,
            released: None,
            activity: id.created(),
            ended: None,
            holds: Vec::new(),
        }
    }

    /// What is held or waited for now.
    pub fn open_holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(|hold| hold.ended.is_none())
    }

    /// The hold that stands for the session where a wire shows only one: the newest.
    pub fn newest_hold(&self) -> Option<&Hold> {
        self.holds.last()
    }

    /// When nothing was held or asked for any more, as readers see it: the end of the session at the latest.
    pub fn released_at(&self) -> Option<Micros> {
        self.released.or(self.ended.as_ref().map(|(at, _)| *at))
    }
}
