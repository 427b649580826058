//! The JSON shapes of this wire.

pub use crate::http::rfc3339::Time;
use domain::device::{DeviceProfile, DeviceSession, Hold, HoldState};
use domain::ids::SessionId;
use domain::organization::Organization;
use domain::permission::Role;
use domain::session::SessionKey;
use domain::time::Micros;
use serde::Serialize;
use uuid::Uuid;

/// A list. `nextCursor` is absent when there are no more results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    object: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<Time>,
}

impl<T> List<T> {
    /// A whole list, or a page with the cursor of the next one.
    pub fn new(data: T, next_cursor: Option<Micros>) -> List<T> {
        List { object: "list", data, next_cursor: next_cursor.map(Time) }
    }
}

/// A session. `devices` is not in the vendor's page, but mobilecli finds by it the session in which to release a device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session<'a> {
    id: Uuid,
    organization: Uuid,
    user: Uuid,
    device: SessionDevice<'a>,
    devices: Vec<Allocation<'a>>,
    created_at: Time,
    released_at: Option<Time>,
}

/// The device of a session: the newest one it holds or held. Before the first device, the requested platform and empty
/// strings, because the vendor's page requires all five fields.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionDevice<'a> {
    id: &'a str,
    platform: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    os_version: &'a str,
}

impl<'a> From<&'a DeviceSession> for Session<'a> {
    fn from(session: &'a DeviceSession) -> Session<'a> {
        Session {
            id: session.id.uuid(),
            organization: session.organization.0,
            user: session.owner.0,
            device: session.newest_hold().map(SessionDevice::from).unwrap_or_default(),
            devices: session.holds.iter().map(Allocation::from).collect(),
            created_at: Time(session.id.creation_time()),
            released_at: session.release_time().map(Time),
        }
    }
}

impl<'a> From<&'a Hold> for SessionDevice<'a> {
    fn from(hold: &'a Hold) -> SessionDevice<'a> {
        match &hold.held {
            None => SessionDevice { platform: &hold.platform, ..SessionDevice::default() },
            Some(held) => SessionDevice {
                id: &held.handle,
                platform: &held.profile.platform,
                kind: &held.profile.kind,
                name: &held.profile.name,
                os_version: &held.profile.version,
            },
        }
    }
}

/// A device of a session. `info.serial` is absent until the device is ready, because mobilewright reads it as a sign of that.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation<'a> {
    id: Uuid,
    status: &'static str,
    info: AllocationInfo<'a>,
    created_at: Time,
    released_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release_evidence: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AllocationInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    platform: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    os_version: &'a str,
}

impl<'a> From<&'a Hold> for Allocation<'a> {
    fn from(hold: &'a Hold) -> Allocation<'a> {
        let SessionDevice { id, platform, kind, name, os_version } = SessionDevice::from(hold);
        let ended = hold.ended.as_ref();
        Allocation {
            id: hold.id.0,
            status: match hold.state() {
                HoldState::Pending => "provisioning",
                HoldState::InUse => "in_use",
                HoldState::Released => "released",
            },
            info: AllocationInfo { serial: (!id.is_empty()).then_some(id), platform, kind, name, os_version },
            created_at: Time(hold.requested),
            released_at: ended.map(|(at, _)| Time(*at)),
            release_reason: ended.map(|(_, ending)| ending.reason.name()),
            release_evidence: ended.map(|(_, ending)| ending.evidence.as_str()),
        }
    }
}

/// The response to a request for a device, over HTTP and the WebSocket. `sessionId` is for clients before 0.3.88, which do
/// not know `allocationId`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocationResponse<'a> {
    allocation_id: Uuid,
    session_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<RemoteDevice<'a>>,
}

impl<'a> AllocationResponse<'a> {
    /// The response for a hold in its current state.
    pub fn new(session: SessionId, hold: &'a Hold) -> AllocationResponse<'a> {
        let ready = hold.state() == HoldState::InUse;
        AllocationResponse {
            allocation_id: hold.id.0,
            session_id: session.uuid(),
            state: (!ready).then_some("allocating"),
            device: ready.then(|| RemoteDevice::new(session, hold)),
        }
    }
}

/// A device over the WebSocket: one that the caller holds, or waits for (`allocating`).
#[derive(Debug, Serialize, PartialEq, Clone)]
pub struct RemoteDevice<'a> {
    id: &'a str,
    name: &'a str,
    platform: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    version: &'a str,
    state: &'static str,
    model: &'a str,
    provider: Provider,
}

