//! Devices, and the queue of requests for them.

use crate::access::lane::Scan;
use crate::access::{Granted, System, ViewSessions};
use crate::database::{Columns, DatabaseError, Statement, Topic};
use crate::devices::holds::read_filters;
use crate::devices::hosts::HostLink;
use crate::devices::sessions::read_device_key;
use crate::rows::{any_rows, batch, one_row, values};
use crate::{ATTEMPTS, Error, Result, Store};
use domain::Refusal;
use domain::device::{Device, DeviceProfile, QueuedRequest};
use domain::ids::{DeviceId, HoldId, HostId, OrganizationId};
use domain::refusal::Thing;
use domain::session::SessionKey;
use domain::time::Micros;
use std::collections::HashSet;

/// A device as its host reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceUpdate {
    /// The id for a device that was never seen before.
    pub new: DeviceId,
    /// The host's name for it.
    pub serial: String,
    /// Its platform, kind, name and version.
    pub offer: DeviceProfile,
    /// The manufacturer's model; may be empty.
    pub model: String,
    /// Whether it can be driven now.
    pub online: bool,
}

/// A waiting request and its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its session.
    pub session: SessionKey,
    /// The request.
    pub request: QueuedRequest,
}

/// The queue and the free devices, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// In the order of the requests' commits.
    pub queue: Vec<QueueEntry>,
    /// The devices that may be free. Other devices are not read.
    pub devices: Vec<Device>,
}

/// The columns of a device `d`; see [`read_device`].
macro_rules! device_columns {
    () => {
        "d.id, d.host, d.organization, d.serial, d.handle, d.platform, d.kind, d.name, d.version, d.model, d.online,
         d.fence, d.holder_hold, d.cleaning"
    };
}
pub(crate) use device_columns;

const FREE: &str = concat!(
    "SELECT ",
    device_columns!(),
    " FROM devices d WHERE online = 1 AND holder_hold IS NULL AND cleaning = 0 ORDER BY id"
);

const QUEUE: &str = "
    SELECT organization, session_us, session_tail, id, filters FROM holds
    WHERE released_us IS NULL AND state = 'pending' ORDER BY position";

const VISIBLE: &str = concat!(
    "SELECT ",
    device_columns!(),
    " FROM devices d WHERE organization = $1 OR organization = $2 ORDER BY platform, name, version, handle"
);

const OF_HOST: &str =
    concat!("SELECT ", device_columns!(), " FROM devices d WHERE host = $1 ORDER BY serial");

const TO_CLEAN: &str =
    concat!("SELECT ", device_columns!(), " FROM devices d WHERE cleaning = 1 ORDER BY id");

const ALL: &str = concat!("SELECT ", device_columns!(), " FROM devices d ORDER BY id");

const BY_ID: &str = concat!("SELECT ", device_columns!(), " FROM devices d WHERE id = $1");

impl Store {
    /// The devices whose last hold has ended and that their hosts have not cleaned yet.
    pub async fn list_devices_to_clean(&self, system: &System) -> Result<Vec<Device>> {
        Ok(self.read_unscoped(system, Scan(TO_CLEAN), values![]).await?.read_all(read_device)?)
    }

    /// All devices, for metrics.
    pub async fn list_all_devices(&self, system: &System) -> Result<Vec<Device>> {
        Ok(self.read_unscoped(system, Scan(ALL), values![]).await?.read_all(read_device)?)
    }

