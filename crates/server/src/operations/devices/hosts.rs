//! Hosts connect, report their devices and disconnect.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::machine_grant::MachineGrant;
use crate::services::host_connections::HostConnection;
use domain::Refusal;
use domain::device::DeviceProfile;
use domain::ids::{DeviceId, HostId};
use protocol::{DeviceReport, FromHost, HoldNotice, ToHost};
use std::sync::Arc;
use store::access::ConnectHosts;
use store::{DeviceUpdate, HostLink, System};
use tokio::sync::mpsc;

/// More than a machine has ports for.
const MAX_DEVICES: usize = 1_000;
const MAX_TEXT_BYTES: usize = 200;

/// Connects a host that has said hello; returns the connection and the orders to send.
///
/// # Errors
/// [`Refusal::Invalid`] for an unusable name.
pub async fn connect_host(
    app: &App,
    reach: &MachineGrant<ConnectHosts>,
    name: &str,
    version: &str,
) -> Result<(Arc<HostConnection>, mpsc::Receiver<ToHost>), Failure> {
    if !is_usable(name) {
        return Err(Refusal::invalid(
            "name",
            format!("1 to {MAX_TEXT_BYTES} bytes without control characters"),
        )
        .into());
    }
    let now = app.now();
    let new = HostId::new(now, app.random_bytes());
    let link: HostLink = match reach {
        MachineGrant::Organization(granted) => {
            app.store.connect_host(granted, new, name, version, app.node, now).await?
        }
        // The devices of a pool host serve all organizations.
        MachineGrant::Account(granted) => {
            app.store.connect_pool_host(granted, new, name, version, app.node, now).await?
        }
    };
    let host = link.host();
    let (connection, orders) = HostConnection::new(link);
    connection.send_order(ToHost::Welcome { protocol: protocol::PROTOCOL_VERSION, host: host.0 });
    tracing::info!(%host, name, "a host has connected");
    if let Some(warning) = reach.warning("host") {
        tracing::warn!(%host, name, "{warning}");
    }
    Ok((connection, orders))
}

/// Handles a frame from a host.
///
/// # Errors
/// [`Refusal::Invalid`] for a second hello, or for too many devices.
pub async fn handle_frame(
    app: &App,
    connection: &Arc<HostConnection>,
    frame: FromHost,
) -> Result<(), Failure> {
    match frame {
        FromHost::Hello { .. } => Err(Refusal::invalid("type", "no second hello").into()),
        FromHost::Devices { devices } => report_devices(app, connection, devices).await,
        FromHost::Answer { id, result, error } => {
            let reply = match (result, error) {
                (_, Some(error)) => Err(error),
                (result, None) => Ok(result.unwrap_or_default()),
            };
            connection.resolve_call(id, reply);
            Ok(())
        }
        FromHost::Cleaned { serial, fence, problem } => {
            if let Some(problem) = problem {
                tracing::warn!(host = %connection.link.host(), serial, problem, "a device was not fully cleaned");
            }
            app.store.record_device_cleaned(&connection.link, &serial, fence).await?;
            connection.finish_cleaning(&serial, fence);
            app.queue.request_run();
            Ok(())
        }
    }
}

async fn report_devices(
    app: &App,
    connection: &Arc<HostConnection>,
    devices: Vec<DeviceReport>,
) -> Result<(), Failure> {
    if devices.len() > MAX_DEVICES {
        return Err(Refusal::invalid("devices", format!("at most {MAX_DEVICES}")).into());
    }
    let now = app.now();
    let known = |report: &DeviceReport| {
        let words = [&report.serial, &report.name, &report.platform, &report.kind];
        words.into_iter().all(|text| is_usable(text))
            && ["android", "ios"].contains(&report.platform.as_str())
    };
    let mut updates: Vec<DeviceUpdate> = Vec::new();
    for report in devices.into_iter().filter(known) {
        // A host may report a device twice.
        if updates.iter().any(|update| update.serial == report.serial) {
            continue;
        }
        updates.push(DeviceUpdate {
            new: DeviceId::new(now, app.random_bytes()),
            serial: report.serial,
            offer: DeviceProfile {
                platform: report.platform,
                kind: report.kind,
                name: report.name,
                version: report.version,
            },
            model: report.model,
            online: report.online,
        });
    }
    app.store.report_devices(&connection.link, &updates, now).await?;
    // Only now may its devices be handed over: before, the store had the report of an earlier connection.
    app.hosts.add(connection);
    let devices = app.store.list_host_devices(&System::for_background_jobs(), connection.link.host()).await?;
    let held = devices.iter().filter(|device| device.holder.is_some());
    let holds =
        held.map(|device| HoldNotice { serial: device.serial.clone(), fence: device.fence }).collect();
    connection.send_order(ToHost::Holds { holds });
    for device in devices.iter().filter(|device| device.cleaning) {
        connection.order_cleaning(&device.serial, device.fence);
    }
    app.queue.request_run();
    Ok(())
}

/// Handles the end of a host's connection.
pub async fn disconnect_host(app: &App, connection: &Arc<HostConnection>) {
    let host = connection.link.host();
    if !app.hosts.remove(connection) {
        return;
    }
    tracing::info!(host = %host, "a host has disconnected");
    if let Err(error) = app.store.remove_host_link(&System::for_background_jobs(), app.node, host).await {
        tracing::warn!(%error, "cannot record that a host has disconnected");
    }
}

/// Renews the links of this server's hosts in the store, so that they do not count as lost.
pub async fn renew_host_links(app: &App) -> Result<(), Failure> {
    let hosts = app.hosts.all().iter().map(|host| host.link.host()).collect::<Vec<_>>();
    Ok(app.store.renew_host_links(&System::for_background_jobs(), app.node, &hosts, app.now()).await?)
}

fn is_usable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control)
}
