//! Memory for requests: little for anonymous callers, and one budget for all unfinished requests.

use super::{SOON, address, exchange, header, statuses};
use crate::socket::Socket;
use crate::world::{World, wait_until};
use axum::body::{Body, Bytes};
use domain::permission::Role;
use futures_util::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Routes that accept a body without a credential.
const STRANGERS: [(&str, &str); 9] = [
    ("/tenure/v1/sign-in", "application/json"),
    ("/tenure/v1/sign-in/code", "application/json"),
    ("/login/device/code", "application/json"),
    ("/login/device/token", "application/json"),
    ("/frontend/api/v1/auth/sign-in", "application/json"),
    ("/frontend/api/v1/auth/password-restore", "application/json"),
    ("/sign-in", "application/x-www-form-urlencoded"),
    ("/sign-in/code", "application/x-www-form-urlencoded"),
    ("/restore", "application/x-www-form-urlencoded"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_callers_send_little() {
    let world = World::sqlite().await;
    for (path, kind) in STRANGERS {
        for (bytes, refused) in [(1_000, false), ((16 << 10) + 1, true), (200 << 10, true)] {
            let fill = match kind {
                "application/json" => json!({ "email": "x".repeat(bytes) }).to_string(),
                _ => format!("email={}", "x".repeat(bytes)),
            };
            let response =
                world.caller(None).send("POST", path, &[("content-type", kind)], Body::from(fill)).await;
            assert_eq!(response.status == 413, refused, "{path}, {bytes}: {}", response.text());
            assert_eq!(world.app().front.budget.held_bytes(), 0, "{path}: all is given back");
        }
    }
    // With a valid key a body may be larger, with an invalid one it may not.
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readwrite).await;
    let large = json!({ "name": "one", "system_prompt": "x".repeat(100 << 10) });
    assert_eq!(ana.post("/v1/agents", large.clone()).await.status, 201);
    assert_eq!(world.caller(Some("mob_x")).post("/v1/agents", large).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_bodies_count_until_they_are_answered_or_given_up() {
    let world = World::sqlite().await;
    let acme = world.organization("Acme").await;
    let key = world.member(acme, Role::Readwrite).await.key.clone().unwrap();
    let head = format!(
        "POST /v1/agents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 50000\r\n\r\n"
    );
    let budget = &world.app().front.budget;
    let mut half = TcpStream::connect(address(&world)).await.unwrap();
    half.write_all(format!("{head}{}", "x".repeat(40_000)).as_bytes()).await.unwrap();
    wait_until("the half that was sent counts", || async { budget.held_bytes() == 40_000 }).await;
    let mut other = TcpStream::connect(address(&world)).await.unwrap();
    other.write_all(format!("{head}{}", "x".repeat(50_000)).as_bytes()).await.unwrap();
    let mut response = [0; 12];
    other.read_exact(&mut response).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 400");
    wait_until("what was answered is given back", || async { budget.held_bytes() == 40_000 }).await;
    drop(half);
    wait_until("what was given up is given back", || async { budget.held_bytes() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_takes_at_most_its_share() {
    // An eighth is 64 KiB.
    let world =
        World::sqlite().await.another_server(|settings| settings.request_memory = Some(512 << 10)).await;
    let acme = world.organization("Acme").await;
    let (ana, bob) = (world.member(acme, Role::Admin).await, world.member(acme, Role::Readwrite).await);
    let agent = |bytes: usize| json!({ "name": format!("a{bytes}"), "system_prompt": "x".repeat(bytes) });
    for (wire, path, body) in [
        ("everruns", "/v1/agents", agent(70 << 10)),
        ("devin", "/v3/organizations/sessions", json!({ "prompt": "x".repeat(70 << 10) })),
        ("mobilenext", "/api/v1/organizations", json!({ "name": "x".repeat(70 << 10) })),
        ("tenure", "/tenure/v1/work/claim", json!({ "worker": "x".repeat(70 << 10) })),
    ] {
        let refused = ana.post(path, body).await;
        assert_eq!(refused.status, 503, "{wire}: {}", refused.text());
        assert!(refused.headers.contains_key("retry-after"), "{wire}");
        assert!(refused.text().contains("too many unfinished requests"), "{wire}: {}", refused.text());
    }
    // A client that holds its share gets no more, and another client has a separate share.
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
    sender.send(Ok(Bytes::from(vec![b' '; 60 << 10]))).unwrap();
    let body = stream::unfold(receiver, |mut from| async { from.recv().await.map(|piece| (piece, from)) });
    let slow = ana.call("POST", "/v1/agents", Body::from_stream(body));
    let meanwhile = async {
        wait_until("the slow body counts", || async { world.app().front.budget.held_bytes() == 60 << 10 })
            .await;
        assert_eq!(ana.post("/v1/agents", agent(10_000)).await.status, 503);
        assert_eq!(bob.post("/v1/agents", agent(10_000)).await.status, 201);
        sender.send(Ok(Bytes::from(agent(9).to_string()))).unwrap();
        drop(sender);
    };
    let (slow, ()) = futures_util::join!(slow, meanwhile);
    assert_eq!(slow.status, 201);
    assert_eq!(world.app().front.budget.held_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anonymous_websocket_gets_one_response_and_sends_little() {
    let world = World::sqlite()
        .await
        .another_server(|settings| settings.head_timeout = Duration::from_millis(300))
        .await;
    let nobody = world.caller(None);
    // A silent socket is closed.
    let mut silent = Socket::open(&nobody).await;
    assert_eq!(silent.wait_for_close().await.0, 1008);
    // The limits of the first frame.
    let request = |bytes: usize| json!({ "id": 7, "method": "x".repeat(bytes) }).to_string();
    let mut small = Socket::open(&nobody).await;
    small.send(request(16_000)).await;
    assert_eq!(small.json().await["error"]["code"], -32001);
    assert_eq!(small.wait_for_close().await.0, 1008);
    let mut unreadable = Socket::open(&nobody).await;
    unreadable.send("[").await;
    assert_eq!(unreadable.json().await["error"]["code"], -32700);
    assert_eq!(unreadable.wait_for_close().await.0, 1008, "it does not get another try");
    let mut large = Socket::open(&nobody).await;
    large.send(format!("[{}]", "{\"\":0},".repeat(3_000))).await;
    match large.next().await {
        None | Some(Message::Close(_)) => {}
        other => panic!("a frame of 24 kB was read: {other:?}"),
    }
    wait_until("all are gone", || async { world.app().front.connections.count() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_websockets_are_few() {
    let world = World::sqlite().await;
    let nobody = world.caller(Some("mob_x"));
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(Socket::open(&nobody).await);
    }
    assert_eq!(Socket::try_open(&nobody, "/ws").await.err(), Some(429));
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readonly).await;
    let response = Socket::open(&ana).await.call("devices.list", Value::Null).await;
    assert!(response["result"].is_object(), "a good key of the same address gets in: {response}");
    held.pop();
    wait_until("a place is free", || async { Socket::try_open(&nobody, "/ws").await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_has_a_bounded_number_of_sockets_over_all_keys() {
    let world = World::sqlite().await.another_server(|settings| settings.websockets_per_principal = 3).await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readwrite).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let key = world.actor(ana.principal, Some(acme), None).await;
        held.push(Socket::open(&key).await);
    }
    let one_more = world.actor(ana.principal, Some(acme), None).await;
    assert_eq!(
        Socket::open(&one_more).await.call("devices.list", Value::Null).await["error"]["code"],
        -32030
    );
    let id = ana.agent_session_id().await;
    let refused = one_more.get(&format!("/v1/sessions/{id}/sse")).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_grow_count_in_the_budget() {
    // An eighth is 128 KiB.
    let world =
        World::sqlite().await.another_server(|settings| settings.request_memory = Some(1 << 20)).await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readonly).await;
    let mut socket = Socket::open(&ana).await;
    // Whole frames are read one after the other, and their memory is released.
    for _ in 0..4 {
        let text = "x".repeat(100 << 10);
        assert!(socket.call("devices.list", json!({ "text": text })).await["result"].is_object());
    }
    wait_until("all is given back", || async { world.app().front.budget.held_bytes() == 0 }).await;
    // Fragments of an endless message.
    let stream = &mut socket.0;
    let piece = |first: bool| {
        use tokio_tungstenite::tungstenite::protocol::frame::Frame;
        use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
        let kind = if first { Data::Text } else { Data::Continue };
        Message::Frame(Frame::message(vec![b' '; 20 << 10], OpCode::Data(kind), false))
    };
    for number in 0..6 {
        stream.send(piece(number == 0)).await.unwrap();
        wait_until("the piece counts", || async {
            world.app().front.budget.held_bytes() >= (number + 1) * (20 << 10)
        })
        .await;
    }
    // The budget has no room for the seventh.
    stream.send(piece(false)).await.unwrap();
    let end = tokio::time::timeout(SOON, stream.next()).await.expect("the connection is cut");
    assert!(matches!(end, None | Some(Err(_) | Ok(Message::Close(_)))));
    wait_until("all is given back", || async { world.app().front.budget.held_bytes() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_with_too_many_values_is_refused_and_the_socket_goes_on() {
    let world = World::sqlite().await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readonly).await;
    let mut socket = Socket::open(&ana).await;
    for (params, named) in [
        (format!("[{}0]", "{\"\":0},".repeat(100_000)), "params: expected at most 20000 values"),
        (format!("{}{}", "[".repeat(100), "]".repeat(100)), "params: expected at most 64 levels"),
    ] {
        socket.send(format!("{{\"id\":1,\"method\":\"devices.list\",\"params\":{params}}}")).await;
        let response = socket.json().await;
        assert_eq!(response["error"]["code"], -32600, "{response}");
        assert!(response["error"]["data"].as_str().unwrap().starts_with(named), "{response}");
    }
    assert!(socket.call("devices.list", Value::Null).await["result"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_a_declared_length_is_refused_before_it_is_sent() {
    let world = World::sqlite().await;
    let head = "POST /tenure/v1/sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n";
    let response = exchange(&world, head.as_bytes()).await;
    assert_eq!(statuses(&response), [413], "{response}");
    assert_eq!(header(&response, "connection"), Some("close"));
}