    /// A device, for a hold that is known to have it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_device(&self, system: &System, id: DeviceId) -> Result<Device> {
        let rows = self.read_unscoped(system, BY_ID, values![id]).await?;
        rows.read_first(read_device)?.ok_or(Refusal::NotFound(Thing::Device).into())
    }

    /// Every device that the organization may hold, its own and the pool's, offline ones included.
    pub async fn list_devices(&self, granted: &Granted<ViewSessions>) -> Result<Vec<Device>> {
        let rows = self.read(granted, VISIBLE, values![OrganizationId::ACCOUNT]).await?;
        Ok(rows.read_all(read_device)?)
    }

    /// The waiting requests and the free devices.
    pub async fn load_queue(&self, system: &System) -> Result<QueueSnapshot> {
        let rows = self.read_unscoped(system, Scan(QUEUE), values![]).await?;
        let queue = rows.read_all(read_queue_entry)?;
        if queue.is_empty() {
            return Ok(QueueSnapshot { queue, devices: vec![] });
        }
        let devices = self.read_unscoped(system, Scan(FREE), values![]).await?;
        Ok(QueueSnapshot { queue, devices: devices.read_all(read_device)? })
    }

    /// The devices of a host, in any state.
    pub async fn list_host_devices(&self, system: &System, host: HostId) -> Result<Vec<Device>> {
        Ok(self.read_unscoped(system, OF_HOST, values![host]).await?.read_all(read_device)?)
    }

    /// Stores the devices that a host reports. Its other devices become offline.
    ///
    /// # Errors
    /// [`Error::Stale`] when other reports take the same handles all the time.
    pub async fn report_devices(&self, link: &HostLink, updates: &[DeviceUpdate], now: Micros) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let known = self.list_host_devices(&System::for_background_jobs(), link.host()).await?;
            let handles = self.choose_handles(link, updates, &known).await?;
            let mut statements = Vec::new();
            for device in known.iter().filter(|device| device.online) {
                if !updates.iter().any(|update| update.serial == device.serial) {
                    statements
                        .push(any_rows("UPDATE devices SET online = 0 WHERE id = $1", values![device.id]));
                }
            }
            for (update, handle) in updates.iter().zip(&handles) {
                if !known.iter().any(|device| device.serial == update.serial) {
                    statements.push(handle_is_free(link, handle));
                }
                statements.push(upsert_device(link, update, handle, now));
            }
            match self
                .database
                .apply(batch([OrganizationId::ACCOUNT], statements).with_topic(Topic::Devices))
                .await
            {
                // Another report was faster: it took a handle or added a device.
                Err(DatabaseError::Unmet { .. }) => {}
                outcome => return Ok(outcome?),
            }
        }
        Err(Error::Stale)
    }

    /// The handles of the reported devices. A new device gets its serial, or serial and host, or these with a number:
    /// the first that no device has which the same callers see. A device keeps its handle.
    async fn choose_handles(
        &self,
        link: &HostLink,
        updates: &[DeviceUpdate],
        known: &[Device],
    ) -> Result<Vec<String>> {
        let sql = "SELECT handle FROM devices WHERE organization = $1 OR organization = $2 OR $1 = $2";
        let organizations = values![link.organization(), OrganizationId::ACCOUNT];
        let rows = self.read_unscoped(&System::for_background_jobs(), Scan(sql), organizations).await?;
        let mut taken = rows.read_all(Columns::text)?.into_iter().collect::<HashSet<_>>();
        let mut handles = Vec::new();
        for update in updates {
            let handle = match known.iter().find(|device| device.serial == update.serial) {
                Some(device) => device.handle.clone(),
                None => new_handle(&update.serial, link.name(), &taken),
            };
            taken.insert(handle.clone());
            handles.push(handle);
        }
        Ok(handles)
    }

    /// Records that a host has cleaned a device after the hold with this fencing number. It can be handed over again.
    pub async fn record_device_cleaned(&self, link: &HostLink, serial: &str, fence: i64) -> Result<()> {
        let sql =
            "UPDATE devices SET cleaning = 0 WHERE host = $1 AND serial = $2 AND fence = $3 AND cleaning = 1";
        let statement = any_rows(sql, values![link.host(), serial, fence]);
        Ok(self
            .database
            .apply(batch([OrganizationId::ACCOUNT], vec![statement]).with_topic(Topic::Devices))
            .await?)
    }
}

/// Expects that no device has this handle that is visible to the same callers. The batch has locked the pool's row,
/// so this holds until the commit.
fn handle_is_free(link: &HostLink, handle: &str) -> Statement {
    one_row(
        "UPDATE counters SET sequence = sequence WHERE organization = $1 AND NOT EXISTS
             (SELECT 1 FROM devices WHERE handle = $2 AND (organization = $1 OR organization = $3 OR $1 = $3))",
        values![OrganizationId::ACCOUNT, handle, link.organization()],
    )
}

fn upsert_device(link: &HostLink, update: &DeviceUpdate, handle: &str, now: Micros) -> Statement {
    any_rows(
        "INSERT INTO devices (id, host, organization, serial, handle, platform, kind, name, model, version,
                              online, seen_us, fence, cleaning)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0)
         ON CONFLICT (host, serial) DO UPDATE SET
             platform = excluded.platform, kind = excluded.kind, name = excluded.name, model = excluded.model,
             version = excluded.version, online = excluded.online, seen_us = excluded.seen_us",
        values![
            update.new,
            link.host(),
            link.organization(),
            update.serial.as_str(),
            handle,
            update.offer.platform.as_str(),
            update.offer.kind.as_str(),
            update.offer.name.as_str(),
            update.model.as_str(),
            update.offer.version.as_str(),
            update.online,
            now
        ],
    )
}

/// The first name that is not taken: the serial, the serial and the host, then these and a number.
fn new_handle(serial: &str, host: &str, taken: &HashSet<String>) -> String {
    let with_host = format!("{serial}.{}", handle_word(host));
    let numbered = (2..).map(|number| format!("{with_host}-{number}"));
    let mut names = [serial.to_owned(), with_host.clone()].into_iter().chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or(with_host)
}

/// A host's name with only the characters that a path can contain.
fn handle_word(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    name.chars().map(safe).collect()
}

fn read_queue_entry(columns: &mut Columns) -> Result<QueueEntry, DatabaseError> {
    let session = read_device_key(columns)?;
    let request = QueuedRequest {
        hold: HoldId(columns.id()?),
        organization: session.organization,
        filters: read_filters(columns)?,
    };
    Ok(QueueEntry { session, request })
}

pub(crate) fn read_device(columns: &mut Columns) -> Result<Device, DatabaseError> {
    Ok(Device {
        id: DeviceId(columns.id()?),
        host: HostId(columns.id()?),
        organization: OrganizationId(columns.id()?),
        serial: columns.text()?,
        handle: columns.text()?,
        profile: DeviceProfile {
            platform: columns.text()?,
            kind: columns.text()?,
            name: columns.text()?,
            version: columns.text()?,
        },
        model: columns.text()?,
        online: columns.flag()?,
        fence: columns.int()?,
        holder: columns.maybe_id()?.map(HoldId),
        cleaning: columns.flag()?,
    })
}
