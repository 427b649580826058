//! Query strings, parsed once.

use super::rfc3339::parse_time;
use crate::failure::Failure;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::Refusal;
use domain::time::Micros;
use std::convert::Infallible;
use std::ops::RangeInclusive;

/// Name-value pairs in their order. Names can repeat.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl FromIterator<(String, String)> for Query {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Query {
        Query(pairs.into_iter().collect())
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Infallible> {
        Ok(Query::read(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Parses a query string, or the body of a form.
    pub fn read(text: &str) -> Query {
        form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    }

    /// The names, in order. Repeated names are repeated.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The names and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a name.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when the name is repeated, because choosing one would be a guess.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.all(name).as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(Refusal::invalid(name, "at most one value").into()),
        }
    }

    /// A whole number within `bounds`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the name is repeated.
    pub fn number(&self, name: &str, bounds: RangeInclusive<i64>) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let digits = !text.is_empty() && text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok().filter(|number| bounds.contains(number)) } else { None };
        let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        number.map(Some).ok_or_else(|| Refusal::invalid(name, expected()).into())
    }

    /// A boolean; `false` when the name is missing.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the name is repeated.
    pub fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::invalid(name, "true or false").into()),
        }
    }

    /// A time.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a value that is not an RFC 3339 time, and when the name is repeated.
    pub fn time(&self, name: &str) -> Result<Option<Micros>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let expected = "an RFC 3339 time such as 2026-01-01T00:00:00Z";
        parse_time(text).map(Some).ok_or_else(|| Refusal::invalid(name, expected).into())
    }

    /// Values that are separated by commas, repeated, or both. `None` when the name is missing.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let given = self.all(name);
        let parts = given.iter().flat_map(|value| value.split(',')).map(str::trim);
        let parts = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>();
        (!given.is_empty()).then_some(parts)
    }
}
