//! Sign-in, sign-out, and lifetimes of sessions.

use super::{AUTH, PASSWORD, SESSIONS, mask};
use crate::world::START;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use domain::permission::Role;
use domain::principal::PrincipalState;
use domain::time::Span;
use serde_json::json;
use std::net::SocketAddr;
use store::System;

both! {
    async fn the_response_of_a_sign_in(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Readwrite, "ana@example.com").await;
        let response = world.try_sign_in("Ana@Example.com ", PASSWORD).await;
        insta::assert_json_snapshot!("signed_in", mask(response.json()));
        assert_eq!(response.headers["cache-control"], "no-store");
        let cookie = response.headers["set-cookie"].to_str().unwrap();
        let token = response.json()["jwt-token"]["token"].as_str().unwrap().to_owned();
        assert_eq!(cookie, format!("jwt={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=1209600"));
        assert!(response.text().ends_with("}\n"));
        let ana = world.caller(Some(&token));
        insta::assert_json_snapshot!("sessions", mask(ana.get(SESSIONS).await.json()));
        let one = ana.get(&format!("{SESSIONS}/{}", ana.session_id().await)).await;
        assert_eq!(one.json(), ana.get(SESSIONS).await.json()["sessions"][0]);
        // The same token is valid on the other wires.
        assert_eq!(ana.get("/api/v1/sessions").await.status, 200);
        assert_eq!(ana.get("/tenure/v1/changes").await.status, 200);
        assert_eq!(ana.call("POST", "/api/v1/sessions", Body::empty()).await.status, 201);
    }

    async fn every_failed_sign_in_gets_the_same_response(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let suspended = world.user(acme, Role::Admin, "sue@example.com").await;
        let deleted = world.user(acme, Role::Admin, "del@example.com").await;
        let pending = world.user(acme, Role::Admin, "pen@example.com").await;
        let system = System::for_administration();
        for (id, state) in [
            (suspended, PrincipalState::Suspended),
            (deleted, PrincipalState::Deleted),
            (pending, PrincipalState::Pending),
        ] {
            world.store().set_principal_state(&system, id, state, START).await.unwrap();
        }
        let keyless = world.principal(None, Some((acme, Role::Admin))).await;
        let long = "x".repeat(15_000);
        let mut bodies = Vec::new();
        for (email, password) in [
            ("nobody@example.com", PASSWORD),
            ("ana@example.com", "wrong horse"),
            ("ana@example.com", "correct horse\0"),
            ("ana@example.com", ""),
            ("ana@example.com", &long),
            ("ana@example.com\0", PASSWORD),
            ("ana", PASSWORD),
            ("", PASSWORD),
            ("sue@example.com", PASSWORD),
            ("del@example.com", PASSWORD),
            ("pen@example.com", PASSWORD),
            (&format!("{keyless}@example.com"), ""),
        ] {
            let response = world.try_sign_in(email, password).await;
            assert_eq!(response.status, 401, "{email}: {}", response.text());
            assert!(!response.headers.contains_key("set-cookie"));
            bodies.push(response.text());
        }
        bodies.dedup();
        assert_eq!(bodies, ["{\"status\":\"UNAUTHENTICATED\",\"error\":\"unauthenticated\"}\n"]);
    }

    async fn forms_and_json_are_read_and_nothing_else(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let path = format!("{AUTH}/sign-in");
        let form = "email=ana%40example.com&password=correct+horse&long-term-token=false";
        let anonymous = world.caller(None);
        let response = anonymous.call_with("POST", &path, form).await;
        assert_eq!(response.json()["jwt-token"]["expire"], "2026-03-01T15:00:00Z", "{}", response.text());
        let json = json!({ "email": "ana@example.com", "password": PASSWORD, "user-id": 1, "role": "root" });
        assert_eq!(anonymous.call_with("POST", &path, &json.to_string()).await.status, 200);
        let twice = r#"{"email":"ana@example.com","email":"x","password":"correct horse"}"#;
        for (kind, body, place) in [
            ("text/plain", json.to_string().as_str(), "Content-Type"),
            ("application/json; charset=utf-16", &json.to_string(), "Content-Type"),
            ("multipart/form-data; boundary=x", "x", "Content-Type"),
            ("application/json", "[]", "a JSON object"),
            ("application/json", "{", "EOF"),
            ("application/json", "\u{feff}{}", "expected value"),
            ("application/json", twice, "body:email"),
            ("application/json", r#"{"email":7,"password":"x"}"#, "body:email"),
            ("application/json", r#"{"email":"a@b","password":null}"#, "body:password"),
            ("application/json", r#"{"email":"a@b","password":"x","logout-other":"yes"}"#, "body:logout-other"),
            ("application/x-www-form-urlencoded", "email=a%40b", "formData:password"),
            ("application/x-www-form-urlencoded", "email=a&email=b&password=x", "formData:email"),
            ("application/x-www-form-urlencoded", "email=a&password=x&logout-other=yes", "formData:logout-other"),
        ] {
            let response = anonymous.send("POST", &path, &[("content-type", kind)], Body::from(body.to_owned())).await;
            assert_eq!(response.status, 400, "{kind} {body}: {}", response.text());
            assert_eq!(response.json()["status"], "INVALID_ARGUMENT");
            assert!(response.text().contains(place), "{kind} {body}: {}", response.text());
        }
    }

    async fn sessions_last_as_long_as_requested(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let sign_in = async |long: bool| {
            let body = json!({ "email": "ana@example.com", "password": PASSWORD, "long-term-token": long });
            let response = world.caller(None).call_with("POST", &format!("{AUTH}/sign-in"), &body.to_string()).await;
            world.caller(Some(response.json()["jwt-token"]["token"].as_str().unwrap()))
        };
        let (short, long, unused) = (sign_in(false).await, sign_in(true).await, sign_in(true).await);
        world.advance(Span::seconds(3 * 3600 - 1));
        assert!(short.is_good().await);
        world.advance(Span::seconds(1));
        assert!(!short.is_good().await);
        // A use is recorded in the background. The other session is not used and ends first.
        for day in 0..13 {
            world.advance(Span::minutes(24 * 60));
            assert!(long.is_good().await, "day {day}");
            let noted = || async {
                let known = world.store().find_person_by_email(&System::for_sign_in(), "ana@example.com").await.unwrap().unwrap();
                let open = world.store().list_open_logins(&System::for_sign_in(), known.person.principal.id).await.unwrap();
                open.iter().any(|login| login.seen == world.app().now())
            };
            crate::world::wait_until("the use is noted", noted).await;
        }
        assert!(!unused.is_good().await);
        assert_eq!(long.sessions().await, 1);
        world.advance(Span::seconds(21 * 3600 - 1));
        assert!(long.is_good().await);
        world.advance(Span::seconds(1));
        assert!(!long.is_good().await);
        world.sweep().await;
        let view = System::for_administration().grant::<store::access::ViewSessions>(domain::ids::OrganizationId::PEOPLE);
        // The oldest rows are deleted by now.
        assert_eq!(world.store().list_changes(&view, 3, 100).await.unwrap().latest, 6, "all three ended");
    }

    async fn sign_ins_at_the_same_time_get_separate_sessions(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let (one, two) = (world.sign_in("ana@example.com").await, world.sign_in("ana@example.com").await);
        assert_ne!(one.session_id().await, two.session_id().await);
        assert_ne!(one.key, two.key);
    }

    async fn one_more_than_the_limit_ends_the_least_recently_used(world: &World) {
        let world = world.another_server(|settings| settings.logins_per_user = 3).await;
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let mut signed_in = Vec::new();
        for _ in 0..4 {
            signed_in.push(world.sign_in("ana@example.com").await);
            world.advance(Span::seconds(1));
        }
        let mut good = Vec::new();
        for actor in &signed_in {
            good.push(actor.is_good().await);
        }
        assert_eq!(good, [false, true, true, true]);
    }

    async fn too_many_wrong_passwords_have_to_wait(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        for email in ["ana@example.com", "nobody@example.com"] {
            let tries = (0..14).map(|_| world.try_sign_in(email, "wrong horse"));
            let statuses = futures_util::future::join_all(tries).await;
            let wrong = statuses.iter().filter(|response| response.status == 401).count();
            let waits = statuses.iter().filter(|response| response.status == 429).count();
            // Each is counted before it is checked: of concurrent attempts fewer may be checked, never more.
            assert!(wrong <= 10 && wrong + waits == 14, "{wrong} tried, {waits} refused");
            assert_eq!(world.try_sign_in(email, "wrong horse").await.status, 429);
        }
        let response = world.try_sign_in("ana@example.com", PASSWORD).await;
        assert_eq!(response.headers["retry-after"], "900");
        insta::assert_snapshot!("too_many_attempts", response.text());
        world.advance(Span::minutes(15));
        assert_eq!(world.try_sign_in("ana@example.com", PASSWORD).await.status, 200);
        for _ in 0..10 {
            assert_eq!(world.try_sign_in("ana@example.com", "wrong horse").await.status, 401);
        }
    }

    async fn from_another_network_the_owner_can_still_sign_in(world: &World) {
        let world = world.another_server(|settings| {
            settings.trusted_proxies = server::settings::Proxies::new(&["10.0.0.0/8"]);
        }).await;
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let sign_in = async |peer: &str, forwarded: &str, password: &str| {
            let body = json!({ "email": "ana@example.com", "password": password });
            let mut request = Request::post(format!("{AUTH}/sign-in"))
                .header("content-type", "application/json")
                .header("x-forwarded-for", forwarded)
                .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
                .body(Body::from(body.to_string()))
                .unwrap();
            let peer: SocketAddr = format!("{peer}:1").parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
            world.send(request).await
        };
        // Whatever the header says, it is one peer.
        for number in 0..10 {
            assert_eq!(sign_in("203.0.113.1", &format!("10.0.0.{number}"), "wrong horse").await.status, 401);
        }
        assert_eq!(sign_in("203.0.113.1", "10.0.0.99", PASSWORD).await.status, 429);
        let response = sign_in("10.1.2.3", "198.51.100.7, 203.0.113.2", PASSWORD).await;
        let ana = world.caller(Some(response.json()["jwt-token"]["token"].as_str().unwrap()));
        let session = &ana.get(SESSIONS).await.json()["sessions"][0];
        assert_eq!((&session["remote-ip"], &session["ua-type"]), (&json!("203.0.113.2"), &json!("pc")));
    }

    async fn signing_in_again_ends_the_presented_session(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let before = world.sign_in("ana@example.com").await;
        let body = json!({ "email": "ana@example.com", "password": PASSWORD }).to_string();
        let cookie = format!("jwt={}", before.key.as_deref().unwrap());
        let headers = [("content-type", "application/json"), ("cookie", cookie.as_str())];
        let response =
            world.caller(None).send("POST", &format!("{AUTH}/sign-in"), &headers, Body::from(body)).await;
        assert_eq!(response.status, 200);
        assert_ne!(response.json()["jwt-token"]["token"].as_str(), before.key.as_deref());
        assert!(!before.is_good().await, "nobody goes on with a session that another may have set");
    }

    async fn passwords_are_hashed_again_when_the_parameters_are_raised(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        let dearer = world.another_server(|settings| settings.argon2_memory = 64 << 10).await;
        let hash = async || {
            let known = world.store().find_person_by_email(&System::for_sign_in(), "ana@example.com").await.unwrap();
            known.unwrap().password_hash.unwrap()
        };
        assert!(hash().await.contains("m=8,"));
        let ana = dearer.sign_in("ana@example.com").await;
        assert!(hash().await.contains("m=64,"));
        assert!(ana.is_good().await, "the password is the same: no session ends");
        assert_eq!(dearer.try_sign_in("ana@example.com", PASSWORD).await.status, 200);
    }

    async fn the_return_url_stays_on_this_server(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, "ana@example.com").await;
        for (url, expected) in [("/console?x=1", json!("/console?x=1")), ("https://evil.example", json!(null))] {
            let body = json!({ "email": "ana@example.com", "password": PASSWORD, "ret-url": url }).to_string();
            let response = world.caller(None).call_with("POST", &format!("{AUTH}/sign-in"), &body).await;
            assert_eq!(response.json()["ret-url"], expected);
            let ana = world.sign_in("ana@example.com").await;
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("ret-url", url).finish();
            let response = ana.delete(&format!("{AUTH}/sign-out?{query}")).await;
            assert_eq!(response.json(), json!({ "ret-url": expected, "success": true }));
        }
    }
}
