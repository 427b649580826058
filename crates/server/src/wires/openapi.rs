//! The OpenAPI 3.1 document of each wire, made from its contract in `contracts/*.json`. Tests check every response against
//! the contracts, so the documents describe real responses.
//!
//! `tests/it/contracts.rs` describes a contract. It also has `requests`, which describe the wire's requests: `security`, the
//! schemes; `headers` of every route that has a caller; `paths` and `queries`, schemas by name (a suffix after `#` tells
//! apart those of one name); `gives`, where a response has a value that another path needs; and for each route `query` and
//! `headers`, `paths` that differ from those of the wire, `body` (a schema, or `types`, `schema` and `optional`), `open` for
//! routes without a caller, and `anybody` for an optional caller.

use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The contracts by wire.
const CONTRACTS: [(&str, &str); 7] = [
    ("devin", include_str!("../../contracts/devin.json")),
    ("everruns", include_str!("../../contracts/everruns.json")),
    ("house", include_str!("../../contracts/house.json")),
    ("mobilenext", include_str!("../../contracts/mobilenext.json")),
    ("pages", include_str!("../../contracts/pages.json")),
    ("probe", include_str!("../../contracts/probe.json")),
    ("tenure", include_str!("../../contracts/tenure.json")),
];

/// The documents, each made at its first use.
static DOCUMENTS: [LazyLock<Vec<u8>>; 7] = [
    LazyLock::new(|| write_document(0)),
    LazyLock::new(|| write_document(1)),
    LazyLock::new(|| write_document(2)),
    LazyLock::new(|| write_document(3)),
    LazyLock::new(|| write_document(4)),
    LazyLock::new(|| write_document(5)),
    LazyLock::new(|| write_document(6)),
];

/// The served document of a wire, by its file name, such as `probe.json`.
pub fn document(file: &str) -> Option<&'static [u8]> {
    let wire = file.strip_suffix(".json")?;
    let at = CONTRACTS.iter().position(|(known, _)| *known == wire)?;
    Some(DOCUMENTS[at].as_slice())
}

fn write_document(at: usize) -> Vec<u8> {
    // The tests find a contract that is not JSON.
    let contract = serde_json::from_str(CONTRACTS[at].1).unwrap_or_default();
    let mut bytes = serde_json::to_vec(&build_document(&contract)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Builds the document of a contract.
fn build_document(contract: &Value) -> Value {
    let mut paths = Map::new();
    for (route, answers) in entries(&contract["routes"]) {
        let (method, path) = route.split_once(' ').unwrap_or_default();
        let request = &contract["requests"]["routes"][route];
        for path in spellings(path) {
            let operation = operation(contract, method, &path, request, answers);
            paths.entry(path).or_insert_with(|| json!({}))[method.to_lowercase()] = operation;
        }
    }
    let servers = texts(&contract["prefixes"])
        .map(|prefix| json!({ "url": if prefix.is_empty() { "/" } else { prefix } }));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Tenure: the wire {}", contract["wire"].as_str().unwrap_or_default()),
            "version": env!("CARGO_PKG_VERSION"),
            "description": contract["sources"],
        },
        "servers": servers.collect::<Vec<_>>(),
        "paths": paths,
        "components": { "schemas": contract["$defs"], "securitySchemes": contract["requests"]["security"] },
    });
    point_at_components(&mut document);
    document
}

/// The paths of a contract's path: with and without its part in brackets.
fn spellings(path: &str) -> Vec<String> {
    let parts = path.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?)));
    match parts {
        Some((before, (part, after))) => vec![format!("{before}{part}{after}"), format!("{before}{after}")],
        None => vec![path.to_owned()],
    }
}

fn operation(contract: &Value, method: &str, path: &str, request: &Value, answers: &Value) -> Value {
    let mut operation = json!({
        "operationId": operation_id(method, path),
        "parameters": parameters(contract, path, request),
        "responses": responses(contract, method, path, answers),
        "security": security(contract, request),
    });
    if let Some(body) = request.get("body") {
        operation["requestBody"] = request_body(body);
    }
    operation
}

/// `get_v1_sessions_session`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split('/').filter(|part| !part.is_empty()).map(|part| match part.strip_prefix('{') {
        Some(name) => format!("by_{}", name.replace("}:", "_").trim_end_matches('}')),
        None => part.to_owned(),
    });
    [method.to_lowercase()].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

