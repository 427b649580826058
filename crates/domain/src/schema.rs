//! Limits on the work that a JSON Schema causes: to compile it, and to validate values with it.
//!
//! A schema of a few kilobytes can refer to its own parts so that each level doubles the work. So a schema is measured
//! when a client sends it, with all references followed, and again with each value to validate.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// Maximum number of parts of a schema, with all references followed.
pub const MAX_PARTS: u64 = 10_000;
/// Maximum nesting of parts, with references followed.
pub const MAX_DEPTH: usize = 100;
/// Maximum number of `patternProperties` in a schema: each is tried on each name of an object.
pub const MAX_PATTERNS: usize = 100;
/// Maximum number of steps to validate one value: each part of the schema on one part of the value is a step, and so is
/// each pattern on each name.
pub const MAX_STEPS: u64 = 1_000_000;

/// Maximum nesting while a value is validated.
const MAX_NESTING: usize = 500;
/// This many bytes of a text count as a step.
const BYTES_OF_A_STEP: usize = 64;

/// Keywords with a schema for the same value.
const SAME_VALUE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords with a list of schemas for the same value.
const LISTS_OF_SAME_VALUE: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords with an object of schemas for the same value.
const FIELDS_OF_SAME_VALUE: [&str; 2] = ["dependencies", "dependentSchemas"];
/// Keywords with a schema for fields of the value.
const OF_FIELDS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];
/// Keywords with a schema for items of the value.
const OF_ITEMS: [&str; 4] = ["items", "additionalItems", "unevaluatedItems", "contains"];
/// Keywords that refer to another part.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Why a schema, or validating with it, is too much work: the end of a sentence that begins with "expected".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaExcess(pub String);

/// A schema whose references can be followed.
pub struct Schema<'s> {
    root: &'s Value,
    /// Parts by the names that references can use.
    named: HashMap<&'s str, &'s Value>,
}

