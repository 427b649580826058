//! Every response in any test is checked against the contract of its wire: `contracts/*.json`, which were
//! written by hand from the needs of the wires' clients.
//!
//! A contract names each route, its possible statuses, and the JSON Schema of each body:
//!
//! * `prefixes`: where the wire is served. A part of a route in brackets is optional.
//! * `routes`: for each route its successful responses, and in `refused` the names of its refusals. A response is a schema of
//!   `$defs`, or `null` for no body, or an object: `type`, one of `json`, `text`, `lines` (a JSON value in each) and
//!   `frames` (of an event stream), and `headers`, all of them schemas.
//! * `refusals`: the status of each name. The body has the name at `told_at`, without the part after `#`, which separates
//!   refusals with one name and several statuses or headers. `any` can happen to any request, `post` to any POST, and
//!   `no_route` and `no_method` to unknown routes below the `bases` of the wire.
//! * `headers`: the headers of every response.

use crate::world::TestResponse;
use axum::http::{HeaderMap, StatusCode};
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, OnceLock};

/// One wire's contract.
struct Contract {
    text: Value,
    /// Method and segments of every pattern, and the name of its route in `routes`.
    patterns: Vec<(String, Vec<String>, String)>,
    /// The validator of each schema, compiled at its first use.
    validators: BTreeMap<String, OnceLock<Validator>>,
}

/// The last contract has the routes of no other wire.
static CONTRACTS: LazyLock<[Contract; 7]> = LazyLock::new(|| {
    [
        include_str!("../../contracts/everruns.json"),
        include_str!("../../contracts/devin.json"),
        include_str!("../../contracts/mobilenext.json"),
        include_str!("../../contracts/pages.json"),
        include_str!("../../contracts/probe.json"),
        include_str!("../../contracts/tenure.json"),
        include_str!("../../contracts/house.json"),
    ]
    .map(Contract::read)
});

type Held = Result<(), String>;

/// Checks a response against the contract of its route.
pub fn check_response(method: &str, path: &str, response: &TestResponse) {
    if let Err(wrong) = check(method, path, response) {
        panic!("{method} {path} breaks its contract: {wrong}\n{} {}", response.status, response.text());
    }
}

/// The path of every POST of every wire, as in its contract.
pub fn posts() -> BTreeSet<&'static str> {
    let routes = CONTRACTS.iter().flat_map(|contract| contract.text["routes"].as_object().unwrap().keys());
    routes.filter_map(|route| route.strip_prefix("POST ")).collect()
}

/// Checks one frame of an event stream against the contract of its route.
pub fn check_frame(path: &str, event: &str, id: &str, data: &Value) {
    let (contract, route) = find("GET", path).unwrap_or_else(|| panic!("{path} is no route"));
    let schema = &contract.text["routes"][&route]["200"]["frames"];
    let frame = json!({ "event": event, "id": id, "data": data });
    if let Err(wrong) = contract.valid(schema.as_str().expect("a stream"), &frame) {
        panic!("a frame of {path} breaks its contract: {wrong}\n{frame}");
    }
}

/// The contract and the route of a request. Of several matching routes, the one with more fixed text to the left.
fn find(method: &str, path: &str) -> Option<(&'static Contract, String)> {
    // A route of GET also answers HEAD.
    let method = if method == "HEAD" { "GET" } else { method };
    let parts = path.split('/').collect::<Vec<_>>();
    let all =
        CONTRACTS.iter().flat_map(|contract| contract.patterns.iter().map(move |known| (contract, known)));
    let fitting = all.filter(|(_, (known, pattern, _))| known == method && fits(pattern, &parts));
    let best = fitting
        .max_by_key(|(_, (_, pattern, _))| pattern.iter().map(|part| !is_open(part)).collect::<Vec<_>>());
    best.map(|(contract, (_, _, route))| (contract, route.clone()))
}

fn is_open(part: &str) -> bool {
    part.starts_with('{')
}

fn fits(pattern: &[String], parts: &[&str]) -> bool {
    // An open part can have an action after it.
    let fits = |(known, part): (&String, &&str)| match known.split_once('}') {
        Some((_, action)) => part.len() > action.len() && part.ends_with(action),
        None => known == part,
    };
    pattern.len() == parts.len() && pattern.iter().zip(parts).all(fits)
}

