//! The WebSocket, over TCP.

use crate::world::{Actor, World, wait_until};
use domain::permission::Role;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a WebSocket, or returns the status of the refusal.
    pub async fn try_open(actor: &Actor<'_>, path: &str) -> Result<Socket, u16> {
        let url = format!("ws://{}{path}", actor.world.server.address());
        let mut request = url.into_client_request().unwrap();
        if let Some(key) = &actor.key {
            request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        if let Some(organization) = &actor.organization {
            request.headers_mut().insert("x-organization-id", organization.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a WebSocket with a given request.
    pub async fn open_with(request: tungstenite::handshake::client::Request) -> Socket {
        Socket(connect_async(request).await.unwrap().0)
    }

    /// Opens `/ws` with a query string and a key in the header.
    async fn open_with_query(world: &World, query: &str, key: Option<&str>) -> Socket {
        Socket::try_open(&world.caller(key), &format!("/ws{query}")).await.unwrap()
    }

    pub async fn open(actor: &Actor<'_>) -> Socket {
        Socket::try_open(actor, "/ws").await.unwrap()
    }

    pub async fn send_frame(&mut self, frame: Message) {
        self.0.send(frame).await.unwrap();
    }

    /// The code and reason of the close frame that comes next.
    pub async fn wait_for_close(&mut self) -> (u16, String) {
        match self.next().await {
            Some(Message::Close(Some(frame))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("expected a close frame with a reason, got {other:?}"),
        }
    }

    pub async fn send(&mut self, text: impl ToString) {
        self.0.send(Message::text(text.to_string())).await.unwrap();
    }

    /// The next frame that is not a ping.
    pub async fn next(&mut self) -> Option<Message> {
        let frame = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(message)) => return Some(message),
                    _ => return None,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), frame).await.expect("a frame")
    }

    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a text frame, got {other:?}"),
        }
    }

    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })).await;
        self.json().await
    }
}

pub fn android() -> Value {
    json!({ "filters": [{ "attribute": "platform", "operator": "EQUALS", "value": "android" }] })
}

