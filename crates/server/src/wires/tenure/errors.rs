//! Error responses: `{"error":{"code","message"}}`. Programs can rely on the codes.

use crate::failure::{Cause, Failure, RequestFailure, Unanswered};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use serde_json::json;

/// An error response of this wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenureError {
    status: StatusCode,
    code: &'static str,
    message: String,
    cause: Option<Cause>,
}

impl From<Failure> for TenureError {
    fn from(failure: Failure) -> TenureError {
        let (status, code) = match &failure {
            Failure::Refused(refusal) => refusal_status(refusal),
            Failure::Request(request) => request_status(request),
            Failure::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Failure::Device { .. } => (StatusCode::BAD_GATEWAY, "device_error"),
            Failure::Busy | Failure::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Failure::Unanswered(unanswered) => (unanswered.status(), code_for_unanswered(*unanswered)),
            Failure::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        TenureError { status, code, message: failure.to_string(), cause: failure.cause() }
    }
}

fn code_for_unanswered(unanswered: Unanswered) -> &'static str {
    match unanswered {
        Unanswered::Slow { .. } => "timeout",
        Unanswered::TooMany => "rate_limited",
        Unanswered::Crowded | Unanswered::Away => "busy",
    }
}

fn refusal_status(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        Refusal::Forbidden(_) | Refusal::NotAMember | Refusal::NoOrganization | Refusal::NotYours(_) => {
            (StatusCode::FORBIDDEN, "forbidden")
        }
        Refusal::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid"),
        Refusal::SessionEnded => (StatusCode::CONFLICT, "session_ended"),
        Refusal::SessionArchived => (StatusCode::CONFLICT, "session_archived"),
        Refusal::Backlog { .. } => (StatusCode::TOO_MANY_REQUESTS, "backlog"),
        Refusal::TurnLost => (StatusCode::CONFLICT, "turn_lost"),
        Refusal::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
        Refusal::KeyBusy => (StatusCode::CONFLICT, "idempotency_key_busy"),
        Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "limit"),
        Refusal::NoMatch { .. } => (StatusCode::CONFLICT, "no_match"),
        Refusal::DeviceUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "device_unavailable"),
        Refusal::DeviceTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "device_timeout"),
        Refusal::QuotaExceeded { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "quota"),
        Refusal::Exists(_) => (StatusCode::CONFLICT, "exists"),
        Refusal::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
        Refusal::InvitationLimit { .. } => (StatusCode::CONFLICT, "limit"),
        Refusal::Resync { .. } => (StatusCode::GONE, "resync"),
        Refusal::OutOfScope(_) => (StatusCode::FORBIDDEN, "out_of_scope"),
        Refusal::StaleAuthentication { .. } => (StatusCode::FORBIDDEN, "stale_authentication"),
        Refusal::PasswordsOff => (StatusCode::FORBIDDEN, "passwords_off"),
        Refusal::SecondFactorRequired => (StatusCode::FORBIDDEN, "second_factor_required"),
        Refusal::SecondFactorNeeded => (StatusCode::UNAUTHORIZED, "second_factor_needed"),
        Refusal::WrongCode => (StatusCode::UNAUTHORIZED, "wrong_code"),
        Refusal::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
    }
}

fn request_status(request: &RequestFailure) -> (StatusCode, &'static str) {
    match request {
        RequestFailure::NoRoute => (StatusCode::NOT_FOUND, "not_found"),
        RequestFailure::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        RequestFailure::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        RequestFailure::Body(_) => (StatusCode::BAD_REQUEST, "invalid"),
        RequestFailure::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        RequestFailure::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
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

impl IntoResponse for TenureError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, axum::Json(body)).into_response();
        self.cause.map(|cause| response.extensions_mut().insert(cause));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            // The rest of a refused body is not read, so the connection cannot be used again.
            StatusCode::PAYLOAD_TOO_LARGE => {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
