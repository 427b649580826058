//! Simulated devices, for demonstrations, tests and load. They keep state, so that clients see the effect of their
//! calls: taps on the screenshot, text in the field, apps that are installed and removed.

mod catalog;
mod device;
mod font;
mod movie;
mod screen;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use protocol::{CallError, DeviceReport};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::HostOptions;
use super::driver::{Driver, DriverCall, host_error, invalid_params};
use super::files::RemoteFile;
use super::fleet::device_unavailable;
use device::SimulatedDevice;

/// The driver of simulated devices.
pub(crate) struct SimulatedDriver {
    /// Never changes in length or order; the reports have the same order.
    devices: Vec<Mutex<SimulatedDevice>>,
    reports: watch::Sender<Vec<DeviceReport>>,
    reboot_delay: Duration,
    tmp: PathBuf,
}

impl SimulatedDriver {
    /// Creates the devices, with serials that are unique to the host. Temporary files go to `tmp`.
    pub(crate) fn create(options: &HostOptions, tmp: PathBuf) -> Arc<dyn Driver> {
        let (host, count, reboot_delay) = (&options.name, options.count_simulated(), options.reboot_delay);
        let android =
            (0..count.android).map(|index| catalog::device_model(host, catalog::Platform::Android, index));
        let ios = (0..count.ios).map(|index| catalog::device_model(host, catalog::Platform::Ios, index));
        let models: Vec<_> = android.chain(ios).collect();
        let reports = models.iter().map(|model| model.report.clone()).collect();
        let devices = models.into_iter().map(|model| Mutex::new(SimulatedDevice::new(model))).collect();
        Arc::new(Self { devices, reports: watch::Sender::new(reports), reboot_delay, tmp })
    }

    fn device_index(&self, serial: &str) -> Option<usize> {
        self.reports.borrow().iter().position(|report| report.serial == serial)
    }

    fn device(&self, index: usize) -> MutexGuard<'_, SimulatedDevice> {
        self.devices[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_online(&self, index: usize, online: bool) {
        self.reports.send_if_modified(|reports| {
            let changed = reports[index].online != online;
            reports[index].online = online;
            changed
        });
    }

    /// Takes the device offline for a moment and restarts it. The call returns at once, as it does in `mobilecli`.
    fn reboot(&self, index: usize) -> Value {
        self.device(index).restart();
        self.set_online(index, false);
        let (reports, delay) = (self.reports.clone(), self.reboot_delay);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            reports.send_modify(|reports| reports[index].online = true);
        });
        json!({"message": "rebooting"})
    }

    /// Installs the app that the file is named after. The content is ignored, but must not be empty.
    async fn install(&self, index: usize, file: Option<RemoteFile>) -> Result<Value, CallError> {
        let file =
            file.ok_or_else(|| invalid_params("uploadId is required: upload the app with uploads.create"))?;
        let path = file.fetch(&self.tmp).await?;
        let size = tokio::fs::metadata(&path).await.map_err(|error| host_error(error.to_string()))?.len();
        if size == 0 {
            return Err(host_error(format!("{} is empty, so there is nothing to install", file.name())));
        }
        self.device(index).install(file.name());
        Ok(json!({"status": "ok"}))
    }

    /// Stores a short movie of the current screen on the server.
    async fn stop_recording(&self, index: usize, file: Option<RemoteFile>) -> Result<Value, CallError> {
        let file = file.ok_or_else(|| host_error("the server did not say where to store the recording"))?;
        let (seconds, movie) = self.device(index).stop_recording()?;
        let path = tempfile::NamedTempFile::new_in(&self.tmp)
            .map_err(|error| host_error(error.to_string()))?
            .into_temp_path();
        tokio::fs::write(&path, movie).await.map_err(|error| host_error(error.to_string()))?;
        file.store(&path).await?;
        Ok(json!({"status": "ok", "duration": seconds}))
    }
}

#[async_trait]
impl Driver for SimulatedDriver {
    fn devices(&self) -> watch::Receiver<Vec<DeviceReport>> {
        self.reports.subscribe()
    }

    async fn call(&self, call: DriverCall) -> Result<Value, CallError> {
        let index = self
            .device_index(&call.serial)
            .ok_or_else(|| device_unavailable("there is no such simulated device"))?;
        let online = self.reports.borrow()[index].online;
        if call.method == "device.boot" {
            self.set_online(index, true);
            return Ok(json!({"message": "booted"}));
        }
        if !online {
            return Err(device_unavailable("the device is switched off or is starting"));
        }
        match call.method.as_str() {
            "device.reboot" => Ok(self.reboot(index)),
            "device.shutdown" => {
                self.device(index).restart();
                self.set_online(index, false);
                Ok(json!({"message": "switched off"}))
            }
            "device.apps.install" => self.install(index, call.file).await,
            "device.screenrecord.stop" => self.stop_recording(index, call.file).await,
            method => self.device(index).handle_call(method, &call.params),
        }
    }

    async fn clean(&self, serial: &str) -> Result<(), String> {
        let index = self.device_index(serial).ok_or("there is no such simulated device")?;
        self.device(index).reset();
        self.set_online(index, true);
        Ok(())
    }

    async fn join_tasks(&self) {}
}