both! {
    async fn a_key_comes_by_header_or_query_but_not_both(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let key = ana.key.as_deref();
        let by_query = format!("?token={}", key.unwrap());
        for (query, key, good) in [
            ("", key, true), (by_query.as_str(), None, true), (by_query.as_str(), key, false), ("", None, false),
            ("?token=", None, false), ("?token=mob_x", None, false),
        ] {
            let mut socket = Socket::open_with_query(world, query, key).await;
            let response = socket.call("devices.list", Value::Null).await;
            if good {
                assert_eq!(response, json!({ "jsonrpc": "2.0", "id": 1, "result": { "devices": [] } }), "{query}");
            } else {
                assert_eq!((&response["error"]["code"], &response["error"]["message"]), (&json!(-32001), &json!("Unauthorized")));
                assert!(response["error"]["data"].as_str().unwrap().contains("credentials"), "{query}");
                assert!(matches!(socket.next().await, Some(Message::Close(_))), "{query}");
            }
        }
    }

    async fn invalid_frames_get_an_error(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let mut socket = Socket::open(&ana).await;
        #[rustfmt::skip]
        let table = [
            ("{",                                                     -32700, json!(null)),
            ("[]",                                                    -32600, json!(null)),
            ("7",                                                     -32600, json!(null)),
            (r#"{"id":1}"#,                                           -32600, json!(1)),
            (r#"{"id":{},"method":"x"}"#,                             -32600, json!(null)),
            (r#"{"id":1,"method":7}"#,                                -32600, json!(1)),
            (r#"{"id":"a","method":"x","params":[]}"#,                -32602, json!("a")),
            (r#"{"id":"a","method":"nothing"}"#,                      -32601, json!("a")),
            (r#"{"id":1.5,"method":"nothing"}"#,                      -32601, json!(1.5)),
            (r#"{"id":1,"method":"fleet.allocate"}"#,                 -32003, json!(1)),
            (r#"{"id":1,"method":"device.info","params":{}}"#,        -32003, json!(1)),
        ];
        for (frame, code, id) in table {
            socket.send(frame).await;
            let response = socket.json().await;
            assert_eq!((&response["error"]["code"], &response["id"]), (&json!(code), &id), "{frame}");
            assert!(response["error"]["data"].is_string(), "{frame}: {response}");
        }
        // A notification gets no response: the next frame belongs to the next request.
        socket.send(r#"{"method":"nothing"}"#).await;
        assert_eq!(socket.call("devices.list", Value::Null).await["result"], json!({ "devices": [] }));
    }

    async fn a_device_is_taken_driven_and_given_back(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        let offers = socket.call("fleet.listDevices", json!({})).await["result"]["devices"].clone();
        assert_eq!(offers, json!([{ "name": "Pixel 9", "platform": "android", "type": "emulator", "version": "16", "formFactor": "phone" }]));
        let got = socket.call("fleet.allocate", android()).await["result"].clone();
        assert_eq!(got["device"]["id"], "one");
        let held = socket.call("devices.list", json!({})).await["result"]["devices"][0].clone();
        assert_eq!(held["provider"], json!({ "type": "mobilenext", "allocationId": got["allocationId"], "sessionId": got["sessionId"] }));
        let waiting = socket.call("fleet.allocate", android()).await["result"].clone();
        assert_eq!(waiting["state"], "allocating");
        let listed = socket.call("devices.list", json!({})).await["result"]["devices"][1].clone();
        assert_eq!((&listed["state"], &listed["provider"]["allocationId"]), (&json!("allocating"), &waiting["allocationId"]));
        let tapped = socket.call("device.io.tap", json!({ "deviceId": "one", "x": 1, "y": 2 })).await["result"].clone();
        assert_eq!(tapped, json!({ "serial": "one", "method": "device.io.tap", "params": { "x": 1, "y": 2 } }));
        let released = socket.call("fleet.release", json!({ "deviceId": waiting["allocationId"] })).await;
        assert_eq!(released["result"], json!({ "status": "ok" }));
        assert_eq!(socket.call("fleet.release", json!({ "deviceId": "one" })).await["result"], json!({ "status": "ok" }));
        let refused = socket.call("device.io.tap", json!({ "deviceId": "one" })).await["error"].clone();
        assert_eq!((&refused["code"], refused["data"].is_string()), (&json!(-32010), true));
        host.leave().await;
    }

    async fn a_device_of_another_user_is_not_driven(world: &World) {
        let acme = world.organization("Acme").await;
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let admin = world.member(acme, Role::Admin).await;
        let globex = world.organization("Globex").await;
        let dora = world.member(globex, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        Socket::open(&ana).await.call("fleet.allocate", android()).await;
        for (actor, code) in [(&ben, -32003), (&dora, -32010)] {
            let mut socket = Socket::open(actor).await;
            for method in ["device.io.tap", "fleet.release"] {
                let refused = socket.call(method, json!({ "deviceId": "one" })).await["error"].clone();
                assert_eq!(refused["code"], code, "{method}: {refused}");
            }
        }
        assert!(host.calls.lock().unwrap().is_empty());
        host.leave().await;
    }

    async fn a_subscriber_is_notified_of_changes(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        assert_eq!(socket.call("devices.subscribe", json!({})).await["result"], json!({ "status": "ok" }));
        let session = ana.session().await;
        ana.ask(&session, "android").await;
        let mut told = Vec::new();
        while !told.iter().any(|note: &Value| note.to_string().contains("\"online\"")) {
            let note = socket.json().await;
            assert_eq!((&note["method"], note.get("id")), (&json!("devices.changed"), None));
            told.push(note["params"].clone());
        }
        ana.release(&session, "one").await;
        let mut note = socket.json().await;
        while note["params"]["removed"] == json!([]) {
            note = socket.json().await;
        }
        assert_eq!(note["params"]["removed"][0]["id"], "one");
        host.leave().await;
    }

    async fn an_upload_is_sent_and_installed(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        for (name, size, code) in [("../x", 1, -32040), ("", 1, -32040), ("a.apk", 0, -32041), ("a.apk", 1u64 << 40, -32041)] {
            let refused = socket.call("uploads.create", json!({ "filename": name, "filesize": size })).await;
            assert_eq!(refused["error"]["code"], code, "{name} {size}");
        }
        let upload = socket.call("uploads.create", json!({ "filename": "a.apk", "filesize": 5 })).await["result"].clone();
        let install = json!({ "deviceId": "one", "uploadId": upload["uploadId"] });
        let early = socket.call("device.apps.install", install.clone()).await;
        assert_eq!(early["error"]["code"], -32602, "before its bytes were sent");
        let path = upload["uploadUrl"].as_str().unwrap().strip_prefix(world.server.base_url()).unwrap().to_owned();
        let anyone = world.caller(None);
        for (body, status) in [("abcdef", 413), ("abc", 400), ("abcde", 200), ("abcde", 409)] {
            assert_eq!(anyone.call("PUT", &path, body.into()).await.status, status, "{body}");
        }
        assert_eq!(anyone.get(&path).await.status, 404, "an upload is not read back by its address");
        assert!(socket.call("device.apps.install", install.clone()).await.get("result").is_some());
        let fetched = admin.get(&format!("/tenure/v1/host/files/{}", upload["uploadId"].as_str().unwrap())).await;
        assert_eq!((fetched.status.as_u16(), fetched.text().as_str()), (200, "abcde"));
        world.advance(domain::time::Span::minutes(61));
        assert_eq!(socket.call("device.apps.install", install).await["error"]["code"], -32011, "expired");
        world.sweep().await;
        assert_eq!(world.store().count_used_bytes(&store::System::for_administration().grant(acme)).await.unwrap(), 0);
        host.leave().await;
    }

    async fn a_recording_is_fetched_by_the_url_in_the_response(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        host.mute.store(true, Ordering::SeqCst);
        socket.send(json!({ "id": 2, "method": "device.screenrecord.stop", "params": { "deviceId": "one" } })).await;
        let (id, file) = host.wait_for_call("device.screenrecord.stop").await;
        let put = format!("/tenure/v1/host/files/{}", file.unwrap().id);
        // Only the host's own organization may send it, once.
        let globex = world.organization("Globex").await;
        let dora = world.member(globex, Role::Admin).await;
        for (actor, status) in [(&dora, 404), (&ana, 403), (&admin, 200), (&admin, 404)] {
            let sent = actor.call("PUT", &put, "a film".into()).await;
            assert_eq!(sent.status, status, "{}", sent.text());
        }
        let result = json!({ "output": "recording.mp4" });
        host.send_frame(protocol::FromHost::Answer { id, result: Some(result), error: None }).await;
        let stopped = socket.json().await["result"].clone();
        assert_eq!(stopped["output"], "recording.mp4");
        let path = stopped["url"].as_str().unwrap().strip_prefix(world.server.base_url()).unwrap().to_owned();
        let film = world.caller(None).get(&path).await;
        assert_eq!((film.status.as_u16(), film.text().as_str()), (200, "a film"));
        assert_eq!(film.headers["content-disposition"], "attachment; filename=\"recording.mp4\"");
        assert_eq!(world.caller(None).call("PUT", &path, "another".into()).await.status, 404);
        world.advance(domain::time::Span::minutes(7 * 24 * 60 + 1));
        assert_eq!(world.caller(None).get(&path).await.status, 404, "it is kept for 7 days");
        host.leave().await;
    }

    async fn an_unresponsive_device_does_not_delay_others(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let slow = world.host(&admin, "slow", &[("one", "android")]).await;
        let fast = world.host(&admin, "fast", &[("two", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        socket.call("fleet.allocate", android()).await;
        slow.mute.store(true, Ordering::SeqCst);
        socket.send(json!({ "id": "slow", "method": "device.info", "params": { "deviceId": "one" } })).await;
        socket.send(json!({ "id": "fast", "method": "device.info", "params": { "deviceId": "two" } })).await;
        assert_eq!(socket.json().await["id"], "fast");
        slow.leave().await;
        let response = socket.json().await;
        assert_eq!((&response["id"], &response["error"]["code"]), (&json!("slow"), &json!(-32021)), "the host left");
        fast.leave().await;
    }

    async fn a_revoke_takes_effect_at_the_next_frame(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let mut socket = Socket::open(&ana).await;
        assert!(socket.call("devices.list", json!({})).await.get("result").is_some());
        let system = store::System::for_administration();
        world.store().revoke_credential(&system, ana.credential, crate::world::START).await.unwrap();
        assert_eq!(socket.call("devices.list", json!({})).await["error"]["code"], -32001);
    }

    async fn a_key_has_a_bounded_number_of_sockets(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let few = world.another_server(|settings| settings.websockets_per_credential = 4).await;
        let ana = ana.at_server(&few);
        let mut open = Vec::new();
        for _ in 0..4 {
            let mut socket = Socket::open(&ana).await;
            socket.call("devices.list", json!({})).await;
            open.push(socket);
        }
        assert_eq!(Socket::open(&ana).await.call("devices.list", json!({})).await["error"]["code"], -32030);
        open.pop();
        wait_until("the place of the one that was closed is free", || async {
            Socket::open(&ana).await.call("devices.list", json!({})).await.get("result").is_some()
        }).await;
    }

    async fn a_stopping_server_finishes_running_calls_and_closes_the_socket(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        socket.send(json!({ "id": 9, "method": "device.info", "params": { "deviceId": "one" } })).await;
        wait_until("the command is at the host", || async { !host.calls.lock().unwrap().is_empty() }).await;
        world.stop.cancel();
        assert_eq!(socket.json().await["id"], 9);
        assert_eq!(socket.wait_for_close().await, (1001, "the server is stopping".to_owned()));
    }

    async fn a_stopping_server_does_not_wait_for_an_unresponsive_device(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let brief = world.another_server(|settings| {
            settings.stop_grace = Duration::from_millis(500);
            settings.call_timeout = Duration::from_secs(60);
        }).await;
        let (ana, admin) = (ana.at_server(&brief), admin.at_server(&brief));
        let host = brief.host(&admin, "rack", &[("one", "android")]).await;
        host.mute.store(true, Ordering::SeqCst);
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        socket.send(json!({ "id": 9, "method": "device.info", "params": { "deviceId": "one" } })).await;
        host.wait_for_call("device.info").await;
        brief.stop.cancel();
        assert_eq!(socket.wait_for_close().await, (1001, "the server is stopping".to_owned()));
    }

    async fn no_notice_is_sent_before_the_first_response(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        let session = ana.session().await;
        for _ in 0..3 {
            assert_eq!(ana.ask(&session, "android").await.status.as_u16() / 100, 2);
        }
        socket.send(r#"{"jsonrpc":"2.0","id":"first","method":"devices.subscribe"}"#).await;
        assert_eq!(socket.json().await, json!({ "jsonrpc": "2.0", "id": "first", "result": { "status": "ok" } }));
        host.leave().await;
    }

    async fn an_unsubscribed_socket_gets_no_notices(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        for method in ["devices.subscribe", "devices.unsubscribe"] {
            assert_eq!(socket.call(method, json!({})).await["result"], json!({ "status": "ok" }));
        }
        let session = ana.session().await;
        assert_eq!(ana.ask(&session, "android").await.status, 201);
        let next = socket.call("devices.list", json!({})).await;
        assert_eq!(next["result"]["devices"][0]["id"], "one", "the next frame is the answer: {next}");
        host.leave().await;
    }

    async fn a_subscriber_gets_no_notices_about_others(world: &World) {
        let (acme, globex) = (world.organization("Acme").await, world.organization("Globex").await);
        let (ana, ben) = (world.member(acme, Role::Readwrite).await, world.member(acme, Role::Readwrite).await);
        let dora = world.member(globex, Role::Readwrite).await;
        let account = world.account_member(domain::permission::AccountRole::Admin).await;
        let host = world.host(&account, "pool", &[("one", "android"), ("two", "android"), ("three", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("devices.subscribe", json!({})).await;
        let mut own = Value::Null;
        for actor in [&ben, &dora, &ana] {
            let session = actor.session().await;
            let asked = actor.ask(&session, "android").await;
            assert_eq!(asked.status, 201);
            own = asked.json()["allocationId"].clone();
        }
        loop {
            let note = socket.json().await["params"].clone();
            let told = ["added", "updated"].map(|list| note[list].as_array().unwrap().clone()).concat();
            assert!(told.iter().all(|device| device["provider"]["allocationId"] == own), "only her own: {note}");
            if told.iter().any(|device| device["state"] == "online") {
                break;
            }
        }
        host.leave().await;
    }

    async fn commands_reach_a_device_in_the_order_they_were_sent(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android"), ("two", "android")]).await;
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        socket.call("fleet.allocate", android()).await;
        for number in 0..100 {
            let device = if number % 3 == 0 { "two" } else { "one" };
            let params = json!({ "deviceId": device });
            socket.send(json!({ "id": number, "method": format!("device.io.tap{number:03}"), "params": params })).await;
        }
        let mut answered = Vec::new();
        for _ in 0..100 {
            answered.push(socket.json().await["id"].as_i64().unwrap());
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..100).collect::<Vec<_>>(), "each is answered once");
        for device in ["one", "two"] {
            let calls = host.calls.lock().unwrap().clone();
            let methods = calls.iter().filter(|(serial, ..)| serial == device).map(|(.., method)| method);
            assert!(methods.is_sorted(), "{device}: {calls:?}");
        }
        host.leave().await;
    }

    async fn a_device_timeout_is_reported_as_an_error(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let hasty = world.another_server(|settings| settings.call_timeout = Duration::from_millis(50)).await;
        let host = hasty.host(&admin.at_server(&hasty), "rack", &[("one", "android")]).await;
        host.mute.store(true, Ordering::SeqCst);
        let mut socket = Socket::open(&ana.at_server(&hasty)).await;
        socket.call("fleet.allocate", android()).await;
        let error = socket.call("device.info", json!({ "deviceId": "one" })).await["error"].clone();
        assert_eq!((&error["code"], &error["message"]), (&json!(-32050), &json!("DeviceTimeout")));
        assert!(error["data"].as_str().unwrap().starts_with("the device did not answer"), "{error}");
        // The hold stays open, and the next command works.
        host.mute.store(false, Ordering::SeqCst);
        assert!(socket.call("device.info", json!({ "deviceId": "one" })).await.get("result").is_some());
        host.leave().await;
    }

    async fn errors_of_the_driver_are_passed_on_as_text(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let admin = world.member(acme, Role::Admin).await;
        let host = world.host(&admin, "rack", &[("one", "android")]).await;
        host.mute.store(true, Ordering::SeqCst);
        let mut socket = Socket::open(&ana).await;
        socket.call("fleet.allocate", android()).await;
        for (method, data, expected) in [
            ("device.io.tap", Some("no such place"), "no such place"), ("device.io.text", None, "Server error"),
        ] {
            socket.send(json!({ "id": 1, "method": method, "params": { "deviceId": "one" } })).await;
            let (id, _) = host.wait_for_call(method).await;
            let error = protocol::CallError { code: -32000, message: "Server error".into(), data: data.map(str::to_owned) };
            host.send_frame(protocol::FromHost::Answer { id, result: None, error: Some(error) }).await;
            let error = socket.json().await["error"].clone();
            assert_eq!(error, json!({ "code": -32000, "message": "Server error", "data": expected }));
        }
        host.leave().await;
    }

    async fn binary_frames_close_the_socket(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let mut socket = Socket::open(&ana).await;
        socket.send_frame(Message::binary(b"{}".to_vec())).await;
        assert_eq!(socket.wait_for_close().await, (1008, "expected text frames of JSON".to_owned()));
        let mut socket = Socket::open(&ana).await;
        for frame in ["[".repeat(100_000), r#"{"id":1,"method":"\ud800"}"#.to_owned(), String::new(), "nul\0".to_owned()] {
            socket.send(&frame).await;
            let response = socket.json().await;
            let code = if frame.starts_with('[') { -32600 } else { -32700 };
            assert_eq!(response["error"]["code"], code, "{:.40}: {response}", frame);
            assert!(response["error"]["data"].is_string());
        }
        assert!(socket.call("devices.list", json!({})).await.get("result").is_some(), "and it goes on");
    }
}
