//! The queue for devices: first come, first served, among the requests whose filters match.

use super::{Device, DeviceFilters};
use crate::ids::{DeviceId, HoldId, OrganizationId};
use crate::time::Span;
use std::collections::{BTreeSet, HashMap};

/// A waiting request in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRequest {
    /// The request.
    pub hold: HoldId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Its filters.
    pub filters: DeviceFilters,
}

/// A device assigned to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAssignment {
    /// Index of the request in the queue.
    pub entry: usize,
    /// The device.
    pub device: DeviceId,
}

/// Assigns free devices to the queue, which is in the order of the requests' commits. A request gets a device of its
/// own organization rather than one of the shared pool, which stays free for organizations without devices. No
/// request gets a device that an earlier request could have.
pub fn assign_devices(waiting: &[QueuedRequest], devices: &[Device]) -> Vec<DeviceAssignment> {
    let mut free: Vec<&Device> = devices.iter().filter(|device| device.is_free()).collect();
    free.sort_by_key(|device| (device.organization == OrganizationId::ACCOUNT, device.id));
    let mut assignments = Vec::new();
    for (index, request) in waiting.iter().enumerate() {
        if free.is_empty() {
            break;
        }
        let fits = |device: &&Device| {
            can_hold(request.organization, device) && request.filters.matches(&device.profile)
        };
        if let Some(at) = free.iter().position(fits) {
            assignments.push(DeviceAssignment { entry: index, device: free.remove(at).id });
        }
    }
    assignments
}

/// The place of each request in the queue, which is in the order of the requests' commits: 1 for a request that no earlier
/// one competes with. Requests for one platform compete within an organization, and with those of other organizations when
/// the shared pool has devices of the platform.
pub fn number_places(waiting: &[QueuedRequest], shared_platforms: &BTreeSet<String>) -> Vec<u64> {
    let mut waiting_before = HashMap::new();
    let number = |request: &QueuedRequest| {
        let platform = request.filters.platform();
        let competitors = (!shared_platforms.contains(platform)).then_some(request.organization);
        let place: &mut u64 = waiting_before.entry((platform.to_owned(), competitors)).or_default();
        *place += 1;
        *place
    };
    waiting.iter().map(number).collect()
}

/// How much longer a request that has waited for `waited` has to wait: the median of what others, who waited as long, then
/// had to wait still. `None` when nobody waited as long.
pub fn estimate_wait(waits: &[Span], waited: Span) -> Option<Span> {
    let mut left =
        waits.iter().filter(|wait| **wait >= waited).map(|wait| wait.0 - waited.0).collect::<Vec<_>>();
    left.sort_unstable();
    left.get(left.len().checked_sub(1)? / 2).copied().map(Span)
}

/// Whether an organization can hold a device: its own, or one of the shared pool.
pub fn can_hold(organization: OrganizationId, device: &Device) -> bool {
    device.organization == organization || device.organization == OrganizationId::ACCOUNT
}

#[cfg(test)]
mod tests {
    use super::super::{DeviceFilter, DeviceProfile};
    use super::*;
    use crate::ids::HostId;
    use proptest::prelude::*;
    use uuid::Uuid;

    const A: OrganizationId = OrganizationId(Uuid::from_u128(10));
    const B: OrganizationId = OrganizationId(Uuid::from_u128(11));

    fn device(n: u128, organization: OrganizationId, platform: &str) -> Device {
        Device {
            id: DeviceId(Uuid::from_u128(n)),
            host: HostId(Uuid::nil()),
            organization,
            serial: n.to_string(),
            handle: n.to_string(),
            profile: DeviceProfile {
                platform: platform.into(),
                kind: "real".into(),
                name: "Device".into(),
                version: "16".into(),
            },
            model: String::new(),
            online: true,
            fence: 0,
            holder: None,
            cleaning: false,
        }
    }

    fn waiting(n: u128, organization: OrganizationId, platform: &str) -> QueuedRequest {
        let platform =
            DeviceFilter { attribute: "platform".into(), operator: "EQUALS".into(), value: platform.into() };
        QueuedRequest {
            hold: HoldId(Uuid::from_u128(n)),
            organization,
            filters: DeviceFilters::new(vec![platform]).unwrap(),
        }
    }