/// Whether a pattern is that of an action of the object of this path.
fn has_action(pattern: &[String], parts: &[&str]) -> bool {
    let Some((last, before)) = pattern.split_last() else { return false };
    let Some((object, _)) = last.split_once(':').filter(|(object, _)| is_open(object)) else { return false };
    fits(&[before, &[object.to_owned()]].concat(), parts)
}

fn check(method: &str, path: &str, response: &TestResponse) -> Held {
    match find(method, path) {
        Some((contract, route)) => contract.check(method, &route, response),
        None => contract_of(path).check_unmatched(path, response),
    }
}

/// The contract of the wire that answers an unknown path.
fn contract_of(path: &str) -> &'static Contract {
    let below =
        |base: &str| path.strip_prefix(base).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
    let known = |contract: &&Contract| {
        let by_method = contract
            .patterns
            .iter()
            .any(|(_, pattern, _)| fits(pattern, &path.split('/').collect::<Vec<_>>()));
        by_method || texts(&contract.text["bases"]).any(below)
    };
    CONTRACTS.iter().find(known).unwrap_or(&CONTRACTS[CONTRACTS.len() - 1])
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().expect("a text"))
}

/// A part of a contract that must be an object.
fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("expected an object in a contract, got {value}"))
}

impl Contract {
    fn read(text: &str) -> Contract {
        let text: Value = serde_json::from_str(text).expect("a contract is JSON");
        let mut patterns = Vec::new();
        for route in object(&text["routes"]).keys() {
            let (method, path) = route.split_once(' ').expect("a method and a path");
            for prefix in texts(&text["prefixes"]) {
                for path in spellings(path) {
                    let parts = format!("{prefix}{path}").split('/').map(str::to_owned).collect();
                    patterns.push((method.to_owned(), parts, route.clone()));
                }
            }
        }
        let validators = object(&text["$defs"]).keys().map(|name| (name.clone(), OnceLock::new())).collect();
        Contract { text, patterns, validators }
    }

