//! The device queue: gives free devices to waiting requests, in the order in which the requests were committed.

use crate::app::App;
use crate::failure::Failure;
use domain::device::{Device, DeviceCommand, HeldDevice, assign_devices};
use futures_util::future::join_all;
use store::access::UseSessions;
use store::{QueueEntry, System};

/// Runs the queue for every request of a run, until the server stops. Each server has one such task, so its runs never
/// overlap; the devices' own rows keep the runs of several servers apart.
pub async fn run_queue(app: App) {
    loop {
        let number = tokio::select! {
            number = app.queue.wait_for_request() => number,
            () = app.stop.cancelled() => break,
        };
        if let Err(error) = grant_all(&app).await {
            tracing::error!(error = error.log_text(), "the device queue could not be run");
        }
        if let Err(error) = clean_devices(&app).await {
            tracing::error!(error = error.log_text(), "hosts could not be asked to clean devices");
        }
        app.queue.finish_run(number);
    }
}

/// Grants devices until no waiting request matches a free device.
async fn grant_all(app: &App) -> Result<(), Failure> {
    let system = System::for_background_jobs();
    loop {
        let state = app.store.load_queue(&system).await?;
        // Only devices whose host is connected to this server: another server grants the others.
        let near = |device: &Device| app.hosts.get(device.host).is_some();
        let devices = state.devices.into_iter().filter(near).collect::<Vec<_>>();
        let requests = state.queue.iter().map(|queued| queued.request.clone()).collect::<Vec<_>>();
        let assignments = assign_devices(&requests, &devices);
        if assignments.is_empty() {
            return Ok(());
        }
        let grants = assignments.into_iter().filter_map(|assignment| {
            let device = devices.iter().find(|device| device.id == assignment.device)?;
            Some(grant(app, &system, &state.queue[assignment.entry], device))
        });
        for outcome in join_all(grants).await {
            outcome?;
        }
    }
}

/// Grants one device. When something changed meanwhile, the next look at the queue sees it: no error.
async fn grant(app: &App, system: &System, queued: &QueueEntry, device: &Device) -> Result<(), Failure> {
    let granted = system.grant::<UseSessions>(queued.session.organization);
    let held = HeldDevice {
        device: device.id,
        fence: device.fence + 1,
        handle: device.handle.clone(),
        profile: device.profile.clone(),
        model: device.model.clone(),
    };
    let command = DeviceCommand::Grant { hold: queued.request.hold, held };
    let session = app.store.load_device_session(&granted.authorize()?, queued.session.id).await?;
    let now = app.now();
    let changes = domain::device::decide(&session, granted.actor(), command, now)?;
    match app.store.change_device_session(&granted, session, &changes, now).await {
        Ok(_) | Err(store::Error::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Asks the hosts that are connected to this server to clean their released devices.
async fn clean_devices(app: &App) -> Result<(), Failure> {
    let system = System::for_background_jobs();
    for device in app.store.list_devices_to_clean(&system).await? {
        if let Some(host) = app.hosts.get(device.host) {
            host.order_cleaning(&device.serial, device.fence);
        }
    }
    Ok(())
}
