//! All devices of the host, and what holds whoever asks: a device does one thing at a time, in the order in which
//! it was asked, and only for the hold that stands. Shared by the links of all servers.

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

/// Most calls of one device that wait or run. A client that sends more does not wait for answers.
const MAX_CALLS: usize = 64;

/// How long cleaning by a driver may take, with the wait for a device that is just coming back.
const CLEAN_LIMIT: Duration = Duration::from_secs(120);

/// Where the frames for one server go.
pub(crate) type FrameSender = mpsc::Sender<FromHost>;

/// A call as it came, with the hold that it is for.
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
    /// Every device that was ever reported or named by a server.
    devices: Mutex<HashMap<String, Arc<ManagedDevice>>>,
    reports: watch::Sender<Vec<DeviceReport>>,
    on_release: Option<String>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What is remembered of one device.
struct ManagedDevice {
    fence: watch::Sender<Fence>,
    /// Held by whoever uses the device; waiters get it in the order in which they asked.
    usage: Arc<AsyncMutex<DeviceUse>>,
    slots: Arc<Semaphore>,
}

/// What the use of a device leaves to the next.
#[derive(Default)]
struct DeviceUse {
    /// The hold after which the device was cleaned well, and nobody has held it since.
    cleaned_after: Option<i64>,
}

impl Fleet {
    /// A fleet of the drivers' devices, which ends when `stop` is cancelled.
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

    /// All devices, now and whenever they change.
    pub(crate) fn reports(&self) -> watch::Receiver<Vec<DeviceReport>> {
        self.reports.subscribe()
    }

    /// Waits until all work has ended, after `stop` was cancelled.
    pub(crate) async fn join_tasks(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        for driver in &self.drivers {
            driver.join_tasks().await;
        }
    }

    /// Learns which holds stand. A device that is missing is no news: every end of a hold comes as a `clean`,
    /// and a server that lags behind the others must not end what they have granted since.
    pub(crate) fn observe_holds(&self, holds: Vec<HoldNotice>) {
        for hold in holds {
            self.device(&hold.serial).fence.send_modify(|fence| fence.observe_hold(hold.fence));
        }
    }

    /// Queues a call. Exactly one answer goes to `outbox`, within the call's time limit.
    pub(crate) fn queue_call(self: &Arc<Self>, call: FencedCall, outbox: FrameSender) {
        let device = self.device(&call.call.serial);
        device.fence.send_modify(|fence| fence.observe_hold(call.fence));
        let (fleet, id) = (Arc::clone(self), call.id);
        let Ok(slot) = Arc::clone(&device.slots).try_acquire_owned() else {
            let error = host_error("too many calls are waiting for this device: wait for their answers");
            self.spawn(async move { send_answer(&outbox, id, Err(error)).await });
            return;
        };
        let turn = device.queue_for_usage();
        self.spawn(async move {
            let outcome = fleet.run_call(&device, turn, call, &outbox).await;
            drop(slot);
            send_answer(&outbox, id, outcome).await;
        });
    }

    /// Ends a hold: its calls are refused from now on, those that run are dropped, and the device is cleaned.
    pub(crate) fn end_hold(self: &Arc<Self>, serial: String, fence: i64, outbox: FrameSender) {
        let device = self.device(&serial);
        let mut newest = true;
        device.fence.send_modify(|state| newest = state.end_hold(fence));
        let (fleet, turn) = (Arc::clone(self), device.queue_for_usage());
        self.spawn(async move {
            let problem = match newest {
                true => fleet.clean_once(turn.await, &serial, fence).await,
                false => None, // somebody else holds it by now: cleaning would take their work away
            };
            let _ = outbox.send(FromHost::Cleaned { serial, fence, problem }).await;
        });
    }

    /// Runs a call when its turn comes, unless its time is up or its hold ends before it is done.
    async fn run_call(
        &self,
        device: &ManagedDevice,
        turn: impl Future<Output = OwnedMutexGuard<DeviceUse>>,
        call: FencedCall,
        outbox: &FrameSender,
    ) -> Result<Value, CallError> {
        let (mut fence, number, limit) = (device.fence.subscribe(), call.fence, call.timeout);
        let work = async {
            let mut usage = turn.await;
            if outbox.is_closed() {
                return Err(host_error("the server that asked has gone"));
            }
            usage.cleaned_after = None;
            let driver = self.driver(&call.call.serial);
            let driver = driver.ok_or_else(|| device_unavailable("the device does not hang on this host"))?;
            // A bug in a driver must cost one answer, not the device.
            let done = AssertUnwindSafe(driver.call(call.call)).catch_unwind().await;
            done.unwrap_or_else(|_| Err(host_error("the device's driver broke, which is a bug in Tenure")))
        };
        tokio::select! {
            biased;
            why = wait_until_stale(&mut fence, number) => why,
            done = tokio::time::timeout(limit, work) => done.unwrap_or_else(|_| {
                let seconds = limit.as_secs_f64();
                Err(call_error(DEVICE_TIMEOUT, "Device timeout", format!("the device did not do it within {seconds} s")))
            }),
        }
    }

    /// Cleans unless that was done, and says what went wrong.
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
                None => Err("the device does not hang on this host any more".to_owned()),
            }
        };
        let cleaned = tokio::time::timeout(CLEAN_LIMIT, cleaning).await;
        let cleaned =
            cleaned.unwrap_or_else(|_| Err(format!("not clean within {} s", CLEAN_LIMIT.as_secs())));
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
        tracing::warn!(serial, fence, problem, "device not quite cleaned");
        Some(problem)
    }

    fn device(&self, serial: &str) -> Arc<ManagedDevice> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(devices.entry(serial.to_owned()).or_insert_with(|| Arc::new(ManagedDevice::new())))
    }

    /// Who drives a device. One that is away just now may be known to the last driver, which is `mobilecli`
    /// wherever real devices hang.
    fn driver(&self, serial: &str) -> Option<&Arc<dyn Driver>> {
        let knows = |driver: &&Arc<dyn Driver>| driver.devices().borrow().iter().any(|d| d.serial == serial);
        self.drivers.iter().find(knows).or(self.drivers.last())
    }

    fn report(&self, serial: &str) -> Option<DeviceReport> {
        self.reports.borrow().iter().find(|report| report.serial == serial).cloned()
    }

    /// Puts the drivers' devices together and tells the links if anything is new.
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

    /// Takes a place in the queue now, not when the answer is first awaited: tasks start in any order.
    fn queue_for_usage(&self) -> impl Future<Output = OwnedMutexGuard<DeviceUse>> + Send + use<> {
        let mut turn = Box::pin(Arc::clone(&self.usage).lock_owned());
        let free = turn.as_mut().now_or_never();
        async move {
            match free {
                Some(free) => free,
                None => turn.await,
            }
        }
    }
}

/// Ends as soon as the hold may not drive the device.
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

/// An answer to a server that has gone is nobody's.
async fn send_answer(outbox: &FrameSender, id: u64, outcome: Result<Value, CallError>) {
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    let _ = outbox.send(FromHost::Answer { id, result, error }).await;
}
