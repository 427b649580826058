//! Rate limits of callers and of addresses.

use super::{exchange, header, statuses};
use crate::socket::Socket;
use crate::world::World;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use domain::permission::Role;
use domain::time::Span;
use serde_json::Value;
use server::settings::{Proxies, Quota};
use std::net::SocketAddr;

const FEW: Option<Quota> = Some(Quota { requests: 2, seconds: 60 });

/// A path of each wire that requires a credential.
const PATHS: [&str; 5] = [
    "/api/v1/sessions",
    "/v1/sessions",
    "/v3/organizations/sessions",
    "/frontend/api/v1/auth/session",
    "/tenure/v1/changes",
];

both! {
    async fn a_credential_has_its_quota_on_all_wires_together(world: &World) {
        let world = world.another_server(|settings| settings.rate_per_credential = FEW).await;
        let acme = world.organization("Acme").await;
        for path in PATHS {
            let ana = world.member(acme, Role::Readonly).await;
            let first = ana.get(path).await;
            assert_eq!((first.status.as_u16(), &first.headers["ratelimit"]), (200, &"\"credential\";r=1;t=30".parse().unwrap()));
            let policy = "\"credential\";q=2;w=60, \"principal\";q=6000000;w=60";
            assert_eq!(first.headers["ratelimit-policy"], policy);
            assert_eq!(ana.get("/api/v1/organizations").await.status, 200);
            let limited = ana.get(path).await;
            assert_eq!((limited.status.as_u16(), &limited.headers["retry-after"]), (429, &"30".parse().unwrap()), "{path}");
            assert_eq!(limited.headers["ratelimit"], "\"credential\";r=0;t=60");
            // Another key of the same user has a separate quota, and so has another user.
            assert_eq!(world.actor(ana.principal, Some(acme), None).await.get(path).await.status, 200);
            assert_eq!(world.member(acme, Role::Readonly).await.get(path).await.status, 200);
            world.advance(Span::seconds(30));
            assert_eq!((ana.get(path).await.status.as_u16(), ana.get(path).await.status.as_u16()), (200, 429));
        }
    }

    async fn a_user_has_one_quota_for_all_keys(world: &World) {
        let world = world.another_server(|settings| settings.rate_per_principal = FEW).await;
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let other = world.actor(ana.principal, Some(acme), None).await;
        assert_eq!((ana.get(PATHS[0]).await.status.as_u16(), other.get(PATHS[1]).await.status.as_u16()), (200, 200));
        // A refused request has no effect.
        for actor in [&ana, &other] {
            assert_eq!(actor.call("POST", "/api/v1/sessions", Body::empty()).await.status, 429);
        }
        world.advance(Span::minutes(1));
        assert_eq!(ana.get(PATHS[0]).await.json()["data"], Value::Array(Vec::new()));
    }

    async fn requests_over_a_websocket_count(world: &World) {
        let world = world.another_server(|settings| settings.rate_per_credential = FEW).await;
        let ana = world.member(world.organization("Acme").await, Role::Readonly).await;
        let mut socket = Socket::open(&ana).await;
        for _ in 0..2 {
            assert!(socket.call("devices.list", Value::Null).await["result"].is_object());
        }
        let error = socket.call("devices.list", Value::Null).await["error"].clone();
        assert_eq!((&error["code"], &error["message"]), (&(-32000).into(), &"TooManyRequests".into()), "{error}");
        world.advance(Span::seconds(30));
        assert!(socket.call("devices.list", Value::Null).await["result"].is_object());
    }
}

/// A request from a given address.
fn from(peer: &str, path: &str, forwarded: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path);
    if let Some(forwarded) = forwarded {
        request = request
            .header("x-forwarded-for", forwarded)
            .header("x-real-ip", forwarded)
            .header("forwarded", forwarded);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_one_quota_whatever_credentials_it_sends() {
    let world = World::sqlite().await;
    let set = |settings: &mut server::settings::Settings| {
        settings.rate_per_address = FEW;
        settings.trusted_proxies = Proxies::new(&["10.0.0.0/8"]);
    };
    let world = world.another_server(set).await;
    let ask = async |peer: &str, forwarded: Option<&str>| {
        world.send(from(peer, PATHS[0], forwarded)).await.status.as_u16()
    };
    assert_eq!([ask("192.0.2.1", None).await, ask("192.0.2.1", None).await], [401, 401]);
    for forwarded in [None, Some("203.0.113.9"), Some("for=203.0.113.9"), Some("10.0.0.1"), Some("127.0.0.1")]
    {
        assert_eq!(ask("192.0.2.1", forwarded).await, 429, "{forwarded:?}");
        assert_eq!(ask("::ffff:192.0.2.1", forwarded).await, 429, "{forwarded:?}");
    }
    assert_eq!(ask("192.0.2.2", None).await, 401, "another address");
    // The address that a trusted proxy reports counts, not the proxy's.
    for client in ["203.0.113.1", "203.0.113.2"] {
        let statuses = [
            ask("10.0.0.1", Some(client)).await,
            ask("10.9.9.9", Some(client)).await,
            ask("10.0.0.1", Some(client)).await,
        ];
        assert_eq!(statuses, [401, 401, 429], "{client}");
    }
    // A client with one IPv6 address has 2^64 of them.
    let statuses =
        [ask("2001:db8::1", None).await, ask("2001:db8::2", None).await, ask("2001:db8::3", None).await];
    assert_eq!(statuses, [401, 401, 429]);
    assert_eq!(ask("2001:db8:0:1::1", None).await, 401);
    let response = world.send(from("192.0.2.1", PATHS[0], None)).await;
    assert_eq!(
        (&response.headers["retry-after"], &response.headers["ratelimit-policy"]),
        (&"30".parse().unwrap(), &"\"address\";q=2;w=60".parse().unwrap())
    );
    for path in PATHS.into_iter().chain(["/nothing"]) {
        assert_eq!(world.send(from("192.0.2.1", path, None)).await.status, 429, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.send(from("192.0.2.1", path, None)).await.status, 200, "{path} is never too much");
    }
    assert_eq!(
        world.send(from("192.0.2.1", "/metrics", None)).await.status,
        404,
        "metrics are for this machine"
    );
    assert_eq!(world.send(from("127.0.0.1", "/metrics", None)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_connection_has_an_address_and_stays_open_when_limited() {
    let world = World::sqlite().await.another_server(|settings| settings.rate_per_address = FEW).await;
    let get = "GET /api/v1/sessions HTTP/1.1\r\nhost: x\r\n";
    let last = format!("{get}connection: close\r\n\r\n");
    let responses = exchange(&world, format!("{get}\r\n{get}\r\n{get}\r\n{last}").as_bytes()).await;
    assert_eq!(statuses(&responses), [401, 401, 429, 429]);
    assert_eq!(header(&responses, "ratelimit"), Some("\"address\";r=1;t=30"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_quotas_there_are_no_rate_limit_headers() {
    let off = |settings: &mut server::settings::Settings| {
        (settings.rate_per_address, settings.rate_per_credential, settings.rate_per_principal) =
            (None, None, None);
    };
    let world = World::sqlite().await.another_server(off).await;
    let ana = world.member(world.organization("Acme").await, Role::Readonly).await;
    let response = ana.get(PATHS[0]).await;
    assert_eq!(response.status, 200);
    assert!(
        !response.headers.contains_key("ratelimit") && !response.headers.contains_key("ratelimit-policy")
    );
    assert!(world.app().front.rates.is_empty());
}
