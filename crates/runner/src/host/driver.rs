//! The interface between the fleet and the code that controls devices.

use async_trait::async_trait;
use protocol::{CallError, DeviceReport, HOST_FAILED};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::files::RemoteFile;

/// JSON-RPC error code: the method does not exist.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;

/// JSON-RPC error code: the parameters are invalid.
pub(crate) const INVALID_PARAMS: i64 = -32602;

/// One call to a device. Only the fleet makes calls, after it has checked the fencing number.
#[derive(Debug)]
pub(crate) struct DriverCall {
    pub(crate) serial: String,
    pub(crate) method: String,
    /// Without `deviceId`: `serial` names the device.
    pub(crate) params: Map<String, Value>,
    pub(crate) file: Option<RemoteFile>,
}

/// Lists devices and controls them. The fleet drops a call that nobody wants any more, so a dropped call must release
/// everything it holds.
#[async_trait]
pub(crate) trait Driver: Send + Sync {
    /// The devices, now and after each change.
    fn devices(&self) -> watch::Receiver<Vec<DeviceReport>>;

    /// Executes a client's call.
    async fn call(&self, call: DriverCall) -> Result<Value, CallError>;

    /// Removes what the last hold left behind. The error is a sentence for the operator.
    async fn clean(&self, serial: &str) -> Result<(), String>;

    /// Waits for the driver's tasks to end, after its token was cancelled.
    async fn join_tasks(&self);
}

/// A JSON-RPC error.
pub(crate) fn call_error(code: i64, message: &str, data: impl Into<String>) -> CallError {
    CallError { code, message: message.to_owned(), data: Some(data.into()) }
}

/// An error of the host itself.
pub(crate) fn host_error(data: impl Into<String>) -> CallError {
    call_error(HOST_FAILED, "Server error", data)
}

/// The method does not exist on this device.
pub(crate) fn method_not_found(method: &str) -> CallError {
    call_error(METHOD_NOT_FOUND, "Method not found", format!("{method} is not available on this device"))
}

/// A parameter is missing or has the wrong type.
pub(crate) fn invalid_params(data: impl Into<String>) -> CallError {
    call_error(INVALID_PARAMS, "Invalid params", data)
}

/// The sentence of a failed call that people read.
pub(crate) fn error_sentence(error: CallError) -> String {
    error.data.unwrap_or(error.message)
}
