//! Devices, hosts and waiting requests for people who look at the fleet.

use crate::access::System;
use crate::access::lane::Scan;
use crate::access::visible::VisibleSessions;
use crate::database::{Columns, DatabaseError};
use crate::devices::fleet::{device_columns, read_device};
use crate::devices::holds::read_filters;
use crate::devices::sessions::read_device_key;
use crate::rows::values;
use crate::{Result, Store};
use domain::device::{Device, QueuedRequest, number_places};
use domain::ids::{HoldId, HostId, OrganizationId, PrincipalId};
use domain::session::{SessionKey, SessionKind};
use domain::time::{Micros, Span};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// A device that a caller may see: one of a visible organization, or of the shared pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleDevice {
    /// The device.
    pub device: Device,
    /// The name of its host.
    pub host: String,
    /// Who holds it, unless the holder's session is not visible.
    pub holder: Option<DeviceHolder>,
}

/// Who holds a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceHolder {
    /// The session.
    pub session: SessionKey,
    /// Who asked for the device.
    pub principal: PrincipalId,
    /// Since when.
    pub since: Micros,
}

/// A host that a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleHost {
    /// Its id.
    pub id: HostId,
    /// Its organization; [`OrganizationId::ACCOUNT`] for the shared pool.
    pub organization: OrganizationId,
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// When a server last heard from it over a connection that has not ended.
    pub linked: Option<Micros>,
    /// When it last reported its devices.
    pub reported: Option<Micros>,
}

/// A waiting request of a visible organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleRequest {
    /// Its place in the queue; see [`number_places`].
    pub place: u64,
    /// The position of its commit among all requests.
    pub position: i64,
    /// Its session.
    pub session: SessionKey,
    /// The request.
    pub request: QueuedRequest,
    /// Who asked for the device.
    pub principal: PrincipalId,
    /// Since when it waits.
    pub since: Micros,
}

/// A statement in the words of both databases. Each has a list of organizations, which `$1` has as one JSON text.
macro_rules! of_organizations {
    ($before:expr, $after:literal) => {
        [
            concat!($before, "(SELECT unhex(k.value) FROM json_each($1) k)", $after),
            concat!(
                $before,
                "(SELECT CAST(k AS UUID) FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) k)",
                $after
            ),
        ]
    };
}
pub(crate) use of_organizations;

const DEVICES: [&str; 2] = of_organizations!(
    concat!(
        "SELECT ",
        device_columns!(),
        ", t.name, d.holder_organization, d.holder_session_us, h.session_tail, h.principal, h.granted_us
         FROM devices d JOIN hosts t ON t.id = d.host
         LEFT JOIN holds h ON h.organization = d.holder_organization AND h.session_us = d.holder_session_us
                          AND h.id = d.holder_hold
         WHERE d.organization IN "
    ),
    " ORDER BY d.platform, d.name, d.version, d.handle, d.id"
);

const HOSTS: [&str; 2] = of_organizations!(
    "SELECT t.id, t.organization, t.name, t.version,
         (SELECT MAX(l.seen_us) FROM links l WHERE l.host = t.id),
         (SELECT MAX(d.seen_us) FROM devices d WHERE d.host = t.id)
     FROM hosts t WHERE t.organization IN ",
    " ORDER BY t.name, t.id"
);

const QUEUE: &str = "
    SELECT organization, session_us, session_tail, id, filters, principal, requested_us,
        position FROM holds
    WHERE released_us IS NULL AND state = 'pending' ORDER BY position";

const SHARED_PLATFORMS: &str = "SELECT DISTINCT platform FROM devices WHERE organization = $1";

const EXISTING: &str = "SELECT id FROM organizations WHERE deleted_us IS NULL";

/// The newest grants of an organization. The waits of more would say the same.
const WAITS: &str = "
    SELECT platform, granted_us - requested_us FROM holds
    WHERE organization = $1 AND session_us >= $2 AND granted_us >= $2
    ORDER BY organization DESC, session_us DESC, id DESC LIMIT 2000";

