//! Real devices, through a fake `mobilecli server`.

use protocol::{DEVICE_TIMEOUT, STALE_HOLD, ToHost};
use serde_json::json;

use crate::fake_mobilecli::{FakeMobilecli, PHONE};
use crate::fake_server::{Connection, FakeServer, Host};

async fn start_all(
    change: impl FnOnce(&mut runner::host::HostOptions),
) -> (FakeMobilecli, FakeServer, Host, Connection) {
    let mobilecli = FakeMobilecli::start_on_any_port().await;
    let mut server = FakeServer::start().await;
    let host = Host::start(&[&server], |options| {
        options.simulate.clear();
        options.mobilecli_url = Some(mobilecli.url());
        change(options);
    });
    let mut connection = server.accept().await;
    connection.devices(|all| all.iter().any(|device| device.online)).await;
    (mobilecli, server, host, connection)
}

#[tokio::test]
async fn cloud_devices_are_ignored_and_calls_pass_unchanged() {
    let (mobilecli, _server, mut host, mut connection) = start_all(|_| {}).await;
    connection.ask(PHONE, 1, "device.io.tap", json!({"x": 10, "y": 20, "deviceId": "OTHER"})).await.unwrap();
    assert_eq!(mobilecli.params_of("device.io.tap"), [json!({"x": 10, "y": 20, "deviceId": PHONE})]);
    let info = connection.get(PHONE, 1, "device.info").await;
    assert_eq!(info["screenSize"]["width"], 1080);
    assert_eq!(info["device"]["screenSize"]["width"], 1080);
    let unknown = connection.ask("CLOUD", 1, "device.info", json!({})).await.unwrap_err();
    assert_eq!(unknown.code, protocol::DEVICE_UNAVAILABLE);
    for method in ["device.fs.pull", "server.shutdown", "fleet.allocate"] {
        assert_eq!(connection.ask(PHONE, 1, method, json!({})).await.unwrap_err().code, -32601, "{method}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_device_that_does_not_answer_is_offline() {
    let mobilecli = FakeMobilecli::start_on_any_port().await;
    mobilecli.alive.send_replace(false);
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |options| {
        options.simulate.clear();
        options.mobilecli_url = Some(mobilecli.url());
    });
    let mut connection = server.accept().await;
    let devices = connection.devices(|all| !all.is_empty()).await;
    assert_eq!(devices.iter().map(|d| (d.serial.as_str(), d.online)).collect::<Vec<_>>(), [(PHONE, false)]);
    host.stop().await;
}

#[tokio::test]
async fn apps_are_downloaded_installed_and_removed_after_the_hold() {
    let (mobilecli, server, mut host, mut connection) = start_all(|_| {}).await;
    for (content, name) in [("com.shop", "shop.apk"), ("com.game", "game.apk")] {
        let file = server.add_file(content.as_bytes(), name);
        let params = json!({"uploadId": "u", "path": "/etc/passwd"});
        let id = connection.call_with(PHONE, 1, "device.apps.install", params, Some(file), 10_000).await;
        assert_eq!(connection.answer(id).await.unwrap(), json!({"status": "ok"}));
    }
    let path = mobilecli.params_of("device.apps.install")[0]["path"].as_str().unwrap().to_owned();
    assert!(path.ends_with(".apk") && path.contains("/tmp/"), "{path}");
    let bad = server.add_file(b"bad", "bad.apk");
    let id = connection.call_with(PHONE, 1, "device.apps.install", json!({}), Some(bad), 10_000).await;
    assert_eq!(connection.answer(id).await.unwrap_err().data.unwrap(), "failed to install bad.apk");
    assert_eq!(host.temporary_files(), 0);

    assert_eq!(connection.clean(PHONE, 1).await, None);
    assert_eq!(mobilecli.apps.lock().unwrap().len(), 1);
    assert_eq!(mobilecli.params_of("device.io.button"), [json!({"button": "HOME", "deviceId": PHONE})]);
    assert_eq!(connection.clean(PHONE, 1).await, None);
    assert_eq!(mobilecli.params_of("device.io.button").len(), 1, "a clean device is not cleaned again");
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_was_killed_still_removes_what_was_installed() {
    let dir = tempfile::tempdir().unwrap();
    let (mobilecli, mut server, host, mut connection) =
        start_all(|o| o.state_dir = dir.path().join("kept")).await;
    let file = server.add_file(b"com.shop", "shop.apk");
    let id = connection.call_with(PHONE, 1, "device.apps.install", json!({}), Some(file), 10_000).await;
    connection.answer(id).await.unwrap();
    let mut killed = host;
    killed.stop().await; // a stop cleans nothing
    assert_eq!(mobilecli.apps.lock().unwrap().len(), 2);
    let mut host = Host::start(&[&server], |options| {
        options.state_dir = dir.path().join("kept");
        options.simulate.clear();
        options.mobilecli_url = Some(mobilecli.url());
    });
    let mut connection = server.accept().await;
    assert_eq!(connection.clean(PHONE, 1).await, None);
    assert_eq!(mobilecli.apps.lock().unwrap().len(), 1);
    host.stop().await;
}

#[tokio::test]
async fn recordings_are_stored_on_the_server() {
    let (mobilecli, server, mut host, mut connection) = start_all(|_| {}).await;
    let params = json!({"output": "/etc/cron.d/x", "timeLimit": 5});
    assert_eq!(
        connection.ask(PHONE, 1, "device.screenrecord", params).await.unwrap(),
        json!({"status": "ok"})
    );
    let params = mobilecli.params_of("device.screenrecord")[0].clone();
    assert_eq!(params["timeLimit"], 5);
    assert_ne!(params["output"], "/etc/cron.d/x");
    let place = server.add_file(b"", "film.mp4");
    let id = connection
        .call_with(PHONE, 1, "device.screenrecord.stop", json!({}), Some(place.clone()), 10_000)
        .await;
    assert_eq!(connection.answer(id).await.unwrap(), json!({"status": "ok", "duration": 0}));
    assert_eq!(server.files.lock().unwrap()[&place.id], b"a film");
    let again =
        connection.call_with(PHONE, 1, "device.screenrecord.stop", json!({}), Some(place), 10_000).await;
    assert!(connection.answer(again).await.unwrap_err().data.unwrap().contains("no recording"));

    connection.get(PHONE, 1, "device.screenrecord").await;
    assert_eq!(host.temporary_files(), 1);
    assert_eq!(connection.clean(PHONE, 1).await, None);
    assert_eq!(host.temporary_files(), 0, "a recording that is left running is deleted with its hold");
    host.stop().await;
}

#[tokio::test]
async fn a_device_runs_one_call_at_a_time_and_each_call_has_a_time_limit() {
    let (mobilecli, _server, mut host, mut connection) = start_all(|_| {}).await;
    let url = json!({"url": "https://example.org"});
    let slow = connection.call_with(PHONE, 1, "device.url", url, None, 60_000).await;
    mobilecli.started.notified().await;
    // A call that waits behind it does not start, and does not wait longer than its time limit.
    let waits = connection.call_with(PHONE, 1, "device.io.tap", json!({"x": 1, "y": 1}), None, 50).await;
    assert_eq!(connection.answer(waits).await.unwrap_err().code, DEVICE_TIMEOUT);
    assert!(mobilecli.params_of("device.io.tap").is_empty());
    mobilecli.gate.notify_one();
    connection.answer(slow).await.unwrap();
    for x in 0..20 {
        connection.call(PHONE, 1, "device.io.tap", json!({"x": x, "y": 1})).await;
    }
    connection.get(PHONE, 1, "device.apps.foreground").await;
    let order: Vec<_> =
        mobilecli.params_of("device.io.tap").iter().map(|p| p["x"].as_i64().unwrap()).collect();
    assert_eq!(order, (0..20).collect::<Vec<_>>());
    host.stop().await;
}

#[tokio::test]
async fn the_end_of_a_hold_ends_its_calls() {
    let (mobilecli, _server, mut host, mut connection) = start_all(|_| {}).await;
    let url = json!({"url": "https://example.org"});
    let running = connection.call_with(PHONE, 1, "device.url", url.clone(), None, 60_000).await;
    mobilecli.started.notified().await;
    let queued = connection.call_with(PHONE, 1, "device.url", url, None, 60_000).await;
    connection.send(&ToHost::Clean { serial: PHONE.to_owned(), fence: 1 }).await;
    for id in [running, queued] {
        let error = connection.answer(id).await.unwrap_err();
        assert_eq!(error.code, STALE_HOLD);
        assert!(error.data.unwrap().contains("has ended"));
    }
    assert_eq!(connection.wait_until_cleaned(PHONE, 1).await, None);
    host.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_calls() {
    let (mobilecli, _server, mut host, mut connection) = start_all(|_| {}).await;
    let mut calls = Vec::new();
    for _ in 0..65 {
        calls.push(connection.call(PHONE, 1, "device.url", json!({"url": "x:"})).await);
    }
    let refused = connection.answer(calls.pop().unwrap()).await.unwrap_err();
    assert!(refused.data.unwrap().contains("too many calls"));
    assert_eq!(connection.clean(PHONE, 1).await, None);
    for id in calls {
        assert_eq!(connection.answer(id).await.unwrap_err().code, STALE_HOLD);
    }
    assert!(mobilecli.params_of("device.url").len() <= 1);
    host.stop().await;
}

#[tokio::test]
async fn a_failed_release_command_is_reported_and_cleaning_is_retried() {
    let change = |options: &mut runner::host::HostOptions| {
        options.on_release = Some("echo no such shelf >&2; exit 4".to_owned());
    };
    let (mobilecli, _server, mut host, mut connection) = start_all(change).await;
    let problem = connection.clean(PHONE, 1).await.unwrap();
    assert!(problem.contains("exit status: 4"), "{problem}");
    connection.clean(PHONE, 1).await.unwrap();
    assert_eq!(mobilecli.params_of("device.io.button").len(), 2);
    host.stop().await;
}
