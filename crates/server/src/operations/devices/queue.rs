//! The queue: hands free devices to those who wait, in the order of their requests.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::devices;
use domain::device::{Command, Device, HeldDevice, Waiting, assign};
use futures_util::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use store::access::UseSessions;
use store::{QueueEntry, System};
use tokio::sync::{Notify, watch};

/// Runs of the queue are numbered, so that who has committed a request can wait for a run that began after it.
pub struct QueueRuns {
    asked: AtomicU64,
    wake: Notify,
    done: watch::Sender<u64>,
}

impl Default for QueueRuns {
    fn default() -> Self {
        QueueRuns { asked: AtomicU64::new(0), wake: Notify::new(), done: watch::Sender::new(0) }
    }
}

/// Asks for a run and does not wait for it.
pub fn start(app: &App) -> u64 {
    let number = app.queue.asked.fetch_add(1, Ordering::SeqCst) + 1;
    app.queue.wake.notify_one();
    number
}

/// Asks for a run and waits until one that began after now has ended.
pub async fn run(app: &App) {
    let number = start(app);
    let mut done = app.queue.done.subscribe();
    // An error means that the server is stopping; the request stands and is served after the restart.
    let _ = done.wait_for(|done| *done >= number).await;
}

/// Runs the queue whenever somebody asked, until the server stops. One task for each server, so that runs do
/// not get into each other's way; other servers' runs are held off by the devices' own rows.
pub async fn keep_running(app: App) {
    loop {
        tokio::select! {
            () = app.queue.wake.notified() => {}
            () = app.stop.cancelled() => break,
        }
        let number = app.queue.asked.load(Ordering::SeqCst);
        if let Err(error) = hand_over(&app).await {
            tracing::error!(error = error.for_log(), "the queue could not be run");
        }
        if let Err(error) = clean(&app).await {
            tracing::error!(error = error.for_log(), "devices could not be sent to be cleaned");
        }
        app.queue.done.send_replace(number);
    }
}

/// Hands over what can be, until nothing more can.
async fn hand_over(app: &App) -> Result<(), Failure> {
    let system = System::background_jobs();
    loop {
        let state = app.store.load_queue(&system).await?;
        // Only devices whose host is on this server's line: another server hands over the others.
        let near = |device: &Device| app.hosts.get(device.host).is_some();
        let devices = state.devices.into_iter().filter(near).collect::<Vec<_>>();
        let waiting = state.queue.iter().map(|queued| queued.waiting.clone()).collect::<Vec<Waiting>>();
        let assignments = assign(&waiting, &devices);
        if assignments.is_empty() {
            return Ok(());
        }
        let grants = assignments.into_iter().filter_map(|assignment| {
            let device = devices.iter().find(|device| device.id == assignment.device)?;
            Some(grant(app, &system, &state.queue[assignment.waiting], device))
        });
        for outcome in join_all(grants).await {
            outcome?;
        }
    }
}

/// Hands one device over. That somebody was faster is no error: the next look at the queue sees it.
async fn grant(app: &App, system: &System, queued: &QueueEntry, device: &Device) -> Result<(), Failure> {
    let granted = system.grant::<UseSessions>(queued.session.organization);
    let held = HeldDevice {
        device: device.id,
        fence: device.fence + 1,
        handle: device.handle.clone(),
        offer: device.offer.clone(),
        model: device.model.clone(),
    };
    let command = Command::Grant { hold: queued.waiting.hold, held };
    let session = app.store.load_device_session(&granted.authorize()?, queued.session.id).await?;
    let now = app.now();
    let changes = domain::device::decide(&session, granted.actor(), command, now)?;
    match app.store.change_device_session(&granted, session, &changes, now).await {
        Ok(_) | Err(store::Error::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Tells the hosts on this server's line which devices are to be cleaned.
async fn clean(app: &App) -> Result<(), Failure> {
    let system = System::background_jobs();
    for device in app.store.list_devices_to_clean(&system).await? {
        if let Some(host) = app.hosts.get(device.host) {
            host.clean(&device.serial, device.fence);
        }
    }
    Ok(())
}

/// Ends a hold or request in Tenure's own name.
pub(crate) async fn release(
    app: &App,
    due: &store::DueHold,
    reason: domain::session::EndReason,
    evidence: String,
) -> Result<(), Failure> {
    let granted = System::background_jobs().grant::<UseSessions>(due.session.organization);
    let hold = due.hold;
    devices::sessions::change(app, &granted, due.session.id, |_| {
        Ok(Command::Release { hold, reason, evidence: evidence.clone() })
    })
    .await
    .map(|_| ())
}
