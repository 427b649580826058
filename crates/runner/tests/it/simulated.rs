//! Simulated devices behave as a client expects.

use base64::Engine;
use serde_json::{Value, json};

use crate::fake_server::{Connection, FakeServer, Host};

const PHONE: &str = "box-android-1";

async fn screenshot(connection: &mut Connection, serial: &str) -> (u32, u32, Vec<u8>) {
    let answer = connection.get(serial, 1, "device.screenshot").await;
    let data = answer["data"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    let file = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    (frame.width, frame.height, pixels)
}

#[tokio::test]
async fn the_screen_shows_the_effect_of_calls() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept().await;
    let (width, height, empty) = screenshot(&mut connection, PHONE).await;
    assert_eq!((width, height), (1080, 2424));
    let mut before = empty.clone();
    for (method, params) in [
        ("device.io.tap", json!({"x": 600, "y": 1800})),
        ("device.io.swipe", json!({"x1": 100, "y1": 2000, "x2": 900, "y2": 1500})),
        ("device.apps.launch", json!({"bundleId": "com.android.settings"})),
        ("device.io.text", json!({"text": "hello"})),
        ("device.io.tap", json!({"x": i64::MAX, "y": -5})),
        ("device.io.orientation.set", json!({"orientation": "landscape"})),
    ] {
        connection.ask(PHONE, 1, method, params.clone()).await.unwrap();
        let (_, _, after) = screenshot(&mut connection, PHONE).await;
        assert_eq!(after == before, params["y"] == -5, "{method}");
        before = after;
    }
    let (width, height, _) = screenshot(&mut connection, PHONE).await;
    assert_eq!((width, height), (2424, 1080));
    assert_eq!(
        connection.get(PHONE, 1, "device.io.orientation.get").await,
        json!({"orientation": "landscape"})
    );
    let elements = connection.get(PHONE, 1, "device.dump.ui").await["elements"].clone();
    assert_eq!(elements[1]["text"], "hello");

    assert_eq!(connection.clean(PHONE, 1).await, None);
    let again = connection.get(PHONE, 2, "device.apps.foreground").await;
    assert_eq!(again["appName"], "Home");
    host.stop().await;
}

#[tokio::test]
async fn apps_are_installed_from_files_and_icons_open_them() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept().await;
    let file = server.add_file(b"an app", "Shop-1.2.apk");
    let install = "device.apps.install";
    let id = connection.call_with(PHONE, 1, install, json!({}), Some(file), 10_000).await;
    connection.answer(id).await.unwrap();
    let empty = server.add_file(b"", "empty.apk");
    let id = connection.call_with(PHONE, 1, install, json!({}), Some(empty), 10_000).await;
    assert!(connection.answer(id).await.unwrap_err().data.unwrap().contains("empty"));
    let missing = protocol::CallFile { id: uuid::Uuid::from_u128(99), name: "gone.apk".to_owned() };
    let id = connection.call_with(PHONE, 1, install, json!({}), Some(missing), 10_000).await;
    assert!(connection.answer(id).await.unwrap_err().data.unwrap().contains("404"));
    assert_eq!(host.temporary_files(), 0);

    let elements = connection.get(PHONE, 1, "device.dump.ui").await["elements"].clone();
    let icon = elements.as_array().unwrap().iter().find(|e| e["label"] == "Shop").unwrap()["rect"].clone();
    let middle = |axis: &str, length: &str| icon[axis].as_i64().unwrap() + icon[length].as_i64().unwrap() / 2;
    let tap = json!({"x": middle("x", "width"), "y": middle("y", "height")});
    connection.ask(PHONE, 1, "device.io.tap", tap).await.unwrap();
    let front = connection.get(PHONE, 1, "device.apps.foreground").await;
    assert_eq!(front["packageName"], "com.example.shop");
    let shop = json!({"bundleId": "com.example.shop"});
    connection.ask(PHONE, 1, "device.apps.uninstall", shop.clone()).await.unwrap();
    assert!(connection.ask(PHONE, 1, "device.apps.launch", shop).await.is_err());
    host.stop().await;
}

#[tokio::test]
async fn a_device_is_offline_and_refuses_calls_during_a_reboot() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept().await;
    let online = |wanted| {
        move |devices: &[protocol::DeviceReport]| {
            devices.iter().any(|d| d.serial == PHONE && d.online == wanted)
        }
    };
    connection.devices(online(true)).await;
    connection.get(PHONE, 1, "device.reboot").await;
    connection.devices(online(false)).await;
    connection.devices(online(true)).await;
    connection.get(PHONE, 1, "device.shutdown").await;
    let off = connection.ask(PHONE, 1, "device.screenshot", json!({})).await.unwrap_err();
    assert_eq!(off.code, protocol::DEVICE_UNAVAILABLE);
    connection.get(PHONE, 1, "device.boot").await;
    connection.get(PHONE, 1, "device.info").await;
    host.stop().await;
}

#[tokio::test]
async fn results_have_the_shapes_that_clients_read() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept().await;
    let info = connection.get("box-ios-1", 1, "device.info").await;
    assert_eq!(info["screenSize"], json!({"width": 393, "height": 852, "scale": 3}));
    assert_eq!(info["device"]["screenSize"], info["screenSize"]);
    assert_eq!(connection.get("box-ios-1", 1, "device.crashes.list").await, json!([]));
    let apps = connection.get("box-ios-1", 1, "device.apps.list").await;
    assert_eq!(
        apps[0],
        json!({"packageName": "com.apple.Preferences", "appName": "Settings", "version": "1.0"})
    );
    connection.get("box-ios-1", 1, "device.screenrecord").await;
    let place = server.add_file(b"", "film.mp4");
    let stop = "device.screenrecord.stop";
    let id = connection.call_with("box-ios-1", 1, stop, json!({}), Some(place.clone()), 10_000).await;
    assert_eq!(connection.answer(id).await.unwrap(), json!({"status": "ok", "duration": 1}));
    assert_eq!(server.files.lock().unwrap()[&place.id][4..8], *b"ftyp");
    for (method, params, code) in [
        ("device.fs.pull", json!({}), -32601),
        ("device.io.tap", json!({"x": "one"}), -32602),
        ("device.io.tap", Value::Null, -32602),
        ("device.io.button", json!({"button": "EJECT"}), -32000),
        ("device.location.set", json!({"latitude": 91, "longitude": 0}), -32602),
    ] {
        assert_eq!(connection.ask("box-ios-1", 1, method, params).await.unwrap_err().code, code, "{method}");
    }
    host.stop().await;
}
