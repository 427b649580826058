//! Error responses: `application/problem+json` (RFC 9457). Programs can rely on the codes.

use crate::failure::{Cause, Class, Failure, RequestFailure, complete_response};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use protocol::problem::{MEDIA_TYPE, Problem};

/// Where the kinds of problems are named. Nothing is there to fetch.
const PROBLEMS: &str = "https://tenure.example/problems";

/// An error response of this wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenureError {
    status: StatusCode,
    problem: Box<Problem>,
    cause: Option<Cause>,
}

impl From<Failure> for TenureError {
    fn from(failure: Failure) -> TenureError {
        let (status, code) = (failure.status(), failure.code());
        let mut problem = Problem {
            problem_type: format!("{PROBLEMS}/{code}"),
            title: title(failure.class()).to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: failure.to_string(),
            hint: hint(&failure),
            field: None,
            filter: None,
            faults: Vec::new(),
        };
        match &failure {
            Failure::Refused(Refusal::Invalid { field, .. }) => problem.field = Some(field.clone()),
            Failure::Filter { text, faults } => {
                "The filter cannot be read".clone_into(&mut problem.title);
                problem.hint = faults.as_slice().first().and_then(|fault| fault.hint.clone());
                problem.filter = Some(text.clone());
                let written = serde_json::to_value(faults).and_then(serde_json::from_value);
                problem.faults = written.unwrap_or_default();
            }
            _ => {}
        }
        TenureError { status, problem: Box::new(problem), cause: failure.cause() }
    }
}

fn title(class: Class) -> &'static str {
    match class {
        Class::Invalid => "The request is not valid",
        Class::Unauthenticated => "The caller is not known",
        Class::Forbidden => "The caller may not do this",
        Class::NotFound => "There is no such thing",
        Class::Unsupported => "The path does not have this method",
        Class::Conflict => "Something else was first",
        Class::WrongState => "The state does not allow this",
        Class::Gone => "This is not kept any more",
        Class::TooLarge => "This is too large",
        Class::Throttled => "A limit is reached",
        Class::Unavailable => "This is not possible at the moment",
        Class::OutOfTime => "This took too long",
        Class::Device => "The device refused this",
        Class::Internal => "The server failed",
    }
}

/// What to do next.
fn hint(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Refused(Refusal::WrongState { remedy, .. }) => return Some((*remedy).to_owned()),
        Failure::Request(RequestFailure::NoAction { known }) => {
            return Some(format!("the actions are {}", known.join(", ")));
        }
        _ => {}
    }
    let hint = match failure.class() {
        Class::Unauthenticated => "send an API key or a session token as Authorization: Bearer …",
        Class::Forbidden => "ask an administrator of the organization, or choose another one",
        Class::Unavailable | Class::OutOfTime | Class::Throttled => "try again after some seconds",
        Class::Conflict => "read it again, then repeat the request",
        _ => return None,
    };
    Some(hint.to_owned())
}

impl IntoResponse for TenureError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.problem)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        complete_response(&mut response, self.cause);
        response
    }
}
