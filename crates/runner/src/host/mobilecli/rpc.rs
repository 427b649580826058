//! JSON-RPC over HTTP to a `mobilecli server`.

use std::time::Duration;

use protocol::{CallError, DEVICE_UNAVAILABLE};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::host::HostError;
use crate::host::driver::{call_error, host_error};

/// A client of the running server, at its newest URL.
#[derive(Clone)]
pub(super) struct RpcClient {
    client: Client,
    address: watch::Receiver<Option<Url>>,
}

#[derive(Deserialize)]
struct RpcResponse {
    #[serde(default)]
    result: Value,
    error: Option<MobilecliError>,
}

#[derive(Deserialize)]
struct MobilecliError {
    code: i64,
    #[serde(default)]
    message: String,
    data: Option<Value>,
}

/// The URL of `mobilecli server`'s JSON-RPC endpoint, from its base URL.
pub(super) fn rpc_url(url: &str) -> Result<Url, HostError> {
    let refuse = || HostError::BadServer { url: url.to_owned() };
    let base = Url::parse(url.trim()).map_err(|_| refuse())?;
    if base.scheme() != "http" && base.scheme() != "https" {
        return Err(refuse());
    }
    base.join("/rpc").map_err(|_| refuse())
}

impl RpcClient {
    pub(super) fn new(address: watch::Receiver<Option<Url>>) -> Result<Self, HostError> {
        // No proxy: mobilecli runs on this machine.
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| HostError::Http(error.to_string()))?;
        Ok(Self { client, address })
    }

    /// The URL of the server; it changes when `mobilecli` is restarted.
    pub(super) fn address(&self) -> watch::Receiver<Option<Url>> {
        self.address.clone()
    }

    /// Calls a method of a device. The serial replaces the client's `deviceId`: without one, `mobilecli` would choose
    /// a device itself.
    pub(super) async fn call_device(
        &self,
        method: &str,
        serial: &str,
        mut params: Map<String, Value>,
    ) -> Result<Value, CallError> {
        params.insert("deviceId".to_owned(), json!(serial));
        self.call(method, Value::Object(params)).await
    }

    /// Calls a method. The caller limits the time.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        let address = self.address.borrow().clone();
        let address = address.ok_or_else(|| {
            call_error(
                DEVICE_UNAVAILABLE,
                "Device unavailable",
                "mobilecli is not running on the device's host",
            )
        })?;
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response =
            async { self.client.post(address).json(&request).send().await?.json::<RpcResponse>().await };
        let response = response.await.map_err(|error| {
            tracing::debug!(method, %error, "mobilecli did not answer");
            host_error(format!("mobilecli did not answer {method}: it failed or was restarted"))
        })?;
        match response.error {
            None => Ok(response.result),
            Some(error) => Err(error.into()),
        }
    }
}

impl From<MobilecliError> for CallError {
    fn from(error: MobilecliError) -> Self {
        // Clients fail on data that is not a string.
        let data = error.data.map(|data| match data {
            Value::String(text) => text,
            other => other.to_string(),
        });
        Self { code: error.code, message: error.message, data }
    }
}
