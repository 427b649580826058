//! Validates structured output by JSON Schemas. A schema must be self-contained: nothing is fetched for it.
//!
//! A validation cannot be interrupted, so its cost is bounded first ([`domain::schema`]). Compiling and validating run on
//! separate threads, few at once, so that no other request waits for them.

use crate::failure::Failure;
use domain::Refusal;
use domain::json::Json;
use domain::schema::{Schema, SchemaExcess};
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The largest schema, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64_000;
/// The field of a request that has the schema.
const FIELD: &str = "structured_output_schema";
/// How long a caller waits for a free thread.
const WAIT_LIMIT: Duration = Duration::from_secs(10);
/// How many compiled schemas are cached: those of the running turns.
const CACHE_SIZE: usize = 64;
/// The longest error message, in characters: it quotes the value.
const MAX_MESSAGE: usize = 500;
/// The limit of backtracking steps of a pattern in one text.
const BACKTRACKS: usize = 100_000;
/// The largest compiled pattern, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Compiles schemas and validates values by them.
pub struct SchemaValidator {
    places: Arc<Semaphore>,
    compiled: Arc<Mutex<HashMap<[u8; 32], Arc<Validator>>>>,
}

impl Default for SchemaValidator {
    fn default() -> SchemaValidator {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        SchemaValidator { places: Arc::new(Semaphore::new(cores.div_ceil(2))), compiled: Arc::default() }
    }
}

/// Refuses every reference to another document.
struct NoRetrieval;

impl jsonschema::Retrieve for NoRetrieval {
    fn retrieve(
        &self,
        _: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("a schema must contain everything it refers to".into())
    }
}

impl SchemaValidator {
    /// Checks a schema that a client sends.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it is too long or too costly, is no schema, or refers to another document; [`Failure::Away`]
    /// when all threads are busy.
    pub async fn check(&self, schema: &Json) -> Result<(), Failure> {
        let invalid = |expected: String| Refusal::invalid(FIELD, expected);
        if schema.text().len() > MAX_SCHEMA_BYTES {
            return Err(invalid(format!("at most {MAX_SCHEMA_BYTES} bytes")).into());
        }
        if !schema.is_object() {
            return Err(invalid("a JSON Schema that is an object".to_owned()).into());
        }
        let schema = schema.clone();
        let checked = self.run(move || compile(&schema.value())).await?;
        checked.map(drop).map_err(|error| invalid(error.expectation()).into())
    }

    /// The first problem of a value; `None` when it matches its schema.
    ///
    /// # Errors
    /// [`Failure::Away`] when all threads are busy.
    pub async fn problem(&self, schema: &Json, value: &Json) -> Result<Option<String>, Failure> {
        let (schema, value, compiled) = (schema.clone(), value.clone(), Arc::clone(&self.compiled));
        self.run(move || find_problem(&schema, &value.value(), &compiled)).await
    }

    /// Runs bounded work on a separate thread. The thread counts until the work ends, even if the caller stops waiting.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let busy = |_| Failure::Away("too many JSON Schemas are being validated: try again later");
        let places = Arc::clone(&self.places);
        let run = async move {
            let place = places.acquire_owned().await.map_err(Failure::internal)?;
            let work = move || {
                let result = work();
                drop(place);
                result
            };
            tokio::task::spawn_blocking(work).await.map_err(Failure::internal)
        };
        tokio::time::timeout(WAIT_LIMIT, run).await.map_err(busy)?
    }
}

/// Why a schema cannot be used.
enum SchemaError {
    TooMuch(SchemaExcess),
    NoSchema(String),
}

impl SchemaError {
    /// The end of a sentence that begins with "expected".
    fn expectation(self) -> String {
        match self {
            SchemaError::TooMuch(SchemaExcess(expected)) => expected,
            SchemaError::NoSchema(why) => format!("a self-contained JSON Schema: {why}"),
        }
    }
}

