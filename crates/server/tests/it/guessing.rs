//! Limits on guessing, and what anonymous callers cannot do to others. Every request has a client address.

use crate::probe::{AUTH, PASSWORD, token_in};
use crate::world::{TestResponse, World};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use domain::permission::Role;
use domain::time::Span;
use futures_util::future::join_all;
use serde_json::{Value, json};
use server::operations::login;
use std::net::{IpAddr, SocketAddr};
use store::testing::count_anonymous_rows;

const ANA: &str = "ana@example.com";
const OFFICE: &str = "192.0.2.7";

/// A browser: its address and its cookie.
#[derive(Clone)]
struct Visitor<'w> {
    world: &'w World,
    ip: IpAddr,
    cookies: String,
}

impl World {
    fn visitor_from(&self, ip: &str) -> Visitor<'_> {
        Visitor { world: self, ip: ip.parse().unwrap(), cookies: String::new() }
    }
}

impl Visitor<'_> {
    async fn posts(&self, path: &str, kind: &str, body: String) -> TestResponse {
        let mut request = Request::post(path)
            .header("content-type", kind)
            .header("cookie", &self.cookies)
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(body))
            .unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(self.ip, 1)));
        self.world.send(request).await
    }

    async fn json(&self, path: &str, body: Value) -> TestResponse {
        self.posts(path, "application/json", body.to_string()).await
    }

    async fn signs_in(&self, email: &str, password: &str) -> TestResponse {
        self.json(&format!("{AUTH}/sign-in"), json!({ "email": email, "password": password })).await
    }

    /// The status of a sign-in.
    async fn tries(&self, email: &str, password: &str) -> u16 {
        self.signs_in(email, password).await.status.as_u16()
    }

    async fn forgets(&self, email: &str) -> u16 {
        self.json(&format!("{AUTH}/password-restore"), json!({ "email": email })).await.status.as_u16()
    }

    /// The same browser after Ana signed in on the page, without its session cookie.
    async fn into_known(mut self) -> Self {
        let form = format!("email=ana%40example.com&password={}", PASSWORD.replace(' ', "+"));
        let response = self.posts("/sign-in", "application/x-www-form-urlencoded", form).await;
        assert_eq!(response.status, 303, "{}", response.text());
        let kept = response.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
        let kept = kept.filter(|line| line.starts_with("tenure-browser="));
        self.cookies = kept.map(|line| line.split(';').next().unwrap()).collect();
        assert!(!self.cookies.is_empty());
        self
    }

    /// Fails to sign in with unknown addresses.
    async fn fails(&self, times: u32) -> Vec<u16> {
        let tries = (0..times).map(|number| async move {
            self.tries(&format!("nobody-{number}@example.com"), "wrong horse").await
        });
        join_all(tries).await
    }
}

async fn people(world: &World, emails: &[&str]) {
    let acme = world.organization("Acme").await;
    for email in emails {
        world.user(acme, Role::Admin, email).await;
    }
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|one| **one == status).count()
}

