//! All devices of the host and the rules for all servers: a device runs one call at a time, in the order of arrival,
//! and only calls of its current hold. The connections to all servers share the fleet.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use protocol::{
    CallError, DEVICE_TIMEOUT, DEVICE_UNAVAILABLE, DeviceReport, FromHost, HoldNotice, STALE_HOLD,
};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::{Driver, DriverCall, call_error, host_error};
use super::fencing::Fence;
use super::release;

/// Maximum number of calls of one device that run or wait. A client that exceeds it does not wait for answers.
const MAX_CALLS: usize = 64;

/// Time limit for a driver to clean a device, including the wait for a device that is restarting.
const CLEAN_LIMIT: Duration = Duration::from_secs(120);

/// Sends frames to one server.
pub(crate) type FrameSender = mpsc::Sender<FromHost>;

/// A call with its id, its time limit and the fencing number of its hold.
#[derive(Debug)]
pub(crate) struct FencedCall {
    pub(crate) id: u64,
    pub(crate) fence: i64,
    pub(crate) timeout: Duration,
    pub(crate) call: DriverCall,
}

/// All devices of the host.
pub(crate) struct Fleet {
    drivers: Vec<Arc<dyn Driver>>,
    /// Every device that a driver reported or a server named.
    devices: Mutex<HashMap<String, Arc<ManagedDevice>>>,
    reports: watch::Sender<Vec<DeviceReport>>,
    on_release: Option<String>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The state of one device.
struct ManagedDevice {
    fence: watch::Sender<Fence>,
    /// Locked while the device is in use; waiters get the lock in the order in which they asked.
    usage: Arc<AsyncMutex<DeviceUse>>,
    slots: Arc<Semaphore>,
}

/// What one use of a device leaves for the next.
#[derive(Default)]
struct DeviceUse {
    /// Fencing number of the hold after which the device was cleaned; `None` once it was used again.
    cleaned_after: Option<i64>,
}

impl Fleet {
    /// Creates a fleet of the drivers' devices. It stops when `stop` is cancelled.
    pub(crate) fn new(
        drivers: Vec<Arc<dyn Driver>>,
        on_release: Option<String>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let fleet = Arc::new(Self {
            drivers,
            devices: Mutex::default(),
            reports: watch::Sender::default(),
            on_release,
            tasks: TaskTracker::new(),
            stop,
        });
        fleet.merge_reports();
        for driver in &fleet.drivers {
            let (mut devices, merger) = (driver.devices(), Arc::clone(&fleet));
            fleet.spawn(async move {
                while devices.changed().await.is_ok() {
                    merger.merge_reports();
                }
            });
        }
        fleet
    }

    /// The devices, now and after each change.
    pub(crate) fn reports(&self) -> watch::Receiver<Vec<DeviceReport>> {
        self.reports.subscribe()
    }

    /// Waits for all tasks to end, after `stop` was cancelled.
    pub(crate) async fn join_tasks(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        for driver in &self.drivers {
            driver.join_tasks().await;
        }
    }

    /// Records which holds exist. A missing device means nothing: the server sends `clean` for each hold that ends,
    /// and a server that lags behind must not end holds that another one has granted.
    pub(crate) fn observe_holds(&self, holds: Vec<HoldNotice>) {
        for hold in holds {
            self.device(&hold.serial).fence.send_modify(|fence| fence.observe_hold(hold.fence));
        }
    }

    /// Queues a call. Sends exactly one answer to `outbox`, within the call's time limit.
    pub(crate) fn queue_call(self: &Arc<Self>, call: FencedCall, outbox: FrameSender) {
        let device = self.device(&call.call.serial);
        device.fence.send_modify(|fence| fence.observe_hold(call.fence));
        let (fleet, id) = (Arc::clone(self), call.id);
        let Ok(slot) = Arc::clone(&device.slots).try_acquire_owned() else {
            let error = host_error("too many calls are waiting for this device: wait for their answers");
            self.spawn(async move { send_answer(&outbox, id, Err(error)).await });
            return;
        };
        let lock = device.queue_for_usage();
        self.spawn(async move {
            let outcome = fleet.run_call(&device, lock, call, &outbox).await;
            drop(slot);
            send_answer(&outbox, id, outcome).await;
        });
    }

    /// Ends a hold: refuses its later calls, drops its running ones and cleans the device.
    pub(crate) fn end_hold(self: &Arc<Self>, serial: String, fence: i64, outbox: FrameSender) {
        let device = self.device(&serial);
        let mut newest = true;
        device.fence.send_modify(|state| newest = state.end_hold(fence));
        let (fleet, lock) = (Arc::clone(self), device.queue_for_usage());
        self.spawn(async move {
            let problem = match newest {
                true => fleet.clean_once(lock.await, &serial, fence).await,
                false => None, // a newer hold has the device: cleaning would destroy its work
            };
            let _ = outbox.send(FromHost::Cleaned { serial, fence, problem }).await;
        });
    }

