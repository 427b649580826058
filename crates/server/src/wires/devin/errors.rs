//! Error responses: RFC 9457 problem details, as the vendor's OpenAPI document declares them.
//!
//! `detail` is always a string, because official clients decode it into one. Only a 422 has `errors`, which name the
//! field and what was expected. `instance` stays null: it would be the path, which contains ids.

use crate::failure::{Cause, Failure, RequestFailure};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use serde::Serialize;

/// An error response of this wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevinError {
    status: StatusCode,
    detail: String,
    errors: Option<Vec<FieldError>>,
    cause: Option<Cause>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FieldError {
    field: String,
    expected: String,
}

impl DevinError {
    fn new(status: StatusCode, detail: impl ToString) -> DevinError {
        DevinError { status, detail: detail.to_string(), errors: None, cause: None }
    }

    fn field(field: &str, expected: &str) -> DevinError {
        DevinError {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: format!("{field}: expected {expected}"),
            errors: Some(vec![FieldError { field: field.to_owned(), expected: expected.to_owned() }]),
            cause: None,
        }
    }
}

impl From<Failure> for DevinError {
    fn from(failure: Failure) -> DevinError {
        match failure {
            Failure::Refused(refusal) => refusal_error(&refusal),
            Failure::Request(request) => request_error(&request),
            // Clients tell a bad key from a missing permission by this word.
            Failure::Unauthenticated => {
                DevinError::new(StatusCode::UNAUTHORIZED, format!("Unauthorized: {failure}"))
            }
            Failure::Device { message, .. } => DevinError::new(StatusCode::BAD_GATEWAY, message),
            Failure::Busy | Failure::Away(_) => DevinError::new(StatusCode::SERVICE_UNAVAILABLE, failure),
            Failure::Unanswered(unanswered) => DevinError::new(unanswered.status(), unanswered),
            Failure::Internal { .. } => DevinError {
                cause: failure.cause(),
                ..DevinError::new(StatusCode::INTERNAL_SERVER_ERROR, failure)
            },
        }
    }
}

fn refusal_error(refusal: &Refusal) -> DevinError {
    let status = match refusal {
        Refusal::Invalid { field, expected } => return DevinError::field(field, expected),
        Refusal::NotFound(_) => StatusCode::NOT_FOUND,
        Refusal::Forbidden(_)
        | Refusal::OutOfScope(_)
        | Refusal::PasswordsOff
        | Refusal::SecondFactorRequired
        | Refusal::StaleAuthentication { .. }
        | Refusal::NotAMember
        | Refusal::NoOrganization
        | Refusal::NotYours(_) => StatusCode::FORBIDDEN,
        Refusal::SecondFactorNeeded | Refusal::WrongCode => StatusCode::UNAUTHORIZED,
        // Polling clients read 410 as the end of the session. Not 409: the official client retries after it.
        Refusal::SessionEnded | Refusal::SessionArchived => StatusCode::GONE,
        Refusal::KeyReused => {
            return DevinError::field("Idempotency-Key", "a key that was not used for another request");
        }
        Refusal::Exists(_)
        | Refusal::LastAdmin
        | Refusal::InvitationLimit { .. }
        | Refusal::NoMatch { .. }
        | Refusal::TurnLost
        | Refusal::KeyBusy => StatusCode::CONFLICT,
        Refusal::Backlog { .. } | Refusal::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::DeviceLimit { .. } | Refusal::SessionFull { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::DeviceUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::DeviceTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        Refusal::QuotaExceeded { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Resync { .. } => StatusCode::GONE,
    };
    DevinError::new(status, refusal)
}

fn request_error(request: &RequestFailure) -> DevinError {
    let status = match request {
        RequestFailure::Body(sentence) => {
            let expected = sentence.strip_prefix("expected ").unwrap_or("a JSON object").to_owned();
            let errors = vec![FieldError { field: "body".to_owned(), expected }];
            return DevinError {
                errors: Some(errors),
                ..DevinError::new(StatusCode::UNPROCESSABLE_ENTITY, request)
            };
        }
        RequestFailure::NoRoute => StatusCode::NOT_FOUND,
        RequestFailure::Method => StatusCode::METHOD_NOT_ALLOWED,
        RequestFailure::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        RequestFailure::Conflict(_) => StatusCode::CONFLICT,
        RequestFailure::CrossSite => StatusCode::FORBIDDEN,
        RequestFailure::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
        RequestFailure::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        RequestFailure::Head(_) => StatusCode::BAD_REQUEST,
        RequestFailure::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
        RequestFailure::Timeout => StatusCode::GATEWAY_TIMEOUT,
        RequestFailure::TooManyConnections { .. } => StatusCode::TOO_MANY_REQUESTS,
    };
    DevinError::new(status, request)
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: Option<&'a str>,
    errors: &'a Option<Vec<FieldError>>,
}

impl IntoResponse for DevinError {
    fn into_response(self) -> Response {
        let problem = Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: None,
            errors: &self.errors,
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