both! {
    async fn an_ipv6_network_is_one_address(world: &World) {
        people(world, &[ANA]).await;
        for number in 0..12 {
            let status = world.visitor_from(&format!("2001:db8:0:1::{number:x}")).tries(ANA, "wrong horse").await;
            assert_eq!(status, if number < 10 { 401 } else { 429 }, "{number}");
        }
        assert_eq!(world.visitor_from("2001:db8:0:1:ffff::1").tries(ANA, PASSWORD).await, 429);
        assert_eq!(world.visitor_from("2001:db8:0:2::1").tries(ANA, PASSWORD).await, 200);
        // Device logins are limited by network too.
        for number in 0..=100 {
            let response = world.visitor_from(&format!("2001:db8:0:3::{number:x}"));
            let response = response.json("/login/device/code", json!({ "client_id": "mobilecli" })).await;
            assert_eq!(response.status, if number < 100 { 200 } else { 429 }, "{number}");
        }
    }

    async fn a_user_has_a_budget_over_all_networks(world: &World) {
        people(world, &[ANA, "bea@example.com"]).await;
        let beside = world.another_server(|_| {}).await;
        for email in [ANA, "nobody@example.com"] {
            let tries = (0..60).map(|number| {
                let server = if number % 2 == 0 { world } else { &beside };
                async move { server.visitor_from(&format!("198.51.100.{number}")).tries(email, "wrong horse").await }
            });
            let statuses = join_all(tries).await;
            assert_eq!((count(&statuses, 401), count(&statuses, 429)), (30, 30), "{email}");
        }
        assert_eq!(world.visitor_from("203.0.113.1").tries(ANA, PASSWORD).await, 429, "not even from elsewhere");
        assert_eq!(world.visitor_from("203.0.113.1").tries("bea@example.com", PASSWORD).await, 200);
        world.advance(Span::minutes(59));
        assert_eq!(world.visitor_from("203.0.113.1").tries(ANA, PASSWORD).await, 429, "it is slow");
        world.advance(Span::minutes(1));
        assert_eq!(world.visitor_from("203.0.113.1").tries(ANA, PASSWORD).await, 200);
    }

    async fn anonymous_callers_cannot_lock_a_user_out_of_a_known_browser(world: &World) {
        people(world, &[ANA, "bea@example.com"]).await;
        let home = world.visitor_from("192.0.2.1").into_known().await;
        for number in 0..40 {
            world.visitor_from(&format!("198.51.100.{number}")).tries(ANA, "wrong horse").await;
        }
        world.visitor_from("192.0.2.1").fails(1_000).await;
        assert_eq!(world.visitor_from("192.0.2.1").tries(ANA, PASSWORD).await, 429);
        assert_eq!(home.tries(ANA, PASSWORD).await, 200);
        assert_eq!(home.clone().into_known().await.tries(ANA, PASSWORD).await, 200);
        // In another network it is the same browser.
        assert_eq!(Visitor { ip: "203.0.113.9".parse().unwrap(), ..home.clone() }.tries(ANA, PASSWORD).await, 200);
        // The cookie is Ana's, and nobody else can create one.
        let value = home.cookies.strip_prefix("tenure-browser=").unwrap();
        let with = |cookies: String| Visitor { cookies, ..home.clone() };
        for made_up in [
            String::new(),
            value[1..].to_owned(),
            value.replacen('.', "..", 1),
            value.split('.').next().unwrap().to_owned(),
            format!("{value}; tenure-browser={value}"),
        ] {
            assert_eq!(with(format!("tenure-browser={made_up}")).tries(ANA, PASSWORD).await, 429, "{made_up}");
        }
        assert_eq!(home.tries("bea@example.com", PASSWORD).await, 429, "not Bea's");
        // A known browser has the same number of failures, and the cookie expires.
        for number in 0..12 {
            assert_eq!(home.tries(ANA, "wrong horse").await, if number < 10 { 401 } else { 429 });
        }
        assert_eq!(home.tries(ANA, PASSWORD).await, 429);
        world.advance(Span::minutes(365 * 24 * 60));
        for _ in 0..10 {
            assert_eq!(world.visitor_from("192.0.2.1").tries(ANA, "wrong horse").await, 401);
        }
        assert_eq!(home.tries(ANA, PASSWORD).await, 429, "it is an unknown browser by now");
    }

    async fn users_of_a_shared_network_sign_in_without_limit(world: &World) {
        people(world, &[ANA]).await;
        let office = world.visitor_from(OFFICE);
        for _ in 0..200 {
            assert_eq!(office.tries(ANA, PASSWORD).await, 200);
        }
        assert_eq!(office.tries(ANA, "wrong horse").await, 401);
    }

    async fn a_sign_in_without_its_second_factor_is_not_a_failed_one(world: &World) {
        let (_, phone, _) = crate::door::sign_in_enrolled(world).await;
        let office = world.visitor_from(OFFICE);
        let body = json!({ "email": ANA, "password": PASSWORD });
        for _ in 0..40 {
            assert_eq!(office.json("/tenure/v1/sign-in", body.clone()).await.status, 202);
        }
        world.advance(Span::seconds(60));
        let half = office.json("/tenure/v1/sign-in", body).await.json();
        let code = json!({ "challenge": half["challenge"], "code": phone.code(world, 0) });
        assert_eq!(office.json("/tenure/v1/sign-in/code", code).await.status, 200);
    }

    async fn one_visitor_does_not_lock_a_shared_network_out(world: &World) {
        let many = (0..120).map(|number| format!("user-{number}@example.com")).collect::<Vec<_>>();
        people(world, &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let office = world.visitor_from(OFFICE);
        assert_eq!(count(&office.fails(100).await, 401), 100);
        // All others of the network sign in at once, and may mistype twice.
        let all = join_all(many.iter().map(|email| office.tries(email, PASSWORD))).await;
        assert_eq!(count(&all, 200), 120, "{all:?}");
        let mistyped = async || {
            let mut statuses = Vec::new();
            for password in ["wrong horse", "wrong horse", PASSWORD, "wrong horse", "wrong horse", "wrong horse", PASSWORD] {
                statuses.push(office.tries(&many[0], password).await);
            }
            statuses
        };
        assert_eq!(mistyped().await, [401, 401, 200, 401, 401, 401, 429], "three tries, not ten");
        // Writes are limited like attempts.
        let more = office.fails(1_200).await;
        assert!(count(&more, 401) < 900 && count(&more, 429) > 300);
        let rows = count_anonymous_rows(world.store()).await.unwrap();
        assert_eq!(count(&office.fails(1_300).await[1_200..], 429), 100);
        assert_eq!(count_anonymous_rows(world.store()).await.unwrap(), rows, "no more is written");
        assert_eq!(world.visitor_from("192.0.2.8").tries(&many[1], PASSWORD).await, 200, "other networks are not affected");
        world.advance(Span::minutes(15));
        assert_eq!(office.tries(&many[1], PASSWORD).await, 200);
        world.advance(Span::minutes(60));
        login::sessions::sweep_logins(world.app()).await.unwrap();
        assert!(count_anonymous_rows(world.store()).await.unwrap() < 10, "it is forgotten");
    }

    async fn anonymous_callers_cannot_keep_a_user_from_a_new_password(world: &World) {
        people(world, &[ANA]).await;
        // The response does not reveal whether an address is known, and nothing is written for an unknown one.
        let rows = count_anonymous_rows(world.store()).await.unwrap();
        for number in 0..20 {
            assert_eq!(world.visitor_from(&format!("198.51.100.{number}")).forgets("nobody@example.com").await, 200);
        }
        assert_eq!(count_anonymous_rows(world.store()).await.unwrap(), rows + 20, "one of each network");
        for number in 0..20 {
            assert_eq!(world.visitor_from(&format!("198.51.100.{number}")).forgets(ANA).await, 200);
        }
        let mail = world.mail(1).await;
        assert_eq!(world.visitor_from(OFFICE).forgets(ANA).await, 200, "she asks herself, and has one");
        // The token of the mail works. A while later another one can be requested.
        world.advance(Span::minutes(10));
        assert_eq!(world.visitor_from(OFFICE).forgets(ANA).await, 200);
        let newer = world.mail(2).await;
        assert_ne!(token_in(&mail), token_in(&newer));
        assert_eq!(world.mails().len(), 2, "of twenty-two who asked");
        let set = json!({ "verify-token": token_in(&newer), "new-password": "another horse" });
        assert_eq!(world.visitor_from(OFFICE).json(&format!("{AUTH}/password-restore-verify"), set).await.status, 200);
        // Another one can be requested at once, since the first one was used.
        assert_eq!(world.visitor_from(OFFICE).forgets(ANA).await, 200);
        world.mail(3).await;
    }

    async fn one_network_can_request_a_bounded_number_of_mails(world: &World) {
        people(world, &[ANA]).await;
        let home = world.visitor_from(OFFICE).into_known().await;
        for number in 0..100 {
            let ip = format!("2001:db8::{number:x}");
            assert_eq!(world.visitor_from(&ip).forgets(&format!("nobody-{number}@example.com")).await, 200);
            assert_eq!(world.visitor_from(OFFICE).forgets(&format!("nobody-{number}@example.com")).await, 200);
        }
        assert_eq!(world.visitor_from("2001:db8::ffff").forgets(ANA).await, 429);
        assert_eq!(world.visitor_from(OFFICE).forgets(ANA).await, 429);
        assert_eq!(home.forgets("bea@example.com").await, 429);
        assert_eq!(home.forgets(ANA).await, 200, "her own browser may ask");
        assert!(world.mail(1).await.contains("To: ana@example.com"));
    }

    async fn a_program_that_polls_endlessly_writes_nothing_more(world: &World) {
        let program = world.program().await;
        let mut last = String::new();
        for _ in 0..30 {
            last = program.asks().await.json()["error_description"].as_str().unwrap().to_owned();
        }
        assert_eq!(last, "ask every 60 s from now on");
        world.advance(Span::seconds(30));
        assert_eq!(program.asks().await.json()["error"], "slow_down");
        world.advance(Span::seconds(29));
        assert_eq!(program.asks().await.json()["error"], "authorization_pending", "what came too early did not count");
    }

    async fn correct_codes_can_be_viewed_without_limit(world: &World) {
        let acme = world.organization("Acme").await;
        let ana = world.person(acme, Role::Readwrite, ANA).await;
        for _ in 0..60 {
            let program = world.program().await;
            assert_eq!(ana.lets_in(&program, acme).await, 200);
        }
    }

    async fn many_sign_ins_at_once_renew_a_hash_once(world: &World) {
        people(world, &[ANA]).await;
        let dearer = world.another_server(|settings| settings.argon2_memory = 16 << 10).await;
        let dearest = world.another_server(|settings| settings.argon2_memory = 24 << 10).await;
        // Two servers with different parameters renew each other's hashes.
        let tries = (0..8).map(|number| {
            let server = if number % 2 == 0 { &dearer } else { &dearest };
            async move { server.visitor_from(&format!("192.0.2.{number}")).tries(ANA, PASSWORD).await }
        });
        assert_eq!(join_all(tries).await, [200; 8]);
        // A wrong password stays wrong.
        let ana = world.sign_in(ANA).await;
        let body = json!({ "old": PASSWORD, "new": "another horse" });
        let (kind, body) = ([("content-type", "application/json")], Body::from(body.to_string()));
        let office = dearer.visitor_from(OFFICE);
        let (changed, _) =
            tokio::join!(ana.send("PUT", "/tenure/v1/me/password", &kind, body), office.tries(ANA, PASSWORD));
        assert_eq!(changed.status, 204);
        assert_eq!(dearest.visitor_from(OFFICE).tries(ANA, PASSWORD).await, 401);
    }
}
