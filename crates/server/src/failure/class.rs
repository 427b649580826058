//! What failures mean to callers. The one exhaustive table: a new failure breaks the build until it is in it.

use super::{Failure, RequestFailure, Unanswered};
use axum::http::StatusCode;
use domain::Refusal;

/// What a failure means to a caller. Wires word classes, and single failures where the vendor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request, or a value in it, is invalid.
    Invalid,
    /// The caller did not prove who they are.
    Unauthenticated,
    /// The caller lacks a permission.
    Forbidden,
    /// It does not exist, or the caller may not see it.
    NotFound,
    /// The path does not support the method.
    Unsupported,
    /// Another request was first, or the name is taken.
    Conflict,
    /// The state of something forbids it.
    WrongState,
    /// What the request continues from was deleted.
    Gone,
    /// The body or the file is too large.
    TooLarge,
    /// A limit is reached.
    Throttled,
    /// The server, or something it needs, cannot answer now.
    Unavailable,
    /// It took too long.
    OutOfTime,
    /// The device's driver refused it.
    Device,
    /// The server failed.
    Internal,
}

impl Class {
    fn status(self) -> StatusCode {
        match self {
            Class::Invalid => StatusCode::BAD_REQUEST,
            Class::Unauthenticated => StatusCode::UNAUTHORIZED,
            Class::Forbidden => StatusCode::FORBIDDEN,
            Class::NotFound => StatusCode::NOT_FOUND,
            Class::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Class::Conflict | Class::WrongState => StatusCode::CONFLICT,
            Class::Gone => StatusCode::GONE,
            Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Class::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Class::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
            Class::Device => StatusCode::BAD_GATEWAY,
            Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Failure {
    /// What it means to the caller.
    pub fn class(&self) -> Class {
        self.describe().0
    }

    /// Its name for programs, unless the wire's vendor has another.
    pub fn code(&self) -> &'static str {
        self.describe().1
    }

    /// Its HTTP status, unless the wire's vendor has another.
    pub fn status(&self) -> StatusCode {
        match self {
            Failure::Refused(Refusal::KeyReused) => StatusCode::UNPROCESSABLE_ENTITY,
            Failure::Request(RequestFailure::Precondition) => StatusCode::PRECONDITION_FAILED,
            Failure::Request(RequestFailure::TargetTooLong { .. }) => StatusCode::URI_TOO_LONG,
            Failure::Request(RequestFailure::HeadTooLarge { .. }) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            failure => failure.class().status(),
        }
    }

    fn describe(&self) -> (Class, &'static str) {
        match self {
            Failure::Refused(refusal) => describe_refusal(refusal),
            Failure::Request(request) => describe_request(request),
            Failure::Filter { .. } => (Class::Invalid, "filter"),
            Failure::Unauthenticated => (Class::Unauthenticated, "unauthenticated"),
            Failure::Device { .. } => (Class::Device, "device_error"),
            Failure::Busy | Failure::Away(_) => (Class::Unavailable, "busy"),
            Failure::Unanswered(Unanswered::Slow { .. }) => (Class::OutOfTime, "timeout"),
            Failure::Unanswered(Unanswered::TooMany) => (Class::Throttled, "rate_limited"),
            Failure::Unanswered(Unanswered::Crowded | Unanswered::Loading | Unanswered::Away) => {
                (Class::Unavailable, "busy")
            }
            Failure::Internal { .. } => (Class::Internal, "internal"),
        }
    }
}

fn describe_refusal(refusal: &Refusal) -> (Class, &'static str) {
    match refusal {
        Refusal::NotFound(_) => (Class::NotFound, "not_found"),
        Refusal::Forbidden(_) | Refusal::NotAMember | Refusal::NoOrganization | Refusal::NotYours(_) => {
            (Class::Forbidden, "forbidden")
        }
        Refusal::OutOfScope(_) => (Class::Forbidden, "out_of_scope"),
        Refusal::StaleAuthentication { .. } => (Class::Forbidden, "stale_authentication"),
        Refusal::PasswordsOff => (Class::Forbidden, "passwords_off"),
        Refusal::SecondFactorRequired => (Class::Forbidden, "second_factor_required"),
        Refusal::SecondFactorNeeded => (Class::Unauthenticated, "second_factor_needed"),
        Refusal::WrongCode => (Class::Unauthenticated, "wrong_code"),
        Refusal::Invalid { .. } => (Class::Invalid, "invalid"),
        Refusal::KeyReused => (Class::Invalid, "idempotency_key_reused"),
        Refusal::KeyBusy => (Class::Conflict, "idempotency_key_busy"),
        Refusal::TurnLost => (Class::Conflict, "turn_lost"),
        Refusal::Exists(_) => (Class::Conflict, "exists"),
        Refusal::SessionEnded => (Class::WrongState, "session_ended"),
        Refusal::SessionArchived => (Class::WrongState, "session_archived"),
        Refusal::WrongState { .. } => (Class::WrongState, "wrong_state"),
        Refusal::NoMatch { .. } => (Class::WrongState, "no_match"),
        Refusal::LastAdmin => (Class::WrongState, "last_admin"),
        Refusal::InvitationLimit { .. } | Refusal::ViewLimit { .. } => (Class::WrongState, "limit"),
        Refusal::Resync { .. } => (Class::Gone, "resync"),
        Refusal::Backlog { .. } => (Class::Throttled, "backlog"),
        Refusal::TooManyAttempts { .. } => (Class::Throttled, "too_many_attempts"),
        Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. } => (Class::Throttled, "limit"),
        Refusal::QuotaExceeded { .. } => (Class::TooLarge, "quota"),
        Refusal::DeviceUnavailable(_) => (Class::Unavailable, "device_unavailable"),
        Refusal::DeviceTimeout { .. } => (Class::OutOfTime, "device_timeout"),
    }
}

fn describe_request(request: &RequestFailure) -> (Class, &'static str) {
    match request {
        RequestFailure::NoRoute | RequestFailure::NoAction { .. } => (Class::NotFound, "not_found"),
        RequestFailure::Method => (Class::Unsupported, "method_not_allowed"),
        RequestFailure::BodyTooLarge { .. } => (Class::TooLarge, "too_large"),
        RequestFailure::Body(_) => (Class::Invalid, "invalid"),
        RequestFailure::Conflict(_) => (Class::Conflict, "conflict"),
        RequestFailure::Precondition => (Class::Conflict, "precondition_failed"),
        RequestFailure::CrossSite => (Class::Forbidden, "cross_site"),
        RequestFailure::TargetTooLong { .. } => (Class::Invalid, "uri_too_long"),
        RequestFailure::HeadTooLarge { .. } => (Class::Invalid, "headers_too_large"),
        RequestFailure::Head(_) => (Class::Invalid, "malformed_request"),
        RequestFailure::TooManyRequests { .. } => (Class::Throttled, "rate_limited"),
        RequestFailure::Timeout => (Class::OutOfTime, "timeout"),
        RequestFailure::TooManyConnections { .. } => (Class::Throttled, "too_many_connections"),
    }
}
