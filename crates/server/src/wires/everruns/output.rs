//! Successful responses, over REST and as the output of a command.

use super::query::warning_header;
use crate::failure::{Failure, RequestFailure};
use crate::http::conditional::{KnownTags, Tag};
use crate::http::unreadable_body::describe_error;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A successful response.
#[derive(Debug)]
pub struct Output {
    status: StatusCode,
    /// JSON; `None` for a response without a body.
    body: Option<Vec<u8>>,
    warnings: Vec<String>,
    tag: Option<Tag>,
}

/// What handlers return.
pub type HandlerResult = Result<Output, super::errors::EverrunsError>;

impl Output {
    /// A response with a JSON body.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the body cannot be serialized.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Output, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::internal)?;
        Ok(Output { status, body: Some(body), ..Output::no_content() })
    }

    /// A response with a body that is JSON, or with 304 when the client has it.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn unless_known(
        known: &KnownTags,
        tag: Tag,
        encode: impl FnOnce() -> Result<Vec<u8>, Failure>,
    ) -> Result<Output, Failure> {
        let output = match known.have(tag) {
            true => Output { status: StatusCode::NOT_MODIFIED, ..Output::no_content() },
            false => Output { status: StatusCode::OK, body: Some(encode()?), ..Output::no_content() },
        };
        Ok(Output { tag: Some(tag), ..output })
    }

    /// A response without a body.
    pub fn no_content() -> Output {
        Output { status: StatusCode::NO_CONTENT, body: None, warnings: Vec::new(), tag: None }
    }

    /// Adds a warning for the client.
    #[must_use]
    pub fn with_warning(mut self, warning: Option<String>) -> Output {
        self.warnings.extend(warning);
        self
    }

    /// The response to a command: `{"output":…,"warnings":[…]}`.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the warnings cannot be serialized.
    pub fn into_command_response(self) -> Result<Response, Failure> {
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
        if let Some(tag) = self.tag {
            tag.set_header(response.headers_mut());
        }
        for warning in self.warnings {
            if let Ok(value) = HeaderValue::from_str(&warning_header(&warning)) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }
}

/// A parameter of a path, before it is checked.
pub type PathText = Result<Path<String>, PathRejection>;

/// The parameter's text; empty, which is never an id, when it is not valid UTF-8.
pub fn path_text(path: PathText) -> String {
    path.map(|Path(text)| text).unwrap_or_default()
}

/// Reads the fields of a body or of a command's parameters. Unknown fields are ignored.
///
/// # Errors
/// [`RequestFailure::Body`] naming the field and what was expected.
pub fn read_fields<T: DeserializeOwned>(object: &Map<String, Value>) -> Result<T, Failure> {
    let value = Value::Object(object.clone());
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        RequestFailure::Body(format!("{place}{}", describe_error(error.inner()))).into()
    })
}
