//! The fleet as people look at it: the devices, hosts and waiting requests that a caller may see.

use crate::app::App;
use crate::failure::Failure;
use domain::device::{Availability, estimate_wait};
use domain::ids::{HostId, OrganizationId, PrincipalId};
use domain::time::{Micros, Span};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::{SessionNames, VisibleSessions};
pub use store::{VisibleDevice, VisibleRequest};

/// How old grants may be by which waits are estimated.
const ESTIMATED_BY: Span = Span::minutes(7 * 24 * 60);

/// A host that a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOverview {
    /// The host.
    pub host: store::VisibleHost,
    /// Whether it is connected to a server.
    pub online: bool,
    /// How many of its devices are in each state.
    pub devices: BTreeMap<Availability, u64>,
}

impl HostOverview {
    /// When a server last heard from it.
    pub fn last_seen(&self) -> Option<Micros> {
        self.host.linked.max(self.host.reported)
    }
}

/// Lists the devices of the visible organizations and of the shared pool.
pub async fn list_devices(app: &App, visible: &VisibleSessions) -> Result<Vec<VisibleDevice>, Failure> {
    Ok(app.store.list_visible_devices(visible).await?)
}

/// Lists the hosts of the visible organizations and of the shared pool.
pub async fn list_hosts(app: &App, visible: &VisibleSessions) -> Result<Vec<HostOverview>, Failure> {
    let hosts = app.store.list_visible_hosts(visible).await?;
    let mut counts = HashMap::<HostId, BTreeMap<_, _>>::new();
    for VisibleDevice { device, .. } in app.store.list_visible_devices(visible).await? {
        *counts.entry(device.host).or_default().entry(device.availability()).or_insert(0) += 1;
    }
    let cutoff = app.now() - Span::from(app.settings.host_grace);
    let view = |host: store::VisibleHost| HostOverview {
        online: app.hosts.get(host.id).is_some() || host.linked.is_some_and(|linked| linked >= cutoff),
        devices: counts.remove(&host.id).unwrap_or_default(),
        host,
    };
    Ok(hosts.into_iter().map(view).collect())
}

/// Lists the waiting requests of the visible organizations, in the order of the queue.
pub async fn list_requests(app: &App, visible: &VisibleSessions) -> Result<Vec<VisibleRequest>, Failure> {
    Ok(app.store.list_visible_requests(visible).await?)
}

/// How much longer each of some requests will wait, as far as the grants of its organization in the last 7 days tell.
pub async fn estimate_waits(
    app: &App,
    visible: &VisibleSessions,
    requests: &[VisibleRequest],
) -> Result<Vec<Option<Span>>, Failure> {
    let now = app.now();
    let mut waits = HashMap::new();
    for organization in requests.iter().map(|one| one.session.organization).collect::<BTreeSet<_>>() {
        waits.insert(organization, app.store.list_waits(visible, organization, now - ESTIMATED_BY).await?);
    }
    let estimate = |request: &VisibleRequest| {
        let known = waits.get(&request.session.organization)?.get(request.request.filters.platform())?;
        estimate_wait(known, now.duration_since(request.since))
    };
    Ok(requests.iter().map(estimate).collect())
}

/// The names of organizations and people. The shared pool has none.
pub async fn load_names(
    app: &App,
    visible: &VisibleSessions,
    organizations: impl Iterator<Item = OrganizationId>,
    people: impl Iterator<Item = PrincipalId>,
) -> Result<SessionNames, Failure> {
    let organizations = organizations.filter(|one| *one != OrganizationId::ACCOUNT);
    Ok(app.store.load_names(visible, organizations, people).await?)
}