impl<'s> Schema<'s> {
    /// Reads a schema.
    ///
    /// # Errors
    /// [`SchemaExcess`] for an `$id` below the top level, for too many patterns, and for too deep nesting.
    pub fn new(root: &'s Value) -> Result<Schema<'s>, SchemaExcess> {
        let mut schema = Schema { root, named: HashMap::new() };
        let mut patterns = 0;
        schema.index_part(root, 0, &mut patterns)?;
        if patterns > MAX_PATTERNS {
            return Err(SchemaExcess(format!("at most {MAX_PATTERNS} patternProperties")));
        }
        Ok(schema)
    }

    fn index_part(
        &mut self,
        part: &'s Value,
        depth: usize,
        patterns: &mut usize,
    ) -> Result<(), SchemaExcess> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        match part {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("$id" | "id", Value::String(id)) if depth == 0 => {
                            self.named.insert(id.trim_end_matches('#'), part);
                        }
                        // It would change the meaning of the references below it.
                        ("$id", Value::String(id)) if !id.starts_with('#') => {
                            return Err(SchemaExcess("no $id but at the top of the schema".to_owned()));
                        }
                        ("$anchor" | "$dynamicAnchor" | "$id", Value::String(anchor)) => {
                            self.named.insert(anchor.trim_start_matches('#'), part);
                        }
                        ("patternProperties", Value::Object(fields)) => *patterns += fields.len(),
                        _ => {}
                    }
                    self.index_part(value, depth + 1, patterns)?;
                }
                Ok(())
            }
            Value::Array(items) => {
                items.iter().try_for_each(|item| self.index_part(item, depth + 1, patterns))
            }
            _ => Ok(()),
        }
    }

    /// The number of parts of the schema, each counted as often as references lead to it. A reference to a part around it
    /// counts once: how often it is followed depends on the value.
    ///
    /// # Errors
    /// [`SchemaExcess`] for more than [`MAX_PARTS`] parts or [`MAX_DEPTH`] levels, for a reference to something outside of
    /// the schema, and for a reference that leads back to itself for the same value.
    pub fn parts(&self) -> Result<u64, SchemaExcess> {
        let mut counted = HashMap::new();
        let parts = self.count(self.root, 0, &mut counted)?;
        self.ends_everywhere(self.root, &mut HashMap::new())?;
        Ok(parts)
    }

    fn count(
        &self,
        part: &'s Value,
        depth: usize,
        counted: &mut HashMap<usize, Option<u64>>,
    ) -> Result<u64, SchemaExcess> {
        let key = std::ptr::from_ref(part) as usize;
        match counted.get(&key) {
            Some(Some(parts)) => return Ok(*parts),
            Some(None) => return Ok(1),
            None if depth > MAX_DEPTH => return Err(too_deep()),
            None => {}
        }
        counted.insert(key, None);
        let mut parts = 1_u64;
        match part {
            Value::Object(fields) => {
                for value in fields.values() {
                    parts = parts.saturating_add(self.count(value, depth + 1, counted)?);
                }
                for target in self.targets(fields) {
                    parts = parts.saturating_add(self.count(target?, depth + 1, counted)?);
                }
            }
            Value::Array(items) => {
                for item in items {
                    parts = parts.saturating_add(self.count(item, depth + 1, counted)?);
                }
            }
            _ => {}
        }
        if parts > MAX_PARTS {
            return Err(SchemaExcess(format!("at most {MAX_PARTS} parts with all references followed")));
        }
        counted.insert(key, Some(parts));
        Ok(parts)
    }

    /// Checks that no part leads back to itself for the same value.
    fn ends_everywhere(&self, part: &'s Value, seen: &mut HashMap<usize, bool>) -> Result<(), SchemaExcess> {
        self.ends(part, seen)?;
        match part {
            Value::Object(fields) => fields.values().try_for_each(|value| self.ends_everywhere(value, seen)),
            Value::Array(items) => items.iter().try_for_each(|item| self.ends_everywhere(item, seen)),
            _ => Ok(()),
        }
    }

    /// `seen` maps a part to whether it is finished (`true`) or still being visited (`false`).
    fn ends(&self, part: &'s Value, seen: &mut HashMap<usize, bool>) -> Result<(), SchemaExcess> {
        let Value::Object(fields) = part else { return Ok(()) };
        let key = std::ptr::from_ref(part) as usize;
        match seen.insert(key, false) {
            Some(true) => {}
            Some(false) => return Err(SchemaExcess("no reference that leads back to itself".to_owned())),
            None => {
                for same in self.same_value_parts(fields) {
                    self.ends(same?, seen)?;
                }
            }
        }
        seen.insert(key, true);
        Ok(())
    }

    /// The parts that the references of an object lead to.
    fn targets(
        &self,
        fields: &'s Map<String, Value>,
    ) -> impl Iterator<Item = Result<&'s Value, SchemaExcess>> {
        let references = REFERENCES.iter().filter_map(|name| fields.get(*name)?.as_str());
        references.map(|reference| self.target(reference)).collect::<Vec<_>>().into_iter()
    }

    fn target(&self, reference: &str) -> Result<&'s Value, SchemaExcess> {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let start = match document {
            "" => Some(self.root),
            document => self.named.get(document).copied(),
        };
        let decoded = percent_decoded(fragment);
        let found = match (start, decoded.as_str()) {
            (start, "") => start,
            (Some(start), pointer) if pointer.starts_with('/') => start.pointer(pointer),
            (Some(_), anchor) => self.named.get(anchor).copied(),
            (None, _) => None,
        };
        found.ok_or_else(|| {
            let shown = reference.chars().take(100).collect::<String>();
            SchemaExcess(format!("a schema that holds all that it refers to: {shown} is not in it"))
        })
    }

    /// The parts of an object that apply to the same value as the object.
    fn same_value_parts(
        &self,
        fields: &'s Map<String, Value>,
    ) -> impl Iterator<Item = Result<&'s Value, SchemaExcess>> {
        let single = SAME_VALUE.iter().filter_map(|name| fields.get(*name));
        let lists = LISTS_OF_SAME_VALUE.iter().filter_map(|name| fields.get(*name)?.as_array()).flatten();
        let inner = FIELDS_OF_SAME_VALUE.iter().filter_map(|name| fields.get(*name)?.as_object());
        let inner = inner.flat_map(Map::values).filter(|value| !value.is_array());
        self.targets(fields).chain(single.chain(lists).chain(inner).map(Ok))
    }

    /// The maximum number of steps to validate a value.
    ///
    /// # Errors
    /// [`SchemaExcess`] for more than [`MAX_STEPS`] steps.
    pub fn steps(&self, value: &Value) -> Result<u64, SchemaExcess> {
        let mut judging = Judging { schema: self, parts: self.parts()?, steps: 0 };
        judging.judge(self.root, value, 0)?;
        Ok(judging.steps)
    }
}

