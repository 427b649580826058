//! Hosts come and go, and say what hangs on them.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::machine_grant::MachineGrant;
use crate::services::host_connections::HostConnection;
use domain::Refusal;
use domain::device::Offer;
use domain::ids::{DeviceId, HostId};
use protocol::{DeviceReport, FromHost, HoldNotice, ToHost};
use std::sync::Arc;
use store::access::ConnectHosts;
use store::{DeviceUpdate, HostLink, System};
use tokio::sync::mpsc;

/// More than any machine has ports for.
const MAX_DEVICES: usize = 1_000;
const MAX_TEXT_BYTES: usize = 200;

/// A host has said hello: it is on the line from now on. Gives the connection and the orders to send.
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
        // Its devices are everybody's.
        MachineGrant::Account(granted) => {
            app.store.connect_pool_host(granted, new, name, version, app.node, now).await?
        }
    };
    let host = link.host();
    let (connection, orders) = HostConnection::new(link);
    connection.order(ToHost::Welcome { protocol: protocol::PROTOCOL_VERSION, host: host.0 });
    tracing::info!(%host, name, "a host is on the line");
    if let Some(warning) = reach.warning("host") {
        tracing::warn!(%host, name, "{warning}");
    }
    Ok((connection, orders))
}

/// Does what a frame of a host asks for.
///
/// # Errors
/// [`Refusal::Invalid`] for a frame that a host cannot send now; those of the store.
pub async fn handle_frame(
    app: &App,
    connection: &Arc<HostConnection>,
    frame: FromHost,
) -> Result<(), Failure> {
    match frame {
        FromHost::Hello { .. } => Err(Refusal::invalid("type", "no second hello").into()),
        FromHost::Devices { devices } => report_devices(app, connection, devices).await,
        FromHost::Answer { id, result, error } => {
            let answer = match (result, error) {
                (_, Some(error)) => Err(error),
                (result, None) => Ok(result.unwrap_or_default()),
            };
            connection.answer(id, answer);
            Ok(())
        }
        FromHost::Cleaned { serial, fence, problem } => {
            if let Some(problem) = problem {
                tracing::warn!(host = %connection.link.host(), serial, problem, "a device could not be cleaned fully");
            }
            app.store.record_device_cleaned(&connection.link, &serial, fence).await?;
            connection.cleaned(&serial, fence);
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
        // A host that names a device twice means one device.
        if updates.iter().any(|update| update.serial == report.serial) {
            continue;
        }
        updates.push(DeviceUpdate {
            new: DeviceId::new(now, app.random_bytes()),
            serial: report.serial,
            offer: Offer {
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
    // Only now may its devices be handed over: before, the store might have shown what an earlier connection said.
    app.hosts.add(connection);
    let devices = app.store.list_host_devices(&System::background_jobs(), connection.link.host()).await?;
    let held = devices.iter().filter(|device| device.holder.is_some());
    let holds =
        held.map(|device| HoldNotice { serial: device.serial.clone(), fence: device.fence }).collect();
    connection.order(ToHost::Holds { holds });
    for device in devices.iter().filter(|device| device.cleaning) {
        connection.clean(&device.serial, device.fence);
    }
    app.queue.request_run();
    Ok(())
}

/// A host's connection has ended.
pub async fn disconnect_host(app: &App, connection: &Arc<HostConnection>) {
    let host = connection.link.host();
    if !app.hosts.remove(connection) {
        return;
    }
    tracing::info!(host = %host, "a host is off the line");
    if let Err(error) = app.store.remove_host_link(&System::background_jobs(), app.node, host).await {
        tracing::warn!(%error, "cannot note that a host is off the line");
    }
}

/// Says in the store that this server's hosts are still on the line.
///
/// # Errors
/// Only those of the store.
pub async fn renew_host_links(app: &App) -> Result<(), Failure> {
    let hosts = app.hosts.all().iter().map(|host| host.link.host()).collect::<Vec<_>>();
    Ok(app.store.renew_host_links(&System::background_jobs(), app.node, &hosts, app.now()).await?)
}

fn is_usable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control)
}