fn security(contract: &Value, request: &Value) -> Value {
    if request["open"] == true {
        return json!([]);
    }
    let schemes = entries(&contract["requests"]["security"]).map(|(name, _)| json!({ name: [] }));
    let nobody = (request["anybody"] == true).then(|| json!({}));
    schemes.chain(nobody).collect()
}

fn parameters(contract: &Value, path: &str, request: &Value) -> Value {
    let requests = &contract["requests"];
    let parameter = |name: &str, place: &str, schema: &Value| {
        let mut parameter =
            json!({ "name": name, "in": place, "required": place == "path", "schema": schema });
        if let Some(text) = schema.get("description") {
            parameter["description"] = text.clone();
        }
        parameter
    };
    let in_path = open_parts(path).map(|name| {
        let own = request["paths"].get(name);
        parameter(name, "path", own.unwrap_or(&requests["paths"][name]))
    });
    let in_query = texts(&request["query"]).map(|known| {
        parameter(known.split('#').next().unwrap_or(known), "query", &requests["queries"][known])
    });
    let general = if request["open"] == true { &Value::Null } else { &requests["headers"] };
    let headers = entries(general).chain(entries(&request["headers"]));
    let headers = headers.map(|(name, schema)| parameter(name, "header", schema));
    in_path.chain(in_query).chain(headers).collect()
}

fn request_body(body: &Value) -> Value {
    let Some(types) = body.get("types") else {
        return json!({ "required": true, "content": { "application/json": { "schema": reference(body) } } });
    };
    let schema =
        body.get("schema").map_or_else(|| json!({}), |schema| json!({ "schema": reference(schema) }));
    let content = texts(types).map(|kind| (kind.to_owned(), schema.clone())).collect::<Map<_, _>>();
    json!({ "required": body["optional"] != true, "content": content })
}

/// The responses by status, each with all its possible bodies.
fn responses(contract: &Value, method: &str, path: &str, answers: &Value) -> Value {
    let mut responses = Map::new();
    for (status, entry) in entries(answers).filter(|(status, _)| *status != "refused") {
        let response = add(&mut responses, contract, status, entry);
        let links = links(contract, path, entry);
        if response.is_object() && links.as_object().is_some_and(|links| !links.is_empty()) {
            response["links"] = links;
        }
    }
    let refusals = &contract["refusals"];
    let posted = if method == "POST" { &refusals["post"] } else { &Value::Null };
    // A path parameter that is not valid UTF-8 matches no route.
    let unmatched = path.contains('{').then(|| refusals["no_route"].as_str()).flatten();
    let names =
        texts(&answers["refused"]).chain(texts(&refusals["any"])).chain(texts(posted)).chain(unmatched);
    for name in names {
        let kind = &refusals["kinds"][name];
        let mut entry = refusals["said"].clone();
        entries(kind).for_each(|(field, value)| entry[field] = value.clone());
        let response = add(&mut responses, contract, &kind["status"].to_string(), &entry);
        // The error names of this status.
        let told_name = json!(name.split('#').next().unwrap_or(name));
        let names = &mut response["x-tells"];
        match names.as_array_mut() {
            Some(names) if names.contains(&told_name) => {}
            Some(names) => names.push(told_name),
            None => *names = json!([told_name]),
        }
    }
    Value::Object(responses)
}

fn add<'r>(
    responses: &'r mut Map<String, Value>,
    contract: &Value,
    status: &str,
    entry: &Value,
) -> &'r mut Value {
    let reason = status.parse().ok().and_then(|status| axum::http::StatusCode::from_u16(status).ok());
    let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or(status);
    let first = !responses.contains_key(status);
    let response = responses.entry(status).or_insert_with(|| json!({ "description": reason, "headers": {} }));
    let headers = headers(contract, entry);
    let known = response["headers"].take();
    response["headers"] = if first { headers } else { common_headers(&known, &headers) };
    if let Some((kind, content)) = content(entry) {
        let known = &mut response["content"][kind];
        *known = one_of(known.take(), content);
    }
    response
}

