//! JSON Schemas of structured output. Nothing is fetched for one: it must hold all that it refers to.

use domain::Refusal;
use serde_json::Value;

/// How long a schema may be, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64_000;

/// Refuses every reference out of the schema.
struct Nowhere;

impl jsonschema::Retrieve for Nowhere {
    fn retrieve(
        &self,
        _: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("a schema must hold all that it refers to".into())
    }
}

/// Checks a schema.
///
/// # Errors
/// [`Refusal::Invalid`] when it is too long, no schema, or refers to what is not in it.
pub fn check(schema: &Value) -> Result<(), Refusal> {
    let invalid = |expected: String| Refusal::invalid("structured_output_schema", expected);
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(invalid(format!("at most {MAX_SCHEMA_BYTES} bytes")));
    }
    if !schema.is_object() {
        return Err(invalid("a JSON Schema that is an object".to_owned()));
    }
    validator(schema).map(drop).map_err(|why| invalid(format!("a JSON Schema that holds itself: {why}")))
}

/// What is wrong with a value; nothing when it fits its schema.
pub fn problem(schema: &Value, value: &Value) -> Option<String> {
    match validator(schema) {
        Ok(validator) => validator.validate(value).err().map(|error| error.to_string()),
        Err(why) => Some(why),
    }
}

fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    // Devin's page says draft 7; a schema that names another one is taken by its word.
    let options = jsonschema::options().with_retriever(Nowhere);
    let named = schema.get("$schema").is_some();
    let options = if named { options } else { options.with_draft(jsonschema::Draft::Draft7) };
    options.build(schema).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_that_are_taken_and_refused() {
        for (schema, fits) in [
            (json!({ "type": "object", "required": ["a"] }), true),
            (json!({ "$ref": "#/definitions/a", "definitions": { "a": { "type": "string" } } }), true),
            (json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array" }), true),
            (json!({ "$ref": "https://example.com/schema.json" }), false),
            (json!({ "$ref": "file:///etc/passwd" }), false),
            (json!({ "type": "thing" }), false),
            (json!([]), false),
            (json!({ "description": "x".repeat(MAX_SCHEMA_BYTES) }), false),
        ] {
            assert_eq!(
                check(&schema).is_ok(),
                fits,
                "{}",
                &schema.to_string()[..40.min(schema.to_string().len())]
            );
        }
    }

    #[test]
    fn a_value_is_checked_by_its_schema() {
        let schema = json!({ "type": "object", "required": ["a"] });
        assert_eq!(problem(&schema, &json!({ "a": 1 })), None);
        assert!(problem(&schema, &json!({})).is_some());
    }
}
