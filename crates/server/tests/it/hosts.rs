//! The WebSocket of a host, over TCP: its frames, and how it ends.

use crate::socket::{Socket, android};
use crate::world::{Actor, wait_until};
use domain::permission::Role;
use serde_json::{Value, json};
use store::System;
use tokio_tungstenite::tungstenite::Message;

const PATH: &str = "/tenure/v1/host";

/// A connected host that has reported its devices.
async fn connect(owner: &Actor<'_>, name: &str, serials: &[&str]) -> Socket {
    let mut line = Socket::try_open(owner, PATH).await.unwrap();
    line.send(hello(name)).await;
    assert_eq!(line.json().await["type"], "welcome");
    line.send(devices(serials)).await;
    assert_eq!(line.json().await["type"], "holds");
    line
}

fn hello(name: &str) -> Value {
    json!({ "type": "hello", "protocol": protocol::PROTOCOL_VERSION, "name": name, "version": "1" })
}

fn devices(serials: &[&str]) -> Value {
    let device = |serial: &&str| {
        json!({ "serial": serial, "platform": "android", "type": "emulator", "name": "Pixel 9", "version": "16",
                "online": true })
    };
    json!({ "type": "devices", "devices": serials.iter().map(device).collect::<Vec<_>>() })
}

/// The next order of a type.
async fn order(line: &mut Socket, kind: &str) -> Value {
    loop {
        let order = line.json().await;
        if order["type"] == kind {
            return order;
        }
    }
}

