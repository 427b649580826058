//! Error responses: `{"error":{"code","message"}}` over HTTP, and JSON-RPC errors over the WebSocket.
//!
//! HTTP codes: `concurrency_limit` and `internal_error` come from clients, the others follow their style. JSON-RPC codes
//! come from the vendor's openrpc document. `data` must be a string, or mobilecli cannot read the reply.

use crate::failure::{Cause, Failure, RequestFailure, Unanswered};
use axum::http::{HeaderValue, StatusCode, header};
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
    fn new(
        status: StatusCode,
        code: &'static str,
        rpc: i64,
        title: &str,
        message: impl ToString,
    ) -> MobileError {
        MobileError { status, code, rpc, title: title.to_owned(), message: message.to_string(), cause: None }
    }

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
        MobileError::new(StatusCode::BAD_REQUEST, "bad_request", code, title, message)
    }
}

impl From<Failure> for MobileError {
    fn from(failure: Failure) -> MobileError {
        let new = MobileError::new;
        match failure {
            Failure::Refused(refusal) => refusal_error(&refusal),
            Failure::Request(request) => request_error(&request),
            Failure::Unauthenticated => {
                new(StatusCode::UNAUTHORIZED, "unauthorized", -32001, "Unauthorized", failure)
            }
            Failure::Device { code, message, data } => MobileError {
                status: StatusCode::BAD_GATEWAY,
                code: "device_error",
                rpc: code,
                message: data.unwrap_or_else(|| message.clone()),
                title: message,
                cause: None,
            },
            Failure::Busy | Failure::Away(_) => {
                new(StatusCode::SERVICE_UNAVAILABLE, "busy", -32000, "Busy", failure)
            }
            Failure::Unanswered(unanswered) => {
                let (code, title) = match unanswered {
                    Unanswered::Slow { .. } => ("timeout", "Timeout"),
                    Unanswered::TooMany => ("rate_limited", "TooManyRequests"),
                    Unanswered::Crowded | Unanswered::Away => ("busy", "Busy"),
                };
                new(unanswered.status(), code, -32000, title, failure)
            }
            Failure::Internal { .. } => MobileError {
                cause: failure.cause(),
                ..new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", -32603, "Internal error", failure)
            },
        }
    }
}

fn refusal_error(refusal: &Refusal) -> MobileError {
    let (status, code, rpc, title) = match refusal {
        Refusal::NotFound(Thing::File) => (StatusCode::NOT_FOUND, "not_found", -32011, "UploadNotFound"),
        Refusal::NotFound(Thing::Device) => (StatusCode::NOT_FOUND, "not_found", -32010, "DeviceNotFound"),
        Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "not_found", -32602, "Not found"),
        Refusal::Forbidden(_)
        | Refusal::OutOfScope(_)
        | Refusal::NotAMember
        | Refusal::NoOrganization
        | Refusal::NotYours(_) => (StatusCode::FORBIDDEN, "forbidden", -32003, "Forbidden"),
        Refusal::StaleAuthentication { .. } => {
            (StatusCode::FORBIDDEN, "stale_authentication", -32003, "Forbidden")
        }
        Refusal::PasswordsOff => (StatusCode::FORBIDDEN, "passwords_off", -32003, "Forbidden"),
        Refusal::SecondFactorRequired => {
            (StatusCode::FORBIDDEN, "second_factor_required", -32003, "Forbidden")
        }
        Refusal::SecondFactorNeeded | Refusal::WrongCode => {
            (StatusCode::UNAUTHORIZED, "unauthorized", -32001, "Unauthorized")
        }
        Refusal::TooManyAttempts { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", -32000, "TooManyAttempts")
        }
        Refusal::Invalid { field, .. } if field == "filename" => {
            (StatusCode::BAD_REQUEST, "bad_request", -32040, "InvalidFilename")
        }
        Refusal::Invalid { field, .. } if field == "filesize" => {
            (StatusCode::BAD_REQUEST, "bad_request", -32041, "InvalidFileSize")
        }
        Refusal::Invalid { .. } => (StatusCode::BAD_REQUEST, "bad_request", -32602, "Invalid params"),
        Refusal::SessionEnded => (StatusCode::CONFLICT, "session_ended", -32000, "SessionEnded"),
        Refusal::SessionArchived => (StatusCode::CONFLICT, "session_archived", -32000, "SessionArchived"),
        Refusal::Backlog { .. } => (StatusCode::TOO_MANY_REQUESTS, "backlog", -32000, "Backlog"),
        Refusal::TurnLost => (StatusCode::CONFLICT, "turn_lost", -32000, "TurnLost"),
        Refusal::KeyReused => {
            (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", -32602, "Idempotency key reused")
        }
        Refusal::KeyBusy => (StatusCode::CONFLICT, "idempotency_key_busy", -32000, "Idempotency key busy"),
        Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "concurrency_limit", -32000, "ConcurrencyLimit")
        }
        Refusal::NoMatch { .. } => (StatusCode::CONFLICT, "no_matching_device", -32022, "NoMatchingDevice"),
        Refusal::DeviceUnavailable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "device_unavailable", -32021, "DeviceUnavailable")
        }
        Refusal::DeviceTimeout { .. } => {
            (StatusCode::GATEWAY_TIMEOUT, "device_timeout", -32050, "DeviceTimeout")
        }
        Refusal::QuotaExceeded { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "storage_quota", -32031, "FileSizeExceeded")
        }
        Refusal::Exists(_) | Refusal::LastAdmin | Refusal::InvitationLimit { .. } => {
            (StatusCode::CONFLICT, "conflict", -32602, "Conflict")
        }
        Refusal::Resync { .. } => (StatusCode::GONE, "resync", -32602, "Resync"),
    };
    MobileError::new(status, code, rpc, title, refusal)
}

fn request_error(request: &RequestFailure) -> MobileError {
    let (status, code, rpc, title) = match request {
        RequestFailure::NoRoute => (StatusCode::NOT_FOUND, "not_found", -32601, "Method not found"),
        RequestFailure::Method => {
            (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", -32601, "Method not found")
        }
        RequestFailure::BodyTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", -32031, "FileSizeExceeded")
        }
        RequestFailure::Body(_) => (StatusCode::BAD_REQUEST, "bad_request", -32602, "Invalid params"),
        RequestFailure::Conflict(_) => (StatusCode::CONFLICT, "conflict", -32042, "UploadFailed"),
        RequestFailure::CrossSite => (StatusCode::FORBIDDEN, "forbidden", -32003, "Forbidden"),
        RequestFailure::TargetTooLong { .. } => {
            (StatusCode::URI_TOO_LONG, "uri_too_long", -32600, "Invalid request")
        }
        RequestFailure::HeadTooLarge { .. } => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", -32600, "Invalid request")
        }
        RequestFailure::Head(_) => (StatusCode::BAD_REQUEST, "malformed_request", -32600, "Invalid request"),
        RequestFailure::TooManyRequests { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limited", -32000, "TooManyRequests")
        }
        RequestFailure::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", -32000, "Timeout"),
        RequestFailure::TooManyConnections { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "too_many_connections", -32030, "TooManyConnections")
        }
    };
    MobileError::new(status, code, rpc, title, request)
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
        self.cause.map(|cause| response.extensions_mut().insert(cause));
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            // The rest of a refused body is not read, so the connection cannot be used again.
            StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
