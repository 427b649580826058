//! Query strings, in the three dialects that real clients send:
//!
//! * repeated keys, `tags=a&tags=b` (curl, `devin-cli`, MCP servers);
//! * joined by commas, `tags=a,b` (the official `devinai`);
//! * everything in `qs`: as one JSON object, or as `qs[tags][]=a` (generated TypeScript clients).
//!
//! An unknown name is not an error, as with the vendor. [`super::unknown_parameters`] warns of it in the answer.

use super::errors::DevinError;
use crate::failure::Failure;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::Refusal;
use serde_json::Value;

/// Most values of a query.
const MAX_VALUES: usize = 1_000;

/// A parameter as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct QueryValue {
    name: String,
    value: String,
    /// Whether it was an item of a list, so that a comma in it does not split it.
    whole: bool,
}

/// A parsed query string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query(Vec<QueryValue>);

/// One value of a list, which can be several values joined by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommaValue {
    /// One value.
    One(String),
    /// One value with commas in it, or several values.
    Ambiguous(String),
}

impl CommaValue {
    /// The value as it was sent.
    pub fn as_str(&self) -> &str {
        let (CommaValue::One(text) | CommaValue::Ambiguous(text)) = self;
        text
    }
}

/// The query of a request, parsed once by [`super::unknown_parameters::warn_of_unknown`] for itself and for the handler.
#[derive(Clone)]
pub struct ParsedQuery(pub Result<Query, Refusal>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, DevinError> {
        let parsed = parts.extensions.remove::<ParsedQuery>();
        let ParsedQuery(query) = parsed.ok_or_else(|| Failure::internal("the query was not parsed"))?;
        Ok(query.map_err(Failure::from)?)
    }
}

impl Query {
    /// Parses a query string.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a `qs` that is not an object of plain values, for too many values, and for NUL.
    pub fn read(raw: Option<&str>) -> Result<Query, Refusal> {
        let mut query = Query::default();
        for (key, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            if key == "qs" {
                query.add_json(&value)?;
                continue;
            }
            let (name, whole) = plain_name(&key);
            query.0.push(QueryValue { name: name.to_owned(), value: value.into_owned(), whole });
        }
        // No stored text has a NUL.
        let plain = |given: &QueryValue| !given.value.contains('\0');
        if query.0.len() > MAX_VALUES || !query.0.iter().all(plain) {
            return Err(Refusal::invalid("query", format!("at most {MAX_VALUES} values without NUL")));
        }
        Ok(query)
    }

    fn add_json(&mut self, text: &str) -> Result<(), Refusal> {
        let expected =
            || Refusal::invalid("qs", "a JSON object of texts, numbers, booleans and lists of them");
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else { return Err(expected()) };
        for (name, value) in fields {
            let (values, whole) = match value {
                Value::Null => continue,
                Value::Array(values) => (values, true),
                value => (vec![value], false),
            };
            if values.is_empty() {
                // An empty list matches nothing.
                self.0.push(QueryValue { name, value: String::new(), whole: true });
                continue;
            }
            for value in values {
                let value = scalar(value).ok_or_else(expected)?;
                self.0.push(QueryValue { name: name.clone(), value, whole });
            }
        }
        Ok(())
    }

    /// The names, in order, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for given in &self.0 {
            if !names.contains(&given.name.as_str()) {
                names.push(&given.name);
            }
        }
        names
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a QueryValue> + use<'a, 'n> {
        self.0.iter().filter(move |given| given.name == name)
    }

    /// The value of a name.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when the name is repeated, because choosing one would be a guess.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(|given| given.value.as_str())),
            _ => Err(Refusal::invalid(name, "at most one value")),
        }
    }

    /// A whole number within `bounds`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the name is repeated.
    pub fn number(&self, name: &str, bounds: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if plain { text.parse().ok().filter(|number| bounds.contains(number)) } else { None };
        let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        number.map(Some).ok_or_else(|| Refusal::invalid(name, expected()))
    }

    /// A boolean, in the words that the vendor's framework reads.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for another value, and when the name is repeated.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(Some(true)),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(Some(false)),
            _ => Err(Refusal::invalid(name, "true or false")),
        }
    }

    /// A list of values without commas. `None` when the name is missing; an empty list for an empty text.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let mut values = self.values(name).peekable();
        values.peek()?;
        Some(values.flat_map(|given| split_commas(&given.value)).collect())
    }

    /// A list of values that can have commas in them. `None` when the name is missing.
    pub fn comma_values(&self, name: &str) -> Option<Vec<CommaValue>> {
        let mut values = self.values(name).peekable();
        values.peek()?;
        let joined = |given: &QueryValue| match !given.whole && given.value.contains(',') {
            true => CommaValue::Ambiguous(given.value.clone()),
            false => CommaValue::One(given.value.clone()),
        };
        Some(values.map(joined).collect())
    }
}

