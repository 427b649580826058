//! How this wire words a failure: one body that all of its readers understand.
//!
//! Both SDKs read `error.code` and `error.message`, the command line reads `code` at the top, and readers of RFC 9457
//! read `title`, `status` and `detail`. So a body has all of them.

use crate::failure::{Failure, RequestFailure};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::refusal::Thing;
use serde::Serialize;

/// After how many seconds something that was refused for being too much may be tried again.
const RETRY_AFTER: &str = "5";

/// A failure in this wire's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EverrunsError {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl EverrunsError {
    fn new(status: StatusCode, code: &'static str, detail: impl ToString) -> EverrunsError {
        EverrunsError { status, code, detail: detail.to_string() }
    }
}

impl From<Failure> for EverrunsError {
    fn from(failure: Failure) -> EverrunsError {
        let new = EverrunsError::new;
        match failure {
            Failure::Refused(refusal) => refused(&refusal),
            Failure::Request(request) => unreadable(&request),
            Failure::Unauthenticated => new(StatusCode::UNAUTHORIZED, "unauthorized", failure),
            Failure::Device { message, .. } => new(StatusCode::BAD_GATEWAY, "device_error", message),
            Failure::Busy => new(StatusCode::SERVICE_UNAVAILABLE, "busy", failure),
            Failure::Internal { ref cause } => {
                tracing::error!(cause, "a request failed");
                new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", failure)
            }
        }
    }
}

fn refused(refusal: &Refusal) -> EverrunsError {
    let new = EverrunsError::new;
    match refusal {
        Refusal::NotFound(thing) => new(StatusCode::NOT_FOUND, "not_found", not_found(*thing)),
        Refusal::Forbidden(_) | Refusal::NotYours(_) => new(StatusCode::FORBIDDEN, "forbidden", refusal),
        Refusal::NotAMember => {
            new(StatusCode::FORBIDDEN, "forbidden", "X-Org-Id: you are not a member of that organization")
        }
        Refusal::NoOrganization => {
            let sentence = "no organization is selected and you have no default one: name one in X-Org-Id";
            new(StatusCode::FORBIDDEN, "forbidden", sentence)
        }
        Refusal::Invalid { .. } => new(StatusCode::BAD_REQUEST, "invalid_request", refusal),
        Refusal::SessionEnded => new(StatusCode::CONFLICT, "session_ended", "Session has ended"),
        Refusal::SessionArchived => {
            new(StatusCode::CONFLICT, "session_archived", "Session is archived: unarchive it first")
        }
        Refusal::Backlog { .. } => new(StatusCode::TOO_MANY_REQUESTS, "backlog_full", refusal),
        Refusal::TurnLost => new(StatusCode::CONFLICT, "turn_lost", refusal),
        Refusal::KeyReused => new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", refusal),
        // The command line tries again on this code.
        Refusal::KeyBusy => new(StatusCode::CONFLICT, "idempotency_key_in_progress", refusal),
        Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. } => {
            new(StatusCode::TOO_MANY_REQUESTS, "limit_exceeded", refusal)
        }
        Refusal::NoMatch { .. } => new(StatusCode::CONFLICT, "no_match", refusal),
        Refusal::DeviceUnavailable(_) => new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", refusal),
        Refusal::DeviceTimeout { .. } => new(StatusCode::GATEWAY_TIMEOUT, "timeout", refusal),
        Refusal::QuotaExceeded { .. } => new(StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded", refusal),
        Refusal::Exists(_) => new(StatusCode::CONFLICT, "already_exists", refusal),
        Refusal::Resync { .. } => new(StatusCode::GONE, "resync", refusal),
    }
}

fn not_found(thing: Thing) -> String {
    let mut word = thing.word().to_owned();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{word} not found")
}

fn unreadable(request: &RequestFailure) -> EverrunsError {
    let new = EverrunsError::new;
    match request {
        RequestFailure::NoRoute => new(StatusCode::NOT_FOUND, "not_found", request),
        RequestFailure::Method => new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", request),
        RequestFailure::BodyTooLarge { .. } => {
            new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", request)
        }
        RequestFailure::Body(sentence) => new(StatusCode::BAD_REQUEST, "invalid_request", sentence),
        RequestFailure::Conflict(_) => new(StatusCode::CONFLICT, "conflict", request),
        RequestFailure::Timeout => new(StatusCode::GATEWAY_TIMEOUT, "timeout", request),
        RequestFailure::TooManyConnections { .. } => {
            new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", request)
        }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
}

impl IntoResponse for EverrunsError {
    fn into_response(self) -> Response {
        let problem = Problem {
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            error: Inner { code: self.code, message: &self.detail },
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            // What is left of a body that was refused is not read: the connection cannot go on.
            StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
