//! The hosts on this server's line, and calls to their devices.

use crate::failure::Failure;
use domain::Refusal;
use domain::ids::HostId;
use protocol::{CallError, CallFile, ToHost};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::HostLink;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// More orders than a host has devices and callers; a host that does not read them is cut off.
const ORDERS_WAITING: usize = 4_096;

/// A command for a device.
#[derive(Debug, Clone)]
pub struct DeviceCall {
    /// What the host calls the device.
    pub serial: String,
    /// The number of the caller's hold.
    pub fence: i64,
    /// A `device.*` method.
    pub method: String,
    /// Its parameters, always an object.
    pub params: Value,
    /// The file that it is about.
    pub file: Option<CallFile>,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

type Answer = Result<Value, CallError>;

/// A host's connection.
pub struct HostConnection {
    /// Whose it is.
    pub link: HostLink,
    orders: mpsc::Sender<ToHost>,
    calls: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    next_call: AtomicU64,
    /// Told whenever a call is over.
    call_over: Notify,
    /// Devices that were told to be cleaned on this connection: serial and number of the hold.
    cleaning: Mutex<HashSet<(String, i64)>>,
    /// Cancelled when the connection is to end: replaced by a newer one, or too slow.
    pub cut: CancellationToken,
    replaced: AtomicBool,
}

impl HostConnection {
    /// A connection and the orders that it has to send.
    pub fn new(link: HostLink) -> (Arc<HostConnection>, mpsc::Receiver<ToHost>) {
        let (orders, receiver) = mpsc::channel(ORDERS_WAITING);
        let connection = HostConnection {
            link,
            orders,
            calls: Mutex::default(),
            next_call: AtomicU64::new(1),
            call_over: Notify::new(),
            cleaning: Mutex::default(),
            cut: CancellationToken::new(),
            replaced: AtomicBool::new(false),
        };
        (Arc::new(connection), receiver)
    }

    /// Sends an order; a host that lets them pile up is cut off, and told again when it is back.
    pub fn order(&self, order: ToHost) {
        if self.orders.try_send(order).is_err() {
            self.cut.cancel();
        }
    }

    /// Orders a device to be cleaned, once on this connection for each hold.
    pub fn clean(&self, serial: &str, fence: i64) {
        let new = lock(&self.cleaning).insert((serial.to_owned(), fence));
        if new {
            self.order(ToHost::Clean { serial: serial.to_owned(), fence });
        }
    }

    /// The host has cleaned it.
    pub fn cleaned(&self, serial: &str, fence: i64) {
        lock(&self.cleaning).remove(&(serial.to_owned(), fence));
    }

    /// Starts a call. The order is queued when this returns, so that calls reach the host in the order they
    /// were made; the answer is waited for in what it returns.
    pub fn call(
        self: &Arc<Self>,
        call: DeviceCall,
    ) -> impl Future<Output = Result<Value, Failure>> + Send + use<> {
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.calls).insert(id, sender);
        let timeout = call.timeout;
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let DeviceCall { serial, fence, method, params, file, .. } = call;
        self.order(ToHost::Call { id, serial, fence, method, params, file, timeout_ms });
        let waiting = Waiting { connection: Arc::clone(self), id };
        async move {
            let answer = tokio::select! {
                // An answer that came counts, also when the connection ends right after it.
                biased;
                answer = tokio::time::timeout(timeout, receiver) => answer,
                () = waiting.connection.cut.cancelled() => return Err(unreachable_host()),
            };
            match answer {
                Ok(Ok(Ok(result))) => Ok(result),
                Ok(Ok(Err(CallError { code, message, data }))) => {
                    Err(Failure::Device { code, message, data })
                }
                Ok(Err(_)) => Err(unreachable_host()),
                Err(_) => Err(Refusal::DeviceTimeout { seconds: timeout.as_secs() }.into()),
            }
        }
    }

    /// Whether it was cut for a newer connection of the same name.
    pub fn was_replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }

    /// Waits until no call is under way.
    pub async fn idle(&self) {
        loop {
            let over = self.call_over.notified();
            if lock(&self.calls).is_empty() {
                return;
            }
            over.await;
        }
    }

    /// Hands an answer to who waits for it; one that nobody waits for any more is dropped.
    pub fn answer(&self, id: u64, answer: Answer) {
        if let Some(waiting) = lock(&self.calls).remove(&id) {
            let _ = waiting.send(answer);
            self.call_over.notify_waiters();
        }
    }
}

/// Forgets a call when its caller stops waiting, whatever the reason.
struct Waiting {
    connection: Arc<HostConnection>,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.connection.calls).remove(&self.id);
        self.connection.call_over.notify_waiters();
    }
}

/// All connections of this server.
#[derive(Default)]
pub struct Hosts(Mutex<HashMap<HostId, Arc<HostConnection>>>);

impl Hosts {
    /// A host is on the line; another connection of the same host is cut. Adding one twice changes nothing.
    pub fn add(&self, connection: &Arc<HostConnection>) {
        let older = lock(&self.0).insert(connection.link.host(), Arc::clone(connection));
        if let Some(older) = older.filter(|older| !Arc::ptr_eq(older, connection)) {
            older.replaced.store(true, Ordering::SeqCst);
            older.cut.cancel();
        }
    }

    /// A connection has ended. Says whether it was still the host's newest.
    pub fn remove(&self, connection: &Arc<HostConnection>) -> bool {
        connection.cut.cancel();
        let mut hosts = lock(&self.0);
        let newest = hosts.get(&connection.link.host()).is_some_and(|known| Arc::ptr_eq(known, connection));
        if newest {
            hosts.remove(&connection.link.host());
        }
        newest
    }

    /// The connection of a host.
    pub fn get(&self, host: HostId) -> Option<Arc<HostConnection>> {
        lock(&self.0).get(&host).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<HostConnection>> {
        lock(&self.0).values().cloned().collect()
    }
}

/// What a caller is told when the host of its device is not on this server's line.
pub fn unreachable_host() -> Failure {
    Refusal::DeviceUnavailable("its host is not connected; it is waited for before the hold ends".to_owned())
        .into()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