impl Store {
    /// Every device that the visible organizations may hold, offline ones included.
    pub async fn list_visible_devices(&self, visible: &VisibleSessions) -> Result<Vec<VisibleDevice>> {
        let organizations = self.list_existing_organizations(visible).await?;
        let sql = self.choose_dialect(DEVICES);
        let places = write_owners(&organizations);
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(sql), values![places]).await?;
        let mut devices = rows.read_all(read_visible_device)?;
        for device in &mut devices {
            let is_seen = |holder: &DeviceHolder| organizations.contains(&holder.session.organization);
            device.holder = device.holder.filter(is_seen);
        }
        Ok(devices)
    }

    /// The hosts of the visible organizations and of the shared pool.
    pub async fn list_visible_hosts(&self, visible: &VisibleSessions) -> Result<Vec<VisibleHost>> {
        let organizations = self.list_existing_organizations(visible).await?;
        let sql = self.choose_dialect(HOSTS);
        let places = write_owners(&organizations);
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(sql), values![places]).await?;
        Ok(rows.read_all(read_visible_host)?)
    }

    /// The waiting requests of the visible organizations, in the order of the queue.
    pub async fn list_visible_requests(&self, visible: &VisibleSessions) -> Result<Vec<VisibleRequest>> {
        let organizations = self.list_existing_organizations(visible).await?;
        let system = System::for_granted_reads();
        let waiting = self.read_unscoped(&system, Scan(QUEUE), values![]).await?.read_all(read_request)?;
        let pool = values![OrganizationId::ACCOUNT];
        let shared = self.read_unscoped(&system, Scan(SHARED_PLATFORMS), pool).await?;
        let shared = shared.read_all(Columns::text)?.into_iter().collect::<BTreeSet<_>>();
        let queue = waiting.iter().map(|waiting| waiting.request.clone()).collect::<Vec<_>>();
        let numbered = waiting.into_iter().zip(number_places(&queue, &shared));
        let numbered = numbered.map(|(waiting, place)| VisibleRequest { place, ..waiting });
        Ok(numbered.filter(|waiting| organizations.contains(&waiting.session.organization)).collect())
    }

    /// How long the newest requests for each platform waited that were granted since a time, in sessions since then. None of
    /// an organization whose sessions are not visible.
    pub async fn list_waits(
        &self,
        visible: &VisibleSessions,
        organization: OrganizationId,
        since: Micros,
    ) -> Result<HashMap<String, Vec<Span>>> {
        let mut waits = HashMap::<_, Vec<_>>::new();
        let Some(granted) = visible.grant_view(organization) else { return Ok(waits) };
        let rows = self.read(&granted, Scan(WAITS), values![since]).await?;
        for (platform, wait) in rows.read_all(|columns| Ok((columns.text()?, columns.int()?)))? {
            waits.entry(platform).or_default().push(Span(wait.max(0)));
        }
        Ok(waits)
    }

    /// The organizations whose sessions are visible and that were not deleted.
    pub async fn list_existing_organizations(
        &self,
        visible: &VisibleSessions,
    ) -> Result<BTreeSet<OrganizationId>> {
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(EXISTING), values![]).await?;
        let existing = rows.read_all(|columns| Ok(OrganizationId(columns.id()?)))?;
        Ok(existing.into_iter().filter(|one| visible.includes_organization(*one)).collect())
    }

    /// The statement in the words of this store's database.
    pub(crate) fn choose_dialect(&self, [sqlite, postgres]: [&'static str; 2]) -> &'static str {
        if self.database.kind() == "sqlite" { sqlite } else { postgres }
    }
}

/// The owners of the machines that some organizations use: themselves, and the shared pool.
fn write_owners(organizations: &BTreeSet<OrganizationId>) -> String {
    let pool = (!organizations.is_empty()).then_some(OrganizationId::ACCOUNT);
    write_organizations(organizations.iter().copied().chain(pool))
}

/// A list of organizations for [`of_organizations`].
pub(crate) fn write_organizations(organizations: impl Iterator<Item = OrganizationId>) -> String {
    let ids = organizations.map(|one| one.0.simple().to_string()).collect::<Vec<_>>();
    serde_json::Value::from(ids).to_string()
}

fn read_visible_device(columns: &mut Columns) -> Result<VisibleDevice, DatabaseError> {
    let (device, host) = (read_device(columns)?, columns.text()?);
    let session = read_holder_session(columns)?;
    let (principal, since) = (columns.maybe_id()?.map(PrincipalId), columns.maybe_time()?);
    let holder = session.zip(principal).zip(since);
    let holder = holder.map(|((session, principal), since)| DeviceHolder { session, principal, since });
    Ok(VisibleDevice { device, host, holder })
}

fn read_holder_session(columns: &mut Columns) -> Result<Option<SessionKey>, DatabaseError> {
    let (organization, created) = (columns.maybe_id()?, columns.maybe_time()?);
    let tail = columns.maybe_int()?;
    let id = created.zip(tail).map(|(created, tail)| domain::ids::SessionId::new(created, tail as u64));
    let key = |(organization, id): (Uuid, _)| SessionKey {
        organization: OrganizationId(organization),
        kind: SessionKind::Device,
        id,
    };
    Ok(organization.zip(id).map(key))
}

fn read_visible_host(columns: &mut Columns) -> Result<VisibleHost, DatabaseError> {
    Ok(VisibleHost {
        id: HostId(columns.id()?),
        organization: OrganizationId(columns.id()?),
        name: columns.text()?,
        version: columns.text()?,
        linked: columns.maybe_time()?,
        reported: columns.maybe_time()?,
    })
}

/// A request without its place.
fn read_request(columns: &mut Columns) -> Result<VisibleRequest, DatabaseError> {
    let session = read_device_key(columns)?;
    let request = QueuedRequest {
        hold: HoldId(columns.id()?),
        organization: session.organization,
        filters: read_filters(columns)?,
    };
    let (principal, since) = (PrincipalId(columns.id()?), columns.time()?);
    Ok(VisibleRequest { place: 0, position: columns.int()?, session, request, principal, since })
}
