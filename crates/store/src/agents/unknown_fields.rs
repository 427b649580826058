//! Keeps the fields that a newer version has added to a stored JSON body.
//!
//! During a rolling upgrade an older server reads a newer body, changes it and writes it. Without this it would drop
//! the fields that it does not know. They stay text: a number would change its digits as a tree.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Result, from_str, to_string};
use std::collections::BTreeMap;

type Fields = BTreeMap<String, Box<RawValue>>;

/// An object within a body that can have unknown fields, or a list of them. All other JSON within a body belongs to
/// clients, and replaces what was there.
pub(super) struct Part {
    /// Its field.
    pub field: &'static str,
    /// The field that tells whether two objects are the same thing before and after a change; `None` when they always
    /// are.
    pub identity: Option<&'static str>,
    /// Its own parts.
    pub parts: &'static [Part],
}

/// `body`, as this version writes it, with the fields that only `newer` has. This version always writes all fields
/// that it knows, so it does not know the others.
pub(super) fn keep_unknown_fields(body: &str, newer: &str, parts: &[Part]) -> Result<String> {
    let (mut body, newer): (Fields, Fields) = (from_str(body)?, from_str(newer)?);
    for part in parts {
        if let (Some(value), Some(newer)) = (body.get_mut(part.field), newer.get(part.field)) {
            *value = part.keep(value, newer)?;
        }
    }
    for (field, value) in newer {
        body.entry(field).or_insert(value);
    }
    to_string(&body)
}

impl Part {
    fn keep(&self, value: &RawValue, newer: &RawValue) -> Result<Box<RawValue>> {
        let newer = list_items(newer).unwrap_or_else(|| vec![newer.to_owned()]);
        let keep = |value: &RawValue| match newer.iter().find(|newer| self.is_same(value, newer)) {
            Some(newer) => RawValue::from_string(keep_unknown_fields(value.get(), newer.get(), self.parts)?),
            None => Ok(value.to_owned()),
        };
        match list_items(value) {
            Some(items) => to_raw_value(&items.iter().map(|item| keep(item)).collect::<Result<Vec<_>>>()?),
            None => keep(value),
        }
    }

    /// Whether both are objects, and the same thing.
    fn is_same(&self, value: &RawValue, newer: &RawValue) -> bool {
        let (Ok(value), Ok(newer)) = (from_str::<Fields>(value.get()), from_str::<Fields>(newer.get()))
        else {
            return false;
        };
        let same =
            |field| value.get(field).map(|value| value.get()) == newer.get(field).map(|value| value.get());
        self.identity.is_none_or(same)
    }
}

fn list_items(value: &RawValue) -> Option<Vec<Box<RawValue>>> {
    from_str(value.get()).ok()
}
