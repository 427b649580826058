//! Every route of every wire with ids of another organization and of the account, for every kind of caller. The response
//! must equal that for an unknown id, byte for byte.

use super::callers::{Who, everybody, machine};
use crate::coverage::story::{self, Story};
use crate::coverage::{TABLE, state};
use crate::devin::coverage as devin;
use crate::devin::org_path;
use crate::socket::Socket;
use crate::world::{Actor, TestResponse, World};
use domain::permission::{AccountRole, Role};
use serde_json::{Value, json};

/// Parts of paths that are names instead of ids, or the credential itself.
const NO_IDS: [&str; 4] = ["{name}", "{document}", "{link}", "{token}"];

/// Whether a part of a pattern is an id.
fn is_id(part: &str, pattern: &str) -> bool {
    let id = part.starts_with('{') && !NO_IDS.contains(&part);
    // On Probe's wire, a token in a path is an id. Elsewhere it is the credential.
    id || part == "{token}" && pattern.starts_with("/frontend/")
}

/// An unknown id of the same form. An action of the object stays.
fn unknown(id: &str) -> String {
    if let Some((id, action)) = id.split_once(':') {
        return format!("{}:{action}", unknown(id));
    }
    if id.bytes().all(|byte| byte.is_ascii_digit()) {
        return "987654321".to_owned();
    }
    let keep = id.len().saturating_sub(8);
    format!("{}00c0ffee", &id[..keep])
}

