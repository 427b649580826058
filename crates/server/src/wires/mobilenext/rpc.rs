//! The JSON-RPC methods of the WebSocket.
//!
//! Methods and error codes come from the vendor's openrpc document, corrected by what clients really send and read.

use super::devices::DeviceRequest;
use super::errors::{MobileError, RpcError};
use super::shapes::{AllocationResponse, FleetDevice, RemoteDevice};
use crate::app::App;
use crate::failure::Failure;
use crate::http::unreadable_body::describe_error;
use crate::operations::devices;
use crate::operations::devices::driving;
use crate::operations::devices::files;
use crate::operations::devices::fleet;
use domain::Refusal;
use domain::device::DeviceFilters;
use domain::json::REQUEST_BOUNDS;
use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use store::Caller;
use store::access::{UseSessions, ViewSessions};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;

/// The result of a started request.
pub type PendingReply = BoxFuture<'static, Result<Value, Failure>>;

/// A parsed request.
#[derive(Debug)]
pub struct Request {
    /// `None` for a notification, which gets no reply.
    pub id: Option<Value>,
    /// The method's name.
    pub method: String,
    /// The parameters. mobilecli omits them when there are none.
    pub params: Map<String, Value>,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    id: Option<Value>,
    outcome: Result<Value, RpcError>,
}

#[derive(Serialize)]
struct ReplyShape<'a> {
    jsonrpc: &'static str,
    id: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

impl Reply {
    /// A reply with a result.
    pub fn with_result(id: Option<Value>, result: Value) -> Reply {
        Reply { id, outcome: Ok(result) }
    }

    /// A reply with an error.
    pub fn with_error(id: Option<Value>, error: MobileError) -> Reply {
        Reply { id, outcome: Err(error.into_rpc()) }
    }

    /// The reply's frame; `None` for a notification.
    pub fn text(&self) -> Option<String> {
        let id = self.id.as_ref()?;
        let (result, error) = match &self.outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        serde_json::to_string(&ReplyShape { jsonrpc: "2.0", id, result, error }).ok()
    }
}

/// Parses a frame. The number of its values is checked first.
///
/// # Errors
/// An error reply for a malformed request, with the request's id where it has one.
pub fn read_request(text: &str) -> Result<Request, Reply> {
    let wrong = |id: Value, code, title: &str, message: String| {
        Reply::with_error(Some(id), MobileError::rpc(code, title, message))
    };
    if let Err(excess) = REQUEST_BOUNDS.check(text.as_bytes()) {
        return Err(wrong(Value::Null, INVALID_REQUEST, "Invalid Request", excess.to_string()));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| wrong(Value::Null, PARSE_ERROR, "Parse error", format!("not JSON: {error}")))?;
    let Value::Object(mut fields) = value else {
        let message = "expected one JSON-RPC 2.0 request object; batches are not supported".to_owned();
        return Err(wrong(Value::Null, INVALID_REQUEST, "Invalid Request", message));
    };
    let id = fields.remove("id");
    let answer_to = match &id {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        _ => Value::Null,
    };
    let invalid =
        |message: &str| wrong(answer_to.clone(), INVALID_REQUEST, "Invalid Request", message.to_owned());
    if !matches!(id, None | Some(Value::Null | Value::String(_) | Value::Number(_))) {
        return Err(invalid("id: expected a string or a number"));
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return Err(invalid("method: expected a string"));
    };
    match fields.remove("params") {
        None | Some(Value::Null) => Ok(Request { id, method, params: Map::new() }),
        Some(Value::Object(params)) => Ok(Request { id, method, params }),
        Some(_) => Err(wrong(answer_to, -32602, "Invalid params", "params: expected an object".to_owned())),
    }
}