    fn validator(&self, schema: &str) -> &Validator {
        let slot = self.validators.get(schema).unwrap_or_else(|| panic!("there is no schema {schema}"));
        slot.get_or_init(|| {
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$ref": format!("#/$defs/{schema}"),
                "$defs": self.text["$defs"],
            });
            jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{schema}: {error}"))
        })
    }

    fn valid(&self, schema: &str, value: &Value) -> Held {
        let errors = self.validator(schema).iter_errors(value);
        let wrong = errors.map(|error| format!("{}: {error}", error.instance_path())).collect::<Vec<_>>();
        if wrong.is_empty() { Ok(()) } else { Err(format!("it is no {schema}: {}", wrong.join("\n"))) }
    }

    fn check(&self, method: &str, route: &str, response: &TestResponse) -> Held {
        if let Some(headers) = self.text["headers"].as_str() {
            self.valid(headers, &headers_of(&response.headers))?;
        }
        let route = &self.text["routes"][route];
        let refusals = &self.text["refusals"];
        match route.get(response.status.as_str()) {
            // A success. HEAD has no body to check.
            Some(_) if method == "HEAD" => Ok(()),
            Some(said) => self.fits(said, response),
            None => {
                let posted = if method == "POST" { &refusals["post"] } else { &Value::Null };
                let names = texts(&route["refused"]).chain(texts(&refusals["any"])).chain(texts(posted));
                self.check_refusal(names.collect(), method, response)
            }
        }
    }

    /// A response to an unknown route: an unknown path, or a path without this method.
    fn check_unmatched(&self, path: &str, response: &TestResponse) -> Held {
        let refusals = &self.text["refusals"];
        let parts = path.split('/').collect::<Vec<_>>();
        let known = self.patterns.iter().any(|(_, pattern, _)| fits(pattern, &parts));
        // An unknown action is an unknown path.
        let known = known
            && !(path.contains(':')
                && self.patterns.iter().any(|(_, pattern, _)| has_action(pattern, &parts)));
        let name = if known { &refusals["no_method"] } else { &refusals["no_route"] };
        let names = name.as_str().into_iter().chain(texts(&refusals["any"])).collect();
        self.check_refusal(names, "", response)
    }

    /// Checks that a response is one of these refusals.
    fn check_refusal(&self, names: BTreeSet<&str>, method: &str, response: &TestResponse) -> Held {
        let refusals = &self.text["refusals"];
        let status = response.status.as_u16();
        let kinds = object(&refusals["kinds"]);
        let fitting = names.iter().filter(|name| kinds[**name]["status"] == status).collect::<Vec<_>>();
        if fitting.is_empty() {
            return Err(format!("the status {status} is not declared"));
        }
        if method == "HEAD" {
            return Ok(());
        }
        let body: Value =
            serde_json::from_slice(&response.body).map_err(|error| format!("it is no JSON: {error}"))?;
        let told =
            body.pointer(refusals["told_at"].as_str().unwrap()).and_then(Value::as_str).unwrap_or_default();
        if body.get("status").is_some_and(|told| told.is_number() && *told != status) {
            return Err("it tells another status than it has".to_owned());
        }
        let fits = |name: &&str| {
            let mut said = object(&refusals["said"]).clone();
            said.extend(object(&kinds[*name]).clone());
            self.fits(&Value::Object(said), response)
        };
        // One name and status may have several variants, which differ in their headers.
        let kinds = fitting.iter().filter(|name| name.split('#').next() == Some(told));
        let outcomes = kinds.map(|name| fits(name)).collect::<Vec<_>>();
        let none = || Err(format!("{told:?} is not declared with {status}, but {fitting:?}"));
        outcomes.iter().find(|held| held.is_ok()).or(outcomes.last()).cloned().unwrap_or_else(none)
    }

    /// Checks headers and body by the contract.
    fn fits(&self, said: &Value, response: &TestResponse) -> Held {
        let kind = response.headers.get("content-type").map(|kind| kind.to_str().unwrap_or_default());
        let expected = match said {
            Value::Null => None,
            Value::String(_) => Some("application/json"),
            said => Some(said["type"].as_str().unwrap_or("application/json")).filter(|kind| !kind.is_empty()),
        };
        if kind != expected {
            return Err(format!("its type is {kind:?} and not {expected:?}"));
        }
        if let Some(headers) = said.get("headers") {
            self.valid(headers.as_str().expect("a schema"), &headers_of(&response.headers))?;
        }
        if expected.is_none() && !response.body.is_empty() {
            return Err("it has a body".to_owned());
        }
        let text = || std::str::from_utf8(&response.body).map_err(|error| error.to_string());
        let parsed =
            |text: &str| serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"));
        if let Some(schema) = said.as_str().or(said["json"].as_str()) {
            self.valid(schema, &parsed(text()?)?)?;
        }
        if let Some(schema) = said["text"].as_str() {
            self.valid(schema, &text()?.into())?;
        }
        if let Some(schema) = said["lines"].as_str() {
            text()?.lines().try_for_each(|line| self.valid(schema, &parsed(line)?))?;
        }
        if let Some(schema) = said["frames"].as_str() {
            frames(text()?)?.iter().try_for_each(|frame| self.valid(schema, frame))?;
        }
        Ok(())
    }
}

/// A path of a contract with and without its part in brackets.
fn spellings(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('[') else { return vec![path.to_owned()] };
    let (part, after) = rest.split_once(']').expect("a closing bracket");
    vec![format!("{before}{part}{after}"), format!("{before}{after}")]
}

/// Headers as an object, for a schema. A repeated header becomes several lines.
fn headers_of(headers: &HeaderMap) -> Value {
    let lines = |name: &axum::http::HeaderName| {
        let values = headers.get_all(name).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        (name.as_str().to_owned(), Value::from(texts.collect::<Vec<_>>().join("\n")))
    };
    Value::Object(headers.keys().map(lines).collect())
}

