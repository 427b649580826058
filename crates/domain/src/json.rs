//! JSON that is stored and returned as text, and limits on the JSON of one request.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// JSON that Tenure does not look into. It stays text from the request to the row to the response: a tree of `Value`s
/// takes a hundred times as much memory. A clone shares the text.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Serializes a value. A value that JSON cannot express, such as a map whose keys are not text, becomes `null`; no
    /// type of this workspace is one.
    pub fn encode(value: &impl Serialize) -> Json {
        serde_json::value::to_raw_value(value).map_or_else(|_| Json::default(), |raw| Json(raw.into()))
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.text().starts_with('{')
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        self.text().starts_with('[')
    }

    /// Deserializes it; `None` when it has another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.text()).ok()
    }

    /// Parses it into a tree. Only for JSON with a known small number of values.
    pub fn value(&self) -> Value {
        self.read().unwrap_or_default()
    }
}

impl Default for Json {
    fn default() -> Json {
        Json(RawValue::NULL.to_owned().into())
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Json {
        Json::encode(&value)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Json(raw.into()))
    }
}

/// Limits on the JSON in one text. A limit on bytes is not enough: `[{},{},…]` takes a hundred times its size as a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonBounds {
    /// Maximum number of values: objects, lists, texts, numbers, `true`, `false`, `null`, and names of fields.
    pub values: usize,
    /// Maximum number of levels of objects and lists.
    pub depth: usize,
}

/// Limits on one request or one frame of a user.
pub const REQUEST_BOUNDS: JsonBounds = JsonBounds { values: 20_000, depth: 64 };
/// Limits on one report of a worker: it has up to a thousand items, each with data.
pub const REPORT_BOUNDS: JsonBounds = JsonBounds { values: 100_000, depth: 64 };
/// Limits on one frame of a host: the tree of a screen is deep and has many nodes.
pub const HOST_REPLY_BOUNDS: JsonBounds = JsonBounds { values: 200_000, depth: 127 };

/// A text exceeds its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonExcess {
    /// The field of the outermost object in which the limit was exceeded; `None` outside of an object.
    pub field: Option<String>,
    /// The limit, in words.
    pub expected: String,
}

impl fmt::Display for JsonExcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: expected {}", self.expected),
            None => write!(f, "expected {}", self.expected),
        }
    }
}

impl JsonBounds {
    /// Checks a text in one pass, before it is parsed. A text that is not JSON is measured as if it were: the parser
    /// refuses it later.
    ///
    /// # Errors
    /// [`JsonExcess`] for too many values or levels.
    pub fn check(self, text: &[u8]) -> Result<(), JsonExcess> {
        let mut scan = JsonScan::default();
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match byte {
                b'"' => {
                    let end = end_of_string(text, at + 1);
                    scan.text = (at + 1, end);
                    scan.values += 1;
                    at = end;
                }
                b':' if scan.depth == 1 => scan.field = Some(scan.text),
                b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                    scan.values += 1;
                    at = end_of_word(text, at);
                }
                b'{' | b'[' => {
                    scan.values += 1;
                    scan.depth += 1;
                }
                b'}' | b']' => scan.depth = scan.depth.saturating_sub(1),
                _ => {}
            }
            if scan.values > self.values || scan.depth > self.depth {
                return Err(self.excess(text, &scan));
            }
            at += 1;
        }
        Ok(())
    }

    fn excess(self, text: &[u8], scan: &JsonScan) -> JsonExcess {
        let field = scan.field.and_then(|(from, to)| text.get(from..to));
        let field = field.map(|name| String::from_utf8_lossy(name).chars().take(64).collect());
        let expected = match scan.depth > self.depth {
            true => format!("at most {} levels of objects and lists", self.depth),
            false => format!("at most {} values and names of fields in all", self.values),
        };
        JsonExcess { field, expected }
    }
}

#[derive(Default)]
struct JsonScan {
    values: usize,
    depth: usize,
    /// Where the last text is.
    text: (usize, usize),
    /// Where the name of the last field of the outermost object is.
    field: Option<(usize, usize)>,
}

/// The end of the text that begins at `from`: its closing quote.
fn end_of_string(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The last byte of the number or the word such as `true` that begins at `from`.
fn end_of_word(text: &[u8], from: usize) -> usize {
    let rest = text.iter().skip(from + 1);
    from + rest.take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SMALL: JsonBounds = JsonBounds { values: 8, depth: 3 };

    #[test]
    fn values_and_levels_are_bounded_and_the_field_is_named() {
        let values = "at most 8 values and names of fields in all";
        let levels = "at most 3 levels of objects and lists";
        #[rustfmt::skip]
        let table = [
            (r#"{"a":1,"b":[1,2,3]}"#,          None),
            (r#"{"a":1,"b":[1,2,3,4,5]}"#,      Some((Some("b"), values))),
            (r#"{"a":[[1]]}"#,                  None),
            (r#"{"a":0,"b":[[[1]]]}"#,          Some((Some("b"), levels))),
            (r#"[[[[]]]]"#,                     Some((None, levels))),
            (r#"[{},{},{},{},{},{},{}]"#,       None),
            (r#"[{},{},{},{},{},{},{},{}]"#,    Some((None, values))),
            ("[-1.5e+3,true,null,1,2,3,4]",     None),
            ("[-1.5e+3,true,null,1,2,3,4,5]",   Some((None, values))),
            (r#""[[[[[,,,,,,,,,,,,""#,          None),
            (r#"{"a\"[[[[":",,,,,,,,,,,,\\"}"#, None),
            (r#"{"a":"\"#,                      None),
            ("",                                None),
            ("]]]]",                            None),
        ];
        for (text, expected) in table {
            let excess = SMALL.check(text.as_bytes()).err();
            let found = excess.as_ref().map(|excess| (excess.field.as_deref(), excess.expected.as_str()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn json_is_stored_as_text_and_never_parsed() {
        // A tree would lose the blanks, the order, how numbers are written, and one of two fields with the same name.
        let text = r#"{"b": 1.50, "a":[1E2,1e400,{}], "b":null}"#;
        let kept: Json = serde_json::from_str(text).unwrap();
        assert_eq!(kept.text(), text);
        assert_eq!(serde_json::to_string(&[&kept]).unwrap(), format!("[{text}]"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i64>().prop_map(|n| json!(n)),
            ".{0,8}".prop_map(|t| json!(t))
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The number of values and names in a tree.
    fn size(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
            Value::Object(fields) => 1 + fields.values().map(|value| 1 + size(value)).sum::<usize>(),
            _ => 1,
        }
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn the_bounds_are_exact(value in any_json()) {
            let text = value.to_string();
            let exact = JsonBounds { values: size(&value), depth: depth(&value) };
            prop_assert_eq!(exact.check(text.as_bytes()), Ok(()));
            let fewer = JsonBounds { values: size(&value) - 1, depth: 100 };
            prop_assert!(fewer.check(text.as_bytes()).is_err());
            if depth(&value) > 0 {
                let flat = JsonBounds { values: usize::MAX, depth: depth(&value) - 1 };
                prop_assert!(flat.check(text.as_bytes()).is_err());
            }
        }

        #[test]
        fn json_is_returned_unchanged(value in any_json()) {
            let text = value.to_string();
            let kept: Json = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(kept.text(), &text);
            prop_assert_eq!(serde_json::to_string(&kept).unwrap(), text);
            prop_assert_eq!(kept.value(), value);
        }
    }
}
