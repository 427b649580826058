//! Invalid callbacks and tokens.

use super::issuer::{Grant, Signed, TestIssuer, query};
use super::{ANA, Browser, COOKIE, Door, ana};
use crate::world::World;
use axum::http::StatusCode;
use domain::permission::Role;
use domain::time::Span;
use serde_json::{Value, json};

/// A server with an issuer, where Ana is known by her address.
async fn door(world: &World) -> Door {
    let acme = world.organization("acme").await;
    world.user(acme, Role::Readwrite, ANA).await;
    Door::new(world, |_| {}).await
}

/// Where a browser with a forged token is redirected to.
async fn return_forged(door: &Door, forge: impl FnOnce(&mut Grant)) -> String {
    let mut browser = door.browser();
    let there = browser.begin("/sign-in/oidc").await;
    let back = door.issuer.grant_forged(&there, door.world.app().now(), ana(), forge);
    let led = browser.finish(&back).await;
    assert_eq!(browser.is_in(), led == "/account", "{led}");
    assert!(!browser.cookies.contains_key(COOKIE), "what the browser kept is taken back");
    led
}

async fn return_with(door: &Door, claim: &str, value: Value) -> String {
    return_forged(door, |grant| {
        grant.claims.insert(claim.to_owned(), value);
    })
    .await
}

/// A browser that began a sign-in, and the query of a valid callback.
async fn leaving<'w>(door: &'w Door) -> (Browser<'w>, String) {
    let mut browser = door.browser();
    let there = browser.begin("/sign-in/oidc").await;
    let back = door.issuer.grant(&there, door.world.app().now(), ana());
    (browser, back)
}