/// Splits a text at its commas and drops empty pieces.
pub fn split_commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
}

/// The plain name of a key, and whether the key marks an item of a list. `tags`, `tags[]`, `tags[0]`, `qs[tags]`,
/// `qs[tags][]` and `qs[tags][0]` all name `tags`.
fn plain_name(key: &str) -> (&str, bool) {
    let inner = key.strip_prefix("qs[").and_then(|rest| rest.split_once(']'));
    let (name, rest) = match inner {
        Some((name, rest)) => (name, rest),
        None => key.find('[').map_or((key, ""), |at| key.split_at(at)),
    };
    let index = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match index {
        Some(index) if index.bytes().all(|byte| byte.is_ascii_digit()) => (name, true),
        None if rest.is_empty() => (name, false),
        _ => (key, false),
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(raw: &str) -> Query {
        Query::read(Some(raw)).unwrap()
    }

    #[test]
    fn three_dialects_are_parsed_the_same() {
        for raw in [
            "session_ids=a&session_ids=b&first=7&is_archived=true",
            "session_ids=a%2Cb&first=7&is_archived=true",
            "session_ids[]=a&session_ids[]=b&first=7&is_archived=1",
            "session_ids%5B0%5D=a&session_ids%5B1%5D=b&first=7&is_archived=True",
            r#"qs={"session_ids":["a","b"],"first":7,"is_archived":true,"after":null}"#,
            "qs[session_ids][]=a&qs[session_ids][]=b&qs[first]=7&qs[is_archived]=true",
            "qs[session_ids]=a,b&qs[first]=7&is_archived=yes",
        ] {
            let query = read(raw);
            assert_eq!(query.list("session_ids"), Some(vec!["a".to_owned(), "b".to_owned()]), "{raw}");
            assert_eq!(query.number("first", 1..=200), Ok(Some(7)), "{raw}");
            assert_eq!(query.flag("is_archived"), Ok(Some(true)), "{raw}");
            assert_eq!(query.one("after"), Ok(None), "{raw}");
            let mut names = query.names();
            names.sort_unstable();
            assert_eq!(names, ["first", "is_archived", "session_ids"], "{raw}");
        }
    }

    #[test]
    fn a_comma_in_a_repeated_parameter_is_part_of_the_value() {
        let one = |text: &str| CommaValue::One(text.to_owned());
        let maybe = |text: &str| CommaValue::Ambiguous(text.to_owned());
        assert_eq!(read("tags=a,b&tags=c").comma_values("tags"), Some(vec![maybe("a,b"), one("c")]));
        assert_eq!(read("tags[]=a,b").comma_values("tags"), Some(vec![one("a,b")]));
        assert_eq!(read(r#"qs={"tags":["a,b"]}"#).comma_values("tags"), Some(vec![one("a,b")]));
        assert_eq!(read(r#"qs={"tags":"a,b"}"#).comma_values("tags"), Some(vec![maybe("a,b")]));
        assert_eq!(read("first=1").comma_values("tags"), None);
    }

    #[test]
    fn an_empty_list_is_a_list() {
        assert_eq!(read("session_ids=").list("session_ids"), Some(vec![]));
        assert_eq!(read(r#"qs={"session_ids":[]}"#).list("session_ids"), Some(vec![]));
        assert_eq!(read(r#"qs={"session_ids":null}"#).list("session_ids"), None);
    }

    #[test]
    fn invalid_values_are_refused() {
        for raw in
            ["qs=", "qs=[]", "qs=7", "qs={", r#"qs={"a":{}}"#, r#"qs={"a":[[]]}"#, r#"qs={"a":[null]}"#]
        {
            assert!(Query::read(Some(raw)).is_err(), "{raw}");
        }
        for raw in
            ["first=0", "first=201", "first=", "first=1e2", "first=%2B5", "first=1&first=2", "first=--1"]
        {
            assert!(read(raw).number("first", 1..=200).is_err(), "{raw}");
        }
        assert!(read("first=99999999999999999999").number("first", 0..=i64::MAX).is_err());
        assert!(read("is_archived=maybe").flag("is_archived").is_err());
        assert!(Query::read(Some(&"a=1&".repeat(MAX_VALUES + 1))).is_err());
        assert!(Query::read(Some("tags=a%00")).is_err());
    }

    proptest! {
        #[test]
        fn no_input_causes_a_panic(raw in ".{0,120}") {
            if let Ok(query) = Query::read(Some(&raw)) {
                for name in query.names() {
                    let _ = (query.one(name), query.list(name), query.comma_values(name), query.flag(name));
                    let _ = query.number(name, 0..=9);
                }
            }
        }
    }
}
