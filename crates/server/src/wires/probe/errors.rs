//! Error responses: `status` (a gRPC name), `error` and `context`. Empty fields are omitted, and the body ends with a line
//! break, as the Go library writes them that the vendor seems to use.

use crate::failure::{Cause, Failure, RequestFailure, Unanswered};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use serde::Serialize;
use std::collections::BTreeMap;

/// An error response of this wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeError {
    http: StatusCode,
    status: &'static str,
    message: Option<String>,
    context: BTreeMap<String, Vec<String>>,
    retry_after: Option<i64>,
    cause: Option<Cause>,
}

#[derive(Serialize)]
struct Body {
    status: &'static str,
    error: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    context: BTreeMap<String, Vec<String>>,
}

impl From<Failure> for ProbeError {
    fn from(failure: Failure) -> ProbeError {
        let mut context = BTreeMap::new();
        let mut retry_after = None;
        let (http, status) = match &failure {
            Failure::Refused(refusal) => {
                match refusal {
                    Refusal::Invalid { field, expected } => {
                        context.insert(field.clone(), vec![format!("expected {expected}")]);
                    }
                    Refusal::TooManyAttempts { seconds } => retry_after = Some(*seconds),
                    _ => {}
                }
                refusal_status(refusal)
            }
            Failure::Request(request) => request_status(request),
            Failure::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            Failure::Device { .. } => (StatusCode::BAD_GATEWAY, "UNKNOWN"),
            Failure::Busy | Failure::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            Failure::Unanswered(unanswered) => {
                let status = match unanswered {
                    Unanswered::Slow { .. } => "DEADLINE_EXCEEDED",
                    Unanswered::TooMany => "RESOURCE_EXHAUSTED",
                    Unanswered::Crowded | Unanswered::Away => "UNAVAILABLE",
                };
                (unanswered.status(), status)
            }
            Failure::Internal { request, .. } => {
                context.extend(request.clone().map(|id| ("request".to_owned(), vec![id])));
                (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
            }
        };
        let message = match &failure {
            // As with the vendor, no details: a sign-in sends no key that a message could mention.
            Failure::Unauthenticated | Failure::Internal { .. } => None,
            Failure::Refused(Refusal::Invalid { .. }) => Some("validation failed".to_owned()),
            other => Some(other.to_string()),
        };
        ProbeError { http, status, message, context, retry_after, cause: failure.cause() }
    }
}

fn refusal_status(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Refusal::Forbidden(_)
        | Refusal::OutOfScope(_)
        | Refusal::PasswordsOff
        | Refusal::SecondFactorRequired
        | Refusal::StaleAuthentication { .. }
        | Refusal::NotAMember
        | Refusal::NoOrganization
        | Refusal::NotYours(_) => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Refusal::SecondFactorNeeded | Refusal::WrongCode => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Refusal::Invalid { .. } => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Refusal::SessionEnded | Refusal::SessionArchived | Refusal::NoMatch { .. } => {
            (StatusCode::PRECONDITION_FAILED, "FAILED_PRECONDITION")
        }
        // The key belongs to another request, so a retry does not help.
        Refusal::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_ARGUMENT"),
        Refusal::TurnLost | Refusal::KeyBusy => (StatusCode::CONFLICT, "ABORTED"),
        Refusal::Backlog { .. }
        | Refusal::TooManyAttempts { .. }
        | Refusal::DeviceLimit { .. }
        | Refusal::SessionFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Refusal::QuotaExceeded { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RESOURCE_EXHAUSTED"),
        Refusal::DeviceUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Refusal::DeviceTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        Refusal::Exists(_) => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
        Refusal::LastAdmin | Refusal::InvitationLimit { .. } => (StatusCode::CONFLICT, "FAILED_PRECONDITION"),
        Refusal::Resync { .. } => (StatusCode::GONE, "OUT_OF_RANGE"),
    }
}

fn request_status(request: &RequestFailure) -> (StatusCode, &'static str) {
    match request {
        RequestFailure::NoRoute => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        RequestFailure::Method => (StatusCode::METHOD_NOT_ALLOWED, "UNIMPLEMENTED"),
        RequestFailure::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RESOURCE_EXHAUSTED"),
        RequestFailure::Body(_) => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        RequestFailure::Conflict(_) => (StatusCode::CONFLICT, "ABORTED"),
        RequestFailure::CrossSite => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        RequestFailure::TargetTooLong { .. } => (StatusCode::URI_TOO_LONG, "INVALID_ARGUMENT"),
        RequestFailure::HeadTooLarge { .. } => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "INVALID_ARGUMENT")
        }
        RequestFailure::Head(_) => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        RequestFailure::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        RequestFailure::Timeout => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        RequestFailure::TooManyConnections { .. } => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
    }
}

impl IntoResponse for ProbeError {
    fn into_response(self) -> Response {
        let name = self.status.to_lowercase().replace('_', " ");
        let error = match self.message {
            Some(message) => format!("{name}: {message}"),
            None => name,
        };
        let body = Body { status: self.status, error, context: self.context };
        let mut bytes = serde_json::to_vec(&body).unwrap_or_default();
        bytes.push(b'\n');
        let mut response = crate::http::middleware::json_response(self.http, bytes);
        self.cause.map(|cause| response.extensions_mut().insert(cause));
        let headers = response.headers_mut();
        match self.http {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                let seconds = HeaderValue::from(self.retry_after.unwrap_or(5));
                headers.insert(header::RETRY_AFTER, seconds);
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
