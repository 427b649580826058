//! Verification of `X-Recaptcha-Token`, when the settings have it.

use super::{AUTH, PASSWORD};
use crate::world::{TestResponse, World};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use domain::permission::Role;
use serde_json::json;
use server::settings::{BaseUrl, SecretText, Settings};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ANA: &str = "ana@example.com";

/// Every form sent to the verifier.
type Asked = Arc<Mutex<Vec<String>>>;

/// Starts a verifier that does what the token says. Returns its URL.
async fn checker(asked: &Asked) -> String {
    async fn handle_check(State(asked): State<Asked>, form: String) -> Response {
        asked.lock().unwrap().push(form.clone());
        let says = |text: &str| text.to_owned().into_response();
        match form.split('&').find_map(|pair| pair.strip_prefix("response=")) {
            Some("good") => says(r#"{"success": true, "hostname": "x"}"#),
            Some("bad") => says(r#"{"success": false, "error-codes": ["timeout-or-duplicate"]}"#),
            Some("ill") => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"success": true}"#).into_response(),
            Some("elsewhere") => (StatusCode::FOUND, [("location", "/good")]).into_response(),
            Some("odd") => says(r#"{"success": "true"}"#),
            Some("long") => says(&" ".repeat(1 << 20)),
            _ => std::future::pending().await,
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(routing::any(handle_check)).with_state(asked.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/siteverify")
}

fn verify_by(url: &str) -> impl FnOnce(&mut Settings) {
    let url = BaseUrl::parse(url);
    move |settings| {
        settings.recaptcha_verify_url = url;
        settings.recaptcha_secret = Some(SecretText::from("s&cret".to_owned()));
        settings.recaptcha_timeout = Duration::from_millis(300);
    }
}

/// A sign-in or a password restore.
async fn send(world: &World, path: &str, token: Option<&str>) -> TestResponse {
    let headers = token.map(|token| ("x-recaptcha-token", token));
    let headers = headers.into_iter().chain([("content-type", "application/json")]).collect::<Vec<_>>();
    let body = json!({ "email": ANA, "password": PASSWORD }).to_string();
    world.caller(None).send("POST", &format!("{AUTH}/{path}"), &headers, body.into()).await
}

both! {
    async fn the_checker_decides_who_may_try_to_sign_in(world: &World) {
        let acme = world.organization("Acme").await;
        world.user(acme, Role::Admin, ANA).await;
        let asked = Asked::default();
        let url = checker(&asked).await;
        let strict = world.another_server(verify_by(&url)).await;
        let set = verify_by(&url);
        let lenient = world.another_server(|settings| {
            set(settings);
            settings.recaptcha_down_lets_in = true;
        }).await;
        for path in ["sign-in", "password-restore"] {
            // Without the settings, nothing is verified.
            assert_eq!(send(world, path, Some("bad")).await.status, 200);
            assert_eq!(send(&strict, path, Some("good")).await.status, 200);
            assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["secret=s%26cret&response=good"]);
            for (token, expected) in [(None, "solved"), (Some(""), "solved"), (Some("bad"), "solve it again")] {
                for world in [&strict, &lenient] {
                    let refused = send(world, path, token).await;
                    assert_eq!(refused.status, 400, "{token:?}: {}", refused.text());
                    assert!(refused.text().contains(expected), "{token:?}: {}", refused.text());
                }
            }
            for token in ["ill", "elsewhere", "odd", "long", "hangs"] {
                let refused = send(&strict, path, Some(token)).await;
                assert_eq!((refused.status.as_u16(), &refused.json()["status"]), (503, &json!("UNAVAILABLE")), "{token}");
                assert!(refused.text().contains("cannot be checked"), "{token}: {}", refused.text());
                assert_eq!(send(&lenient, path, Some(token)).await.status, 200, "{token}");
            }
            asked.lock().unwrap().clear();
        }
        // Nothing listens there.
        let gone = world.another_server(verify_by("http://127.0.0.1:1/siteverify")).await;
        assert_eq!(send(&gone, "sign-in", Some("good")).await.status, 503);
    }
}

#[tokio::test]
async fn both_recaptcha_settings_are_required() {
    let world = World::sqlite().await;
    let mut settings = world.app().settings.clone();
    settings.recaptcha_verify_url = BaseUrl::parse("https://example.com/siteverify");
    let error =
        server::Server::start(settings, tokio_util::sync::CancellationToken::new()).await.err().unwrap();
    assert!(error.to_string().contains("recaptcha_secret"), "{error}");
}
