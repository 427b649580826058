//! Checks that the OpenAPI documents are complete. `tests/clients` checks that they are true: it sends valid and invalid
//! requests by them to a running server.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const WIRES: [&str; 7] = ["devin", "everruns", "house", "mobilenext", "pages", "probe", "tenure"];

fn document(wire: &str) -> Value {
    let bytes = server::wires::openapi::document(&format!("{wire}.json")).expect("a document");
    serde_json::from_slice(bytes).expect("a document is JSON")
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Every `METHOD path` of a document.
fn operations(document: &Value) -> BTreeSet<String> {
    let prefixes =
        document["servers"].as_array().unwrap().iter().map(|server| match server["url"].as_str() {
            Some("/") | None => "",
            Some(prefix) => prefix,
        });
    let mut all = BTreeSet::new();
    for prefix in prefixes {
        for (path, operations) in entries(&document["paths"]) {
            all.extend(
                entries(operations).map(|(method, _)| format!("{} {prefix}{path}", method.to_uppercase())),
            );
        }
    }
    all
}

#[test]
fn every_route_is_in_the_document_of_its_wire() {
    for wire in WIRES {
        let said = operations(&document(wire));
        let routes = server::wires::routes().filter(|(name, _)| *name == wire);
        let there =
            routes.map(|(_, route)| format!("{} {}", route.method, route.path)).collect::<BTreeSet<_>>();
        let (missing, vain) =
            (there.difference(&said).collect::<Vec<_>>(), said.difference(&there).collect::<Vec<_>>());
        assert!(
            missing.is_empty() && vain.is_empty(),
            "{wire}: not said: {missing:#?}; no routes: {vain:#?}"
        );
    }
    assert!(server::wires::routes().all(|(wire, _)| WIRES.contains(&wire)));
}

#[test]
fn every_parameter_has_a_type() {
    for wire in WIRES {
        let document = document(wire);
        for (path, operations) in entries(&document["paths"]) {
            for (method, operation) in entries(operations) {
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let typed = ["type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf"];
                    let schema = &parameter["schema"];
                    assert!(
                        typed.iter().any(|key| schema.get(key).is_some()),
                        "{wire}: {method} {path}: {parameter}"
                    );
                }
            }
        }
    }
}

#[test]
fn path_parameters_are_declared_once_and_references_resolve() {
    for wire in WIRES {
        let document = document(wire);
        let mut ids = BTreeSet::new();
        for (path, operations) in entries(&document["paths"]) {
            for (method, operation) in entries(operations) {
                assert!(
                    ids.insert(operation["operationId"].to_string()),
                    "{wire}: {}",
                    operation["operationId"]
                );
                let declared = operation["parameters"].as_array().unwrap();
                let named = |parameter: &&Value| parameter["in"] == "path";
                let declared = declared.iter().filter(named).map(|parameter| {
                    assert!(parameter["schema"].is_object(), "{wire} {method} {path}: {parameter}");
                    format!("{{{}}}", parameter["name"].as_str().unwrap())
                });
                let open = path.split('/').filter(|part| part.starts_with('{'));
                let open = open.map(|part| part.split_inclusive('}').next().unwrap().to_owned());
                assert_eq!(declared.collect::<Vec<_>>(), open.collect::<Vec<_>>(), "{wire} {method} {path}");
            }
        }
        follow(wire, &document, &document);
        for (_, operations) in entries(&document["paths"]) {
            for link in entries(operations)
                .flat_map(|(_, operation)| entries(&operation["responses"]))
                .flat_map(|(_, response)| entries(&response["links"]))
            {
                assert!(ids.contains(&link.1["operationId"].to_string()), "{wire}: {}", link.0);
            }
        }
    }
}

/// A link takes one path parameter from the response, and the others from the request's path.
#[test]
fn links_lead_from_a_response_to_its_object() {
    let document = document("devin");
    let parameters = |from: &str, to: &str| {
        let (path, operation) = (document["paths"][from]["post"].clone(), document["paths"][to].clone());
        let id = operation["delete"]["operationId"].as_str().unwrap().to_owned();
        path["responses"]["200"]["links"][id]["parameters"].clone()
    };
    let sessions = "/organizations/{org}/sessions";
    assert_eq!(
        parameters(sessions, "/organizations/{org}/sessions/{devin}"),
        json!({ "org": "$request.path.org", "devin": "$response.body#/session_id" })
    );
    let keys = "/organizations/{org}/service-users/{user}/api-keys";
    assert_eq!(
        parameters(keys, &format!("{keys}/{{key}}")),
        json!({ "org": "$request.path.org", "user": "$request.path.user", "key": "$response.body#/api_key_id" })
    );
    // An organization's session does not name the service user of a key.
    assert_eq!(parameters(sessions, &format!("{keys}/{{key}}")), Value::Null);
}

