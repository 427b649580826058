//! Error responses: `{"error":{"code","message"}}`. Programs can rely on the codes.

use crate::failure::{Cause, Failure, complete_response};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
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
        TenureError {
            status: failure.status(),
            code: failure.code(),
            message: failure.to_string(),
            cause: failure.cause(),
        }
    }
}

impl IntoResponse for TenureError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, axum::Json(body)).into_response();
        complete_response(&mut response, self.cause);
        response
    }
}
