//! Fencing of holds across several servers and old connections.

use protocol::{HoldNotice, STALE_HOLD, ToHost};
use serde_json::json;

use crate::fake_server::{FakeServer, Host};

const PHONE: &str = "box-android-1";

#[tokio::test]
async fn all_connections_share_the_fencing_numbers() {
    let (mut one, mut other) = (FakeServer::start().await, FakeServer::start().await);
    let mut host = Host::start(&[&one, &other], |_| {});
    let (mut first, mut second) = (one.accept().await, other.accept().await);
    first.get(PHONE, 5, "device.info").await;
    second.get(PHONE, 6, "device.info").await;
    let stale = first.ask(PHONE, 5, "device.info", json!({})).await.unwrap_err();
    assert_eq!(stale.code, STALE_HOLD);
    assert!(stale.data.unwrap().contains("newer"));
    // A late end of a hold must not clean the device under a newer hold.
    second.get(PHONE, 6, "device.apps.list").await;
    second.ask(PHONE, 6, "device.io.text", json!({"text": "mine"})).await.unwrap();
    second.ask(PHONE, 6, "device.apps.launch", json!({"bundleId": "com.android.chrome"})).await.unwrap();
    assert_eq!(first.clean(PHONE, 5).await, None);
    let front = second.get(PHONE, 6, "device.apps.foreground").await;
    assert_eq!(front["packageName"], "com.android.chrome");
    host.stop().await;
}

#[tokio::test]
async fn notices_can_only_raise_the_fencing_number() {
    let mut server = FakeServer::start().await;
    let mut host = Host::start(&[&server], |_| {});
    let mut connection = server.accept().await;
    let hold = |fence| HoldNotice { serial: PHONE.to_owned(), fence };
    connection.send(&ToHost::Holds { holds: vec![hold(8)] }).await;
    connection.send(&ToHost::Holds { holds: vec![hold(7)] }).await;
    connection.send(&ToHost::Holds { holds: vec![] }).await;
    assert_eq!(connection.ask(PHONE, 7, "device.info", json!({})).await.unwrap_err().code, STALE_HOLD);
    connection.get(PHONE, 8, "device.info").await;
    assert_eq!(connection.clean(PHONE, 8).await, None);
    assert_eq!(connection.clean(PHONE, 8).await, None);
    assert_eq!(connection.ask(PHONE, 8, "device.info", json!({})).await.unwrap_err().code, STALE_HOLD);
    connection.get(PHONE, 9, "device.info").await;
    host.stop().await;
}