both! {
    async fn a_refused_host_gets_a_status_its_program_understands(world: &World) {
        let acme = world.organization("Acme").await;
        let globex = world.organization("Globex").await;
        let admin = world.member(acme, Role::Admin).await;
        let readwrite = world.member(acme, Role::Readwrite).await;
        for (actor, status) in [(world.caller(None), 401), (world.caller(Some("tnr_x")), 401), (readwrite, 403), (admin.naming(globex), 403)] {
            assert_eq!(Socket::try_open(&actor, PATH).await.err(), Some(status));
        }
    }

    async fn a_device_goes_through_a_whole_hold(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let mut line = connect(&admin, "rack", &["one"]).await;
        let mut socket = Socket::open(&ana).await;
        assert_eq!(socket.call("fleet.allocate", android()).await["result"]["device"]["id"], "one");
        socket.send(json!({ "id": 7, "method": "device.io.tap", "params": { "deviceId": "one", "x": 1 } })).await;
        let call = order(&mut line, "call").await;
        let seen = json!([call["serial"], call["fence"], call["method"], call["params"], call["timeoutMs"]]);
        assert_eq!(seen, json!(["one", 1, "device.io.tap", { "x": 1 }, 5000]));
        // A reply without a call is dropped.
        line.send(json!({ "type": "answer", "id": 999, "result": "stray" })).await;
        line.send(json!({ "type": "answer", "id": call["id"], "result": { "tapped": true } })).await;
        assert_eq!(socket.json().await, json!({ "jsonrpc": "2.0", "id": 7, "result": { "tapped": true } }));
        socket.call("fleet.release", json!({ "deviceId": "one" })).await;
        assert_eq!(order(&mut line, "clean").await, json!({ "type": "clean", "serial": "one", "fence": 1 }));
        // Only the fencing number of the ended hold frees it.
        let waiting = socket.call("fleet.allocate", android()).await["result"].clone();
        assert_eq!(waiting["state"], "allocating");
        for fence in [0, 2] {
            line.send(json!({ "type": "cleaned", "serial": "one", "fence": fence })).await;
        }
        line.send(devices(&["one"])).await;
        order(&mut line, "holds").await;
        world.app().queue.run().await;
        assert_eq!(socket.call("devices.list", json!({})).await["result"]["devices"][0]["state"], "allocating");
        line.send(json!({ "type": "cleaned", "serial": "one", "fence": 1 })).await;
        let session = waiting["sessionId"].as_str().unwrap();
        wait_until("the waiter has it", || async { ana.devices_of(session).await[0]["status"] == "in_use" }).await;
        line.send(devices(&["one"])).await;
        assert_eq!(order(&mut line, "holds").await["holds"], json!([{ "serial": "one", "fence": 2 }]));
    }

    async fn an_invalid_frame_closes_the_hosts_connection_with_a_reason(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let strange = json!({ "type": "hello", "protocol": 999, "name": "rack", "version": "1" });
        let long = "x".repeat(201);
        for (first, reason) in [
            ("{".to_owned(), "hello: expected a hello as the first frame"),
            (devices(&["one"]).to_string(), "hello: expected a hello as the first frame"),
            (strange.to_string(), "hello: expected protocol 1, got 999: use the same version of tenure on both sides"),
            (hello("").to_string(), "name: expected 1 to 200 bytes without control characters"),
            (hello("a\nb").to_string(), "name: expected 1 to 200 bytes without control characters"),
            (hello(&long).to_string(), "name: expected 1 to 200 bytes without control characters"),
        ] {
            let mut line = Socket::try_open(&admin, PATH).await.unwrap();
            line.send(first).await;
            assert_eq!(line.wait_for_close().await, (1008, reason.to_owned()));
        }
        let many = (0..1_001).map(|number| format!("d{number}")).collect::<Vec<_>>();
        let many = many.iter().map(String::as_str).collect::<Vec<_>>();
        for (frame, reason) in [
            (Message::text(hello("rack").to_string()), "no second hello"),
            (Message::text(r#"{"type":"dance"}"#), "unknown variant"),
            (Message::text("7"), "cannot be read"),
            (Message::text(devices(&many).to_string()), "at most 1000"),
            (Message::binary(b"{}".to_vec()), "expected text frames"),
        ] {
            let mut line = connect(&admin, "rack", &[]).await;
            line.send_frame(frame).await;
            let (code, told) = line.wait_for_close().await;
            assert!(code == 1008 && told.contains(reason), "{code} {told}");
        }
    }

    async fn invalid_devices_are_left_out_and_the_others_stay(world: &World) {
        let acme = world.organization("Acme").await;
        let admin = world.member(acme, Role::Admin).await;
        let mut line = connect(&admin, "rack", &[]).await;
        let mut report = devices(&["one", "one", "", "a\u{7}b", "two"]);
        report["devices"][4]["platform"] = json!("beos");
        line.send(report).await;
        order(&mut line, "holds").await;
        let known = world.store().list_all_devices(&System::for_administration()).await.unwrap();
        assert_eq!(known.iter().map(|device| device.serial.as_str()).collect::<Vec<_>>(), ["one"]);
    }

    async fn a_newer_connection_of_the_same_host_takes_over(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let mut older = connect(&admin, "rack", &["one"]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        let mut newer = connect(&admin, "rack", &["one"]).await;
        // The host program exits on this code: otherwise two machines of one name would disconnect each other for ever.
        let told = (protocol::CLOSE_REPLACED, "another host has connected under this name".to_owned());
        assert_eq!(older.wait_for_close().await, told);
        socket.send(json!({ "id": 1, "method": "device.info", "params": { "deviceId": "one" } })).await;
        let call = order(&mut newer, "call").await;
        assert_eq!(call["fence"], 1, "the hold stands");
        newer.send(json!({ "type": "answer", "id": call["id"], "result": {} })).await;
        assert_eq!(socket.json().await["result"], json!({}));
    }

    async fn a_host_of_another_organization_with_the_same_name_takes_nothing_over(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (admin, dora) = (world.member(acme, Role::Admin).await, world.member(globex, Role::Admin).await);
        let mut ours = connect(&admin, "rack", &["one"]).await;
        let mut theirs = connect(&dora, "rack", &["one"]).await;
        for (owner, line) in [(&admin, &mut ours), (&dora, &mut theirs)] {
            let mut socket = Socket::open(owner).await;
            socket.call("fleet.allocate", android()).await;
            socket.send(json!({ "id": 1, "method": "device.info", "params": { "deviceId": "one" } })).await;
            let call = order(line, "call").await;
            line.send(json!({ "type": "answer", "id": call["id"], "result": {} })).await;
            assert_eq!(socket.json().await["result"], json!({}));
        }
    }

    async fn a_stopping_server_waits_for_replies_of_its_hosts(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let mut line = connect(&admin, "rack", &["one"]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        socket.send(json!({ "id": 9, "method": "device.info", "params": { "deviceId": "one" } })).await;
        let call = order(&mut line, "call").await;
        world.stop.cancel();
        let ready = world.caller(None);
        wait_until("it is no longer ready", || async { ready.get("/readyz").await.status == 503 }).await;
        line.send(json!({ "type": "answer", "id": call["id"], "result": "done" })).await;
        assert_eq!(socket.json().await, json!({ "jsonrpc": "2.0", "id": 9, "result": "done" }));
        assert_eq!(socket.wait_for_close().await, (1001, "the server is stopping".to_owned()));
        assert_eq!(line.wait_for_close().await, (1001, "the server is stopping".to_owned()));
    }
}
