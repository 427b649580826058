//! The table of callers for the WebSocket: each method and each kind of caller. A new method without a row fails
//! here.

use crate::socket::{Socket, android};
use crate::world::{Actor, START, World};
use axum::body::Body;
use domain::permission::{AccountRole, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::System;

const CALLERS: [&str; 10] = [
    "no key",
    "foreign admin",
    "foreign admin naming the organization",
    "readonly",
    "owner",
    "colleague",
    "admin",
    "account viewer",
    "account admin",
    "admin of a deleted organization",
];

// Unauthorized, forbidden, not found, no match, no such method.
const U: i64 = -32001;
const F: i64 = -32003;
const N: i64 = -32010;
const M: i64 = -32022;
const X: i64 = -32601;

/// A method and the error code for each of [`CALLERS`], or 0.
#[rustfmt::skip]
const TABLE: &[(&str, [i64; 10])] = &[
    ("devices.list",             [U, 0, F, 0, 0, 0, 0, 0, 0, F]),
    ("device.list",              [U, 0, F, 0, 0, 0, 0, 0, 0, F]),
    ("devices.subscribe",        [U, 0, F, 0, 0, 0, 0, 0, 0, F]),
    ("devices.unsubscribe",      [U, 0, F, 0, 0, 0, 0, 0, 0, F]),
    ("fleet.listDevices",        [U, 0, F, 0, 0, 0, 0, 0, 0, F]),
    ("fleet.allocate",           [U, M, F, F, 0, 0, 0, F, 0, F]),
    ("fleet.release",            [U, N, F, F, 0, F, 0, F, 0, F]),
    ("uploads.create",           [U, 0, F, F, 0, 0, 0, F, 0, F]),
    ("device.info",              [U, N, F, F, 0, F, 0, F, 0, F]),
    ("device.apps.install",      [U, N, F, F, 0, F, 0, F, 0, F]),
    ("device.screenrecord.stop", [U, N, F, F, 0, F, 0, F, 0, F]),
    ("nothing",                  [U, X, F, X, X, X, X, X, X, F]),
];

#[test]
fn every_method_has_a_row() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut known = BTreeSet::new();
    for file in ["wires/mobilenext/rpc.rs", "wires/mobilenext/socket.rs", "operations/devices/driving.rs"] {
        let text = std::fs::read_to_string(source.join(file)).unwrap();
        let arms = text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "));
        known.extend(arms.map(|(method, _)| method.to_owned()));
    }
    assert!(known.contains("devices.list"), "{known:?}");
    for method in known {
        assert!(TABLE.iter().any(|(name, _)| *name == method), "no row for {method}");
    }
}

/// Parameters with which the owner's call succeeds.
async fn params(owner: &Actor<'_>, session: &str, upload: &str, method: &str) -> Value {
    match method {
        "fleet.allocate" => android(),
        "fleet.release" => {
            let asked = owner.ask(session, "android").await.json();
            json!({ "deviceId": asked["allocationId"] })
        }
        "uploads.create" => json!({ "filename": "a.apk", "filesize": 1 }),
        "device.apps.install" => json!({ "deviceId": "one", "uploadId": upload }),
        _ => json!({ "deviceId": "one" }),
    }
}

/// A finished upload.
async fn upload(socket: &mut Socket, world: &World) -> String {
    let made =
        socket.call("uploads.create", json!({ "filename": "a.apk", "filesize": 3 })).await["result"].clone();
    let path = made["uploadUrl"].as_str().unwrap().strip_prefix(world.server.base_url()).unwrap().to_owned();
    assert_eq!(world.caller(None).call("PUT", &path, Body::from("abc")).await.status, 200);
    made["uploadId"].as_str().unwrap().to_owned()
}

both! {
    async fn every_caller_gets_what_the_table_says(world: &World) {
        let (acme, globex, gone) =
            (world.organization("Acme").await, world.organization("Globex").await, world.organization("Gone").await);
        let owner = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let foreign = world.member(globex, Role::Admin).await;
        let left = world.member(gone, Role::Admin).await;
        world.store().delete_organization(&System::for_administration(), gone, START).await.unwrap();
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let session = owner.session().await;
        assert_eq!(owner.ask(&session, "android").await.status, 201);
        let file = upload(&mut Socket::open(&owner).await, world).await;
        let callers = [
            world.caller(None),
            foreign.clone(),
            foreign.naming(acme),
            world.member(acme, Role::Readonly).await,
            owner.clone(),
            world.member(acme, Role::Readwrite).await,
            admin,
            world.account_member(AccountRole::Viewer).await.naming(acme),
            world.account_member(AccountRole::Admin).await.naming(acme),
            left,
        ];
        for (method, expected) in TABLE {
            for ((name, actor), expected) in CALLERS.iter().zip(&callers).zip(expected) {
                let params = params(&owner, &session, &file, method).await;
                let response = Socket::open(actor).await.call(method, params).await;
                let code = response["error"]["code"].as_i64().unwrap_or(0);
                assert_eq!((code, response.get("result").is_some()), (*expected, *expected == 0), "{name}: {method}: {response}");
                if code != 0 {
                    assert!(response["error"]["data"].is_string(), "{name}: {method}: {response}");
                    for secret in ["Acme", "Globex", "Gone", &acme.to_string(), &session, &file] {
                        assert!(!response.to_string().contains(secret), "{name}: {method} tells {secret}: {response}");
                    }
                }
            }
        }
        host.leave().await;
    }

    async fn another_organizations_upload_is_not_found(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, dora) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Readwrite).await);
        let account = world.account_member(AccountRole::Admin).await;
        let host = world.host(&account, "pool", &[("one", "android"), ("two", "android")]).await;
        let file = upload(&mut Socket::open(&ana).await, world).await;
        let mut socket = Socket::open(&dora).await;
        let got = socket.call("fleet.allocate", android()).await["result"]["device"]["id"].clone();
        let unknown = domain::ids::SessionId::new(START, 5).to_string();
        let mut errors = Vec::new();
        for id in [file.as_str(), &unknown, "x"] {
            let install = json!({ "deviceId": got, "uploadId": id });
            errors.push(socket.call("device.apps.install", install).await["error"].clone());
        }
        assert_eq!(errors[0]["code"], -32011);
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        host.leave().await;
    }

    async fn a_held_device_of_another_organization_does_not_exist(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, dora) = (world.member(acme, Role::Readwrite).await, world.member(globex, Role::Admin).await);
        let account = world.account_member(AccountRole::Admin).await;
        let host = world.host(&account, "pool", &[("one", "android")]).await;
        Socket::open(&ana).await.call("fleet.allocate", android()).await;
        let mut socket = Socket::open(&dora).await;
        assert_eq!(socket.call("fleet.listDevices", json!({})).await["result"], json!({ "devices": [] }));
        assert_eq!(socket.call("devices.list", json!({})).await["result"], json!({ "devices": [] }));
        for method in ["device.info", "fleet.release"] {
            let held = socket.call(method, json!({ "deviceId": "one" })).await;
            let unknown = socket.call(method, json!({ "deviceId": "unknown" })).await;
            assert_eq!(held, unknown, "{method}");
        }
        host.leave().await;
    }
}