/// Starts a request. The part that must run in order is done when this returns; the returned future waits for the result.
///
/// # Errors
/// As the method's operation; [`Failure::Device`] with `METHOD_NOT_FOUND` for an unknown method.
pub async fn start(app: &App, caller: &Caller, request: Request) -> Result<PendingReply, Failure> {
    let Request { method, params, .. } = request;
    let result = match method.as_str() {
        "devices.list" => json!({ "devices": list_held_devices(app, caller).await? }),
        "device.list" => {
            json!({ "status": "ok", "data": { "devices": list_held_devices(app, caller).await? } })
        }
        "fleet.listDevices" => list_offers(app, caller).await?,
        "fleet.allocate" => allocate(app, caller, params).await?,
        "fleet.release" => {
            let device = device_id(&params)?;
            devices::sessions::release_anywhere(app, &caller.authorize::<UseSessions>()?, &device).await?;
            json!({ "status": "ok" })
        }
        "uploads.create" => create_upload(app, caller, params).await?,
        command if command.starts_with("device.") => {
            let granted = caller.authorize::<UseSessions>()?;
            let device = device_id(&params)?;
            let underway = driving::start_command(app, &granted, &device, command, params).await?;
            return Ok(underway.finish().boxed());
        }
        _ => {
            return Err(Failure::Device {
                code: METHOD_NOT_FOUND,
                message: "Method not found".to_owned(),
                data: Some("this server does not know that method".to_owned()),
            });
        }
    };
    Ok(std::future::ready(Ok(result)).boxed())
}

/// Lists the devices that the caller holds or waits for.
async fn list_held_devices(app: &App, caller: &Caller) -> Result<Value, Failure> {
    let open = fleet::list_caller_holds(app, &caller.authorize::<ViewSessions>()?).await?;
    serde_json::to_value(RemoteDevice::all(&open)).map_err(Failure::internal)
}

async fn list_offers(app: &App, caller: &Caller) -> Result<Value, Failure> {
    let offers = fleet::list_offers(app, &caller.authorize::<ViewSessions>()?).await?;
    Ok(json!({ "devices": offers.iter().map(FleetDevice::from).collect::<Vec<_>>() }))
}

/// Allocates as mobilecli does up to 1.0.0: with a separate session for each device.
async fn allocate(app: &App, caller: &Caller, params: Map<String, Value>) -> Result<Value, Failure> {
    let granted = caller.authorize::<UseSessions>()?;
    let ask: DeviceRequest = read_params(params)?;
    let filters = DeviceFilters::new(ask.filters)?;
    fleet::check_match(app, &granted.authorize()?, &filters).await?;
    let session = devices::sessions::create_device_session(app, &granted).await?;
    match devices::sessions::request_device(app, &granted, session.id, filters).await {
        Ok(hold) => {
            serde_json::to_value(AllocationResponse::new(session.id, &hold)).map_err(Failure::internal)
        }
        Err(failure) => {
            // Do not leave an empty session behind.
            let _ = devices::sessions::end_device_session(app, &granted, session.id, None).await;
            Err(failure)
        }
    }
}

async fn create_upload(app: &App, caller: &Caller, params: Map<String, Value>) -> Result<Value, Failure> {
    let granted = caller.authorize::<UseSessions>()?;
    let name = params.get("filename").and_then(Value::as_str).unwrap_or_default();
    let size = params.get("filesize").and_then(Value::as_u64).unwrap_or_default();
    let upload = files::announce_upload(app, &granted, name, size).await?;
    Ok(json!({
        "uploadId": upload.id.to_string(),
        "uploadUrl": upload.url,
        "expiresAt": upload.expires.0 / 1_000_000,
    }))
}

fn device_id(params: &Map<String, Value>) -> Result<String, Failure> {
    let id = params.get("deviceId").and_then(Value::as_str).filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(|| Refusal::invalid("deviceId", "the id of a device you hold").into())
}

fn read_params<T: DeserializeOwned>(params: Map<String, Value>) -> Result<T, Failure> {
    serde_path_to_error::deserialize(Value::Object(params)).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "params".to_owned() } else { path };
        Refusal::invalid(field, describe_error(error.inner())).into()
    })
}