    fn pairs(waiting: &[QueuedRequest], devices: &[Device]) -> Vec<(usize, u128)> {
        assign_devices(waiting, devices).into_iter().map(|a| (a.entry, a.device.0.as_u128())).collect()
    }

    #[test]
    fn the_first_matching_request_is_served_first() {
        let queue = [waiting(1, A, "ios"), waiting(2, A, "android"), waiting(3, A, "android")];
        assert_eq!(pairs(&queue, &[device(1, A, "android")]), [(1, 1)]);
    }

    #[test]
    fn own_devices_go_before_the_pool_and_foreign_ones_never() {
        let devices = [device(1, OrganizationId::ACCOUNT, "ios"), device(2, A, "ios"), device(3, B, "ios")];
        assert_eq!(
            pairs(&[waiting(1, A, "ios"), waiting(2, A, "ios"), waiting(3, A, "ios")], &devices),
            [(0, 2), (1, 1)]
        );
    }

    #[test]
    fn held_offline_and_dirty_devices_are_not_handed_over() {
        let held = Device { holder: Some(HoldId(Uuid::nil())), ..device(1, A, "ios") };
        let offline = Device { online: false, ..device(2, A, "ios") };
        let dirty = Device { cleaning: true, ..device(3, A, "ios") };
        assert_eq!(pairs(&[waiting(1, A, "ios")], &[held, offline, dirty]), []);
    }

    #[test]
    fn requests_of_other_organizations_count_only_where_they_compete() {
        let queue =
            [waiting(1, A, "ios"), waiting(2, B, "ios"), waiting(3, A, "android"), waiting(4, A, "ios")];
        assert_eq!(number_places(&queue, &BTreeSet::new()), [1, 1, 1, 2]);
        assert_eq!(number_places(&queue, &["ios".to_owned()].into()), [1, 2, 1, 3]);
        assert!(number_places(&[], &BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_wait_is_estimated_by_those_who_waited_as_long() {
        let waits = [60, 0, 10, 0, 40].map(Span::seconds);
        for (waited, expected) in [(0, Some(10)), (1, Some(39)), (40, Some(0)), (41, Some(19)), (61, None)] {
            assert_eq!(estimate_wait(&waits, Span::seconds(waited)), expected.map(Span::seconds), "{waited}");
        }
        assert_eq!(estimate_wait(&[], Span::seconds(0)), None);
    }

    proptest! {
        /// No device is assigned twice, no request gets two devices, and no request keeps waiting while a device that it
        /// could have stays free or goes to a later request.
        #[test]
        fn the_queue_is_fair(queue in proptest::collection::vec((0..2u8, 0..2u8), 0..12),
                             pool in proptest::collection::vec((0..3u8, 0..2u8), 0..12)) {
            let platform = |n: u8| if n == 0 { "ios" } else { "android" };
            let organization = |n: u8| [A, B, OrganizationId::ACCOUNT][n as usize];
            let queue: Vec<_> = queue.iter().enumerate()
                .map(|(i, (o, p))| waiting(i as u128 + 1, organization(*o), platform(*p))).collect();
            let devices: Vec<_> = pool.iter().enumerate()
                .map(|(i, (o, p))| device(i as u128 + 1, organization(*o), platform(*p))).collect();
            let given = assign_devices(&queue, &devices);
            let mut taken: Vec<_> = given.iter().map(|a| a.device).collect();
            taken.sort();
            taken.dedup();
            prop_assert_eq!(taken.len(), given.len());
            prop_assert!(given.is_sorted_by_key(|a| a.entry));
            for (index, request) in queue.iter().enumerate() {
                if given.iter().any(|a| a.entry == index) { continue }
                for device in &devices {
                    let could = can_hold(request.organization, device) && request.filters.matches(&device.profile);
                    prop_assert!(!could || given.iter().any(|a| a.device == device.id && a.entry < index));
                }
            }
        }
    }
}
