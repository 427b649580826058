//! Signing in by an issuer, with browsers without scripts and a small test issuer.

mod people;
mod policies;
mod refusals;

mod issuer;

use crate::world::{TestResponse, World};
use axum::body::Body;
use axum::http::Request;
use issuer::{CLIENT, SECRET, TestIssuer};
use serde_json::{Value, json};
use server::settings::{GroupRole, SecretText, Settings};
use std::collections::BTreeMap;

const ANA: &str = "ana@example.com";
const COOKIE: &str = "tenure-oidc";

/// Another server of the world's database, with an issuer.
struct Door {
    world: World,
    issuer: TestIssuer,
}

impl Door {
    async fn new(world: &World, set: impl FnOnce(&mut Settings)) -> Door {
        let issuer = TestIssuer::start().await;
        Door { world: Door::start_server(world, &issuer, set).await, issuer }
    }

    async fn start_server(world: &World, issuer: &TestIssuer, set: impl FnOnce(&mut Settings)) -> World {
        let url = issuer.url.clone();
        world
            .another_server(|settings| {
                settings.oidc_issuer = Some(url);
                settings.oidc_client_id = CLIENT.into();
                settings.oidc_client_secret = Some(SecretText::from(SECRET.to_owned()));
                settings.oidc_name = "Example".into();
                set(settings);
            })
            .await
    }

    fn browser(&self) -> Browser<'_> {
        Browser { world: &self.world, cookies: BTreeMap::new() }
    }

    /// A browser that returns with these claims, and where it is redirected to.
    async fn sign_in(&self, claims: Value) -> (Browser<'_>, String) {
        let mut browser = self.browser();
        let there = browser.begin("/sign-in/oidc").await;
        let back = self.issuer.grant(&there, self.world.app().now(), claims);
        let led = browser.finish(&back).await;
        (browser, led)
    }
}

/// Ana's claims.
fn ana() -> Value {
    json!({ "sub": "1", "email": ANA, "email_verified": true, "name": "Ana" })
}

fn role(rule: &str) -> GroupRole {
    GroupRole::parse(rule).unwrap()
}

struct Browser<'w> {
    world: &'w World,
    cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    async fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> TestResponse {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            request = request.header("cookie", pairs.collect::<Vec<_>>().join("; "));
        }
        let response = self.world.send(request.body(Body::from(body)).unwrap()).await;
        for line in response.headers.get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        response
    }

    async fn page(&mut self, path: &str) -> String {
        let response = self.send("GET", path, &[]).await;
        assert_eq!(response.status, 200, "{path}: {:?}", response.headers.get("location"));
        response.text()
    }

    async fn follow(&mut self, path: &str) -> String {
        let response = self.send("GET", path, &[]).await;
        assert_eq!(response.status, 303, "{path}: {}", response.text());
        response.headers["location"].to_str().unwrap().to_owned()
    }

    /// Begins a sign-in. Returns the URL of the issuer.
    async fn begin(&mut self, path: &str) -> String {
        let there = self.follow(path).await;
        assert!(there.contains("/authorize?"), "{there}");
        there
    }

    async fn finish(&mut self, query: &str) -> String {
        self.follow(&format!("/sign-in/oidc/callback?{query}")).await
    }

    fn is_in(&self) -> bool {
        self.cookies.contains_key("tenure-session")
    }
}