#[derive(Debug, Serialize, PartialEq, Clone)]
#[serde(rename_all = "camelCase")]
struct Provider {
    #[serde(rename = "type")]
    kind: &'static str,
    allocation_id: Uuid,
    session_id: Uuid,
}

impl<'a> RemoteDevice<'a> {
    /// The device of a hold.
    pub fn new(session: SessionId, hold: &'a Hold) -> RemoteDevice<'a> {
        let SessionDevice { id, platform, kind, name, os_version } = SessionDevice::from(hold);
        RemoteDevice {
            id,
            name,
            platform,
            kind,
            version: os_version,
            state: if hold.held.is_some() { "online" } else { "allocating" },
            model: hold.held.as_ref().map_or("", |held| &held.model),
            provider: Provider { kind: "mobilenext", allocation_id: hold.id.0, session_id: session.uuid() },
        }
    }

    /// The devices of the caller's open holds.
    pub fn all(open: &'a [(SessionKey, Hold, HoldState)]) -> Vec<RemoteDevice<'a>> {
        open.iter().map(|(session, hold, _)| RemoteDevice::new(session.id, hold)).collect()
    }
}

/// A kind of device that the fleet offers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetDevice<'a> {
    name: &'a str,
    platform: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    version: &'a str,
    form_factor: &'static str,
}

impl<'a> From<&'a DeviceProfile> for FleetDevice<'a> {
    fn from(offer: &'a DeviceProfile) -> FleetDevice<'a> {
        let name = offer.name.to_lowercase();
        let tablet = ["ipad", "tablet", "tab ", "pad "].iter().any(|word| name.contains(word));
        FleetDevice {
            name: &offer.name,
            platform: &offer.platform,
            kind: &offer.kind,
            version: &offer.version,
            form_factor: if tablet { "tablet" } else { "phone" },
        }
    }
}

/// An organization of the caller's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationEntry<'a> {
    id: Uuid,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    created_at: Time,
}

impl<'a> OrganizationEntry<'a> {
    /// The shape of an organization. `role` is the caller's role in it; without one, `account` is the role that the
    /// caller's role in the account amounts to.
    pub fn new(organization: &'a Organization, role: Option<Role>, account: Role) -> OrganizationEntry<'a> {
        OrganizationEntry {
            id: organization.id.0,
            name: &organization.name,
            kind: "starter",
            role: role.unwrap_or(account).name(),
            created_at: Time(organization.created),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::rfc3339::parse_time;

    #[test]
    fn times_are_written_with_six_digits() {
        assert_eq!(Time(Micros(1_767_225_600_000_000)).to_string(), "2026-01-01T00:00:00.000000Z");
        assert_eq!(Time(Micros(1_767_225_600_000_001)).to_string(), "2026-01-01T00:00:00.000001Z");
    }

    #[test]
    fn cursors_are_read() {
        let new_year = 1_767_225_600_000_000;
        #[rustfmt::skip]
        let table = [
            ("2026-01-01T00:00:00Z",                Some(new_year)),
            ("2026-01-01T00:00:00.000001Z",         Some(new_year + 1)),
            ("2026-01-01T00:00:00.0000001Z",        Some(new_year + 1)),
            ("2026-01-01T00:00:00.0000010Z",        Some(new_year + 1)),
            ("2025-12-31T23:59:59.9999999Z",        Some(new_year)),
            ("2026-01-01T02:00:00+02:00",           Some(new_year)),
            ("2026-01-01T02:00:00 02:00",           Some(new_year)),
            ("2025-12-31T22:00:00-02:00",           Some(new_year)),
            ("1969-12-31T23:59:59.9999991Z",        Some(0)),
            ("2026-01-01",                          None),
            ("2026-01-01T00:00:00",                 None),
            ("2026-13-01T00:00:00Z",                None),
            ("yesterday",                           None),
            ("",                                    None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_time(text).map(|time| time.0), expected, "{text:?}");
        }
    }
}
