//! The fleet as this wire writes it.

use super::super::sessions::shapes::{write_organization, write_principal};
use crate::operations::devices::overview::{HostOverview, VisibleDevice, VisibleRequest};
use domain::device::{Availability, DeviceFilter};
use domain::ids::OrganizationId;
use domain::time::Span;
use protocol::fleet::{DeviceHold, FleetDevice, FleetHost, FleetState, Waiting, WantedProperty};
use protocol::sessions::Named;
use protocol::time::Time;
use store::SessionNames;

fn write_state(availability: Availability) -> FleetState {
    match availability {
        Availability::Free => FleetState::Free,
        Availability::Held => FleetState::Held,
        Availability::Cleaning => FleetState::Cleaning,
        Availability::Offline => FleetState::Offline,
    }
}

/// The organization of a machine; `None` for the shared pool.
fn write_owner(names: &SessionNames, id: OrganizationId) -> Option<Named> {
    (id != OrganizationId::ACCOUNT).then(|| write_organization(names, id))
}

/// A device.
pub fn write_device(listed: &VisibleDevice, names: &SessionNames) -> FleetDevice {
    let (device, profile) = (&listed.device, &listed.device.profile);
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    FleetDevice {
        id: device.handle.clone(),
        platform: profile.platform.clone(),
        device_type: profile.kind.clone(),
        name: profile.name.clone(),
        model: known(&device.model),
        version: known(&profile.version),
        host: listed.host.clone(),
        organization: write_owner(names, device.organization),
        state: write_state(device.availability()),
        hold: listed.holder.map(|holder| DeviceHold {
            owner: write_principal(names, holder.principal),
            session: holder.session.id.uuid(),
            since: Time(holder.since.0),
        }),
    }
}

/// A host.
pub fn write_host(listed: &HostOverview, names: &SessionNames) -> FleetHost {
    let all = [Availability::Free, Availability::Held, Availability::Cleaning, Availability::Offline];
    let count = |state| (write_state(state), listed.devices.get(&state).copied().unwrap_or(0));
    FleetHost {
        name: listed.host.name.clone(),
        version: listed.host.version.clone(),
        organization: write_owner(names, listed.host.organization),
        online: listed.online,
        seen: listed.last_seen().map(|seen| Time(seen.0)),
        devices: all.into_iter().map(count).collect(),
    }
}

/// A waiting request.
pub fn write_request(listed: &VisibleRequest, estimate: Option<Span>, names: &SessionNames) -> Waiting {
    let write = |filter: &DeviceFilter| WantedProperty {
        attribute: filter.attribute.clone(),
        operator: filter.operator.clone(),
        value: filter.value.clone(),
    };
    Waiting {
        place: listed.place,
        session: listed.session.id.uuid(),
        organization: write_organization(names, listed.session.organization),
        owner: write_principal(names, listed.principal),
        filters: listed.request.filters.as_slice().iter().map(write).collect(),
        since: Time(listed.since.0),
        estimated_wait: estimate.map(|wait| u64::try_from(wait.0.div_euclid(1_000_000)).unwrap_or(0)),
    }
}
