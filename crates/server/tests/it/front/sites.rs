//! Cross-origin requests, and security headers.

use crate::world::{TestResponse, World};
use axum::body::Body;
use domain::permission::Role;

const OURS: &str = "https://app.example.com";

/// The origin that a response allows.
fn allowed_origin(response: &TestResponse) -> Option<&str> {
    response.headers.get("access-control-allow-origin").map(|origin| origin.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_configured_origins_can_read_responses() {
    let closed = World::sqlite().await;
    let open = closed.another_server(|settings| settings.cors_origins = vec![OURS.parse().unwrap()]).await;
    let (far, near) = ("https://evil.example.com", "https://app.example.com.evil.example.com");
    let acme = closed.organization("Acme").await;
    let ana = closed.member(acme, Role::Readonly).await;
    for origin in [OURS, far, near, "null", "http://app.example.com", "https://app.example.com:444", "*", ""]
    {
        for (world, named) in [(&closed, false), (&open, origin == OURS)] {
            for path in
                ["/api/v1/sessions", "/v1/sessions", "/frontend/api/v1/auth/session", "/nothing", "/healthz"]
            {
                for actor in [&ana.at_server(world), &world.caller(None)] {
                    let response = actor.send("GET", path, &[("origin", origin)], Body::empty()).await;
                    assert_eq!(allowed_origin(&response), named.then_some(OURS), "{origin} {path}");
                    assert!(
                        !response.headers.contains_key("access-control-allow-credentials"),
                        "{origin} {path}"
                    );
                }
            }
        }
    }
    // Caches must not return one site's response to another.
    let response = ana.at_server(&open).send("GET", "/v1/sessions", &[], Body::empty()).await;
    assert!(
        response.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("origin")),
        "{response:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_origin_gets_a_preflight_response() {
    let open = World::sqlite()
        .await
        .another_server(|settings| settings.cors_origins = vec![OURS.parse().unwrap()])
        .await;
    let ask = async |origin: &str| {
        let request =
            axum::http::Request::builder().method("OPTIONS").uri("/v1/sessions").header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization");
        let router = server::wires::router(open.app().clone());
        tower::ServiceExt::oneshot(router, request.body(Body::empty()).unwrap()).await.unwrap()
    };
    let response = ask(OURS).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["access-control-allow-origin"]),
        (200, &OURS.parse().unwrap())
    );
    let methods = response.headers()["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.contains("POST") && !methods.contains('*'), "{methods}");
    let headers = response.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(
        headers.contains("authorization") && !headers.contains('*') && !headers.contains("cookie"),
        "{headers}"
    );
    assert!(!ask("https://evil.example.com").await.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_have_security_headers() {
    let world = World::sqlite().await;
    let secure = world
        .another_server(|settings| {
            settings.public_url = server::settings::BaseUrl::parse("https://tenure.example.com")
        })
        .await;
    for world in [&world, &secure] {
        for path in [
            "/healthz",
            "/nothing",
            "/api/v1/sessions",
            "/v1/sessions",
            "/v3/x",
            "/frontend/x",
            "/tenure/v1/changes",
        ] {
            let headers = world.caller(None).get(path).await.headers;
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(headers[name], value, "{path}");
            }
            let tls = std::ptr::eq(world, &secure);
            assert_eq!(headers.contains_key("strict-transport-security"), tls, "{path}");
        }
    }
}