fn compile(schema: &Value) -> Result<Validator, SchemaError> {
    Schema::new(schema).and_then(|schema| schema.parts()).map_err(SchemaError::TooMuch)?;
    let patterns = PatternOptions::fancy_regex()
        .backtrack_limit(BACKTRACKS)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES);
    // Devin's documentation says draft 7; a schema can name another one.
    let options = jsonschema::options().with_retriever(NoRetrieval).with_pattern_options(patterns);
    let names_draft = schema.get("$schema").is_some();
    let options = if names_draft { options } else { options.with_draft(Draft::Draft7) };
    options.build(schema).map_err(|error| SchemaError::NoSchema(cut(&error)))
}

fn find_problem(
    schema: &Json,
    value: &Value,
    compiled: &Mutex<HashMap<[u8; 32], Arc<Validator>>>,
) -> Option<String> {
    let tree = schema.value();
    let measured = Schema::new(&tree);
    if let Err(SchemaExcess(expected)) = measured.and_then(|schema| schema.steps(value)) {
        return Some(format!("expected {expected}"));
    }
    let key = <[u8; 32]>::from(Sha256::digest(schema.text()));
    let cache = || compiled.lock().unwrap_or_else(PoisonError::into_inner);
    let cached = cache().get(&key).cloned();
    let validator = match cached {
        Some(validator) => validator,
        None => {
            let validator = match compile(&tree) {
                Ok(validator) => Arc::new(validator),
                Err(error) => return Some(format!("expected {}", error.expectation())),
            };
            let mut cache = cache();
            if cache.len() >= CACHE_SIZE {
                cache.clear();
            }
            cache.insert(key, Arc::clone(&validator));
            validator
        }
    };
    // Only the first problem: the list can be as long as the value.
    if validator.is_valid(value) {
        return None;
    }
    validator.validate(value).err().map(|error| cut(&error))
}

/// The beginning of an error message.
fn cut(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn only_small_self_contained_schemas_are_accepted() {
        let validator = SchemaValidator::default();
        for (schema, fits) in [
            (json!({ "type": "object", "required": ["a"] }), true),
            (json!({ "$ref": "#/definitions/a", "definitions": { "a": { "type": "string" } } }), true),
            (json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array" }), true),
            (json!({ "$ref": "https://example.com/schema.json" }), false),
            (json!({ "$ref": "file:///etc/passwd" }), false),
            (json!({ "type": "thing" }), false),
            (json!([]), false),
            (json!({ "description": "x".repeat(MAX_SCHEMA_BYTES) }), false),
            (json!({ "pattern": "(?<!a)b(?=c)" }), true),
            (json!({ "pattern": "(((\\w{100}){100}){100})" }), false),
        ] {
            let outcome = validator.check(&schema.clone().into()).await;
            assert_eq!(outcome.is_ok(), fits, "{}", &schema.to_string()[..40.min(schema.to_string().len())]);
        }
    }

    #[tokio::test]
    async fn a_schema_is_compiled_once() {
        let validator = SchemaValidator::default();
        let schema = Json::from(json!({ "type": "object", "required": ["a"] }));
        let problem = async |value: Value| validator.problem(&schema, &value.into()).await.unwrap();
        assert_eq!(problem(json!({ "a": 1 })).await, None);
        assert!(problem(json!({})).await.unwrap().contains("required"));
        assert_eq!(validator.compiled.lock().unwrap().len(), 1);
        let long = problem(json!(["x".repeat(100_000)])).await.unwrap();
        assert_eq!(long.chars().count(), MAX_MESSAGE);
    }

    /// Sessions of an older version may have such a schema.
    #[tokio::test]
    async fn a_schema_of_exponential_size_validates_nothing() {
        let mut definitions = serde_json::Map::new();
        for level in 0..30 {
            let next = json!({ "$ref": format!("#/definitions/a{}", level + 1) });
            definitions.insert(format!("a{level}"), json!({ "anyOf": [next, next] }));
        }
        definitions.insert("a30".to_owned(), json!({ "type": "string" }));
        let schema = Json::from(json!({ "$ref": "#/definitions/a0", "definitions": definitions }));
        let validator = SchemaValidator::default();
        let refused = validator.check(&schema).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "structured_output_schema: expected at most 10000 parts with all references followed"
        );
        let problem = validator.problem(&schema, &json!(1).into()).await.unwrap().unwrap();
        assert!(problem.contains("at most 10000 parts"), "{problem}");
    }
}
