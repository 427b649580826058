//! Limits of heads, of time, and of connections.

use super::{SOON, address, exchange, header, statuses};
use crate::world::{World, wait_until};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const A_MOMENT: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_over_the_limits_are_refused_in_the_words_of_the_wire() {
    let world = World::sqlite().await;
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n")
    };
    let long =
        |bytes: usize| format!("/api/v1/sessions?x={}", "a".repeat(bytes - "/api/v1/sessions?x=".len()));
    let wide = |bytes: usize| format!("x: {}\r\n", "a".repeat(bytes));
    #[rustfmt::skip]
    let table = [
        ("as long as may be",  get(&long(16 << 10), ""),                               401, "unauthorized"),
        ("a little longer",    get(&long((16 << 10) + 1), ""),                         414, "uri_too_long"),
        ("60 kB",              get(&long(60 << 10), ""),                               414, "uri_too_long"),
        ("64 kB",              get(&long(64 << 10), ""),                               414, ""),
        ("wide",               get("/api/v1/sessions", &wide(32_000)),                 401, "unauthorized"),
        ("wider",              get("/api/v1/sessions", &wide(32 << 10)),               431, "headers_too_large"),
        ("64 kB of headers",   get("/api/v1/sessions", &wide(64 << 10)),               431, "headers_too_large"),
        ("many",               get("/api/v1/sessions", &"x: y\r\n".repeat(98)),        401, "unauthorized"),
        // Hyper itself refuses a much larger head, without a body.
        ("a thousand",         get("/api/v1/sessions", &"x: y\r\n".repeat(1000)),      431, ""),
        ("a megabyte",         get("/api/v1/sessions", &wide(1 << 20)),                431, ""),
        ("a line of a megabyte", get(&long(1 << 20), ""),                              431, ""),
    ];
    for (name, request, status, word) in table {
        let response = exchange(&world, request.as_bytes()).await;
        assert_eq!(statuses(&response), [status], "{name}: {response}");
        assert!(response.contains(word), "{name}: {response}");
        assert!(status == 401 || header(&response, "connection") == Some("close"), "{name}: {response}");
    }
    let few = world.another_server(|settings| (settings.header_count, settings.line_limit) = (3, 20)).await;
    assert_eq!(statuses(&exchange(&few, get("/healthz", "x: y\r\n").as_bytes()).await), [200]);
    assert_eq!(statuses(&exchange(&few, get("/healthz", "x: y\r\nz: y\r\n").as_bytes()).await), [431]);
    assert_eq!(statuses(&exchange(&few, get("/healthz?01234567890", "").as_bytes()).await), [200]);
    assert_eq!(statuses(&exchange(&few, get("/healthz?012345678901", "").as_bytes()).await), [414]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_no_head_in_time_is_disconnected() {
    let world = World::sqlite().await.another_server(|settings| settings.head_timeout = A_MOMENT).await;
    for begun in
        ["", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        let response = exchange(&world, begun.as_bytes()).await;
        // The last request gets its response, and then the connection is silent.
        assert_eq!(statuses(&response).contains(&200), begun.ends_with("\r\n\r\n"), "{begun:?}: {response}");
    }
    // A line from time to time does not help.
    let mut slow = TcpStream::connect(address(&world)).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let mut ticks = tokio::time::interval(A_MOMENT / 4);
    let dripping = async {
        while slow.write_all(b"x: y\r\n").await.is_ok() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(SOON, dripping).await.expect("the connection is cut");
    wait_until("all are gone", || async { world.app().front.connections.count() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_the_response_is_disconnected() {
    let world = World::sqlite().await.another_server(|settings| settings.write_timeout = A_MOMENT).await;
    let mut deaf = TcpStream::connect(address(&world)).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    // Until the buffers are full, and then until the server closes the connection.
    let asking = async { while deaf.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(SOON, asking).await.expect("the connection is cut");
    wait_until("it is gone", || async { world.app().front.connections.count() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_connection_ends_soon() {
    let world = World::sqlite().await;
    for begun in ["", "GET /he", "POST /v1/agents HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{"] {
        let mut stream = TcpStream::connect(address(&world)).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut response = Vec::new();
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut response)).await.expect("an end");
        assert!(!statuses(&String::from_utf8_lossy(&response)).contains(&201), "{begun:?}");
    }
    wait_until("all are gone", || async { world.app().front.connections.count() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_have_a_limit() {
    let world = World::sqlite().await;
    let of_one = world.another_server(|settings| settings.connections_per_address = 3).await;
    let of_all = world.another_server(|settings| settings.connections = 6).await;
    for world in [of_one, of_all] {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(TcpStream::connect(address(&world)).await.unwrap());
        }
        let count = || async { world.app().front.connections.count() };
        wait_until("three are open", || async { count().await == 3 }).await;
        assert_eq!(
            exchange(&world, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await,
            "",
            "a fourth is closed"
        );
        drop(held.pop());
        wait_until("one has gone", || async { count().await == 2 }).await;
        let response =
            exchange(&world, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert_eq!(statuses(&response), [200]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_never_takes_all_connections() {
    let world = World::sqlite().await.another_server(|settings| settings.connections = 4).await;
    let silent = [0; 2].map(|_| std::net::TcpStream::connect(address(&world)).unwrap());
    wait_until("two are open", || async { world.app().front.connections.count() == 2 }).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(&world, request).await, "", "a third of one address is closed");
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address(&world)).await.unwrap();
    other.write_all(request).await.unwrap();
    let mut response = String::new();
    other.read_to_string(&mut response).await.unwrap();
    assert_eq!(statuses(&response), [200], "others get in");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_a_connection() {
    let world = World::sqlite().await;
    let mut stream = TcpStream::connect(address(&world)).await.unwrap();
    let upgrade = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut response = [0; 12];
    stream.read_exact(&mut response).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 101");
    // The request is complete, and the connection stays open.
    exchange(&world, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    wait_until("the other one has gone", || async { world.app().front.connections.count() == 1 }).await;
    drop(stream);
    wait_until("it has gone", || async { world.app().front.connections.count() == 0 }).await;
}