fn follow(wire: &str, document: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                let found = target.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                assert!(found.is_some(), "{wire}: {target} leads nowhere");
            }
            fields.values().for_each(|value| follow(wire, document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| follow(wire, document, value)),
        _ => {}
    }
}

/// Calls by which handlers read a field of a body, a form or a query.
const READERS: [&str; 18] = [
    ".one(\"",
    ".text(\"",
    ".number(\"",
    ".flag(\"",
    ".list(\"",
    ".joined(\"",
    ".time(\"",
    ".all(\"",
    ".words(\"",
    ".scopes(\"",
    ".object(\"",
    ".needed(\"",
    ".texts(\"",
    ".objects(\"",
    "word(body, \"",
    "limit(body, \"",
    "limit(&body, \"",
    "list(query, \"",
];

/// The names that the handlers of a wire read, by their source.
fn read(wire: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wires").join(wire);
    let mut names = BTreeSet::new();
    for file in sources(&folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for reader in READERS {
            for found in text.split(reader).skip(1) {
                names.extend(found.split_once('"').map(|(name, _)| name.to_owned()));
            }
        }
        // The fields of types that derive `Deserialize`.
        for item in text
            .split("#[derive(")
            .skip(1)
            .filter(|item| item.split_once(')').is_some_and(|(derived, _)| derived.contains("Deserialize")))
        {
            let body = item.split_once("struct ").and_then(|(before, rest)| {
                (!before.contains("enum ")).then(|| rest.split_once("\n}").map_or("", |(body, _)| body))
            });
            let fields = body.unwrap_or_default().lines().skip(1).map(str::trim);
            let fields =
                fields.filter(|line| !line.starts_with(['/', '#'])).filter_map(|line| line.split_once(": "));
            names.extend(fields.map(|(name, _)| name.trim_start_matches("pub ").to_owned()));
        }
    }
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "rs")).collect()
}

/// The names of parameters, of cookies and keys in queries, and of all properties of request bodies.
fn declared_names(document: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for operation in entries(&document["paths"]).flat_map(|(_, operations)| entries(operations)) {
        let parameters = operation.1["parameters"].as_array().into_iter().flatten();
        names.extend(parameters.map(|parameter| parameter["name"].as_str().unwrap().to_owned()));
    }
    names.extend(
        entries(&document["components"]["securitySchemes"])
            .filter_map(|(_, scheme)| Some(scheme["name"].as_str()?.to_owned())),
    );
    properties(&document["components"]["schemas"], &mut names);
    names
}

fn properties(value: &Value, names: &mut BTreeSet<String>) {
    names.extend(entries(&value["properties"]).map(|(name, _)| name.clone()));
    match value {
        Value::Object(fields) => fields.values().for_each(|value| properties(value, names)),
        Value::Array(items) => items.iter().for_each(|value| properties(value, names)),
        _ => {}
    }
}

#[test]
fn every_parameter_that_a_handler_reads_is_declared() {
    // Names in frames of WebSockets, and fields that serde renames.
    let elsewhere =
        ["jsonrpc", "method", "params", "id", "name", "value", "mcp_servers", "kind", "reference", "user_id"];
    let mut seen = 0;
    for wire in WIRES {
        let (read, declared) = (read(wire), declared_names(&document(wire)));
        seen += read.len();
        let bare =
            read.iter().filter(|name| !declared.contains(*name) && !elsewhere.contains(&name.as_str()));
        assert_eq!(bare.collect::<Vec<_>>(), Vec::<&String>::new(), "{wire}: read and not declared");
    }
    assert!(seen > 100, "only {seen} names were found in the sources: the way of reading has changed");
}

#[tokio::test]
async fn known_documents_are_served_to_everybody() {
    let world = crate::world::World::sqlite().await;
    let nobody = world.caller(None);
    for wire in WIRES {
        let response = nobody.get(&format!("/openapi/{wire}.json")).await;
        assert_eq!(response.status, 200, "{wire}");
        assert_eq!(response.json()["info"]["title"], format!("Tenure: the wire {wire}"));
    }
    for file in ["probe", "probe.yaml", "nothing.json", ".json", "%2e%2e", "%ff"] {
        assert_eq!(nobody.get(&format!("/openapi/{file}")).await.status, 404, "{file}");
    }
}
