//! The hosts that are connected to this server, and calls to their devices.

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

/// The most orders that wait for one host. A host that does not read them is disconnected.
const MAX_QUEUED_ORDERS: usize = 4_096;

/// A command for a device.
#[derive(Debug, Clone)]
pub struct DeviceCall {
    /// The host's name for the device.
    pub serial: String,
    /// The fencing number of the caller's hold.
    pub fence: i64,
    /// A `device.*` method.
    pub method: String,
    /// Its parameters, always an object.
    pub params: Value,
    /// The file that the call sends or fetches.
    pub file: Option<CallFile>,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

type DeviceReply = Result<Value, CallError>;

/// A host's connection.
pub struct HostConnection {
    /// The host and its scope.
    pub link: HostLink,
    orders: mpsc::Sender<ToHost>,
    calls: Mutex<HashMap<u64, oneshot::Sender<DeviceReply>>>,
    next_call: AtomicU64,
    /// Notified whenever a call has ended.
    call_over: Notify,
    /// Devices that are being cleaned on this connection's orders: serial and fencing number.
    cleaning: Mutex<HashSet<(String, i64)>>,
    /// Cancelled to end the connection: a newer one replaced it, or the host is too slow.
    pub cut: CancellationToken,
    replaced: AtomicBool,
}

impl HostConnection {
    /// A connection, and the receiver of the orders to send over it.
    pub fn new(link: HostLink) -> (Arc<HostConnection>, mpsc::Receiver<ToHost>) {
        let (orders, receiver) = mpsc::channel(MAX_QUEUED_ORDERS);
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

    /// Queues an order. A host whose queue is full is disconnected; it gets its orders again when it returns.
    pub fn send_order(&self, order: ToHost) {
        if self.orders.try_send(order).is_err() {
            self.cut.cancel();
        }
    }

    /// Orders the host to clean a device, once for each hold on this connection.
    pub fn order_cleaning(&self, serial: &str, fence: i64) {
        let new = lock(&self.cleaning).insert((serial.to_owned(), fence));
        if new {
            self.send_order(ToHost::Clean { serial: serial.to_owned(), fence });
        }
    }

    /// Notes that the host has cleaned a device.
    pub fn finish_cleaning(&self, serial: &str, fence: i64) {
        lock(&self.cleaning).remove(&(serial.to_owned(), fence));
    }

    /// Starts a call. The order is queued when this returns, so calls reach the host in the order in which they were made. The
    /// returned future waits for the reply.
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
        self.send_order(ToHost::Call { id, serial, fence, method, params, file, timeout_ms });
        let waiting = PendingCall { connection: Arc::clone(self), id };
        async move {
            let reply = tokio::select! {
                // A reply that has arrived counts, even if the connection ends right after it.
                biased;
                reply = tokio::time::timeout(timeout, receiver) => reply,
                () = waiting.connection.cut.cancelled() => return Err(unreachable_host()),
            };
            match reply {
                Ok(Ok(Ok(result))) => Ok(result),
                Ok(Ok(Err(CallError { code, message, data }))) => {
                    Err(Failure::Device { code, message, data })
                }
                Ok(Err(_)) => Err(unreachable_host()),
                Err(_) => Err(Refusal::DeviceTimeout { seconds: timeout.as_secs() }.into()),
            }
        }
    }

    /// Whether a newer connection of the same host replaced it.
    pub fn was_replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }

    /// Waits until no call is running.
    pub async fn wait_until_idle(&self) {
        loop {
            let over = self.call_over.notified();
            if lock(&self.calls).is_empty() {
                return;
            }
            over.await;
        }
    }

    /// Passes a reply to the caller that waits for it; without one the reply is dropped.
    pub fn resolve_call(&self, id: u64, reply: DeviceReply) {
        if let Some(waiting) = lock(&self.calls).remove(&id) {
            let _ = waiting.send(reply);
            self.call_over.notify_waiters();
        }
    }
}

/// A call that a caller waits for. Dropping it forgets the call.
struct PendingCall {
    connection: Arc<HostConnection>,
    id: u64,
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        lock(&self.connection.calls).remove(&self.id);
        self.connection.call_over.notify_waiters();
    }
}

/// All connections of this server.
#[derive(Default)]
pub struct Hosts(Mutex<HashMap<HostId, Arc<HostConnection>>>);

impl Hosts {
    /// Adds a connection and ends an older one of the same host. Adding one twice changes nothing.
    pub fn add(&self, connection: &Arc<HostConnection>) {
        let older = lock(&self.0).insert(connection.link.host(), Arc::clone(connection));
        if let Some(older) = older.filter(|older| !Arc::ptr_eq(older, connection)) {
            older.replaced.store(true, Ordering::SeqCst);
            older.cut.cancel();
        }
    }

    /// Removes a connection that has ended. Returns whether it was the host's newest.
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

    /// All connections.
    pub fn all(&self) -> Vec<Arc<HostConnection>> {
        lock(&self.0).values().cloned().collect()
    }
}

/// The failure of a call to a device whose host is not connected to this server.
pub fn unreachable_host() -> Failure {
    Refusal::DeviceUnavailable("its host is not connected; it is waited for before the hold ends".to_owned())
        .into()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
