//! Connections: which hosts are accepted, the first frames, and what happens when a connection is lost.

use axum::extract::ws::{CloseFrame, Message};
use protocol::{FromHost, PROTOCOL_VERSION, ToHost};
use runner::host::HostError;
use serde_json::json;
use uuid::Uuid;

use crate::fake_server::{FakeServer, Host};

#[tokio::test]
async fn a_host_introduces_itself_and_its_devices() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept_raw().await;
    match connection.frame().await {
        FromHost::Hello { protocol, name, .. } => {
            assert_eq!((protocol, name.as_str()), (PROTOCOL_VERSION, "box"))
        }
        other => panic!("{other:?}"),
    }
    connection.send(&ToHost::Welcome { protocol: PROTOCOL_VERSION, host: Uuid::nil() }).await;
    let devices = connection.devices(|_| true).await;
    let seen: Vec<_> =
        devices.iter().map(|d| (d.serial.as_str(), d.kind.as_str(), d.name.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("box-android-1", "emulator", "Pixel 9 (simulated)"),
            ("box-ios-1", "simulator", "iPhone 16 (simulated)")
        ]
    );
    host.stop().await;
    assert!(connection.try_frame().await.is_none());
}

#[tokio::test]
async fn a_refused_key_ends_the_host_with_a_message() {
    let server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |options| options.token = "mob_wrong".to_owned());
    let error = host.wait_for_end().await.unwrap_err();
    assert!(matches!(error, HostError::Refused { status: 401, .. }));
    let sentence = error.to_string();
    assert!(sentence.contains("refused the key") && !sentence.contains("mob_wrong"), "{sentence}");
}

#[tokio::test]
async fn a_host_whose_name_another_took_ends_instead_of_taking_it_back() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept().await;
    let frame = CloseFrame { code: protocol::CLOSE_REPLACED, reason: "another".into() };
    connection.socket.send(Message::Close(Some(frame))).await.unwrap();
    let sentence = host.wait_for_end().await.unwrap_err().to_string();
    assert!(sentence.contains("under this name") && sentence.contains("--name"), "{sentence}");
}

#[tokio::test]
async fn invalid_options_are_refused_at_once() {
    let server = FakeServer::start().await;
    let ended = async |change: fn(&mut runner::host::HostOptions)| {
        Host::start(&[&server], change).wait_for_end().await.unwrap_err().to_string()
    };
    assert!(ended(|o| o.servers.clear()).await.contains("--server"));
    assert!(ended(|o| o.servers = vec!["t.example".into()]).await.contains("http://"));
    assert!(ended(|o| o.token = "a b\n".into()).await.contains("key"));
    assert!(
        ended(|o| o.mobilecli = Some("/nonexistent/mobilecli".into()))
            .await
            .contains("mobilecli was not found")
    );
}

#[tokio::test]
async fn a_lost_connection_comes_back_with_the_devices_and_the_fences() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut first = server.accept().await;
    first.get("box-android-1", 7, "device.info").await;
    drop(first);
    let mut second = server.accept().await;
    assert_eq!(second.devices(|_| true).await.len(), 2);
    let stale = second.ask("box-android-1", 6, "device.info", json!({})).await.unwrap_err();
    assert_eq!(stale.code, protocol::STALE_HOLD);
    second.get("box-android-1", 7, "device.info").await;
    host.stop().await;
}

#[tokio::test]
async fn an_unknown_order_closes_the_connection_with_a_reason() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept().await;
    connection.devices(|_| true).await;
    connection.socket.send(Message::text(r#"{"type":"explode"}"#)).await.unwrap();
    let closed = loop {
        match connection.socket.recv().await.unwrap().unwrap() {
            Message::Close(Some(frame)) => break frame,
            _ => continue,
        }
    };
    assert!(closed.reason.contains("does not understand"), "{}", closed.reason);
    // Unknown fields are ignored.
    let mut connection = server.accept().await;
    let holds = r#"{"type":"holds","holds":[{"serial":"box-ios-1","fence":3,"new":1}],"more":true}"#;
    connection.socket.send(Message::text(holds)).await.unwrap();
    let stale = connection.ask("box-ios-1", 2, "device.info", json!({})).await.unwrap_err();
    assert_eq!(stale.code, protocol::STALE_HOLD);
    host.stop().await;
}

#[tokio::test]
async fn another_version_of_the_protocol_is_refused() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept_raw().await;
    connection.frame().await;
    connection.send(&ToHost::Welcome { protocol: PROTOCOL_VERSION + 1, host: Uuid::nil() }).await;
    assert!(connection.try_frame().await.is_none());
    server.accept().await; // the host connects again
    host.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_does_not_disturb_another() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |options| options.servers.push("http://127.0.0.1:9".to_owned()));
    let mut connection = server.accept().await;
    connection.get("box-android-1", 1, "device.info").await;
    host.stop().await;
}
