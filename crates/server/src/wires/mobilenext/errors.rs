//! Error responses: `{"error":{"code","message"}}` over HTTP, and JSON-RPC errors over the WebSocket.
//!
//! HTTP codes: `concurrency_limit` and `internal_error` come from clients, the others follow their style. JSON-RPC codes
//! come from the vendor's openrpc document. `data` must be a string, or mobilecli cannot read the reply.

use crate::failure::{Cause, Class, Failure, RequestFailure, complete_response};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::refusal::Thing;
use serde::Serialize;

/// An error response of this wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MobileError {
    status: StatusCode,
    code: &'static str,
    rpc: i64,
    title: String,
    message: String,
    cause: Option<Cause>,
}

/// The error of a JSON-RPC reply.
#[derive(Debug, Clone, Serialize)]
pub struct RpcError {
    code: i64,
    message: String,
    data: String,
}

impl MobileError {
    /// The JSON-RPC error. Clients print `data` rather than `message`.
    pub fn into_rpc(self) -> RpcError {
        self.log();
        RpcError { code: self.rpc, message: self.title, data: self.message }
    }

    /// The status and the message, for a page.
    pub fn into_page(self) -> (StatusCode, String) {
        self.log();
        (self.status, self.message)
    }

    /// Logs the cause, where no response carries it to the request's log entry.
    fn log(&self) {
        if let Some(Cause(cause)) = &self.cause {
            tracing::error!(cause, "a request failed");
        }
    }

    /// The error for a request that is not JSON-RPC.
    pub fn rpc(code: i64, title: &str, message: impl ToString) -> MobileError {
        MobileError {
            status: StatusCode::BAD_REQUEST,
            code: "bad_request",
            rpc: code,
            title: title.to_owned(),
            message: message.to_string(),
            cause: None,
        }
    }
}

impl From<Failure> for MobileError {
    fn from(failure: Failure) -> MobileError {
        let (rpc, title) = rpc_code(&failure);
        let message = match &failure {
            Failure::Device { data: Some(data), .. } => data.clone(),
            failure => failure.to_string(),
        };
        MobileError {
            status: failure.status(),
            code: code(&failure),
            rpc,
            title: title.to_owned(),
            message,
            cause: failure.cause(),
        }
    }
}

/// The code over HTTP.
fn code(failure: &Failure) -> &'static str {
    match failure {
        Failure::Internal { .. } => "internal_error",
        Failure::Request(RequestFailure::Body(_)) | Failure::Refused(Refusal::Invalid { .. }) => {
            "bad_request"
        }
        Failure::Request(RequestFailure::CrossSite) | Failure::Refused(Refusal::OutOfScope(_)) => "forbidden",
        Failure::Request(RequestFailure::BodyTooLarge { .. }) => "payload_too_large",
        Failure::Refused(Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. }) => "concurrency_limit",
        Failure::Refused(Refusal::NoMatch { .. }) => "no_matching_device",
        Failure::Refused(Refusal::QuotaExceeded { .. }) => "storage_quota",
        Failure::Refused(
            Refusal::Exists(_)
            | Refusal::LastAdmin
            | Refusal::InvitationLimit { .. }
            | Refusal::ViewLimit { .. },
        ) => "conflict",
        failure if failure.class() == Class::Unauthenticated => "unauthorized",
        failure => failure.code(),
    }
}

/// The code and the title of the JSON-RPC error.
fn rpc_code(failure: &Failure) -> (i64, &str) {
    match failure {
        Failure::Device { code, message, .. } => (*code, message),
        Failure::Refused(refusal) => {
            refusal_rpc_code(refusal).unwrap_or_else(|| class_rpc_code(failure.class()))
        }
        Failure::Request(request) => match request {
            RequestFailure::NoRoute => (-32601, "Method not found"),
            RequestFailure::Conflict(_) => (-32042, "UploadFailed"),
            RequestFailure::TooManyConnections { .. } => (-32030, "TooManyConnections"),
            RequestFailure::TargetTooLong { .. }
            | RequestFailure::HeadTooLarge { .. }
            | RequestFailure::Head(_) => (-32600, "Invalid request"),
            _ => class_rpc_code(failure.class()),
        },
        _ => class_rpc_code(failure.class()),
    }
}

/// The refusals with their own JSON-RPC code or title.
fn refusal_rpc_code(refusal: &Refusal) -> Option<(i64, &'static str)> {
    Some(match refusal {
        Refusal::NotFound(Thing::File) => (-32011, "UploadNotFound"),
        Refusal::NotFound(Thing::Device) => (-32010, "DeviceNotFound"),
        Refusal::Invalid { field, .. } if field == "filename" => (-32040, "InvalidFilename"),
        Refusal::Invalid { field, .. } if field == "filesize" => (-32041, "InvalidFileSize"),
        Refusal::DeviceUnavailable(_) => (-32021, "DeviceUnavailable"),
        Refusal::NoMatch { .. } => (-32022, "NoMatchingDevice"),
        Refusal::DeviceTimeout { .. } => (-32050, "DeviceTimeout"),
        Refusal::KeyReused => (-32602, "Idempotency key reused"),
        Refusal::KeyBusy => (-32000, "Idempotency key busy"),
        Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. } => (-32000, "ConcurrencyLimit"),
        Refusal::TooManyAttempts { .. } => (-32000, "TooManyAttempts"),
        Refusal::SessionEnded => (-32000, "SessionEnded"),
        Refusal::SessionArchived => (-32000, "SessionArchived"),
        Refusal::Backlog { .. } => (-32000, "Backlog"),
        Refusal::TurnLost => (-32000, "TurnLost"),
        _ => return None,
    })
}

fn class_rpc_code(class: Class) -> (i64, &'static str) {
    match class {
        Class::Invalid => (-32602, "Invalid params"),
        Class::Unauthenticated => (-32001, "Unauthorized"),
        Class::Forbidden => (-32003, "Forbidden"),
        Class::NotFound => (-32602, "Not found"),
        Class::Unsupported => (-32601, "Method not found"),
        Class::Conflict | Class::WrongState => (-32602, "Conflict"),
        Class::Gone => (-32602, "Resync"),
        Class::TooLarge => (-32031, "FileSizeExceeded"),
        Class::Throttled => (-32000, "TooManyRequests"),
        Class::Unavailable => (-32000, "Busy"),
        Class::OutOfTime => (-32000, "Timeout"),
        Class::Device | Class::Internal => (-32603, "Internal error"),
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
}

impl IntoResponse for MobileError {
    fn into_response(self) -> Response {
        let envelope = Envelope { error: Body { code: self.code, message: &self.message } };
        let mut response = (self.status, axum::Json(envelope)).into_response();
        complete_response(&mut response, self.cause);
        response
    }
}
