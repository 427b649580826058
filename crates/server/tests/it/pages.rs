//! The pages of the console, in a browser without scripts.

use crate::probe::{PASSWORD, token_in};
use crate::world::{TestResponse, World};
use axum::body::Body;
use axum::http::Request;
use domain::permission::Role;
use domain::time::Span;
use totp_rs::{Builder, Secret};

const ANA: &str = "ana@example.com";
const SITE: (&str, &str) = ("sec-fetch-site", "same-origin");

/// One browser: its cookie.
struct Browser<'w> {
    world: &'w World,
    cookie: Option<String>,
}

impl<'w> Browser<'w> {
    fn new(world: &'w World) -> Browser<'w> {
        Browser { world, cookie: None }
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> TestResponse {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.world.send(request.body(Body::from(body)).unwrap()).await;
        for set in response.headers.get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            if let Some(token) = pair.strip_prefix("tenure-session=") {
                self.cookie = (!token.is_empty()).then_some(pair);
            }
        }
        response
    }

    async fn get(&mut self, path: &str) -> String {
        let response = self.send("GET", path, &[], &[]).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.text()
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> TestResponse {
        self.send("POST", path, &[SITE], fields).await
    }

    /// Posts a form that redirects. Returns where to.
    async fn goes(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let response = self.post(path, fields).await;
        assert_eq!(response.status, 303, "{path}: {}", response.text());
        response.headers["location"].to_str().unwrap().to_owned()
    }

    async fn sign_in(&mut self) -> TestResponse {
        self.post("/sign-in", &[("email", ANA), ("password", PASSWORD)]).await
    }
}

async fn ana(world: &World) -> Browser<'_> {
    let acme = world.organization("Acme").await;
    world.user(acme, Role::Readwrite, ANA).await;
    let mut browser = Browser::new(world);
    assert_eq!(browser.sign_in().await.headers["location"], "/account");
    browser
}

/// The text between two texts of a page.
fn text_between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before)
        .and_then(|(_, rest)| rest.split_once(after))
        .unwrap_or_else(|| panic!("{before}: {text}"))
        .0
}

fn code(world: &World, secret: &str) -> String {
    let secret = Secret::try_from_base32(secret.replace(' ', "")).unwrap();
    Builder::new()
        .with_secret(secret)
        .build()
        .unwrap()
        .generate((world.app().now().0 / 1_000_000) as u64)
        .to_string()
}