/// The frames of an event stream, without comments.
fn frames(text: &str) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for frame in text.split("\n\n").filter(|frame| !frame.is_empty()) {
        let mut fields = Map::new();
        for line in frame.lines().filter(|line| !line.starts_with(':')) {
            let (name, value) = line.split_once(": ").ok_or_else(|| format!("{line:?} is no field"))?;
            let value = match name {
                "data" => serde_json::from_str(value).map_err(|error| format!("{line:?}: {error}"))?,
                _ => Value::from(value),
            };
            fields.insert(name.to_owned(), value);
        }
        if !fields.is_empty() {
            found.push(Value::Object(fields));
        }
    }
    Ok(found)
}

#[test]
fn every_route_has_a_contract() {
    let routes = server::wires::routes().map(|(_, route)| format!("{} {}", route.method, route.path));
    let routes = routes.collect::<BTreeSet<_>>();
    let all = CONTRACTS.iter().flat_map(|contract| &contract.patterns);
    let held = all.map(|(method, parts, _)| format!("{method} {}", parts.join("/"))).collect::<BTreeSet<_>>();
    let (bare, vain) =
        (routes.difference(&held).collect::<Vec<_>>(), held.difference(&routes).collect::<Vec<_>>());
    assert!(bare.is_empty() && vain.is_empty(), "without a contract: {bare:#?}; no routes: {vain:#?}");
}

/// The schemas that a response or a refusal names.
fn named_schemas(said: &Value) -> Vec<&str> {
    let fields =
        ["json", "text", "lines", "frames", "headers"].into_iter().filter_map(|field| said.get(field));
    fields.chain([said]).filter_map(Value::as_str).collect()
}

#[test]
fn contracts_name_existing_schemas_and_refusals() {
    for contract in &*CONTRACTS {
        for schema in contract.validators.keys() {
            contract.validator(schema);
        }
        let refusals = &contract.text["refusals"];
        let kinds = object(&refusals["kinds"]);
        let mut schemas = named_schemas(&refusals["said"]);
        schemas.extend(kinds.values().flat_map(named_schemas));
        let mut names =
            ["any", "post"].into_iter().flat_map(|list| texts(&refusals[list])).collect::<Vec<_>>();
        names.extend(["no_route", "no_method"].map(|name| refusals[name].as_str().unwrap()));
        for (route, responses) in object(&contract.text["routes"]) {
            names.extend(texts(&responses["refused"]));
            let said = object(responses).iter().filter(|(status, _)| *status != "refused");
            for (status, said) in said {
                assert!(status.parse::<StatusCode>().is_ok(), "{route}: {status}");
                schemas.extend(named_schemas(said));
            }
        }
        for name in names {
            assert!(kinds.contains_key(name), "there is no refusal {name}");
        }
        for schema in schemas {
            contract.validator(schema);
        }
    }
}

#[cfg(test)]
mod itself {
    use super::*;

    const SESSION: &str = "/api/v1/sessions/01933b5a-0000-7000-8000-000000000001";

