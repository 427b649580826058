//! The parameters of a list: its page, and warnings. They come from a query string, or from a command.

use crate::failure::{Failure, RequestFailure};
use crate::http::query::Query;
use domain::Refusal;
use serde_json::{Map, Value};

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

/// Reads a command's parameters. `null` means missing; a list repeats its name.
///
/// # Errors
/// [`RequestFailure::Body`] for an object in place of a value.
pub fn read_parameters(parameters: &Map<String, Value>) -> Result<Query, Failure> {
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
                    let sentence = format!("params.{name}: expected a text, a number, or a list of texts");
                    return Err(RequestFailure::Body(sentence).into());
                }
            };
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs.into_iter().collect())
}

/// `offset` and `limit`.
///
/// # Errors
/// [`Refusal::Invalid`] for a limit of 0 or above 500, an offset out of range, and values that are not numbers.
pub fn read_paging(query: &Query) -> Result<Paging, Failure> {
    let offset = query.number("offset", 0..=i64::from(i32::MAX))?.unwrap_or(0);
    let requested = match query.number("limit", 1..=CLAMPED_LIMIT) {
        Ok(requested) => requested.unwrap_or(DEFAULT_LIMIT),
        // The error names the documented bound.
        Err(_) if query.all("limit").len() == 1 => {
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
pub fn unknown_warning(query: &Query, known: &[&str]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in query.names().map(str::trim) {
        if !known.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| format!("unknown parameters were ignored: {}", names.join(", ")))
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
        let paging = |text: &str| read_paging(&Query::read(text));
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
        let query = Query::read("agent_id=a&search=hello%20world%20&%20x");
        assert_eq!(query.text("search").unwrap(), Some("hello world "));
        assert_eq!(
            unknown_warning(&query, &["agent_id", "search"]).unwrap(),
            "unknown parameters were ignored: x"
        );
        assert_eq!(unknown_warning(&query, &["agent_id", "search", "x"]), None);
    }

    #[test]
    fn a_commands_parameters_are_read_like_a_query() {
        let parameters =
            json!({ "limit": 5, "mine": true, "tags": ["a", "b"], "search": null, "status": "idle,active" });
        let query = read_parameters(parameters.as_object().unwrap()).unwrap();
        assert_eq!(read_paging(&query).unwrap().limit, 5);
        assert!(query.flag("mine").unwrap());
        assert_eq!(query.all("tags"), ["a", "b"]);
        assert_eq!(query.text("search").unwrap(), None);
        assert_eq!(query.list("status"), Some(vec!["idle", "active"]));
        assert_eq!(query.list("source"), None);
        let wrong = json!({ "limit": { "is": 5 } });
        assert!(read_parameters(wrong.as_object().unwrap()).is_err());
    }

    #[test]
    fn a_warning_cannot_break_out_of_its_header() {
        assert_eq!(warning_header("a \"b\" \\ \r\n é"), "299 tenure \"a \\\"b\\\" \\\\ ?? ?\"");
        assert!(warning_header(&"x".repeat(10_000)).len() < 1_000);
    }
}
