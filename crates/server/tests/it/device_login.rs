//! Device logins: `/login/device`, as mobilecli polls and as a user approves.

use crate::world::{Actor, START, TestResponse, World};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use domain::permission::Role;
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::{Value, json};
use std::net::SocketAddr;
use store::System;

const PAGE: &str = "/login/device";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A program that wants a key.
pub struct Program<'w> {
    world: &'w World,
    pub device_code: String,
    pub user_code: String,
}

impl World {
    pub async fn program(&self) -> Program<'_> {
        let headers = [("user-agent", "mobilecli/1.0.9")];
        let body = Body::from(r#"{"client_id":"mobilecli"}"#);
        let response = self.caller(None).send("POST", "/login/device/code", &headers, body).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let text = |field: &str| response.json()[field].as_str().unwrap().to_owned();
        Program { world: self, device_code: text("device_code"), user_code: text("user_code") }
    }
}

impl Program<'_> {
    pub async fn asks(&self) -> TestResponse {
        let body = json!({ "client_id": "mobilecli", "device_code": self.device_code, "grant_type": GRANT });
        self.world.caller(None).post("/login/device/token", body).await
    }

    /// The error that the poll returns.
    async fn poll_error(&self) -> String {
        let response = self.asks().await;
        assert_eq!(response.status, 400, "{}", response.text());
        response.json()["error"].as_str().unwrap().to_owned()
    }
}

