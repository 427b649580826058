//! Request bodies: a JSON object, read field by field, so that an error names the field and what was expected.
//!
//! `null` means that the field was not sent. Unknown fields are ignored: the vendor's schemas allow them.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::middleware;
use axum::extract::Request;
use domain::Refusal;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// A JSON object from a client.
pub struct Body(Map<String, Value>);

impl Body {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// A [`RequestFailure`] when the body is too large or is not a JSON object.
    pub async fn read(app: &App, request: Request) -> Result<Body, Failure> {
        Body::from_value(middleware::read_json(app, request).await?)
    }

    fn from_value(value: Value) -> Result<Body, Failure> {
        match value {
            Value::Object(fields) => Ok(Body(fields)),
            _ => Err(RequestFailure::Body("expected a JSON object".to_owned()).into()),
        }
    }

    /// Whether a field was sent, even as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A field's JSON value. `None` when it is missing or `null`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text whose number of characters is within `characters`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value.
    pub fn text(&self, name: &str, characters: RangeInclusive<usize>) -> Result<Option<String>, Refusal> {
        self.value(name).map(|value| text(name, value, &characters)).transpose()
    }

    /// A required text.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it is missing, and for another value.
    pub fn require_text(&self, name: &str, characters: RangeInclusive<usize>) -> Result<String, Refusal> {
        let found = self.text(name, characters.clone())?;
        found.ok_or_else(|| Refusal::invalid(name, describe_text(&characters)))
    }

    /// A list of at most `most` texts.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], naming the item, for another value.
    pub fn texts(
        &self,
        name: &str,
        most: usize,
        characters: RangeInclusive<usize>,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let expected = || Refusal::invalid(name, format!("a list of at most {most} texts"));
        let items = value.as_array().filter(|items| items.len() <= most).ok_or_else(expected)?;
        let item = |(at, value)| text(&format!("{name}[{at}]"), value, &characters);
        items.iter().enumerate().map(item).collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| Refusal::invalid(name, "true or false"))
    }

    /// A whole number within `bounds`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value.
    pub fn number(&self, name: &str, bounds: RangeInclusive<i64>) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = value.as_i64().filter(|number| bounds.contains(number));
        let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        number.map(Some).ok_or_else(|| Refusal::invalid(name, expected()))
    }

    /// A list of at most `most` objects; empty when the field is missing.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value.
    pub fn objects(&self, name: &str, most: usize) -> Result<Vec<Body>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let expected = || Refusal::invalid(name, format!("a list of at most {most} objects"));
        let items = value.as_array().filter(|items| items.len() <= most).ok_or_else(expected)?;
        let object = |value: &Value| value.as_object().cloned().map(Body).ok_or_else(expected);
        items.iter().map(object).collect()
    }
}

/// Reads one text. Texts with NUL are refused, because PostgreSQL cannot store them.
fn text(name: &str, value: &Value, characters: &RangeInclusive<usize>) -> Result<String, Refusal> {
    let fits = |text: &&str| characters.contains(&text.chars().count()) && !text.contains('\0');
    let found = value.as_str().filter(fits).map(str::to_owned);
    found.ok_or_else(|| Refusal::invalid(name, describe_text(characters)))
}

fn describe_text(characters: &RangeInclusive<usize>) -> String {
    format!("a text of {} to {} characters", characters.start(), characters.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(value: Value) -> Body {
        Body::from_value(value).unwrap()
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_expected() {
        let sent = body(json!({ "prompt": 7, "tags": ["a", 1], "flag": "yes", "limit": 1.5, "zero": "a\0" }));
        let message = |refusal: Refusal| refusal.to_string();
        assert_eq!(
            message(sent.require_text("prompt", 1..=9).unwrap_err()),
            "prompt: expected a text of 1 to 9 characters"
        );
        assert_eq!(
            message(sent.require_text("title", 1..=9).unwrap_err()),
            "title: expected a text of 1 to 9 characters"
        );
        let tags = sent.texts("tags", 50, 1..=9).unwrap_err();
        assert_eq!(message(tags), "tags[1]: expected a text of 1 to 9 characters");
        assert_eq!(
            message(sent.texts("tags", 1, 1..=9).unwrap_err()),
            "tags: expected a list of at most 1 texts"
        );
        assert_eq!(message(sent.flag("flag").unwrap_err()), "flag: expected true or false");
        assert_eq!(
            message(sent.number("limit", 1..=5).unwrap_err()),
            "limit: expected a whole number from 1 to 5"
        );
        assert!(sent.text("zero", 0..=9).is_err());
        assert!(sent.objects("tags", 9).is_err());
    }

    #[test]
    fn null_fields_are_omitted() {
        let sent = body(json!({ "a": null }));
        assert_eq!(
            (sent.text("a", 1..=2), sent.flag("a"), sent.number("a", 1..=2)),
            (Ok(None), Ok(None), Ok(None))
        );
        assert_eq!((sent.texts("a", 1, 1..=2), sent.has("a"), sent.has("b")), (Ok(None), true, false));
    }

    #[test]
    fn only_objects_are_bodies() {
        for value in [json!([]), json!(1), json!("x"), json!(null)] {
            assert!(Body::from_value(value).is_err());
        }
    }
}
