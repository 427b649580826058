//! What the fleet asks of those who know devices.

use async_trait::async_trait;
use protocol::{CallError, DeviceReport, HOST_FAILED};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::files::RemoteFile;

/// JSON-RPC's code of a method that does not exist.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;

/// JSON-RPC's code of parameters that make no sense.
pub(crate) const INVALID_PARAMS: i64 = -32602;

/// One call of a device. Only the fleet makes them, after fencing.
#[derive(Debug)]
pub(crate) struct DriverCall {
    pub(crate) serial: String,
    pub(crate) method: String,
    /// Without `deviceId`: the serial is what counts.
    pub(crate) params: Map<String, Value>,
    pub(crate) file: Option<RemoteFile>,
}

/// Knows devices and drives them. A call that is no longer wanted is dropped: what it holds must end with it.
#[async_trait]
pub(crate) trait Driver: Send + Sync {
    /// The devices, now and whenever they change.
    fn devices(&self) -> watch::Receiver<Vec<DeviceReport>>;

    /// Does what a client asked for.
    async fn call(&self, call: DriverCall) -> Result<Value, CallError>;

    /// Takes away what the last hold left behind. The error is a sentence for the operator.
    async fn clean(&self, serial: &str) -> Result<(), String>;

    /// Ends what the driver has started, after its token was cancelled.
    async fn join_tasks(&self);
}

/// An error in JSON-RPC's terms.
pub(crate) fn call_error(code: i64, message: &str, data: impl Into<String>) -> CallError {
    CallError { code, message: message.to_owned(), data: Some(data.into()) }
}

/// Something went wrong on the host.
pub(crate) fn host_error(data: impl Into<String>) -> CallError {
    call_error(HOST_FAILED, "Server error", data)
}

/// The method does not exist here.
pub(crate) fn method_not_found(method: &str) -> CallError {
    call_error(METHOD_NOT_FOUND, "Method not found", format!("{method} is not available on this device"))
}

/// A parameter is missing or of the wrong kind.
pub(crate) fn invalid_params(data: impl Into<String>) -> CallError {
    call_error(INVALID_PARAMS, "Invalid params", data)
}

/// What a person should read of a failed call.
pub(crate) fn error_sentence(error: CallError) -> String {
    error.data.unwrap_or(error.message)
}