impl Actor<'_> {
    /// Submits a form of the page, as the browser of a signed-in user.
    pub async fn fills(&self, form: &str, headers: &[(&str, &str)]) -> TestResponse {
        let cookie = format!("tenure-session={}", self.key.as_deref().unwrap_or_default());
        let own = [("cookie", cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let headers = [&own[..], headers].concat();
        self.world.caller(None).send("POST", PAGE, &headers, Body::from(form.to_owned())).await
    }

    pub async fn looks(&self, code: &str) -> TestResponse {
        let cookie = format!("tenure-session={}", self.key.as_deref().unwrap_or_default());
        let path = format!("{PAGE}?user_code={code}");
        self.world.caller(None).send("GET", &path, &[("cookie", cookie.as_str())], Body::empty()).await
    }

    pub async fn lets_in(&self, program: &Program<'_>, organization: impl ToString) -> u16 {
        let form =
            format!("action=allow&user_code={}&organization={}", program.user_code, organization.to_string());
        self.fills(&form, &[]).await.status.as_u16()
    }
}

both! {
    async fn a_program_is_approved(world: &World) {
        let acme = world.organization("Acme & <Sons>").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let program = world.program().await;
        assert_eq!(program.poll_error().await, "authorization_pending");
        // The page names the program and the user. Input is shown as plain text.
        let typed = program.user_code.to_lowercase().replace('-', " ").replace(' ', "%20");
        let page = ana.looks(&typed).await;
        assert_eq!(page.status, 200);
        let text = page.text();
        for words in [program.user_code.as_str(), "mobilecli/1.0.9", "ana@example.com", "just now", "Acme &#38; &#60;Sons&#62;"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        assert!(!text.contains(&program.device_code) && !text.contains("<Sons>"));
        assert_eq!(ana.lets_in(&program, acme).await, 200);
        assert_eq!(ana.lets_in(&program, acme).await, 404, "it was decided before");
        assert_eq!(program.poll_error().await, "slow_down", "it was told to wait 5 s");
        world.advance(Span::seconds(10));
        let response = program.asks().await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["token_type"], "Bearer");
        let secret = response.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(program.poll_error().await, "expired_token", "the key is returned once");
        // The key is listed, gives access to that organization, and can be revoked.
        let key = world.caller(Some(&secret));
        assert_eq!(key.call("POST", "/api/v1/sessions", Body::empty()).await.status, 201);
        let keys = ana.get("/api/v1/keys").await.json();
        assert_eq!(keys["data"][0]["name"], "mobilecli/1.0.9");
        let path = format!("/api/v1/keys/{}", keys["data"][0]["id"].as_str().unwrap());
        assert_eq!(ana.delete(&path).await.status, 204);
        assert_eq!(key.get("/api/v1/sessions").await.status, 401);
    }

    async fn a_new_key_is_not_stored_with_its_response(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let program = world.program().await;
        assert_eq!(ana.lets_in(&program, acme).await, 200);
        let body = json!({ "client_id": "mobilecli", "device_code": program.device_code, "grant_type": GRANT });
        let repeat = async |path: &str, body: &Value| {
            let headers = [("idempotency-key", "once-and-again"), ("content-type", "application/json")];
            ana.send("POST", path, &headers, Body::from(body.to_string())).await
        };
        let first = repeat("/login/device/token", &body).await;
        assert!(first.json()["access_token"].is_string(), "{}", first.text());
        assert_eq!(repeat("/login/device/token", &body).await.json()["error"], "expired_token");
        // No other secret of users is stored either.
        let jwt = "/frontend/api/v1/auth/jwt";
        assert_eq!(repeat(jwt, &json!({})).await.status, 200);
        assert!(!repeat(jwt, &json!({})).await.headers.contains_key("idempotent-replayed"));
        let token = "/frontend/api/v1/auth/api-token";
        let (made, again) = (repeat(token, &json!({})).await, repeat(token, &json!({})).await);
        assert!(made.json()["token"].is_string() && again.headers.contains_key("idempotent-replayed"));
        assert_eq!((again.json()["id"].clone(), again.json()["token"].as_str()), (made.json()["id"].clone(), None));
    }

    async fn the_key_ends_after_its_time(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let program = world.program().await;
        assert_eq!(ana.lets_in(&program, acme).await, 200);
        let key = program.asks().await.json()["access_token"].as_str().unwrap().to_owned();
        let key = world.caller(Some(&key));
        world.advance(Span::seconds(90 * 86_400 - 1));
        assert_eq!(key.get("/api/v1/sessions").await.status, 200);
        world.advance(Span::seconds(1));
        assert_eq!(key.get("/api/v1/sessions").await.status, 401);
    }

    async fn a_program_is_denied_or_comes_too_late(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let denied = world.program().await;
        let form = format!("action=deny&user_code={}", denied.user_code);
        assert_eq!(ana.fills(&form, &[]).await.status, 200);
        assert_eq!(denied.poll_error().await, "access_denied");
        assert_eq!(ana.lets_in(&denied, acme).await, 404);
        let late = world.program().await;
        world.advance(Span::seconds(10 * 60 - 1));
        let ana = world.sign_in("ana@example.com").await;
        assert_eq!(ana.looks(&late.user_code).await.status, 200);
        assert_eq!(late.poll_error().await, "authorization_pending");
        world.advance(Span::seconds(1));
        assert_eq!(ana.looks(&late.user_code).await.status, 404);
        assert_eq!(late.poll_error().await, "expired_token");
        world.advance(Span::minutes(20));
        world.sweep().await;
        server::operations::login::sessions::sweep_logins(world.app()).await.unwrap();
        assert_eq!(late.poll_error().await, "invalid_grant", "it was deleted");
    }

    async fn a_program_that_polls_too_often_must_wait_longer(world: &World) {
        let program = world.program().await;
        assert_eq!(program.poll_error().await, "authorization_pending");
        let asks_after = async |seconds| {
            world.advance(Span::seconds(seconds));
            program.poll_error().await
        };
        assert_eq!(asks_after(5).await, "authorization_pending");
        assert_eq!(asks_after(1).await, "slow_down");
        assert_eq!(asks_after(8).await, "slow_down", "10 s now");
        assert_eq!(asks_after(15).await, "authorization_pending", "15 s now");
    }

    async fn the_user_who_approves_a_program_must_still_be_active(world: &World) {
        let acme = world.organization("Acme").await;
        let globex = world.organization("Globex").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let reader = world.person(acme, Role::Readonly, "rob@example.com").await;
        // Signed out between approval and poll.
        let program = world.program().await;
        assert_eq!(ana.lets_in(&program, acme).await, 200);
        assert_eq!(ana.delete("/frontend/api/v1/auth/sign-out").await.status, 200);
        assert_eq!(program.poll_error().await, "access_denied");
        // Suspended.
        let (program, id) = (world.program().await, world.user(acme, Role::Admin, "sue@example.com").await);
        let sue = world.sign_in("sue@example.com").await;
        assert_eq!(sue.lets_in(&program, acme).await, 200);
        let system = System::for_administration();
        world.store().set_principal_state(&system, id, PrincipalState::Suspended, START).await.unwrap();
        assert_eq!(program.poll_error().await, "access_denied");
        // In an organization where the user has no keys or is no member, and without an organization.
        let program = world.program().await;
        let ana = world.sign_in("ana@example.com").await;
        assert_eq!(reader.lets_in(&program, acme).await, 403);
        for other in [globex.to_string(), "x".into(), String::new()] {
            assert_eq!(ana.lets_in(&program, other).await, 403);
        }
        // A key's session, a narrowed session, and an anonymous caller cannot approve.
        let key = ana.post("/api/v1/keys", json!({})).await.json();
        let key = world.caller(key["apiKey"].as_str());
        let of_key = key.post("/frontend/api/v1/auth/jwt", json!({})).await.json();
        let narrow = json!({ "permissions": ["read:user", "write:user", "write:media"] });
        let narrow = ana.post("/frontend/api/v1/auth/jwt", narrow).await.json();
        for token in [&of_key["token"], &narrow["token"]] {
            assert_eq!(world.caller(token.as_str()).lets_in(&program, acme).await, 403);
        }
        assert_eq!(world.caller(Some("a.b.c")).lets_in(&program, acme).await, 401);
        assert_eq!(key.lets_in(&program, acme).await, 401, "a key is not a cookie");
        assert_eq!(program.poll_error().await, "authorization_pending");
    }

    async fn a_user_signs_in_on_the_page_of_a_program(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Readwrite, "ana@example.com").await;
        let program = world.program().await;
        let anonymous = world.caller(None);
        let page = anonymous.get(&format!("{PAGE}?user_code={}", program.user_code)).await;
        assert!(page.status == 200 && page.text().contains("Sign in</a> first"), "{}", page.text());
        assert!(!page.text().contains("mobilecli"), "the page does not show the program before the sign-in");
        let back = format!("{PAGE}?user_code={}", program.user_code);
        let entrance = format!("/sign-in?back=%2Flogin%2Fdevice%3Fuser_code%3D{}", program.user_code);
        assert!(page.text().contains(&entrance), "{}", page.text());
        assert!(anonymous.get(&entrance).await.text().contains(&format!("value=\"{back}\"")));
        let form = format!("email=ana%40example.com&password=correct+horse&back={}", back.replace(['?', '='], "%3F"));
        let form = form.replacen("user_code%3F", "user_code%3D", 1);
        let good = anonymous.call_with("POST", "/sign-in", &form).await;
        assert_eq!(good.status, 303, "{}", good.text());
        assert_eq!(good.headers["location"], format!("{PAGE}?user_code={}", program.user_code).as_str());
        let cookie = good.headers["set-cookie"].to_str().unwrap();
        let token = cookie.strip_prefix("tenure-session=").unwrap().split(';').next().unwrap();
        let ana = world.caller(Some(token));
        assert!(ana.looks(&program.user_code).await.text().contains("mobilecli/1.0.9"));
        for code in ["x", "<script>alert(1)</script>", "%22%3E%3Cscript%3E", "BBBB-BBBB", "%00", "%ff"] {
            let page = ana.looks(&code.replace(['<', '>'], "")).await;
            assert_eq!(page.status, 404, "{code}: {}", page.text());
            assert!(!page.text().contains("script"));
        }
        let twice = ana.looks(&format!("{}&user_code=x", program.user_code)).await;
        assert_eq!(twice.status, 400);
        assert_eq!(ana.fills("action=nothing", &[]).await.status, 400);
        assert_eq!(ana.fills("", &[]).await.status, 400);
    }

    async fn another_site_cannot_submit_the_form(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let own = world.server.base_url().to_owned();
        let program = world.program().await;
        let form = format!("action=allow&user_code={}&organization={acme}", program.user_code);
        for headers in [
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("origin", "null")],
            vec![("origin", "https://evil.example")],
            vec![("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
            vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        ] {
            let response = ana.fills(&form, &headers).await;
            assert_eq!(response.status, 403, "{headers:?}");
        }
        assert_eq!(program.poll_error().await, "authorization_pending");
        let good = [("sec-fetch-site", "same-origin"), ("origin", own.as_str())];
        assert_eq!(ana.fills(&form, &good).await.status, 200);
    }

    async fn code_attempts_are_limited(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, "ana@example.com").await;
        let program = world.program().await;
        let tries = (0..50).map(|number| {
            let code = domain::device_login::user_code((number + 1_u64).to_be_bytes());
            let ana = ana.clone();
            async move { ana.looks(&code).await.status.as_u16() }
        });
        let tried = futures_util::future::join_all(tries).await;
        assert_eq!(tried, vec![404; 50]);
        assert_eq!(ana.looks(&program.user_code).await.status, 429, "not even with the correct code");
        assert_eq!(ana.lets_in(&program, acme).await, 429);
        world.advance(Span::minutes(15));
        let program = world.program().await;
        let ana = world.sign_in("ana@example.com").await;
        assert_eq!(ana.looks(&program.user_code).await.status, 200);
    }

    async fn invalid_requests_of_programs_are_refused(world: &World) {
        let program = world.program().await;
        let anonymous = world.caller(None);
        let good = json!({ "client_id": "mobilecli", "device_code": program.device_code, "grant_type": GRANT });
        let with = |field: &str, value: Value| {
            let mut body = good.clone();
            body[field] = value;
            body
        };
        for (body, error) in [
            (with("grant_type", json!("password")), "unsupported_grant_type"),
            (with("client_id", json!("another")), "invalid_grant"),
            (with("device_code", json!("x")), "invalid_grant"),
            (with("device_code", json!(program.device_code.to_lowercase())), "invalid_grant"),
            (with("device_code", json!(program.user_code)), "invalid_grant"),
            (with("device_code", json!(null)), "invalid_request"),
            (with("client_id", json!([1])), "invalid_request"),
            (json!({}), "invalid_request"),
            (json!("x"), "invalid_request"),
        ] {
            let response = anonymous.post("/login/device/token", body.clone()).await;
            assert_eq!((response.status.as_u16(), &response.json()["error"]), (400, &json!(error)), "{body}");
        }
        for body in ["", "{", "[]", r#"{"client_id":""}"#, r#"{"client_id":"a b"}"#, r#"{"client_id":"a","client_id":"b"}"#] {
            let response = anonymous.call("POST", "/login/device/code", Body::from(body)).await;
            assert_eq!((response.status.as_u16(), &response.json()["error"]), (400, &json!("invalid_request")), "{body}");
        }
        // As a form, as in the RFC.
        let form = format!("client_id=mobilecli&device_code={}&grant_type={GRANT}", program.device_code);
        let response = anonymous.call_with("POST", "/login/device/token", &form).await;
        assert_eq!(response.json()["error"], "authorization_pending");
        let twice = anonymous.call_with("POST", "/login/device/code", "client_id=a&client_id=b").await;
        assert_eq!(twice.json()["error"], "invalid_request");
    }

    async fn one_address_starts_a_bounded_number_of_logins(world: &World) {
        let begin = async |address: &str| {
            let peer: SocketAddr = address.parse().unwrap();
            let mut request = Request::post("/login/device/code").body(Body::from(r#"{"client_id":"x"}"#)).unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
            world.send(request).await.status.as_u16()
        };
        for _ in 0..100 {
            assert_eq!(begin("192.0.2.1:1000").await, 200);
        }
        assert_eq!(begin("192.0.2.1:2000").await, 429);
        assert_eq!(begin("192.0.2.2:1000").await, 200);
    }
}