    /// Runs a call when the device is free, unless its time limit passes or its hold ends first.
    async fn run_call(
        &self,
        device: &ManagedDevice,
        lock: impl Future<Output = OwnedMutexGuard<DeviceUse>>,
        call: FencedCall,
        outbox: &FrameSender,
    ) -> Result<Value, CallError> {
        let (mut fence, number, limit) = (device.fence.subscribe(), call.fence, call.timeout);
        let work = async {
            let mut usage = lock.await;
            if outbox.is_closed() {
                return Err(host_error("the server that sent the call has disconnected"));
            }
            usage.cleaned_after = None;
            let driver = self.driver(&call.call.serial);
            let driver =
                driver.ok_or_else(|| device_unavailable("the device is not connected to this host"))?;
            // A panic in a driver must fail one call, not the device.
            let result = AssertUnwindSafe(driver.call(call.call)).catch_unwind().await;
            result
                .unwrap_or_else(|_| Err(host_error("the device's driver panicked, which is a bug in Tenure")))
        };
        tokio::select! {
            biased;
            stale = wait_until_stale(&mut fence, number) => stale,
            result = tokio::time::timeout(limit, work) => result.unwrap_or_else(|_| {
                let seconds = limit.as_secs_f64();
                Err(call_error(DEVICE_TIMEOUT, "Device timeout", format!("the device did not finish within {seconds} s")))
            }),
        }
    }

    /// Cleans the device unless it is already clean after this hold. Returns the problem, if any.
    async fn clean_once(
        &self,
        mut usage: OwnedMutexGuard<DeviceUse>,
        serial: &str,
        fence: i64,
    ) -> Option<String> {
        if usage.cleaned_after == Some(fence) {
            return None;
        }
        let platform = self.report(serial).map(|report| report.platform).unwrap_or_default();
        let cleaning = async {
            match self.driver(serial) {
                Some(driver) => driver.clean(serial).await,
                None => Err("the device is no longer connected to this host".to_owned()),
            }
        };
        let cleaned = tokio::time::timeout(CLEAN_LIMIT, cleaning).await;
        let cleaned = cleaned
            .unwrap_or_else(|_| Err(format!("the device was not clean within {} s", CLEAN_LIMIT.as_secs())));
        let released = match &self.on_release {
            Some(command) => release::run_command(command, serial, &platform).await,
            None => Ok(()),
        };
        let problems: Vec<String> = [cleaned, released].into_iter().filter_map(Result::err).collect();
        if problems.is_empty() {
            usage.cleaned_after = Some(fence);
            tracing::info!(serial, fence, "device cleaned");
            return None;
        }
        let problem = problems.join("; ");
        tracing::warn!(serial, fence, problem, "device not fully cleaned");
        Some(problem)
    }

    fn device(&self, serial: &str) -> Arc<ManagedDevice> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(devices.entry(serial.to_owned()).or_insert_with(|| Arc::new(ManagedDevice::new())))
    }

    /// The driver of a device. If no driver lists it now, the last driver may still know it: that is `mobilecli` on a
    /// host with real devices.
    fn driver(&self, serial: &str) -> Option<&Arc<dyn Driver>> {
        let knows = |driver: &&Arc<dyn Driver>| driver.devices().borrow().iter().any(|d| d.serial == serial);
        self.drivers.iter().find(knows).or(self.drivers.last())
    }

    fn report(&self, serial: &str) -> Option<DeviceReport> {
        self.reports.borrow().iter().find(|report| report.serial == serial).cloned()
    }

    /// Merges the drivers' devices and notifies the connections of a change.
    fn merge_reports(&self) {
        self.reports.send_if_modified(|reports| {
            // Read while the reports are locked, so that an older reading cannot overwrite a newer one.
            let all: Vec<_> = self.drivers.iter().flat_map(|d| d.devices().borrow().clone()).collect();
            let changed = *reports != all;
            *reports = all;
            changed
        });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(work).await });
    }
}

impl ManagedDevice {
    fn new() -> Self {
        let slots = Arc::new(Semaphore::new(MAX_CALLS));
        Self { fence: watch::Sender::default(), usage: Arc::default(), slots }
    }

    /// Takes a place in the queue now, not when the future is first polled: tasks start in any order.
    fn queue_for_usage(&self) -> impl Future<Output = OwnedMutexGuard<DeviceUse>> + Send + use<> {
        let mut lock = Box::pin(Arc::clone(&self.usage).lock_owned());
        let free = lock.as_mut().now_or_never();
        async move {
            match free {
                Some(free) => free,
                None => lock.await,
            }
        }
    }
}

/// Returns an error as soon as the hold may no longer drive the device.
async fn wait_until_stale(fence: &mut watch::Receiver<Fence>, number: i64) -> Result<Value, CallError> {
    loop {
        if let Err(stale) = fence.borrow_and_update().check_hold(number) {
            return Err(call_error(STALE_HOLD, "Device not allocated", stale.sentence()));
        }
        if fence.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The device cannot be reached now.
pub(crate) fn device_unavailable(data: impl Into<String>) -> CallError {
    call_error(DEVICE_UNAVAILABLE, "Device unavailable", data)
}

/// Sends an answer, or drops it if the server has disconnected.
async fn send_answer(outbox: &FrameSender, id: u64, outcome: Result<Value, CallError>) {
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    let _ = outbox.send(FromHost::Answer { id, result, error }).await;
}
