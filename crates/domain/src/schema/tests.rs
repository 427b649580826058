use super::*;
use serde_json::json;

fn parts(schema: &Value) -> Result<u64, SchemaExcess> {
    Schema::new(schema)?.parts()
}

fn steps(schema: &Value, value: &Value) -> Result<u64, SchemaExcess> {
    Schema::new(schema)?.steps(value)
}

/// A schema in which each level refers twice to the next.
fn doubling(levels: usize, keyword: &str) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/definitions/a{}", level + 1) });
        definitions.insert(format!("a{level}"), json!({ keyword: [next, next] }));
    }
    definitions.insert(format!("a{levels}"), json!({ "type": "string" }));
    json!({ "$ref": "#/definitions/a0", "definitions": definitions })
}

#[test]
fn a_schema_of_exponential_size_is_refused_in_every_form() {
    for keyword in ["allOf", "anyOf", "oneOf", "items", "prefixItems"] {
        assert!(parts(&doubling(4, keyword)).is_ok(), "{keyword}");
        for levels in [12, 21, 30] {
            let said = parts(&doubling(levels, keyword)).unwrap_err().0;
            assert_eq!(said, "at most 10000 parts with all references followed", "{keyword}, {levels}");
        }
        assert!(parts(&doubling(1_000, keyword)).unwrap_err().0.contains("levels"), "{keyword}");
    }
}

#[test]
fn usual_schemas_are_accepted() {
    let tree = json!({
        "$id": "https://example.com/tree", "type": "object",
        "properties": { "left": { "$ref": "#" }, "right": { "$ref": "https://example.com/tree#" }, "leaf": { "$ref": "#leaf" } },
        "definitions": { "leaf": { "$anchor": "leaf", "type": "integer" }, "a/b c": { "$ref": "#/definitions/a~1b%20c/x" } },
    });
    assert!(parts(&tree).unwrap_err().0.contains("is not in it"), "a name that is not there");
    let list = json!({
        "$ref": "#/definitions/a~1b%20c",
        "definitions": { "a/b c": { "items": { "$ref": "#/definitions/a~1b%20c" }, "type": ["array", "string"] } },
    });
    assert!(parts(&list).unwrap() < 20);
    let mut nested = json!("leaf");
    for _ in 0..50 {
        nested = json!([nested, "leaf"]);
    }
    assert!(steps(&list, &nested).unwrap() < 1_000);
    let fields = (0..500).map(|at| (format!("f{at}"), json!({ "type": "string", "maxLength": 9 })));
    let wide = json!({ "type": "object", "properties": Value::Object(fields.collect()) });
    assert!(parts(&wide).is_ok());
}

#[test]
fn a_refused_schema_names_the_reason() {
    let deep = (0..=MAX_DEPTH).fold(json!({}), |inner, _| json!({ "not": inner }));
    let patterns = (0..=MAX_PATTERNS).map(|at| (format!("^{at}"), json!({})));
    for (schema, said) in [
        (deep, "at most 100 levels with all references followed"),
        (json!({ "patternProperties": Value::Object(patterns.collect()) }), "at most 100 patternProperties"),
        (json!({ "$ref": "#" }), "no reference that leads back to itself"),
        (
            json!({ "properties": { "a": { "$ref": "#/properties/a" } } }),
            "no reference that leads back to itself",
        ),
        (
            json!({ "allOf": [{ "anyOf": [{ "$ref": "#/allOf/0" }] }] }),
            "no reference that leads back to itself",
        ),
        (json!({ "properties": { "a": { "$id": "b" } } }), "no $id but at the top of the schema"),
        (
            json!({ "$ref": "file:///etc/passwd" }),
            "a schema that holds all that it refers to: file:///etc/passwd is not in it",
        ),
    ] {
        assert_eq!(parts(&schema), Err(SchemaExcess(said.to_owned())), "{schema}");
    }
}

#[test]
fn judging_is_bounded_by_schema_and_value_together() {
    let patterns = (0..MAX_PATTERNS).map(|at| (format!("^{at}"), json!({})));
    let patterns = json!({ "patternProperties": Value::Object(patterns.collect()) });
    let object = |names: usize| Value::Object((0..names).map(|at| (at.to_string(), json!(1))).collect());
    assert!(steps(&patterns, &object(1_000)).is_ok());
    assert!(steps(&patterns, &object(10_000)).unwrap_err().0.contains("steps"));
    // Doubles with each level of the value, which the schema alone does not show.
    let again = json!({ "$ref": "#" });
    let twice = json!({ "properties": { "a": { "anyOf": [again, again] } } });
    assert!(parts(&twice).unwrap() < 20);
    let value = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(steps(&twice, &value(10)).is_ok());
    assert!(steps(&twice, &value(60)).unwrap_err().0.contains("steps"));
    let long = json!({ "allOf": vec![json!({ "pattern": "x" }); 1_000] });
    assert!(steps(&long, &json!("short")).is_ok());
    assert!(steps(&long, &json!("x".repeat(1 << 20))).unwrap_err().0.contains("steps"));
}
