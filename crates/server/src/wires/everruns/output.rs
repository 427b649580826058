//! What a request is answered with, over REST and as the output of a command.

use super::query::warning_header;
use crate::failure::{Failure, RequestFailure};
use crate::http::unreadable_body::why;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a request is answered with when nothing stands against it.
#[derive(Debug)]
pub struct Output {
    status: StatusCode,
    /// JSON; nothing of what has nothing to say.
    body: Option<Vec<u8>>,
    warnings: Vec<String>,
}

/// The end of every handler.
pub type Answer = Result<Output, super::errors::EverrunsError>;

impl Output {
    /// A body.
    ///
    /// # Errors
    /// [`Failure::Internal`] for what is no JSON.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Output, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::internal)?;
        Ok(Output { status, body: Some(body), warnings: Vec::new() })
    }

    /// Done, and nothing to say.
    pub fn nothing() -> Output {
        Output { status: StatusCode::NO_CONTENT, body: None, warnings: Vec::new() }
    }

    /// The same with something that the client should know.
    #[must_use]
    pub fn warning(mut self, warning: Option<String>) -> Output {
        self.warnings.extend(warning);
        self
    }

    /// As the output of a command: `{"output":…,"warnings":[…]}`.
    ///
    /// # Errors
    /// [`Failure::Internal`] for what is no JSON.
    pub fn of_command(self) -> Result<Response, Failure> {
        let mut body = br#"{"output":"#.to_vec();
        body.extend_from_slice(self.body.as_deref().unwrap_or(b"null"));
        if !self.warnings.is_empty() {
            body.extend_from_slice(br#","warnings":"#);
            serde_json::to_writer(&mut body, &self.warnings).map_err(Failure::internal)?;
        }
        body.push(b'}');
        Ok(crate::http::middleware::json_response(StatusCode::OK, body))
    }
}

impl IntoResponse for Output {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => crate::http::middleware::json_response(self.status, body),
            None => self.status.into_response(),
        };
        for warning in self.warnings {
            if let Ok(value) = HeaderValue::from_str(&warning_header(&warning)) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }
}

/// A part of a path, as it came.
pub type PathText = Result<Path<String>, PathRejection>;

/// The text of it. What cannot be read is the text of no id.
pub fn text(path: PathText) -> String {
    path.map(|Path(text)| text).unwrap_or_default()
}

/// Reads the fields of an object, of a body or of a command's parameters. Fields that are not known are left out.
///
/// # Errors
/// [`RequestFailure::Body`] naming the field and what was expected.
pub fn fields<T: DeserializeOwned>(object: &Map<String, Value>) -> Result<T, Failure> {
    let value = Value::Object(object.clone());
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        RequestFailure::Body(format!("{place}{}", why(error.inner()))).into()
    })
}
