//! Error responses, with one body that all clients understand.
//!
//! Both SDKs read `error.code` and `error.message`, the command line reads `code` at the top, and clients of RFC 9457
//! read `title`, `status` and `detail`. So a body has all of them.

use crate::failure::{Cause, Failure, RequestFailure, complete_response};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::refusal::Thing;
use serde::Serialize;

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
        EverrunsError {
            status: failure.status(),
            code: code(&failure),
            detail: words(&failure),
            cause: failure.cause(),
        }
    }
}

/// The name for programs. This wire has its own for some failures.
fn code(failure: &Failure) -> &'static str {
    match failure {
        Failure::Unauthenticated => "unauthorized",
        Failure::Internal { .. } => "internal_error",
        Failure::Request(RequestFailure::Body(_)) | Failure::Refused(Refusal::Invalid { .. }) => {
            "invalid_request"
        }
        Failure::Request(RequestFailure::CrossSite) | Failure::Refused(Refusal::OutOfScope(_)) => "forbidden",
        Failure::Request(RequestFailure::BodyTooLarge { .. }) => "payload_too_large",
        Failure::Refused(refusal) => match refusal {
            Refusal::Backlog { .. } => "backlog_full",
            // The command line retries on this code.
            Refusal::KeyBusy => "idempotency_key_in_progress",
            Refusal::DeviceLimit { .. }
            | Refusal::SessionFull { .. }
            | Refusal::InvitationLimit { .. }
            | Refusal::ViewLimit { .. } => "limit_exceeded",
            Refusal::DeviceUnavailable(_) => "unavailable",
            Refusal::DeviceTimeout { .. } => "timeout",
            Refusal::QuotaExceeded { .. } => "quota_exceeded",
            Refusal::Exists(_) => "already_exists",
            _ => failure.code(),
        },
        _ => failure.code(),
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
        complete_response(&mut response, self.cause);
        let problem_json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
        response
    }
}
