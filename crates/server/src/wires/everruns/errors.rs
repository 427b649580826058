//! Error responses, with one body that all clients understand.
//!
//! Both SDKs read `error.code` and `error.message`, the command line reads `code` at the top, and clients of RFC 9457
//! read `title`, `status` and `detail`. So a body has all of them.

use crate::failure::{Cause, Failure, RequestFailure, Unanswered};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::refusal::Thing;
use serde::Serialize;

/// `Retry-After` of requests that exceeded a limit or met a busy server, in seconds.
const RETRY_AFTER: &str = "5";

/// An error response of this wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EverrunsError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    cause: Option<Cause>,
}

impl From<Failure> for EverrunsError {
    fn from(failure: Failure) -> EverrunsError {
        let (status, code) = match &failure {
            Failure::Refused(refusal) => refusal_status(refusal),
            Failure::Request(request) => request_status(request),
            Failure::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Failure::Device { .. } => (StatusCode::BAD_GATEWAY, "device_error"),
            Failure::Busy | Failure::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Failure::Unanswered(unanswered) => (unanswered.status(), code_for_unanswered(*unanswered)),
            Failure::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        };
        EverrunsError { status, code, detail: words(&failure), cause: failure.cause() }
    }
}

fn refusal_status(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        Refusal::Forbidden(_)
        | Refusal::OutOfScope(_)
        | Refusal::NotYours(_)
        | Refusal::NotAMember
        | Refusal::NoOrganization => (StatusCode::FORBIDDEN, "forbidden"),
        Refusal::StaleAuthentication { .. } => (StatusCode::FORBIDDEN, "stale_authentication"),
        Refusal::PasswordsOff => (StatusCode::FORBIDDEN, "passwords_off"),
        Refusal::SecondFactorRequired => (StatusCode::FORBIDDEN, "second_factor_required"),
        Refusal::SecondFactorNeeded => (StatusCode::UNAUTHORIZED, "second_factor_needed"),
        Refusal::WrongCode => (StatusCode::UNAUTHORIZED, "wrong_code"),
        Refusal::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_request"),
        Refusal::SessionEnded => (StatusCode::CONFLICT, "session_ended"),
        Refusal::SessionArchived => (StatusCode::CONFLICT, "session_archived"),
        Refusal::Backlog { .. } => (StatusCode::TOO_MANY_REQUESTS, "backlog_full"),
        Refusal::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
        Refusal::TurnLost => (StatusCode::CONFLICT, "turn_lost"),
        Refusal::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
        // The command line retries on this code.
        Refusal::KeyBusy => (StatusCode::CONFLICT, "idempotency_key_in_progress"),
        Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "limit_exceeded")
        }
        Refusal::NoMatch { .. } => (StatusCode::CONFLICT, "no_match"),
        Refusal::DeviceUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Refusal::DeviceTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        Refusal::QuotaExceeded { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded"),
        Refusal::Exists(_) => (StatusCode::CONFLICT, "already_exists"),
        Refusal::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
        Refusal::InvitationLimit { .. } => (StatusCode::CONFLICT, "limit_exceeded"),
        Refusal::Resync { .. } => (StatusCode::GONE, "resync"),
    }
}

fn request_status(request: &RequestFailure) -> (StatusCode, &'static str) {
    match request {
        RequestFailure::NoRoute => (StatusCode::NOT_FOUND, "not_found"),
        RequestFailure::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        RequestFailure::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
        RequestFailure::Body(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
        RequestFailure::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        RequestFailure::CrossSite => (StatusCode::FORBIDDEN, "forbidden"),
        RequestFailure::TargetTooLong { .. } => (StatusCode::URI_TOO_LONG, "uri_too_long"),
        RequestFailure::HeadTooLarge { .. } => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large")
        }
        RequestFailure::Head(_) => (StatusCode::BAD_REQUEST, "malformed_request"),
        RequestFailure::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        RequestFailure::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        RequestFailure::TooManyConnections { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_connections"),
    }
}

fn code_for_unanswered(unanswered: Unanswered) -> &'static str {
    match unanswered {
        Unanswered::Slow { .. } => "timeout",
        Unanswered::TooMany => "rate_limited",
        Unanswered::Crowded | Unanswered::Away => "busy",
    }
}

/// The sentence for people. This wire has its own for some failures.
fn words(failure: &Failure) -> String {
    match failure {
        Failure::Refused(Refusal::NotFound(thing)) => not_found(*thing),
        Failure::Refused(Refusal::NotAMember) => {
            "X-Org-Id: you are not a member of that organization".to_owned()
        }
        Failure::Refused(Refusal::NoOrganization) => {
            "no organization is selected and you have no default one: name one in X-Org-Id".to_owned()
        }
        Failure::Request(RequestFailure::Body(sentence)) => sentence.clone(),
        failure => failure.to_string(),
    }
}

fn not_found(thing: Thing) -> String {
    let mut word = thing.word().to_owned();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{word} not found")
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
        self.cause.map(|cause| response.extensions_mut().insert(cause));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
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
