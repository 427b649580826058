//! Error responses: RFC 9457 problem details, as the vendor's OpenAPI document declares them.
//!
//! `detail` is always a string, because official clients decode it into one. Only a 422 has `errors`, which name the
//! field and what was expected. `instance` stays null: it would be the path, which contains ids.

use crate::failure::{Cause, Failure, RequestFailure, complete_response};
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

impl From<Failure> for DevinError {
    fn from(failure: Failure) -> DevinError {
        let wrong = match &failure {
            Failure::Refused(Refusal::Invalid { field, expected }) => {
                Some((field.as_str(), expected.as_str()))
            }
            Failure::Refused(Refusal::KeyReused) => {
                Some(("Idempotency-Key", "a key that was not used for another request"))
            }
            Failure::Request(RequestFailure::Body(sentence)) => {
                Some(("body", sentence.strip_prefix("expected ").unwrap_or("a JSON object")))
            }
            _ => None,
        };
        let status = match &failure {
            _ if wrong.is_some() => StatusCode::UNPROCESSABLE_ENTITY,
            // Polling clients read 410 as the end of the session. Not 409: the official client retries after it.
            Failure::Refused(Refusal::SessionEnded | Refusal::SessionArchived) => StatusCode::GONE,
            failure => failure.status(),
        };
        let detail = match (&failure, wrong) {
            // Clients tell a bad key from a missing permission by this word.
            (Failure::Unauthenticated, _) => format!("Unauthorized: {failure}"),
            (Failure::Refused(_), Some((field, expected))) => format!("{field}: expected {expected}"),
            _ => failure.to_string(),
        };
        let error = |(field, expected): (&str, &str)| FieldError {
            field: field.to_owned(),
            expected: expected.to_owned(),
        };
        let errors = wrong.map(|wrong| vec![error(wrong)]);
        DevinError { status, detail, errors, cause: failure.cause() }
    }
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
        complete_response(&mut response, self.cause);
        let problem_json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
        response
    }
}
