//! Watches which devices `mobilecli` lists, and which of them answer.
//!
//! A listed phone may be unusable (no agent, a locked bridge), so a device counts as online only once it has answered.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use protocol::{CallError, DeviceReport};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::rpc::RpcClient;
use crate::clock::now;
use crate::host::driver::{error_sentence, host_error};

/// Time limit for `mobilecli` to list its devices.
const LIST_LIMIT: Duration = Duration::from_secs(15);

/// Time limit for a device's first answer: on iOS, `mobilecli` starts an agent for it.
const CHECK_LIMIT: Duration = Duration::from_secs(90);

/// Delay before a device that did not answer is checked again.
const RECHECK_DELAY: Duration = Duration::from_secs(10);

/// The devices count as gone after this many failures in a row. A single failure is a restart of `mobilecli`.
const MAX_FAILURES: u32 = 3;

/// A device as `mobilecli` lists it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ListedDevice {
    id: String,
    platform: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    state: String,
    /// Only remote devices have one: they are connected elsewhere, so this host does not offer them.
    #[serde(default)]
    provider: Value,
}

struct DeviceWatcher {
    rpc: RpcClient,
    listed: Vec<ListedDevice>,
    answered: HashSet<String>,
    /// When each device that failed its check is checked again.
    retry_at: HashMap<String, Instant>,
    checks: JoinSet<(String, Result<(), String>)>,
    checking: HashSet<String>,
    failures: u32,
    reports: watch::Sender<Vec<DeviceReport>>,
}

/// Lists the devices every `interval` until `stop` is cancelled.
pub(super) fn watch_devices(
    rpc: RpcClient,
    interval: Duration,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> watch::Receiver<Vec<DeviceReport>> {
    let reports = watch::Sender::default();
    let receiver = reports.subscribe();
    let watcher = DeviceWatcher {
        rpc,
        listed: Vec::new(),
        answered: HashSet::new(),
        retry_at: HashMap::new(),
        checks: JoinSet::new(),
        checking: HashSet::new(),
        failures: 0,
        reports,
    };
    tasks.spawn(async move { stop.run_until_cancelled(watcher.run(interval)).await });
    receiver
}

impl DeviceWatcher {
    async fn run(mut self, interval: Duration) {
        let mut address = self.rpc.address();
        let mut polls = tokio::time::interval(interval.max(Duration::from_millis(10)));
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = polls.tick() => self.poll().await,
                Ok(()) = address.changed() => self.poll().await,
                Some(Ok((serial, outcome))) = self.checks.join_next() => self.record_check(serial, outcome),
            }
            self.publish_reports();
        }
    }

    async fn poll(&mut self) {
        let timed_out = || Err(host_error(format!("no answer within {} s", LIST_LIMIT.as_secs())));
        match timeout(LIST_LIMIT, list_devices(&self.rpc)).await.unwrap_or_else(|_| timed_out()) {
            Ok(listed) => {
                self.failures = 0;
                self.listed = listed;
            }
            Err(error) => {
                self.failures += 1;
                if self.failures == MAX_FAILURES {
                    tracing::warn!(error = error_sentence(error), "mobilecli cannot list its devices");
                    self.listed.clear();
                }
            }
        }
        self.check_new();
    }

    /// Checks the devices that are online and have not answered yet. Forgets devices that are away, so that they are
    /// checked again.
    fn check_new(&mut self) {
        let online: HashSet<String> =
            self.listed.iter().filter(|d| d.state != "offline").map(|d| d.id.clone()).collect();
        self.answered.retain(|serial| online.contains(serial));
        self.retry_at.retain(|serial, _| online.contains(serial));
        for serial in online {
            let due = self.retry_at.get(&serial).is_none_or(|at| *at <= now());
            if due && !self.answered.contains(&serial) && self.checking.insert(serial.clone()) {
                let rpc = self.rpc.clone();
                self.checks.spawn(async move {
                    let outcome =
                        timeout(CHECK_LIMIT, rpc.call_device("device.info", &serial, Map::new())).await;
                    let outcome = match outcome {
                        Ok(answer) => answer.map(drop).map_err(error_sentence),
                        Err(_) => Err(format!("no answer within {} s", CHECK_LIMIT.as_secs())),
                    };
                    (serial, outcome)
                });
            }
        }
    }

    fn record_check(&mut self, serial: String, outcome: Result<(), String>) {
        self.checking.remove(&serial);
        // The device may have left in the meantime.
        let online = self.listed.iter().any(|device| device.id == serial && device.state != "offline");
        match outcome {
            Ok(()) if online => {
                self.retry_at.remove(&serial);
                self.answered.insert(serial);
            }
            Err(reason) if online => {
                tracing::warn!(
                    serial,
                    reason,
                    "a device is connected but does not answer; it counts as offline"
                );
                self.retry_at.insert(serial, now() + RECHECK_DELAY);
            }
            _ => {}
        }
    }

    fn publish_reports(&self) {
        let reports: Vec<DeviceReport> = self.listed.iter().map(|device| self.report(device)).collect();
        self.reports.send_if_modified(|published| {
            let changed = *published != reports;
            *published = reports;
            changed
        });
    }

    fn report(&self, device: &ListedDevice) -> DeviceReport {
        DeviceReport {
            serial: device.id.clone(),
            platform: device.platform.clone(),
            kind: device.kind.clone(),
            name: device.name.clone(),
            model: device.model.clone(),
            version: device.version.clone(),
            online: self.answered.contains(&device.id),
        }
    }
}

async fn list_devices(rpc: &RpcClient) -> Result<Vec<ListedDevice>, CallError> {
    #[derive(Deserialize)]
    struct DeviceList {
        #[serde(default)]
        devices: Vec<ListedDevice>,
    }
    let response = rpc.call("devices.list", json!({})).await?;
    let response: DeviceList = serde_json::from_value(response).map_err(|error| {
        host_error(format!("this version of mobilecli lists devices in an unknown format: {error}"))
    })?;
    let mut devices = response.devices;
    devices
        .retain(|device| device.provider.is_null() && matches!(device.platform.as_str(), "android" | "ios"));
    devices.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(devices)
}