both! {
    async fn a_user_signs_in_sees_the_account_and_signs_out(world: &World) {
        let mut visitor = Browser::new(world);
        let response = visitor.send("GET", "/account", &[], &[]).await;
        assert_eq!(response.headers["location"], "/sign-in?back=/account");
        let mut browser = ana(world).await;
        let page = browser.get("/account").await;
        assert!(page.contains("this browser") && page.contains("Firefox/145.0") && page.contains(ANA), "{page}");
        assert!(!page.contains("<script") && !page.contains("style="), "{page}");
        assert_eq!(browser.goes("/sign-out", &[]).await, "/sign-in?done=out");
        assert!(browser.cookie.is_none());
        assert!(browser.get("/sign-in?done=out").await.contains("You are signed out."));
    }

    async fn errors_are_shown_on_the_same_page(world: &World) {
        let mut browser = ana(world).await;
        let mut visitor = Browser::new(world);
        let typed = "\"><script>alert(1)</script>@example.com";
        for email in [ANA, "nobody@example.com", typed] {
            let response = visitor.post("/sign-in", &[("email", email), ("password", "wrong horse")]).await;
            assert_eq!(response.status, 401);
            assert!(response.text().contains("That address or password is not right.") && visitor.cookie.is_none());
            assert!(!response.text().contains("<script>"), "{}", response.text());
        }
        for (old, new, status, said) in [
            ("wrong horse", "another horse", 400, "That is not your password."),
            (PASSWORD, "short", 400, "Choose a password of 8 to 255 characters."),
        ] {
            let response = browser.post("/account/password", &[("old", old), ("new", new)]).await;
            assert_eq!(response.status, status);
            assert!(response.text().contains(said), "{}", response.text());
        }
        let response = browser.post("/account/end", &[("session", "x")]).await;
        assert_eq!(response.status, 404);
    }

    async fn pages_of_other_sites_cannot_post_forms(world: &World) {
        let mut browser = ana(world).await;
        let own = world.server.base_url().to_owned();
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
        ] {
            for path in ["/sign-in", "/sign-in/code", "/sign-out", "/account/end-all", "/account/totp", "/restore"] {
                let fields = [("email", ANA), ("password", PASSWORD)];
                let response = browser.send("POST", path, headers, &fields).await;
                assert_eq!(response.status, 403, "{path} {headers:?}");
                assert!(!response.headers.contains_key("set-cookie"));
            }
        }
        browser.get("/account").await;
        let response = browser.send("POST", "/account/end-others", &[("origin", &own)], &[]).await;
        assert_eq!(response.status, 303);
    }

    async fn a_sign_in_returns_to_this_server_only(world: &World) {
        ana(world).await;
        for (back, expected) in [
            ("/account?x=1", "/account?x=1"),
            ("https://evil.example/", "/account"),
            ("//evil.example", "/account"),
            ("/\\evil.example", "/account"),
            ("javascript:alert(1)", "/account"),
        ] {
            let mut browser = Browser::new(world);
            let fields = [("email", ANA), ("password", PASSWORD), ("back", back)];
            assert_eq!(browser.goes("/sign-in", &fields).await, expected, "{back}");
        }
    }

    async fn sessions_are_ended_one_by_one_others_and_all(world: &World) {
        let mut here = ana(world).await;
        let (mut there, mut elsewhere) = (Browser::new(world), Browser::new(world));
        for browser in [&mut there, &mut elsewhere] {
            world.advance(Span::seconds(1));
            assert_eq!(browser.sign_in().await.status, 303);
        }
        let page = here.get("/account").await;
        assert_eq!(page.matches("name=\"session\"").count(), 3);
        // The newest is the first.
        let newest = text_between(&page, "name=\"session\" value=\"", "\"").to_owned();
        assert_eq!(here.goes("/account/end", &[("session", &newest)]).await, "/account?done=ended");
        assert_eq!(elsewhere.send("GET", "/account", &[], &[]).await.status, 303);
        assert_eq!(here.goes("/account/end-others", &[]).await, "/account?done=others");
        assert_eq!(there.send("GET", "/account", &[], &[]).await.status, 303);
        assert_eq!(here.goes("/account/end-all", &[]).await, "/sign-in?done=out");
        assert!(here.cookie.is_none());
    }

    async fn a_second_factor_is_set_up_and_required(world: &World) {
        let mut browser = ana(world).await;
        let page = browser.post("/account/totp", &[]).await.text();
        assert!(page.contains("<svg"), "{page}");
        let secret = text_between(&page, "<code id=\"secret\">", "<").to_owned();
        let wrong = browser.post("/account/totp/confirm", &[("code", "000000")]).await;
        assert_eq!(wrong.status, 401);
        assert_eq!(text_between(&wrong.text(), "<code id=\"secret\">", "<"), secret, "the same one can be tried again");
        let on = browser.post("/account/totp/confirm", &[("code", &code(world, &secret))]).await.text();
        let codes = text_between(&on, "<ul class=\"codes\">", "</ul>");
        assert_eq!(codes.matches("<code>").count(), 10);
        let recovery = text_between(codes, "<code>", "</code>").to_owned();
        assert!(!browser.get("/account").await.contains(&recovery), "they are shown once");

        world.advance(Span::seconds(60));
        for shown in [code(world, &secret), recovery] {
            let mut other = Browser::new(world);
            let half = other.sign_in().await;
            assert_eq!(half.status, 200);
            assert!(other.cookie.is_none() && half.text().contains("One more step"));
            let page = half.text();
            let challenge = text_between(&page, "name=\"challenge\" value=\"", "\"");
            let wrong = other.post("/sign-in/code", &[("challenge", challenge), ("code", "000000")]).await;
            assert_eq!(wrong.status, 401);
            assert!(wrong.text().contains("That code is not right"));
            let fields = [("challenge", challenge), ("code", &shown), ("back", "/account?x=1")];
            assert_eq!(other.goes("/sign-in/code", &fields).await, "/account?x=1");
            assert!(other.get("/account").await.contains("with a second factor"));
            assert_eq!(other.post("/sign-in/code", &fields).await.status, 401);
        }
    }

    async fn after_an_old_sign_in_the_page_asks_for_the_password_again(world: &World) {
        let mut browser = ana(world).await;
        world.advance(Span::minutes(10));
        let stale = browser.post("/account/totp", &[]).await;
        assert_eq!(stale.status, 403);
        assert!(stale.text().contains("Confirm your identity"), "{}", stale.text());
        let wrong = browser.post("/account/authenticate", &[("password", "wrong horse")]).await;
        assert_eq!(wrong.status, 400);
        assert!(wrong.text().contains("That is not your password.") && wrong.text().contains("Confirm your identity"));
        assert_eq!(browser.goes("/account/authenticate", &[("password", PASSWORD)]).await, "/account?done=shown");
        assert_eq!(browser.post("/account/totp", &[]).await.status, 200);
    }

    async fn a_forgotten_password_is_restored_on_the_page(world: &World) {
        let mut browser = ana(world).await;
        let mut visitor = Browser::new(world);
        let known = visitor.post("/restore", &[("email", ANA)]).await;
        let unknown = visitor.post("/restore", &[("email", "nobody@example.com")]).await;
        assert_eq!((known.status, known.text()), (unknown.status, unknown.text()));
        let mail = world.mail(1).await;
        assert!(mail.contains(&format!("{}/restore/verify", world.server.base_url())), "{mail}");
        let token = token_in(&mail);
        for (token, new, status) in [("x", "another horse", 401), (token.as_str(), "short", 400)] {
            assert_eq!(visitor.post("/restore/verify", &[("token", token), ("new", new)]).await.status, status);
        }
        let fields = [("token", token.as_str()), ("new", "another horse")];
        assert_eq!(visitor.goes("/restore/verify", &fields).await, "/sign-in?done=password");
        assert_eq!(browser.send("GET", "/account", &[], &[]).await.status, 303, "all sessions are ended");
        assert_eq!(visitor.post("/restore/verify", &fields).await.status, 401, "it can be used once");
        let fields = [("email", ANA), ("password", "another horse")];
        assert_eq!(visitor.goes("/sign-in", &fields).await, "/account");
    }
}