    fn test_response(status: u16, kind: Option<&str>, body: &Value) -> TestResponse {
        let mut headers = HeaderMap::new();
        let fixed =
            [("x-request-id", "a"), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")];
        for (name, value) in fixed.into_iter().chain(kind.map(|kind| ("content-type", kind))) {
            headers.insert(name, value.parse().unwrap());
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        TestResponse { status: StatusCode::from_u16(status).unwrap(), headers, body }
    }

    fn allocation() -> Value {
        json!({
            "id": "01933b5a-0000-7000-8000-000000000002",
            "status": "provisioning",
            "info": { "platform": "ios", "type": "", "name": "", "osVersion": "" },
            "createdAt": "2026-03-01T12:00:00.000000Z",
            "releasedAt": null,
        })
    }

    /// The error of a session body after `change`; `None` when it is valid.
    fn session_error(change: impl FnOnce(&mut Value)) -> Option<String> {
        let mut session = json!({
            "id": "01933b5a-0000-7000-8000-000000000001",
            "organization": "01933b5a-0000-7000-8000-000000000003",
            "user": "01933b5a-0000-7000-8000-000000000004",
            "device": { "id": "", "platform": "ios", "type": "", "name": "", "osVersion": "" },
            "devices": [allocation()],
            "createdAt": "2026-03-01T12:00:00.000000Z",
            "releasedAt": null,
        });
        change(&mut session);
        check("GET", SESSION, &test_response(200, Some("application/json"), &session)).err()
    }

    fn tells(wrong: Option<String>, words: &[&str]) {
        let wrong = wrong.expect("it is held to be right");
        assert!(words.iter().all(|word| wrong.contains(word)), "{words:?} are not in {wrong}");
    }

    #[test]
    fn a_valid_response_is_accepted() {
        assert_eq!(session_error(|_| {}), None);
    }

    #[test]
    fn missing_and_extra_fields_are_reported_with_their_path() {
        tells(
            session_error(|session| drop(session.as_object_mut().unwrap().remove("user"))),
            &["\"user\"", "required"],
        );
        tells(session_error(|session| session["more"] = json!(1)), &["more"]);
        tells(session_error(|session| session["createdAt"] = json!("2026-03-01")), &["/createdAt"]);
        tells(session_error(|session| session["devices"][0]["info"]["serial"] = json!("x")), &["/devices/0"]);
        tells(
            session_error(|session| session["devices"][0]["status"] = json!("gone")),
            &["/devices/0/status"],
        );
    }

    #[test]
    fn statuses_types_and_refusals_are_checked() {
        let refusal = |code: &str| json!({ "error": { "code": code, "message": "No." } });
        let kind = Some("application/json");
        let held = |status, body: &Value| check("GET", SESSION, &test_response(status, kind, body)).err();
        assert_eq!(held(404, &refusal("not_found")), None);
        tells(held(418, &refusal("teapot")), &["418 is not declared"]);
        tells(held(409, &refusal("conflict")), &["409 is not declared"]);
        tells(held(404, &refusal("forbidden")), &["\"forbidden\" is not declared with 404"]);
        tells(held(404, &json!({ "error": { "code": "not_found" } })), &["/error", "message"]);
        // Without the header that names the authentication scheme.
        tells(held(401, &refusal("unauthorized")), &["www-authenticate"]);
        let typeless =
            check("GET", SESSION, &test_response(404, Some("text/plain"), &refusal("not_found"))).err();
        tells(typeless, &["text/plain"]);
        tells(check("DELETE", SESSION, &test_response(204, None, &json!(1))).err(), &["it has a body"]);
        let mut bare = test_response(204, None, &Value::Null);
        assert_eq!(check("DELETE", SESSION, &bare), Ok(()));
        bare.headers.remove("x-request-id");
        tells(check("DELETE", SESSION, &bare).err(), &["x-request-id"]);
    }

    #[test]
    fn an_unknown_route_must_get_the_error_of_its_wire() {
        let mobile = |code: &str| json!({ "error": { "code": code, "message": "No." } });
        let kind = Some("application/json");
        assert_eq!(check("GET", "/api/v1/nothing", &test_response(404, kind, &mobile("not_found"))), Ok(()));
        tells(check("GET", "/v1/nothing", &test_response(404, kind, &mobile("not_found"))).err(), &[]);
        assert_eq!(check("PUT", SESSION, &test_response(405, kind, &mobile("method_not_allowed"))), Ok(()));
        tells(
            check("PUT", SESSION, &test_response(404, kind, &mobile("not_found"))).err(),
            &["404 is not declared"],
        );
        tells(
            check("GET", "/api/v1/nothing", &test_response(200, kind, &json!({}))).err(),
            &["200 is not declared"],
        );
    }

    #[test]
    fn the_most_specific_route_wins() {
        let route = |method, path| find(method, path).map(|(_, route)| route);
        assert_eq!(route("GET", "/v1/sessions/stats").unwrap(), "GET /v1/sessions/stats");
        assert_eq!(route("GET", "/everruns/api/v1/sessions/x").unwrap(), "GET /v1/sessions/{session}");
        let insights = "GET /organizations[/{org}]/sessions/insights";
        assert_eq!(route("GET", "/v3beta1/organizations/sessions/insights").unwrap(), insights);
        assert_eq!(route("GET", "/v3/organizations/org-1/sessions/insights").unwrap(), insights);
        assert_eq!(route("DELETE", "/v1/agents"), None);
        assert_eq!(route("GET", "/v1/sessions/"), None);
    }
}