/// The headers of a response.
fn headers(contract: &Value, entry: &Value) -> Value {
    let mut headers = json!({});
    for name in [&contract["headers"], &entry["headers"]].into_iter().filter_map(Value::as_str) {
        let schema = &contract["$defs"][name];
        for (header, schema_of) in entries(&schema["properties"]) {
            let required = texts(&schema["required"]).any(|needed| needed == header);
            let mut schema_of = schema_of.clone();
            if schema_of.get("const").is_none() {
                schema_of["type"] = json!("string");
            }
            headers[header] = json!({ "required": required, "schema": schema_of });
        }
    }
    headers
}

/// The headers that two responses of one status have in common.
fn common_headers(one: &Value, other: &Value) -> Value {
    let mut headers = json!({});
    for (header, about) in entries(one).chain(entries(other)) {
        let both = (&one[header], &other[header]);
        let required = both.0["required"] == true && both.1["required"] == true;
        let same = both.0["schema"] == both.1["schema"];
        let schema = if same { about["schema"].clone() } else { json!({ "type": "string" }) };
        headers[header] = json!({ "required": required, "schema": schema });
    }
    headers
}

/// Joins two contents of one type that can come with one status.
fn one_of(known: Value, content: Value) -> Value {
    let (one, other) = (&known["schema"], &content["schema"]);
    if known.is_null() || one == other || other.is_null() {
        return if known.is_null() { content } else { known };
    }
    let mut schemas = one["anyOf"].as_array().cloned().unwrap_or_else(|| vec![one.clone()]);
    if !schemas.contains(other) {
        schemas.push(other.clone());
    }
    json!({ "schema": { "anyOf": schemas } })
}

/// The type and the content of a body; `None` without a body.
fn content(entry: &Value) -> Option<(&str, Value)> {
    if entry.is_string() {
        return Some(("application/json", json!({ "schema": reference(entry) })));
    }
    let kind =
        entry.as_object()?.get("type").map_or("application/json", |kind| kind.as_str().unwrap_or_default());
    // A schema of the whole cannot describe the items of a stream or of lines.
    let items = entry.get("lines").or_else(|| entry.get("frames"));
    let content = match (entry.get("json").or_else(|| entry.get("text")), items) {
        (Some(schema), _) => json!({ "schema": reference(schema) }),
        (None, Some(items)) => json!({ "schema": { "type": "string" }, "x-items": reference(items) }),
        (None, None) => json!({}),
    };
    (!kind.is_empty()).then_some((kind, content))
}

/// The operations whose path parameters come from this response or from this path.
fn links(contract: &Value, path: &str, entry: &Value) -> Value {
    let requests = &contract["requests"];
    let gives = &requests["gives"][entry.as_str().or_else(|| entry["json"].as_str()).unwrap_or_default()];
    let mut links = Map::new();
    for (route, _) in entries(&contract["routes"]) {
        let (method, targets) = route.split_once(' ').unwrap_or_default();
        for target in spellings(targets) {
            let from = |name: &str| match gives[name].as_str() {
                Some(pointer) => Some(format!("$response.body#{pointer}")),
                None => open_parts(path).any(|known| known == name).then(|| format!("$request.path.{name}")),
            };
            let parameters = open_parts(&target).map(|name| Some((name.to_owned(), json!(from(name)?))));
            let parameters = parameters.collect::<Option<Map<_, _>>>();
            let id = operation_id(method, &target);
            if let Some(parameters) =
                parameters.filter(|_| open_parts(&target).any(|name| gives[name].is_string()))
            {
                links.insert(id.clone(), json!({ "operationId": id, "parameters": parameters }));
            }
        }
    }
    Value::Object(links)
}

/// The names of a path's parameters.
fn open_parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| Some(part.strip_prefix('{')?.split_once('}')?.0))
}

fn reference(schema: &Value) -> Value {
    json!({ "$ref": format!("#/$defs/{}", schema.as_str().unwrap_or_default()) })
}

/// Rewrites references, because a document has its schemas in another place than a contract.
fn point_at_components(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replacen("#/$defs/", "#/components/schemas/", 1);
            }
            fields.values_mut().for_each(point_at_components);
        }
        Value::Array(items) => items.iter_mut().for_each(point_at_components),
        _ => {}
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}