/// The paths of a pattern with at least one id of another organization: with the real id and with an unknown one.
fn paths(pattern: &str, own: &str, foreign: &str) -> Vec<(String, String, bool)> {
    let patterns = pattern.split('/').collect::<Vec<_>>();
    let (own, foreign) = (own.split('/').collect::<Vec<_>>(), foreign.split('/').collect::<Vec<_>>());
    let ids = (0..patterns.len()).filter(|at| is_id(patterns[*at], pattern)).collect::<Vec<_>>();
    let mut found = Vec::new();
    for mask in 1..1u32 << ids.len() {
        let (mut real, mut other) =
            (own.clone(), own.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        for (_, at) in ids.iter().enumerate().filter(|(bit, _)| mask & 1 << bit != 0) {
            real[*at] = foreign[*at];
            other[*at] = unknown(foreign[*at]);
        }
        let place =
            ids.iter().position(|at| patterns[*at] == "{org}").is_some_and(|bit| mask & 1 << bit != 0);
        found.push((real.join("/"), other.join("/"), place));
    }
    found
}

fn same(what: &str, real: &TestResponse, nothing: &TestResponse) {
    let shown = |response: &TestResponse| {
        (response.status, response.text(), response.headers.get("content-type").cloned())
    };
    assert_eq!(shown(real), shown(nothing), "{what} is told apart from what is not there");
    assert!(real.status.as_u16() >= 400, "{what} succeeded: {}", real.text());
}

/// The state of an organization: its change feed, its holds, its entries of the audit log.
async fn organization_state(
    world: &World,
    organization: domain::ids::OrganizationId,
    account: &Actor<'_>,
) -> String {
    let lines = account.get(&org_path(organization, "/audit-logs?first=1")).await.json();
    format!("{} {}", state(world, organization).await, lines["items"][0]["audit_log_id"])
}

/// Whether the caller's permissions in the account cover the objects of a pattern in every organization.
fn reaches_all(who: &Who<'_>, pattern: &str) -> bool {
    let of_people = ["/frontend/", "/tenure/v1/users/"].iter().any(|start| pattern.starts_with(start))
        && pattern.contains("{user}");
    let of_account = pattern.contains("/enterprise/") && !pattern.contains("/service-users/");
    who.account && (of_people || of_account)
}

both! {
    async fn objects_of_others_look_like_unknown_ones(world: &World) {
        let (ours, theirs) = (Story::create(world).await, Story::create_in(world, "Initech").await);
        let account = world.account_member(AccountRole::Admin).await;
        let everybody = everybody(world, ours.organization).await;
        let mut walked = 0;
        for (method, pattern, ..) in TABLE {
            if !pattern.split('/').any(|part| is_id(part, pattern)) {
                continue;
            }
            let (own, foreign) = (ours.path(pattern).await, theirs.path(pattern).await);
            let before = organization_state(world, theirs.organization, &account).await;
            for who in everybody.iter().filter(|who| !reaches_all(who, pattern)) {
                // A worker's or host's key of the account serves all organizations, unless it names one.
                if who.account && !who.named && pattern.starts_with("/tenure/v1/") {
                    continue;
                }
                for (real, other, _) in paths(pattern, &own, &foreign) {
                    for story in [&ours, &theirs] {
                        let responses = (story::send(story, &who.actor, method, &real).await, story::send(story, &who.actor, method, &other).await);
                        same(&format!("{}: {method} {real}", who.name), &responses.0, &responses.1);
                        walked += 1;
                    }
                }
            }
            let after = organization_state(world, theirs.organization, &account).await;
            assert_eq!(after, before, "{method} {pattern} changed something of theirs");
        }
        assert!(walked > 500, "only {walked} were walked");
    }

    async fn objects_of_others_look_like_unknown_ones_on_devins_wire(world: &World) {
        let (ours, theirs) = (devin::Story::create(world).await, devin::Story::create_in(world, world.organization("Initech").await).await);
        let account = world.account_member(AccountRole::Admin).await;
        let everybody = everybody(world, ours.organization).await;
        let mut walked = 0;
        for (method, pattern, ..) in devin::all() {
            if !pattern.split('/').any(|part| is_id(part, &pattern)) {
                continue;
            }
            let (own, foreign) = (ours.path(&pattern).await, theirs.path(&pattern).await);
            // Objects of the account do not belong to the organization either, nor the other way round.
            let swapped = match pattern.contains("/service-users/") {
                true => Some(match pattern.contains("/enterprise/") {
                    true => theirs.path(&pattern.replace("/enterprise/", "/organizations/{org}/")).await,
                    false => theirs.path(&pattern.replace("/organizations/{org}/", "/enterprise/")).await,
                }),
                false => None,
            };
            let before = organization_state(world, theirs.organization, &account).await;
            for who in everybody.iter().filter(|who| !reaches_all(who, &pattern)) {
                let mut tried = match pattern.contains("/enterprise/service-users/") && who.account {
                    // These belong to the account.
                    true => Vec::new(),
                    false => paths(&pattern, &own, &foreign),
                };
                tried.retain(|(_, _, place)| !(*place && who.account));
                if let Some(swapped) = &swapped {
                    tried.extend(swapped_paths(&pattern, &own, swapped));
                }
                for (real, other, _) in tried {
                    let responses = (devin::call(&ours, &who.actor, method, &real).await, devin::call(&ours, &who.actor, method, &other).await);
                    same(&format!("{}: {method} {real}", who.name), &responses.0, &responses.1);
                    walked += 1;
                }
            }
            assert_eq!(organization_state(world, theirs.organization, &account).await, before, "{method} {pattern} changed something of theirs");
        }
        assert!(walked > 500, "only {walked} were walked");
    }

    async fn objects_of_others_look_like_unknown_ones_over_the_websocket(world: &World) {
        let (ours, theirs) = (Story::create(world).await, Story::create_in(world, "Initech").await);
        let rack = world.host(&world.member(theirs.organization, Role::Admin).await, "their rack", &[("theirs", "ios")]).await;
        let ios = json!({ "filters": [{ "attribute": "platform", "operator": "EQUALS", "value": "ios" }] });
        let held = Socket::open(&theirs.owner).await.call("fleet.allocate", ios.clone()).await;
        assert!(held["error"].is_null(), "{held}");
        let session = held["result"]["sessionId"].as_str().unwrap().to_owned();
        let unknown_upload = unknown(&theirs.file);
        let calls = |device: &str, upload: &str, session: &str| {
            [
                ("device.io.tap", json!({ "deviceId": device, "x": 1, "y": 1 })),
                ("device.screenshot", json!({ "deviceId": device })),
                ("device.apps.install", json!({ "deviceId": device, "uploadId": upload })),
                ("device.apps.install", json!({ "deviceId": "one", "uploadId": upload })),
                ("fleet.release", json!({ "deviceId": device })),
                ("fleet.release", json!({ "deviceId": session })),
                ("fleet.allocate", json!({ "filters": [{ "attribute": "id", "operator": "EQUALS", "value": device }] })),
            ]
        };
        let mut everybody = everybody(world, ours.organization).await;
        everybody.push(Who { name: "our owner".into(), actor: ours.owner.clone(), account: false, named: false });
        for who in everybody {
            let mut socket = Socket::open(&who.actor).await;
            let real = calls("theirs", &theirs.file, &session);
            let other = calls("nobody", &unknown_upload, &unknown(&session));
            for ((method, real), (_, other)) in real.into_iter().zip(other) {
                let responses = (socket.call(method, real.clone()).await, socket.call(method, other).await);
                assert_eq!(responses.0, responses.1, "{}: {method} {real}", who.name);
                assert!(responses.0["error"].is_object(), "{}: {method} {real}: {}", who.name, responses.0);
            }
        }
        assert!(rack.calls.lock().unwrap().is_empty());
        let still = Socket::open(&theirs.owner).await.call("devices.list", Value::Null).await;
        assert!(still.to_string().contains("theirs"), "{still}");
        rack.leave().await;
    }

    async fn ids_of_others_in_bodies_and_queries_look_like_unknown_ones(world: &World) {
        let (ours, theirs) = (devin::Story::create(world).await, Story::create_in(world, "Initech").await);
        let (acme, initech) = (ours.organization, theirs.organization);
        let everybody = everybody(world, acme).await;
        let (bot, robot) = (machine(world, initech, Role::Admin).await, world.account_member(AccountRole::Worker).await);
        let people = [theirs.owner.principal, bot.principal, robot.principal];
        let session = theirs.path("/v1/sessions/{session}").await.rsplit('/').next().unwrap().to_owned();
        let agent = theirs.path("/v1/agents/{agent}").await.rsplit('/').next().unwrap().to_owned();
        let hex = |prefix: &str, id: domain::ids::PrincipalId| format!("{prefix}{}", id.0.simple());
        let mut bodies: Vec<(String, &str, String)> = vec![
            ("/v1/sessions".to_owned(), "agent_id", agent),
            ("/v1/sessions".to_owned(), "parent_session_id", session.clone()),
            (org_path(acme, "/sessions"), "parent_session_id", session.replace("session_", "devin-")),
        ];
        for id in people {
            bodies.push((org_path(acme, "/members/users"), "user_id", hex("user-", id)));
            bodies.push((org_path(acme, "/sessions"), "create_as_user_id", hex("user-", id)));
            bodies.push(("/api/v1/members".to_owned(), "userId", id.to_string()));
        }
        for who in everybody.iter().filter(|who| !who.account) {
            for (path, field, id) in &bodies {
                let body = |id: &str| {
                    let mut body = json!({ "prompt": "x", "role": "admin", "role_id": "org_admin" });
                    body[*field] = Value::from(id);
                    body
                };
                let responses = (who.actor.post(path, body(id)).await, who.actor.post(path, body(&unknown(id))).await);
                same(&format!("{}: POST {path} with {field} {id}", who.name), &responses.0, &responses.1);
            }
            for (name, id) in [("user_ids", hex("user-", people[0])), ("service_user_ids", hex("service-user-", people[1])),
                               ("parent_session_id", session.replace("session_", "devin-")), ("session_ids", session.replace("session_", "devin-"))] {
                let list = |id: &str| org_path(acme, &format!("/sessions?{name}={id}"));
                let responses = (who.actor.get(&list(&id)).await, who.actor.get(&list(&unknown(&id))).await);
                assert_eq!((responses.0.status, responses.0.text()), (responses.1.status, responses.1.text()), "{}: {name}", who.name);
            }
        }
    }
}

/// The own path with the service user and the key of another home, and with unknown ones.
fn swapped_paths(pattern: &str, own: &str, swapped: &str) -> Vec<(String, String, bool)> {
    let tail =
        |path: &str| path.split_once("/service-users/").map(|(_, tail)| tail.to_owned()).unwrap_or_default();
    let Some((head, _)) = own.split_once("/service-users/") else { return Vec::new() };
    let (ids, names) = (tail(swapped), tail(pattern));
    let nothing = ids.split('/').zip(names.split('/')).map(|(id, name)| match name.starts_with('{') {
        true => unknown(id),
        false => id.to_owned(),
    });
    let nothing = nothing.collect::<Vec<_>>().join("/");
    vec![(format!("{head}/service-users/{ids}"), format!("{head}/service-users/{nothing}"), false)]
}
