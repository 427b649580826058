//! The fields of a body or a query, read by name. Unknown fields are ignored.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use crate::http::unreadable_body::describe_error;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use domain::Refusal;
use domain::json::REQUEST_BOUNDS;
use domain::principal::Scopes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

/// Most fields of a form.
const MOST_PAIRS: usize = 1_000;

/// The kinds of body that an endpoint accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedBody {
    /// JSON only.
    Json,
    /// A form only.
    Form,
    /// Either.
    Both,
}

/// The fields of a body or a query.
pub struct Fields {
    fields: Vec<(String, Value)>,
    /// Whether all values are text, as in forms and queries.
    text: bool,
    /// The prefix of a field's name in errors.
    place: &'static str,
}

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// A [`RequestFailure`] for a body that is too large, of another kind, or not an object.
    pub async fn read(app: &App, request: Request, reads: AcceptedBody) -> Result<Fields, Failure> {
        let form = is_form(request.headers(), reads)?;
        let (parts, body) = request.into_parts();
        let bytes = middleware::read_body(app, &parts.extensions, body).await?;
        if form {
            let text = std::str::from_utf8(&bytes).map_err(|_| wrong("expected UTF-8"))?;
            if text.bytes().filter(|byte| *byte == b'&').count() >= MOST_PAIRS {
                return Err(wrong(&format!("expected at most {MOST_PAIRS} fields")));
            }
            return Ok(Fields::from_pairs(text, "formData:"));
        }
        if bytes.is_empty() {
            return Ok(Fields { fields: Vec::new(), text: false, place: "body:" });
        }
        middleware::check_json_size(&bytes, REQUEST_BOUNDS)?;
        let Object(fields) =
            serde_json::from_slice(&bytes).map_err(|error| wrong(&describe_error(&error)))?;
        Ok(Fields { fields, text: false, place: "body:" })
    }

    fn from_pairs(text: &str, place: &'static str) -> Fields {
        let pairs = form_urlencoded::parse(text.as_bytes());
        let fields = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Fields { fields: fields.collect(), text: true, place }
    }

    /// Whether a field is present, also with an invalid value.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// A text. `None` when it is missing or null.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the field is repeated.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.value(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "text")),
        }
    }

    /// A required text.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it is missing or repeated, and for another value.
    pub fn require_text(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?.ok_or_else(|| self.invalid(name, "text, and it is missing"))
    }

    /// A boolean, in the forms that Go reads.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the field is repeated.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.value(name)? {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if self.text => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
                _ => Err(self.invalid(name, "true or false")),
            },
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    /// A whole number within `bounds`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the field is repeated.
    pub fn number(&self, name: &str, bounds: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, Refusal> {
        let number = match self.value(name)? {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) if self.text => plain_number(text),
            Some(_) => None,
        };
        let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        match number.filter(|number| bounds.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.invalid(name, expected())),
        }
    }

    /// A list of texts: an array, or a repeated field. `None` when it is missing or null.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value.
    pub fn words(&self, name: &str) -> Result<Option<Vec<&str>>, Refusal> {
        if self.text {
            let named =
                self.fields.iter().filter(|(key, _)| key == name || key.strip_suffix("[]") == Some(name));
            let words = named.filter_map(|(_, value)| value.as_str()).collect::<Vec<_>>();
            return Ok((!words.is_empty()).then_some(words));
        }
        let wrong = || self.invalid(name, "an array of text");
        match self.value(name)? {
            None => Ok(None),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or_else(wrong)).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(wrong()),
        }
    }

    /// The scopes of a token or key. `None` when none are named.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a word that is not a permission of this wire.
    pub fn scopes(&self, name: &str) -> Result<Option<Scopes>, Refusal> {
        let Some(words) = self.words(name)? else { return Ok(None) };
        let expected = || format!("some of {}", Scopes::all_names().collect::<Vec<_>>().join(" "));
        // An empty list means the same as a missing one.
        if words.is_empty() {
            return Ok(None);
        }
        Scopes::parse(words).map(Some).ok_or_else(|| self.invalid(name, expected()))
    }

    /// An object. A form has it as JSON text.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the field is repeated.
    pub fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        match self.value(name)? {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object.clone())),
            Some(Value::String(text)) if self.text => {
                serde_json::from_str(text).map(Some).map_err(|_| self.invalid(name, "an object"))
            }
            Some(_) => Err(self.invalid(name, "an object")),
        }
    }

    /// A refusal that names a field as it is in the request.
    pub fn invalid(&self, name: &str, expected: impl Into<String>) -> Refusal {
        Refusal::invalid(format!("{}{name}", self.place), expected)
    }

    /// The value of a name. `None` when it is missing or null.
    fn value(&self, name: &str) -> Result<Option<&Value>, Refusal> {
        let mut values = self.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.filter(|value| !value.is_null())),
            _ => Err(self.invalid(name, "it once")),
        }
    }
}

