//! Drives devices that the caller holds.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::devices::files;
use crate::services::host_connections::DeviceCall;
use crate::services::host_connections::HostConnection;
use crate::services::host_connections::unreachable_host;
use domain::Refusal;
use domain::device::{Actor, HeldDevice, Hold};
use domain::ids::FileId;
use domain::refusal::Thing;
use domain::session::SessionKey;
use protocol::CallFile;
use serde_json::{Map, Value};
use std::sync::Arc;
use store::access::UseSessions;
use store::{Granted, System};
use tracing::Instrument;

/// A command that was sent to the host.
pub struct PendingCommand {
    answer: std::pin::Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>,
    /// The URL of the recording, when the command ends one.
    recording: Option<String>,
    app: App,
    session: SessionKey,
    hold: Hold,
}

/// Sends a `device.*` command to the device `name` that the caller holds. On return it is in the host's queue, so
/// that commands keep their order; [`PendingCommand::finish`] waits for the response.
///
/// # Errors
/// [`Refusal::NotFound`] for a device that nobody in the organization holds; [`Refusal::NotYours`] for a device that
/// another member holds; [`Refusal::DeviceUnavailable`].
pub async fn start_command(
    app: &App,
    granted: &Granted<UseSessions>,
    name: &str,
    method: &str,
    mut params: Map<String, Value>,
) -> Result<PendingCommand, Failure> {
    let (session, hold, held) = find_held_device(app, granted, name).await?;
    let (host, serial) = find_host(app, &held).await?;
    let mut timeout = app.settings.call_timeout;
    let mut recording = None;
    let file = match method {
        "device.apps.install" => {
            timeout = app.settings.install_timeout;
            let upload = params.remove("uploadId");
            Some(load_uploaded_app(app, granted, upload.as_ref()).await?)
        }
        "device.screenrecord.stop" => {
            timeout = app.settings.install_timeout;
            let (file, url) = files::announce_recording(app, granted, hold.principal).await?;
            recording = Some(url);
            Some(file)
        }
        _ => None,
    };
    params.remove("deviceId");
    record_hold_use(app, session, &hold);
    let call = DeviceCall {
        serial,
        fence: held.fence,
        method: method.to_owned(),
        params: Value::Object(params),
        file,
        timeout,
    };
    Ok(PendingCommand { answer: Box::pin(host.call(call)), recording, app: app.clone(), session, hold })
}

impl PendingCommand {
    /// Waits for the device's response.
    ///
    /// # Errors
    /// [`Failure::Device`] with the driver's own error; [`Refusal::DeviceTimeout`]; [`Refusal::DeviceUnavailable`].
    pub async fn finish(self) -> Result<Value, Failure> {
        let mut result = self.answer.await?;
        // Recorded again, because a command may run longer than a hold may be idle.
        record_hold_use(&self.app, self.session, &self.hold);
        if let (Some(url), Value::Object(fields)) = (self.recording, &mut result) {
            fields.insert("url".to_owned(), Value::String(url));
        }
        Ok(result)
    }
}

/// The caller's hold of a device.
async fn find_held_device(
    app: &App,
    granted: &Granted<UseSessions>,
    name: &str,
) -> Result<(SessionKey, Hold, HeldDevice), Failure> {
    let open = app.store.list_open_holds(&granted.authorize()?).await?;
    let mut named = open
        .into_iter()
        .filter_map(|(session, hold)| {
            let held = hold.held.clone().filter(|held| held.handle == name)?;
            Some((session, hold, held))
        })
        .collect::<Vec<_>>();
    // A device of the organization's own host and one of the pool may have the same id. The caller's own hold comes
    // first.
    named.sort_by_key(|(_, hold, _)| Some(hold.principal) != granted.principal());
    let (session, hold, held) = named.into_iter().next().ok_or(Refusal::NotFound(Thing::Device))?;
    let actor: Actor = granted.actor();
    actor.may_act_on(hold.principal, Thing::Device)?;
    Ok((session, hold, held))
}

async fn find_host(app: &App, held: &HeldDevice) -> Result<(Arc<HostConnection>, String), Failure> {
    let device = app.store.load_device(&System::for_background_jobs(), held.device).await?;
    let host = app.hosts.get(device.host).ok_or_else(unreachable_host)?;
    Ok((host, device.serial))
}

async fn load_uploaded_app(
    app: &App,
    granted: &Granted<UseSessions>,
    upload: Option<&Value>,
) -> Result<CallFile, Failure> {
    let wrong = || Refusal::invalid("uploadId", "the id that uploads.create gave");
    let id = upload.and_then(Value::as_str).ok_or_else(wrong)?;
    let id = domain::ids::parse_uuid(id).ok_or(Refusal::NotFound(Thing::File))?;
    let file = app.store.load_file(granted, FileId(id), app.now()).await?;
    if !file.complete {
        return Err(
            Refusal::invalid("uploadId", "an upload whose bytes have been sent to its uploadUrl").into()
        );
    }
    Ok(CallFile { id: file.id.0, name: file.name })
}

/// Records in the background that a hold was used, so that it does not become idle.
pub(crate) fn record_hold_use(app: &App, session: SessionKey, hold: &Hold) {
    let now = app.now();
    if !app.used.due(hold.id.0, now) {
        return;
    }
    let (app, hold) = (app.clone(), hold.id);
    let recording = async move {
        if let Err(error) =
            app.store.record_hold_use(&System::for_background_jobs(), session, hold, now).await
        {
            tracing::warn!(%error, "cannot record that a device was used");
        }
    };
    tokio::spawn(recording.in_current_span());
}