fn too_deep() -> SchemaExcess {
    SchemaExcess(format!("at most {MAX_DEPTH} levels with all references followed"))
}

/// Counts the steps to validate a value, as if the validator never stopped early.
struct Judging<'a, 's> {
    schema: &'a Schema<'s>,
    parts: u64,
    steps: u64,
}

impl<'s> Judging<'_, 's> {
    fn spend(&mut self, steps: usize) -> Result<(), SchemaExcess> {
        self.steps = self.steps.saturating_add(steps as u64);
        match self.steps > MAX_STEPS {
            true => Err(SchemaExcess(format!("a value that is judged in at most {MAX_STEPS} steps"))),
            false => Ok(()),
        }
    }

    fn judge(&mut self, part: &'s Value, value: &Value, nesting: usize) -> Result<(), SchemaExcess> {
        self.spend(1)?;
        let Value::Object(fields) = part else { return Ok(()) };
        if nesting > MAX_NESTING {
            return Err(SchemaExcess(format!("a value that is judged in at most {MAX_NESTING} levels")));
        }
        self.spend(fields.get("enum").and_then(Value::as_array).map_or(0, Vec::len))?;
        for same in self.schema.same_value_parts(fields) {
            self.judge(same?, value, nesting + 1)?;
        }
        match value {
            Value::Object(inner) => self.judge_fields(fields, inner, nesting + 1),
            Value::Array(items) => self.judge_items(fields, items, nesting + 1),
            Value::String(text) => self.spend(text.len() / BYTES_OF_A_STEP),
            _ => Ok(()),
        }
    }

    fn judge_fields(
        &mut self,
        part: &'s Map<String, Value>,
        fields: &Map<String, Value>,
        nesting: usize,
    ) -> Result<(), SchemaExcess> {
        let object = |name: &str| part.get(name).and_then(Value::as_object);
        let (named, patterns) = (object("properties"), object("patternProperties"));
        let patterns = patterns.into_iter().flat_map(Map::values).collect::<Vec<_>>();
        for (name, value) in fields {
            if let Some(known) = named.and_then(|named| named.get(name)) {
                self.judge(known, value, nesting)?;
            }
            self.spend(patterns.len() * (1 + name.len() / BYTES_OF_A_STEP))?;
            for pattern in &patterns {
                self.judge(pattern, value, nesting)?;
            }
            for others in OF_FIELDS.iter().filter_map(|keyword| part.get(*keyword)) {
                self.judge(others, value, nesting)?;
            }
            if let Some(names) = part.get("propertyNames") {
                self.judge(names, &Value::Null, nesting)?;
            }
            self.spend_unevaluated(part, "unevaluatedProperties")?;
        }
        Ok(())
    }

    fn judge_items(
        &mut self,
        part: &'s Map<String, Value>,
        items: &[Value],
        nesting: usize,
    ) -> Result<(), SchemaExcess> {
        let list = |name: &str| part.get(name).and_then(Value::as_array);
        let by_place = [list("prefixItems"), list("items")];
        for (at, item) in items.iter().enumerate() {
            for placed in by_place.iter().flatten().filter_map(|list| list.get(at)) {
                self.judge(placed, item, nesting)?;
            }
            for others in OF_ITEMS.iter().filter_map(|keyword| part.get(*keyword)) {
                self.judge(others, item, nesting)?;
            }
            self.spend_unevaluated(part, "unevaluatedItems")?;
        }
        Ok(())
    }

    /// To find out what was evaluated, the validator goes through the schema again.
    fn spend_unevaluated(&mut self, part: &Map<String, Value>, keyword: &str) -> Result<(), SchemaExcess> {
        let again = if part.contains_key(keyword) { self.parts } else { 0 };
        self.spend(usize::try_from(again).unwrap_or(usize::MAX))
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex =
            (*first == b'%').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
