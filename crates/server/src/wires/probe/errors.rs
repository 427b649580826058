//! Error responses: `status` (a gRPC name), `error` and `context`. Empty fields are omitted, and the body ends with a line
//! break, as the Go library writes them that the vendor seems to use.

use crate::failure::{Cause, Class, Failure, complete_response};
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
        match &failure {
            Failure::Refused(Refusal::Invalid { field, expected }) => {
                context.insert(field.clone(), vec![format!("expected {expected}")]);
            }
            Failure::Refused(Refusal::TooManyAttempts { seconds }) => retry_after = Some(*seconds),
            Failure::Internal { request, .. } => {
                context.extend(request.clone().map(|id| ("request".to_owned(), vec![id])));
            }
            _ => {}
        }
        let http = match &failure {
            Failure::Refused(Refusal::SessionEnded | Refusal::SessionArchived | Refusal::NoMatch { .. }) => {
                StatusCode::PRECONDITION_FAILED
            }
            failure => failure.status(),
        };
        let message = match &failure {
            // As with the vendor, no details: a sign-in sends no key that a message could mention.
            Failure::Unauthenticated | Failure::Internal { .. } => None,
            Failure::Refused(Refusal::Invalid { .. }) => Some("validation failed".to_owned()),
            other => Some(other.to_string()),
        };
        ProbeError { http, status: status(&failure), message, context, retry_after, cause: failure.cause() }
    }
}

/// The gRPC name.
fn status(failure: &Failure) -> &'static str {
    if let Failure::Refused(Refusal::Exists(_)) = failure {
        return "ALREADY_EXISTS";
    }
    match failure.class() {
        Class::Invalid => "INVALID_ARGUMENT",
        Class::Unauthenticated => "UNAUTHENTICATED",
        Class::Forbidden => "PERMISSION_DENIED",
        Class::NotFound => "NOT_FOUND",
        Class::Unsupported => "UNIMPLEMENTED",
        Class::Conflict => "ABORTED",
        Class::WrongState => "FAILED_PRECONDITION",
        Class::Gone => "OUT_OF_RANGE",
        Class::TooLarge | Class::Throttled => "RESOURCE_EXHAUSTED",
        Class::Unavailable => "UNAVAILABLE",
        Class::OutOfTime => "DEADLINE_EXCEEDED",
        Class::Device => "UNKNOWN",
        Class::Internal => "INTERNAL",
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
        complete_response(&mut response, self.cause);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