/// The fields of the query. They are parsed once for each request: clones in its extensions serve the middleware, the
/// credential and the handler.
#[derive(Clone)]
pub struct QueryFields(pub Arc<Fields>);

impl<S: Sync> FromRequestParts<S> for QueryFields {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<QueryFields, Infallible> {
        if let Some(query) = parts.extensions.get::<QueryFields>() {
            return Ok(query.clone());
        }
        let fields = Fields::from_pairs(parts.uri.query().unwrap_or_default(), "query:");
        let query = QueryFields(Arc::new(fields));
        parts.extensions.insert(query.clone());
        Ok(query)
    }
}

/// Reads a number of digits only: no sign, no blanks.
fn plain_number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Whether the body is a form. `text/plain` is refused, because browsers send it to other sites without a preflight.
fn is_form(headers: &HeaderMap, reads: AcceptedBody) -> Result<bool, Failure> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (kind, more) = (types.next(), types.next());
    let text = kind.map(|kind| kind.to_str().unwrap_or_default().to_lowercase());
    let (kind, rest) = match &text {
        Some(text) => {
            text.split_once(';').map_or((text.trim(), ""), |(kind, rest)| (kind.trim(), rest.trim()))
        }
        None => ("", ""),
    };
    let plain = rest.is_empty() || rest.replace('"', "") == "charset=utf-8";
    let form = match (kind, reads) {
        ("application/json", AcceptedBody::Json | AcceptedBody::Both) => Some(false),
        ("application/x-www-form-urlencoded", AcceptedBody::Form | AcceptedBody::Both) => Some(true),
        ("", _) if text.is_none() => Some(reads == AcceptedBody::Form),
        _ => None,
    };
    match form {
        Some(form) if plain && more.is_none() => Ok(form),
        _ => Err(wrong(match reads {
            AcceptedBody::Json => "expected Content-Type: application/json",
            AcceptedBody::Form => "expected Content-Type: application/x-www-form-urlencoded",
            AcceptedBody::Both => {
                "expected Content-Type: application/json or application/x-www-form-urlencoded"
            }
        })),
    }
}

fn wrong(sentence: &str) -> Failure {
    RequestFailure::Body(sentence.to_owned()).into()
}

/// An object with all its fields, including repeated ones: choosing one would be a guess.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_query_is_parsed_once_for_each_request() {
        let request = Request::get("/?token=a&token=b").body(axum::body::Body::empty()).unwrap();
        let (mut parts, _) = request.into_parts();
        let Ok(QueryFields(first)) = QueryFields::from_request_parts(&mut parts, &()).await;
        let Ok(QueryFields(second)) = QueryFields::from_request_parts(&mut parts, &()).await;
        assert!(Arc::ptr_eq(&first, &second));
        assert!(first.has("token") && first.text("token").is_err() && !first.has("jwt"));
    }
}