both! {
    async fn a_state_is_valid_once_in_its_browser_for_ten_minutes(world: &World) {
        let door = door(world).await;
        let mut browser = door.browser();
        let there = browser.begin("/sign-in/oidc").await;
        let back = door.issuer.grant(&there, world.app().now(), ana());
        let mut other = door.browser();
        assert_eq!(other.finish(&back).await, "/sign-in?failed=late", "no cookie");
        other.begin("/sign-in/oidc").await;
        assert_eq!(other.finish(&back).await, "/sign-in?failed=elsewhere", "a cookie of its own");
        assert_eq!(other.finish("state=x&code=y").await, "/sign-in?failed=elsewhere");
        assert_eq!(other.finish("code=y").await, "/sign-in?failed=late");
        assert_eq!(other.finish(&format!("{back}&state=x")).await, "/sign-in?failed=late");
        // None of these attempts has used up the state.
        let kept = browser.cookies[COOKIE].clone();
        for made_up in ["x", "AQAAAAE", &kept[..kept.len() - 2], &format!("{kept}AA")] {
            other.cookies.insert(COOKIE.into(), made_up.to_owned());
            assert_eq!(other.finish(&back).await, "/sign-in?failed=elsewhere", "{made_up}");
        }
        assert_eq!(browser.finish(&back).await, "/account");
        assert!(browser.is_in() && !other.is_in());
        // A repeated callback is refused: the issuer accepts a code once, and if it accepted it again, the server does not.
        let issuer = door.issuer.clone();
        let again = async |state: &str| {
            let mut again = door.browser();
            again.cookies.insert(COOKIE.into(), kept.clone());
            let led = again.finish(state).await;
            (led, again.is_in())
        };
        assert_eq!(again(&back).await, ("/sign-in?failed=untrusted".to_owned(), false), "the code is used");
        let replayed = issuer.grant(&there, world.app().now(), ana());
        assert_eq!(again(&replayed).await, ("/sign-in?failed=late".to_owned(), false), "the state is used");
        assert!(browser.page("/sign-in?failed=late").await.contains("used before"));

        for (wait, expected) in [(Span(Span::minutes(10).0 - 1), "/account"), (Span::minutes(10), "/sign-in?failed=late")] {
            let mut browser = door.browser();
            let there = browser.begin("/sign-in/oidc").await;
            world.advance(wait);
            let back = door.issuer.grant(&there, world.app().now(), ana());
            assert_eq!(browser.finish(&back).await, expected);
        }
    }

    async fn a_sign_in_that_is_not_finished_writes_nothing(world: &World) {
        let door = door(world).await;
        let written = async || store::testing::count_anonymous_rows(world.store()).await.unwrap();
        let before = written().await;
        for _ in 0..20 {
            let mut browser = door.browser();
            browser.begin("/sign-in/oidc").await;
            assert_eq!(browser.finish("state=x&code=y").await, "/sign-in?failed=elsewhere");
        }
        assert_eq!(written().await, before);
        // A path that is too long for a cookie leads to the default page.
        let mut browser = door.browser();
        let there = browser.begin(&format!("/sign-in/oidc?next=/account?{}", "a".repeat(8_000))).await;
        assert!(browser.cookies[COOKIE].len() < 4_000);
        let back = door.issuer.grant(&there, world.app().now(), ana());
        assert_eq!(browser.finish(&back).await, "/account");
    }

    async fn a_token_must_be_for_this_client_and_valid_now(world: &World) {
        let door = door(world).await;
        let now = world.app().now().0 / 1_000_000;
        let untrusted = "/sign-in?failed=untrusted";
        for (claim, value, expected) in [
            ("nonce", json!("another"), untrusted),
            ("nonce", Value::Null, untrusted),
            ("aud", json!("another"), untrusted),
            ("aud", json!([super::CLIENT, "another"]), untrusted),
            ("aud", json!([super::CLIENT]), "/account"),
            ("azp", json!("another"), untrusted),
            ("azp", json!(super::CLIENT), "/account"),
            ("iss", json!("https://another.example"), untrusted),
            ("iss", json!(format!("{}/", door.issuer.url)), untrusted),
            ("exp", json!(now), untrusted),
            ("exp", json!(now + 1), "/account"),
            ("iat", json!(now + 61), untrusted),
            ("sub", json!(""), untrusted),
            ("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"), untrusted),
        ] {
            assert_eq!(return_with(&door, claim, value.clone()).await, expected, "{claim}: {value}");
        }
        assert!(door.browser().page(untrusted).await.contains("could not be verified"));
    }

    async fn a_token_must_be_signed_by_the_issuer(world: &World) {
        let door = door(world).await;
        for signed in [Signed::Not, Signed::WithSecret, Signed::WithPublicKey, Signed::ByAnother] {
            assert_eq!(return_forged(&door, |grant| grant.signed = signed).await, "/sign-in?failed=untrusted");
        }
        assert_eq!(return_forged(&door, |_| {}).await, "/account");
    }

    async fn a_callback_names_its_issuer(world: &World) {
        let door = door(world).await;
        let own = door.issuer.url.clone();
        for (response, expected) in [
            ("iss=https://another.example".to_owned(), "/sign-in?failed=untrusted"),
            (format!("iss={own}/"), "/sign-in?failed=untrusted"),
            (format!("iss={own}"), "/account"),
        ] {
            let (mut browser, back) = leaving(&door).await;
            assert_eq!(browser.finish(&format!("{back}&{response}")).await, expected, "{response}");
        }
        // If its metadata says that it always names itself, a callback without a name is refused.
        let says = "authorization_response_iss_parameter_supported";
        door.issuer.parts.lock().unwrap().itself.insert(says.into(), json!(true));
        world.advance(Span::minutes(60));
        let (mut browser, back) = leaving(&door).await;
        assert_eq!(browser.finish(&back).await, "/sign-in?failed=untrusted");
    }

    async fn errors_of_the_issuer_are_shown(world: &World) {
        let door = door(world).await;
        for (error, word) in [
            ("access_denied", "denied"),
            ("login_required", "denied"),
            ("%0d%0aevil", "denied"),
            ("temporarily_unavailable", "down"),
        ] {
            let (mut browser, back) = leaving(&door).await;
            let state = back.split('&').next().unwrap();
            let led = browser.finish(&format!("{state}&error={error}")).await;
            assert_eq!(led, format!("/sign-in?failed={word}"));
            assert!(!browser.is_in());
        }
        let mut browser = door.browser();
        assert_eq!(browser.finish("error=access_denied").await, "/sign-in?failed=late", "without a state");
        let said = browser.page("/sign-in?failed=denied").await;
        assert!(said.contains("Example refused the sign-in"), "{said}");
        assert!(!browser.page("/sign-in?failed=%3Cb%3E").await.contains("<b>"));
        // A code that is unknown to the issuer.
        let (mut browser, back) = leaving(&door).await;
        let state = back.split('&').next().unwrap();
        assert_eq!(browser.finish(&format!("{state}&code=x")).await, "/sign-in?failed=untrusted");
    }

    async fn an_unusable_issuer_is_reported(world: &World) {
        let door = door(world).await;
        let broken = |response: Option<(StatusCode, String)>| door.issuer.parts.lock().unwrap().broken = response;
        let there = format!("{}/elsewhere", door.issuer.url);
        for (status, text) in [
            (StatusCode::INTERNAL_SERVER_ERROR, "x".to_owned()),
            (StatusCode::OK, "{}".to_owned()),
            (StatusCode::OK, " ".repeat((1 << 20) + 1)),
            (StatusCode::TEMPORARY_REDIRECT, there),
        ] {
            broken(Some((status, text)));
            assert_eq!(door.browser().follow("/sign-in/oidc").await, "/sign-in?failed=down", "{status}");
        }
        broken(None);
        for (name, value) in [
            ("issuer", "https://another.example"),
            ("token_endpoint", "http://issuer.example/token"),
            ("jwks_uri", "file:///etc/passwd"),
            ("authorization_endpoint", "http://169.254.169.254/"),
        ] {
            door.issuer.parts.lock().unwrap().itself.insert(name.into(), json!(value));
            assert_eq!(door.browser().follow("/sign-in/oidc").await, "/sign-in?failed=down", "{name}");
            door.issuer.parts.lock().unwrap().itself.clear();
        }
        let (mut browser, back) = leaving(&door).await;
        broken(Some((StatusCode::BAD_GATEWAY, "x".to_owned())));
        assert_eq!(browser.finish(&back).await, "/sign-in?failed=down");
        assert!(browser.page("/sign-in?failed=down").await.contains("Example cannot be reached"));
    }

    async fn unknown_keys_are_fetched_once_a_minute(world: &World) {
        let door = door(world).await;
        for _ in 0..3 {
            assert_eq!(return_forged(&door, |_| {}).await, "/account");
        }
        assert_eq!((door.issuer.request_count("itself"), door.issuer.request_count("keys")), (1, 1), "it is remembered");
        door.issuer.rotate("second");
        assert_eq!(return_forged(&door, |_| {}).await, "/account", "a new key is found");
        assert_eq!(door.issuer.request_count("keys"), 2);
        door.issuer.rotate("third");
        for _ in 0..3 {
            assert_eq!(return_forged(&door, |_| {}).await, "/sign-in?failed=untrusted");
        }
        assert_eq!(door.issuer.request_count("keys"), 2, "once a minute");
        world.advance(Span::minutes(1));
        assert_eq!(return_forged(&door, |_| {}).await, "/account");
        world.advance(Span::minutes(60));
        assert_eq!(return_forged(&door, |_| {}).await, "/account");
        assert_eq!((door.issuer.request_count("itself"), door.issuer.request_count("keys")), (2, 4));
    }

    async fn a_sign_in_continues_on_this_server_only(world: &World) {
        let door = door(world).await;
        for (next, expected) in [
            ("/account?done=shown", "/account?done=shown"),
            ("//evil.example", "/account"),
            ("https://evil.example", "/account"),
            ("/\\evil.example", "/account"),
        ] {
            let next = form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>();
            let mut browser = door.browser();
            let there = browser.begin(&format!("/sign-in/oidc?next={next}")).await;
            let back = door.issuer.grant(&there, world.app().now(), ana());
            assert_eq!(browser.finish(&back).await, expected);
        }
        // The request to the issuer, and the cookie.
        let mut browser = door.browser();
        let response = browser.send("GET", "/sign-in/oidc", &[]).await;
        let cookie = response.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
        let asked = query(response.headers["location"].to_str().unwrap());
        let back = format!("{}/sign-in/oidc/callback", door.world.server.base_url());
        assert_eq!((asked["scope"].as_str(), &asked["redirect_uri"]), ("openid email profile", &back));
        assert!(!asked.contains_key("prompt") && !asked.contains_key("max_age"));
        let secret = &browser.cookies[COOKIE];
        assert!(!asked.values().any(|value| value == secret), "the browser's values are secret");
    }

    async fn without_an_issuer_nobody_signs_in_by_one(world: &World) {
        let mut browser = Browser { world, cookies: Default::default() };
        assert_eq!(browser.follow("/sign-in/oidc").await, "/sign-in?failed=nobody");
        assert_eq!(browser.finish("state=x&code=y").await, "/sign-in?failed=nobody");
        assert!(!browser.page("/sign-in").await.contains("/sign-in/oidc"));
        let issuer = TestIssuer::start().await;
        let beside = Door::start_server(world, &issuer, |_| {}).await;
        let mut browser = Browser { world: &beside, cookies: Default::default() };
        let page = browser.page("/sign-in?back=/account?a=1%26b=2").await;
        assert!(page.contains("Sign in with Example"), "{page}");
        assert!(page.contains("/sign-in/oidc?next=%2Faccount%3Fa%3D1%26b%3D2"), "{page}");
        assert_eq!(issuer.request_count("itself"), 0, "nothing is asked before somebody wants to go there");
    }

    async fn over_tls_the_cookie_belongs_to_this_host_only(world: &World) {
        let issuer = TestIssuer::start().await;
        let url = server::settings::BaseUrl::parse("https://tenure.example").unwrap();
        let beside = Door::start_server(world, &issuer, |settings| settings.public_url = Some(url)).await;
        let mut browser = Browser { world: &beside, cookies: Default::default() };
        let response = browser.send("GET", "/sign-in/oidc", &[]).await;
        let cookie = response.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("__Host-tenure-oidc=") && cookie.ends_with("; Secure"), "{cookie}");
    }
}
