//! Bad input: always the wire's error envelope, never a 500, and no input is echoed.

use axum::body::{Body, Bytes};
use axum::http::Request;
use domain::permission::Role;
use futures_util::stream;
use serde_json::json;
use server::wires::BodyKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

both! {
    async fn invalid_pages_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let long = format!("before={}", "9".repeat(10_000));
        #[rustfmt::skip]
        let table = [
            ("limit=0",                        "limit: expected a whole number from 1 to 500"),
            ("limit=501",                      "limit: expected a whole number from 1 to 500"),
            ("limit=-1",                       "limit: expected a whole number from 1 to 500"),
            ("limit=abc",                      "limit: expected a whole number from 1 to 500"),
            ("limit=",                         "limit: expected a whole number from 1 to 500"),
            ("limit=1e2",                      "limit: expected a whole number from 1 to 500"),
            ("limit=99999999999999999999999",  "limit: expected a whole number from 1 to 500"),
            ("limit=1&limit=2",                "limit: expected at most one value"),
            ("before=yesterday",               "before: expected an RFC 3339 time such as 2026-01-01T00:00:00Z"),
            ("before=",                        "before: expected an RFC 3339 time such as 2026-01-01T00:00:00Z"),
            ("before=2026-02-30T00:00:00Z",    "before: expected an RFC 3339 time such as 2026-01-01T00:00:00Z"),
            ("before=2026-01-01",              "before: expected an RFC 3339 time such as 2026-01-01T00:00:00Z"),
            ("before=%ff%00",                  "before: expected an RFC 3339 time such as 2026-01-01T00:00:00Z"),
            (long.as_str(),                    "before: expected an RFC 3339 time such as 2026-01-01T00:00:00Z"),
        ];
        for (query, sentence) in table {
            let response = ana.get(&format!("/api/v1/sessions?{query}")).await;
            let expected = json!({ "error": { "code": "bad_request", "message": sentence } });
            assert_eq!((response.status.as_u16(), response.json()), (400, expected), "{query}");
        }
        for query in ["", "limit=500", "other=1", "before=2026-01-01T02:00:00+02:00", "before=9999-12-30T00:00:00Z"] {
            assert_eq!(ana.get(&format!("/api/v1/sessions?{query}")).await.status, 200, "{query}");
        }
    }

    async fn invalid_bodies_are_refused(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let session = ana.session().await;
        let path = format!("/api/v1/sessions/{session}/devices");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_filters = format!("{{\"filters\":{deep}}}");
        let deep_unknown = format!("{{\"other\":{deep}}}");
        let filter = |attribute: &str, operator: &str, value: &str| {
            json!({ "filters": [{ "attribute": attribute, "operator": operator, "value": value }] }).to_string()
        };
        #[rustfmt::skip]
        let table: Vec<(Vec<u8>, &str)> = vec![
            (b"".to_vec(),                                          "got nothing"),
            (b"{".to_vec(),                                         "EOF"),
            (b"null".to_vec(),                                      "expected an object with filters"),
            (b"[]".to_vec(),                                        "expected a JSON object, got a list"),
            (b"{}".to_vec(),                                        "missing field `filters`"),
            (b"{\"filters\":7}".to_vec(),                           "filters: invalid type"),
            (b"{\"filters\":[7]}".to_vec(),                         "filters[0]: invalid type"),
            (b"{\"filters\":[]}".to_vec(),                          "exactly one platform"),
            (b"{\"filters\":[[\"platform\",\"EQUALS\",\"ios\"]]}".to_vec(), "filters[0]: invalid type: sequence, expected an object"),
            (b"{\"filters\":[]} x".to_vec(),                        "trailing"),
            (b"{\"filters\":[{\"attribute\":1}]}".to_vec(),         "filters[0].attribute: invalid type"),
            (b"{\"filters\":[],\"filters\":[]}".to_vec(),           "duplicate field"),
            (b"{\"filters\":\"\xff\xfe\"}".to_vec(),                "filters"),
            (b"{\"filters\":[{\"attribute\":\"\\ud800\"}]}".to_vec(), "hex escape"),
            (deep.into_bytes(),                                     "body"),
            (deep_filters.into_bytes(),                             "body"),
            (deep_unknown.into_bytes(),                             "other: expected at most 64 levels"),
            (b"\xef\xbb\xbf{\"filters\":[]}".to_vec(),              "expected value"),
            (b"{\0\"\0f\0".to_vec(),                                "body"),
            (b"filters=1".to_vec(),                                 "expected"),
            (b"{\"filters\":[{\"attribute\":1e999}]}".to_vec(),     "body"),
            (filter("platform", "CONTAINS", "ios").into_bytes(),    "filters[0].operator"),
            (filter("platform", "EQUALS", "beos").into_bytes(),     "filters[0].value"),
            (filter("colour", "EQUALS", "red").into_bytes(),        "filters[0].attribute"),
        ];
        for (body, sentence) in table {
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let response = ana.call("POST", &path, Body::from(body)).await;
            assert_eq!(response.status, 400, "{start}: {}", response.text());
            let error = response.json()["error"].clone();
            assert_eq!(error["code"], "bad_request", "{start}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(sentence), "{start}: {message}");
        }
        assert_eq!(ana.devices_of(&session).await, json!([]), "nothing was half done");
    }

    async fn a_body_over_the_limit_is_refused_before_it_is_read(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let session = ana.session().await;
        let read = Arc::new(AtomicBool::new(false));
        let seen = read.clone();
        let body = Body::from_stream(stream::once(async move {
            seen.store(true, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from_static(b"{}"))
        }));
        let request = Request::post(format!("/api/v1/sessions/{session}/devices"))
            .header("authorization", format!("Bearer {}", ana.key.as_deref().unwrap()))
            .header("content-length", (10 << 20).to_string());
        let response = world.send(request.body(body).unwrap()).await;
        assert_eq!((response.status.as_u16(), &response.json()["error"]["code"]), (413, &json!("payload_too_large")));
        assert!(!read.load(Ordering::SeqCst), "the body was read");
        // A body without a declared length is cut at the limit.
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096])));
        let response = ana.call("POST", &format!("/api/v1/sessions/{session}/devices"), Body::from_stream(endless)).await;
        assert_eq!(response.status, 413);
    }

    async fn no_endpoint_takes_a_body_over_the_limit(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Admin).await;
        // Files have a separate limit: see socket.rs.
        let routes = server::wires::routes().map(|(_, route)| route);
        for route in routes.filter(|route| route.needs.body == BodyKind::Plain) {
            let path = route.path.replace("{session}", &ana.session().await).replace("{device}", "one");
            let path = path.replace("{agent}", "one").replace("{name}", "get_session");
            let body = Body::from_stream(stream::once(async {
                panic!("the body was read");
                #[allow(unreachable_code)]
                Ok::<_, std::io::Error>(Bytes::new())
            }));
            let request = Request::builder()
                .method(&route.method)
                .uri(&path)
                .header("authorization", format!("Bearer {}", ana.key.as_deref().unwrap()))
                .header("content-length", (10u64 << 30).to_string());
            let response = world.send(request.body(body).unwrap()).await;
            assert_eq!(response.status, 413, "{} {path}: {}", route.method, response.text());
            assert_eq!(response.headers["connection"], "close", "what was not read must not be taken for a request");
        }
    }

    async fn head_is_get_without_the_body(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        for path in ["/api/v1/sessions", "/api/v1/sessions/x", "/healthz"] {
            let (get, head) = (ana.get(path).await, ana.call("HEAD", path, Body::empty()).await);
            assert_eq!((head.status, &head.headers["content-type"]), (get.status, &get.headers["content-type"]));
            assert_eq!(head.body, b"", "{path}");
        }
    }

    async fn every_response_has_a_request_id_and_is_not_cacheable(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        for (method, path) in [
            ("GET", "/api/v1/sessions"), ("GET", "/api/v1/sessions/x"), ("PUT", "/api/v1/sessions"), ("GET", "/api/v1/x"),
            ("GET", "/"), ("GET", "/nothing"), ("POST", "/api"), ("GET", "/tenure/v1/changes"), ("GET", "/tenure/x"),
            ("GET", "/healthz"), ("POST", "/healthz"), ("GET", "/metrics"), ("GET", "/ws"), ("GET", "/v1/sessions"),
            ("GET", "/v1/sessions/x"), ("PUT", "/v1/sessions"), ("GET", "/v1/x"), ("GET", "/everruns/api/v1/sessions"),
        ] {
            for actor in [&ana, &world.caller(None)] {
                let response = actor.call(method, path, Body::empty()).await;
                assert_eq!(response.headers.get("x-request-id").map(|id| id.len()), Some(32), "{method} {path}");
                assert_eq!(response.headers["cache-control"], "no-store", "{method} {path}");
                assert_eq!(response.headers["x-content-type-options"], "nosniff", "{method} {path}");
            }
        }
    }

    async fn malformed_ids_are_not_found(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        let id = ana.session().await;
        let hex = id.replace('-', "");
        assert_eq!(ana.get(&format!("/api/v1/sessions/{}", id.to_uppercase())).await.status, 200);
        assert_eq!(ana.get(&format!("/api/v1/sessions/{hex}")).await.status, 200);
        let long = "a".repeat(10_000);
        let braces = format!("%7B{id}%7D");
        let urn = format!("urn:uuid:{id}");
        let param = format!("{id};x=y");
        let double = format!("{id}%2500");
        for other in [
            "x", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff", "%00", "%ff",
            "%2e%2e", "'%20OR%201=1--", "%D9%A1", &long, &braces, &urn, &param, &double, &id[1..],
        ] {
            let response = ana.get(&format!("/api/v1/sessions/{other}")).await;
            let expected = json!({ "error": { "code": "not_found", "message": "session not found" } });
            assert_eq!((response.status.as_u16(), response.json()), (404, expected), "{other}");
        }
    }

    async fn unknown_paths_and_methods_get_the_wires_envelope(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readwrite).await;
        #[rustfmt::skip]
        let table = [
            ("GET",   "/api/v1/nothing",        404, "not_found"),
            ("GET",   "/api/v1/sessions/",      404, "not_found"),
            ("PUT",   "/api/v1/sessions",       405, "method_not_allowed"),
            ("TRACE", "/api/v1/sessions",       405, "method_not_allowed"),
            ("PATCH", "/api/v1/sessions/x",     405, "method_not_allowed"),
            ("GET",   "/nothing",               404, "not_found"),
            ("GET",   "/tenure/v1/nothing",     404, "not_found"),
            ("POST",  "/tenure/v1/changes",     405, "method_not_allowed"),
            ("BREW",  "/api/v1/sessions",       405, "method_not_allowed"),
            ("OPTIONS", "/api/v1/sessions",     405, "method_not_allowed"),
            ("POST",  "/healthz",               405, "method_not_allowed"),
            ("GET",   "/",                      404, "not_found"),
        ];
        for (method, path, status, code) in table {
            let response = ana.call(method, path, Body::empty()).await;
            assert_eq!(response.status, status, "{method} {path}");
            let place = if path.starts_with("/api/") { "/error/code" } else { "/code" };
            assert_eq!(response.json().pointer(place), Some(&json!(code)), "{method} {path}");
            assert_eq!(response.headers.contains_key("allow"), status == 405, "{method} {path}");
        }
    }

    async fn invalid_credentials_get_the_same_response(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.member(acme, Role::Readonly).await;
        let key = ana.key.clone().unwrap();
        let upper = format!("Bearer {}", key.to_uppercase());
        let long = format!("Bearer {}", "a".repeat(1 << 20));
        let mut table: Vec<Vec<String>> = vec![
            vec![], vec!["".into()], vec!["Bearer".into()], vec!["Bearer ".into()], vec![key.clone()],
            vec![format!("Basic {key}")], vec![format!("Bearer  {key}")], vec![format!("Bearer {key} ")],
            vec![format!("Bearer {key}, Bearer {key}")], vec![format!("Bearer {key}="), ], vec![upper], vec![long],
            vec![format!("Bearer {key}"), format!("Bearer {key}")], vec![format!("Bearer\t{key}")],
            vec![format!("Bearer \u{feff}{key}")],
        ];
        table.extend((0..key.len()).map(|cut| vec![format!("Bearer {}", &key[..cut])]));
        table.extend("aZ7=/+-_. \u{e9}".chars().map(|more| vec![format!("Bearer {key}{more}")]));
        table.extend(key.char_indices().filter(|(_, c)| c.is_ascii_lowercase()).map(|(at, c)| {
            vec![format!("Bearer {}{}{}", &key[..at], c.to_ascii_uppercase(), &key[at + 1..])]
        }));
        table.extend(["evr_", "cog_", "prb_", "tnr_", "MOB_", ""].map(|prefix| vec![format!("Bearer {prefix}{}", &key[4..])]));
        table.extend([vec![format!("Bearer {key}"), "Basic eA==".into()], vec!["Bearer x".into(), format!("Bearer {key}")]]);
        let mut bodies = Vec::new();
        for headers in table {
            let mut request = Request::get("/api/v1/sessions");
            for header in &headers {
                request = request.header("authorization", header.as_bytes());
            }
            let response = world.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(response.status, 401, "{:.80?}", headers);
            assert_eq!(response.headers["www-authenticate"], "Bearer");
            bodies.push(response.body);
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1);
        let request = Request::get("/api/v1/sessions").header("authorization", format!("bEARER {key}"));
        assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.status, 200, "the scheme has no case");
        let elsewhere = world.caller(None).get(&format!("/api/v1/sessions?token={key}&jwt={key}")).await;
        assert_eq!((elsewhere.status.as_u16(), &elsewhere.body), (401, &bodies[0]), "a key in the address is none here");
    }

    async fn a_request_id_is_answered_and_a_strange_one_replaced(world: &World) {
        let response = world.send(Request::get("/healthz").header("x-request-id", "abc-1").body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers["x-request-id"], "abc-1");
        let response = world.send(Request::get("/healthz").header("x-request-id", "a b\"").body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers["x-request-id"].len(), 32);
    }
}
