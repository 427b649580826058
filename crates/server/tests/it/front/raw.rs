//! Malformed heads and bodies, byte for byte: the server must not read a request differently from a proxy in front of it
//! (request smuggling).

use super::{exchange, header, statuses};
use crate::world::World;
use domain::permission::Role;

const END: &str = "host: x\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_request_heads_are_refused() {
    let world = World::sqlite().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    #[rustfmt::skip]
    let table = [
        ("two lengths",          "POST /healthz HTTP/1.1\r\ncontent-length: 0\r\ncontent-length: 5\r\n".to_owned(), "hello", &[400][..]),
        ("lengths in a list",    "POST /healthz HTTP/1.1\r\ncontent-length: 0, 5\r\n".into(),                       "hello", &[400]),
        ("a signed length",      "POST /healthz HTTP/1.1\r\ncontent-length: +5\r\n".into(),                         "hello", &[400]),
        ("a negative length",    "POST /healthz HTTP/1.1\r\ncontent-length: -5\r\n".into(),                         "hello", &[400]),
        ("space before a colon", "POST /healthz HTTP/1.1\r\ntransfer-encoding : chunked\r\n".into(),                "0\r\n\r\n", &[400]),
        ("another coding",       "POST /healthz HTTP/1.1\r\ntransfer-encoding: xchunked\r\n".into(),                "0\r\n\r\n", &[400]),
        ("chunked not last",     "POST /healthz HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n".into(),       "0\r\n\r\n", &[400]),
        ("chunked in HTTP/1.0",  "POST /healthz HTTP/1.0\r\ntransfer-encoding: chunked\r\n".into(),                 "0\r\n\r\n", &[400]),
        ("a folded line",        "GET /healthz HTTP/1.1\r\nx: a\r\n b\r\n".into(),                                  "", &[400]),
        ("a bare CR",            "GET /healthz HTTP/1.1\r\nx: a\rb: c\r\n".into(),                                  "", &[400]),
        ("a NUL",                "GET /healthz HTTP/1.1\r\nx: a\0b\r\n".into(),                                     "", &[400]),
        ("a name with a space",  "GET /healthz HTTP/1.1\r\nx y: a\r\n".into(),                                      "", &[400]),
        ("no name",              "GET /healthz HTTP/1.1\r\n: a\r\n".into(),                                         "", &[400]),
        ("two hosts",            "GET /healthz HTTP/1.1\r\nhost: y\r\n".into(),                                     "", &[400]),
        ("the same host twice",  "GET /healthz HTTP/1.1\r\nhost: x\r\n".into(),                                     "", &[400]),
        ("HTTP/0.9",             "GET /healthz\r\n".into(),                                                         "", &[400]),
        ("HTTP/3.0",             "GET /healthz HTTP/3.0\r\n".into(),                                                "", &[400]),
        ("spaces in the line",   "GET  /healthz  HTTP/1.1\r\n".into(),                                              "", &[400]),
        // A request ends where its length says, whether the body is read or not.
        ("a body unread",        format!("POST /healthz HTTP/1.1\r\ncontent-length: {}\r\n", smuggled.len()),       smuggled, &[405]),
        ("the same length twice", "POST /healthz HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n".into(),    "hello", &[405]),
        // RFC 9112, section 6.3: the transfer coding wins, and the connection is closed.
        ("length and coding",    "POST /healthz HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n".into(),  "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n", &[405]),
        ("coding and length",    "POST /healthz HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 99\r\n".into(), "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n", &[405]),
        // RFC 9112, section 2.2 allows this line ending.
        ("bare LF",              "GET /healthz HTTP/1.1\nx: y\n".into(),                                            "", &[200]),
        ("absolute form",        "GET http://x/healthz HTTP/1.1\r\n".into(),                                        "", &[200]),
        ("another authority",    "GET http://y/healthz HTTP/1.1\r\n".into(),                                        "", &[200]),
        ("h2c is not spoken",    "GET /healthz HTTP/1.1\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n".into(), "", &[200]),
        ("empty lines before",   "\r\n\r\nGET /healthz HTTP/1.1\r\n".into(),                                        "", &[200]),
        ("all there is",         "OPTIONS * HTTP/1.1\r\n".into(),                                                   "", &[404]),
    ];
    for (name, head, body, expected) in table {
        let responses = exchange(&world, format!("{head}{END}{body}").as_bytes()).await;
        assert_eq!(statuses(&responses), expected, "{name}: {responses}");
        assert!(!responses.contains("smuggled"), "{name}: {responses}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host() {
    let world = World::sqlite().await;
    let get = |hosts: &str| format!("GET /healthz HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
    for good in ["host: x\r\n", "host: x:1\r\n", "Host: [::1]:7420\r\n", "host:\r\n"] {
        assert_eq!(statuses(&exchange(&world, get(good).as_bytes()).await), [200], "{good:?}");
    }
    for bad in
        ["", "host: u@x\r\n", "host: x y\r\n", "host: x/y\r\n", "host: x, y\r\n", "host: x\r\nhost:\r\n"]
    {
        let response = exchange(&world, get(bad).as_bytes()).await;
        assert_eq!(statuses(&response), [400], "{bad:?}");
        assert!(
            response.contains("malformed_request") && header(&response, "x-request-id").is_some(),
            "{bad:?}: {response}"
        );
        assert_eq!(header(&response, "connection"), Some("close"));
    }
    let old = exchange(&world, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(statuses(&old), [200], "before 1.1 there was no host");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_http_methods_are_refused() {
    let world = World::sqlite().await;
    for (line, status) in [
        ("TRACE /healthz", 405),
        ("BREW /healthz", 405),
        ("TRACE /api/v1/sessions", 405),
        ("CONNECT x:443", 405),
        ("CONNECT x:443", 405),
        ("DELETE /v1/sessions", 405),
        ("BREW /nothing", 404),
    ] {
        let response = exchange(&world, format!("{line} HTTP/1.1\r\n{END}").as_bytes()).await;
        assert_eq!(statuses(&response), [status], "{line}: {response}");
        assert_eq!(header(&response, "allow").is_some(), status == 405, "{line}: {response}");
        // The response to TRACE does not echo the request.
        assert!(!response.contains("host: x"), "{line}: {response}");
    }
    let head = exchange(&world, format!("HEAD /healthz HTTP/1.1\r\n{END}").as_bytes()).await;
    let get = exchange(&world, format!("GET /healthz HTTP/1.1\r\n{END}").as_bytes()).await;
    assert_eq!((statuses(&head), statuses(&get)), (vec![200], vec![200]));
    assert_eq!(header(&head, "content-length"), header(&get, "content-length"));
    assert!(head.ends_with("\r\n\r\n") && get.ends_with("ok\n"), "{head}{get}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_once_are_answered_in_their_order() {
    let world = World::sqlite().await;
    let mut requests = String::new();
    for number in 0..999 {
        requests += &format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-request-id: n-{number}\r\n\r\n");
    }
    requests += &format!("GET /healthz HTTP/1.1\r\nx-request-id: n-999\r\n{END}");
    let responses = exchange(&world, requests.as_bytes()).await;
    let ids = responses.lines().filter_map(|line| line.strip_prefix("x-request-id: n-"));
    let ids = ids.map(|id| id.parse::<u32>().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
    assert_eq!(statuses(&responses), [200; 1000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_are_not_headers() {
    let world = World::sqlite().await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readwrite).await;
    let key = ana.key.as_deref().unwrap();
    let post = |headers: &str, body: &str| {
        format!("POST /api/v1/sessions HTTP/1.1\r\ntransfer-encoding: chunked\r\n{headers}{END}{body}")
    };
    let trailer = format!("0\r\nauthorization: Bearer {key}\r\nx-organization-id: {acme}\r\n\r\n");
    let response = exchange(&world, post("trailer: authorization\r\n", &trailer).as_bytes()).await;
    assert_eq!(statuses(&response), [401], "{response}");
    let authorization = format!("authorization: Bearer {key}\r\n");
    let response = exchange(&world, post(&authorization, "0\r\n\r\n").as_bytes()).await;
    assert_eq!(statuses(&response), [201], "{response}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_chunked_bodies_are_refused() {
    let world = World::sqlite().await;
    let acme = world.organization("Acme").await;
    let ana = world.member(acme, Role::Readwrite).await;
    let key = ana.key.as_deref().unwrap();
    let json = r#"{"name":"one","system_prompt":""}"#;
    let size = format!("{:x}", json.len());
    let end = "\r\n0\r\n\r\n";
    let head = format!(
        "POST /v1/agents HTTP/1.1\r\nauthorization: Bearer {key}\r\ntransfer-encoding: chunked\r\n{END}"
    );
    for (name, body) in [
        ("a size that is none", format!("z\r\n{json}{end}")),
        ("a size that overflows", format!("ffffffffffffffff{size}\r\n{json}{end}")),
        ("a size with a sign", format!("+{size}\r\n{json}{end}")),
        ("no size", format!("\r\n{json}{end}")),
        ("more than its size", format!("{size}\r\n{json} {end}")),
        ("less than its size", format!("f{size}\r\n{json}{end}")),
        ("an extension of a megabyte", format!("{size};{}\r\n{json}{end}", "x".repeat(1 << 20))),
    ] {
        let response = exchange_endless(&world, format!("{head}{body}").as_bytes()).await;
        assert!(statuses(&response).iter().all(|status| *status == 400), "{name}: {response}");
        assert!(statuses(&response).len() <= 1, "{name}: {response}");
    }
    let whole = exchange(&world, format!("{head}{size};x=y\r\n{json}{end}").as_bytes()).await;
    assert_eq!(statuses(&whole), [201], "{whole}");
}

/// Like [`exchange`], for a request without an end.
async fn exchange_endless(world: &World, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(super::address(world)).await.unwrap();
    let mut response = Vec::new();
    let talk = async {
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut response).await;
    };
    tokio::time::timeout(super::SOON, talk).await.expect("an end");
    String::from_utf8_lossy(&response).into_owned()
}
