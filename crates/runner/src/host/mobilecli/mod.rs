//! Devices that are connected to this machine, driven by the operator's `mobilecli server`.
//!
//! Clients use `mobilecli`'s own methods, so most calls pass unchanged. [`allowlist`] refuses methods and parameters
//! that would reach files of this machine, [`translate`] moves apps and recordings between the machines, and
//! [`watcher`] offers a device only once it has answered.

mod allowlist;
mod process;
mod rpc;
mod translate;
mod watcher;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use protocol::{CallError, DeviceReport};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::baseline::Baselines;
use super::driver::{Driver, DriverCall, error_sentence, host_error};
use super::fleet::device_unavailable;
use super::state_dir::StateDir;
use super::{HostError, HostOptions};
use allowlist::AllowedParams;
use rpc::RpcClient;
use translate::Recording;

/// How long cleaning waits for a device that is away: clients often reboot a device and release it.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// The driver of real devices, emulators and simulators.
pub(crate) struct MobilecliDriver {
    rpc: RpcClient,
    devices: watch::Receiver<Vec<DeviceReport>>,
    baselines: Baselines,
    tmp: PathBuf,
    recordings: Mutex<HashMap<String, Recording>>,
    tasks: TaskTracker,
}

impl MobilecliDriver {
    /// Starts `mobilecli server`, or uses the one that the options name, and starts looking for devices.
    ///
    /// # Errors
    /// The program is missing, its URL is invalid, or the state folder cannot be used.
    pub(crate) fn start(
        options: &HostOptions,
        state: &StateDir,
        stop: CancellationToken,
    ) -> Result<Arc<dyn Driver>, HostError> {
        let unusable = |cause| HostError::StateDir { path: options.state_dir.clone(), cause };
        let tasks = TaskTracker::new();
        let address = match &options.mobilecli_url {
            Some(url) => watch::Sender::new(Some(rpc::rpc_url(url)?)).subscribe(),
            None => {
                let program = process::find_program(options.mobilecli.as_deref())?;
                let home = state.recreate_dir("mobilecli").map_err(unusable)?;
                process::keep_running(program, home, &tasks, stop.clone())
            }
        };
        let rpc = RpcClient::new(address)?;
        let baselines = Baselines::new(state.create_dir("baselines").map_err(unusable)?);
        let devices = watcher::watch_devices(rpc.clone(), options.poll_interval, &tasks, stop);
        tasks.close();
        let tmp = state.tmp_dir();
        Ok(Arc::new(Self { rpc, devices, baselines, tmp, recordings: Mutex::default(), tasks }))
    }

    fn report(&self, serial: &str) -> Option<DeviceReport> {
        self.devices.borrow().iter().find(|report| report.serial == serial).cloned()
    }

    fn recordings(&self) -> std::sync::MutexGuard<'_, HashMap<String, Recording>> {
        self.recordings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of all apps on the device.
    async fn list_apps(&self, serial: &str) -> Result<BTreeSet<String>, CallError> {
        let list = self.rpc.call_device("device.apps.list", serial, Map::new()).await?;
        let list = list.as_array().ok_or_else(|| host_error("mobilecli listed no apps"))?;
        Ok(list.iter().filter_map(|app| app["packageName"].as_str().map(str::to_owned)).collect())
    }

    /// Saves the list of apps, before the hold installs its first one.
    async fn save_baseline(&self, serial: &str) -> Result<(), CallError> {
        let failed = |error: std::io::Error| {
            host_error(format!("the device's host cannot save the list of its apps: {error}"))
        };
        if self.baselines.load(serial).await.map_err(failed)?.is_none() {
            let apps = self.list_apps(serial).await?;
            self.baselines.save(serial, &apps).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Uninstalls every app that is not in the baseline. The baseline stays until all of them are gone, so that a
    /// failed removal is retried after the next hold.
    async fn remove_installed_apps(&self, serial: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot read which apps the device had: {error}");
        let Some(baseline) = self.baselines.load(serial).await.map_err(failed)? else { return Ok(()) };
        let apps = self
            .list_apps(serial)
            .await
            .map_err(|e| format!("cannot list the apps: {}", error_sentence(e)))?;
        let mut left = Vec::new();
        for app in apps.difference(&baseline) {
            let params = Map::from_iter([("bundleId".to_owned(), json!(app))]);
            if let Err(error) = self.rpc.call_device("device.apps.uninstall", serial, params).await {
                left.push(format!("{app} is still installed: {}", error_sentence(error)));
            }
        }
        if !left.is_empty() {
            return Err(left.join("; "));
        }
        self.baselines.forget(serial).await.map_err(failed)
    }

    /// Stops a recording that the hold left running, and deletes its file.
    async fn drop_recording(&self, serial: &str) {
        let Some(recording) = self.recordings().remove(serial) else { return };
        let ended = self.rpc.call_device("device.screenrecord.stop", serial, Map::new()).await;
        if let Err(error) = ended {
            tracing::debug!(serial, error = error_sentence(error), "the recording had already ended");
        }
        drop(recording);
    }

    async fn press_home(&self, serial: &str) -> Result<(), String> {
        let params = Map::from_iter([("button".to_owned(), json!("HOME"))]);
        let pressed = self.rpc.call_device("device.io.button", serial, params).await;
        pressed.map(drop).map_err(|error| format!("cannot press HOME: {}", error_sentence(error)))
    }
}

#[async_trait]
impl Driver for MobilecliDriver {
    fn devices(&self) -> watch::Receiver<Vec<DeviceReport>> {
        self.devices.clone()
    }

    async fn call(&self, call: DriverCall) -> Result<Value, CallError> {
        let report = self.report(&call.serial);
        let kind = report.as_ref().map(|report| report.kind.as_str());
        let AllowedParams { params } = allowlist::check_call(&call.method, call.params, kind)?;
        let (method, serial) = (call.method.as_str(), call.serial.as_str());
        // A device that is away can only be booted.
        if report.is_none() && method != "device.boot" {
            return Err(device_unavailable("the device is not connected to its host now"));
        }
        match method {
            "device.apps.install" => self.install(serial, call.file).await,
            "device.screenrecord" => self.start_recording(serial, params).await,
            "device.screenrecord.stop" => self.stop_recording(serial, call.file).await,
            "device.info" => {
                self.rpc.call_device(method, serial, params).await.map(translate::info_in_both_shapes)
            }
            _ => self.rpc.call_device(method, serial, params).await,
        }
    }

    async fn clean(&self, serial: &str) -> Result<(), String> {
        let mut devices = self.devices.clone();
        let back = devices.wait_for(|all| all.iter().any(|device| device.serial == serial && device.online));
        if tokio::time::timeout(RETURN_LIMIT, back).await.is_err() {
            return Err(format!("the device was away for {} s after its hold", RETURN_LIMIT.as_secs()));
        }
        self.drop_recording(serial).await;
        let removed = self.remove_installed_apps(serial).await;
        let home = self.press_home(serial).await;
        let problems: Vec<String> = [removed, home].into_iter().filter_map(Result::err).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    async fn join_tasks(&self) {
        self.tasks.wait().await;
    }
}
