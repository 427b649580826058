//! The parameters of a list: from a query string, or from a command.

use crate::failure::{Failure, RequestFailure};
use crate::http::rfc3339::parse_time;
use domain::Refusal;
use domain::time::Micros;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// Name-value pairs in their order. Names can repeat.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// The requested page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Number of items to skip.
    pub offset: u64,
    /// Most items on the page.
    pub limit: u32,
    /// A warning when the limit was lowered.
    pub warning: Option<String>,
}

/// Items of a page without `limit`.
const DEFAULT_LIMIT: i64 = 20;
/// Largest documented `limit`.
const MAX_LIMIT: i64 = 100;
/// A limit up to this is lowered to [`MAX_LIMIT`], with a warning. The vendor's server lowers any limit, and old clients
/// send a few hundred.
const CLAMPED_LIMIT: i64 = 500;

impl Query {
    /// Parses a query string.
    pub fn read(text: Option<&str>) -> Query {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned();
        Query { pairs: pairs.collect() }
    }

    /// Reads a command's parameters. `null` means missing; a list repeats its name.
    ///
    /// # Errors
    /// [`RequestFailure::Body`] for an object in place of a value.
    pub fn from_command(parameters: &Map<String, Value>) -> Result<Query, Failure> {
        let mut pairs = Vec::new();
        for (name, value) in parameters {
            let values = match value {
                Value::Array(values) => values.as_slice(),
                value => std::slice::from_ref(value),
            };
            for value in values {
                let text = match value {
                    Value::Null => continue,
                    Value::String(text) => text.clone(),
                    Value::Bool(_) | Value::Number(_) => value.to_string(),
                    Value::Array(_) | Value::Object(_) => {
                        let sentence =
                            format!("params.{name}: expected a text, a number, or a list of texts");
                        return Err(RequestFailure::Body(sentence).into());
                    }
                };
                pairs.push((name.clone(), text));
            }
        }
        Ok(Query { pairs })
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
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

    /// `offset` and `limit`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a limit of 0 or above 500, an offset out of range, and values that are not numbers.
    pub fn paging(&self) -> Result<Paging, Failure> {
        let offset = self.number("offset", 0..=i64::from(i32::MAX))?.unwrap_or(0);
        let requested = match self.number("limit", 1..=CLAMPED_LIMIT) {
            Ok(requested) => requested.unwrap_or(DEFAULT_LIMIT),
            // The error names the documented bound.
            Err(_) if self.all("limit").len() == 1 => {
                return Err(Refusal::invalid("limit", format!("a whole number from 1 to {MAX_LIMIT}")).into());
            }
            Err(failure) => return Err(failure),
        };
        let warning = (requested > MAX_LIMIT)
            .then(|| format!("limit {requested} is more than {MAX_LIMIT}: {MAX_LIMIT} is used"));
        let limit = requested.min(MAX_LIMIT);
        let (offset, limit) = (u64::try_from(offset).unwrap_or(0), u32::try_from(limit).unwrap_or(0));
        Ok(Paging { offset, limit, warning })
    }

    /// A warning that names unknown parameters. `None` when there are none. Without it, an ignored filter would look like
    /// one that matches everything.
    pub fn unknown_warning(&self, known: &[&str]) -> Option<String> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.pairs {
            let name = name.trim();
            if !known.contains(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
        (!names.is_empty()).then(|| format!("unknown parameters were ignored: {}", names.join(", ")))
    }
}

/// Formats a warning as a header: printable ASCII, with quotes and backslashes escaped, cut to 400 characters.
pub fn warning_header(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars().take(400) {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    format!("299 tenure \"{quoted}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(failure: Failure) -> String {
        failure.to_string()
    }

    #[test]
    fn limits_are_read_as_documented_with_room_for_old_clients() {
        let paging = |text: &str| Query::read(Some(text)).paging();
        let page = |offset, limit, warning: Option<&str>| Paging {
            offset,
            limit,
            warning: warning.map(str::to_owned),
        };
        for (text, expected) in [
            ("", page(0, 20, None)),
            ("limit=1&offset=0", page(0, 1, None)),
            ("limit=100&offset=2147483647", page(2_147_483_647, 100, None)),
            ("limit=101", page(0, 100, Some("limit 101 is more than 100: 100 is used"))),
            ("limit=500", page(0, 100, Some("limit 500 is more than 100: 100 is used"))),
        ] {
            assert_eq!(paging(text).unwrap(), expected, "{text}");
        }
        for text in
            ["limit=0", "limit=501", "limit=-1", "limit=abc", "limit=", "limit=1.5", "limit=+1", "limit= 1"]
        {
            assert_eq!(
                words(paging(text).unwrap_err()),
                "limit: expected a whole number from 1 to 100",
                "{text}"
            );
        }
        assert_eq!(words(paging("limit=1&limit=2").unwrap_err()), "limit: expected at most one value");
        for text in ["offset=-1", "offset=2147483648", "offset=x", "offset=99999999999999999999999"] {
            let expected = "offset: expected a whole number from 0 to 2147483647";
            assert_eq!(words(paging(text).unwrap_err()), expected, "{text}");
        }
    }

    #[test]
    fn an_unescaped_ampersand_makes_an_unknown_parameter() {
        let query = Query::read(Some("agent_id=a&search=hello%20world%20&%20x"));
        assert_eq!(query.text("search").unwrap(), Some("hello world "));
        assert_eq!(
            query.unknown_warning(&["agent_id", "search"]).unwrap(),
            "unknown parameters were ignored: x"
        );
        assert_eq!(query.unknown_warning(&["agent_id", "search", "x"]), None);
    }

    #[test]
    fn a_commands_parameters_are_read_like_a_query() {
        let parameters =
            json!({ "limit": 5, "mine": true, "tags": ["a", "b"], "search": null, "status": "idle,active" });
        let query = Query::from_command(parameters.as_object().unwrap()).unwrap();
        assert_eq!(query.paging().unwrap().limit, 5);
        assert!(query.flag("mine").unwrap());
        assert_eq!(query.all("tags"), ["a", "b"]);
        assert_eq!(query.text("search").unwrap(), None);
        assert_eq!(query.list("status"), Some(vec!["idle", "active"]));
        assert_eq!(query.list("source"), None);
        let wrong = json!({ "limit": { "is": 5 } });
        assert!(Query::from_command(wrong.as_object().unwrap()).is_err());
    }

    #[test]
    fn a_warning_cannot_break_out_of_its_header() {
        assert_eq!(warning_header("a \"b\" \\ \r\n é"), "299 tenure \"a \\\"b\\\" \\\\ ?? ?\"");
        assert!(warning_header(&"x".repeat(10_000)).len() < 1_000);
    }
}
