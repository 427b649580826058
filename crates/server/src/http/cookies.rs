//! Cookies: the token of a login session, and what a browser is known by. How a session's is read is `credential.rs`.
//!
//! The session has a cookie of our own, whose name begins with `__Host-` over https: no page of a sibling host can set
//! one of that name. Probe.dev's clients know another, `jwt`, which any sibling host can set: it is given besides, on
//! that wire alone, and counts only where the other is missing.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::known_browsers;
use crate::operations::login::sign_in::IssuedToken;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use domain::ids::PrincipalId;

/// The session's cookie on Probe.dev's wire, whose name the vendor chose.
pub const VENDORS: &str = "jwt";

/// A cookie of our own. Over plain http, on loopback, browsers take no name with a prefix.
#[derive(Debug, Clone, Copy)]
pub enum Own {
    /// The token of a login session.
    Session,
    /// What a browser is known by.
    Browser,
    /// What a browser keeps while it is at the issuer.
    Journey,
}

impl Own {
    /// Its name.
    pub fn name(self, app: &App) -> &'static str {
        match (self, is_secure(app)) {
            (Own::Session, true) => "__Host-tenure-session",
            (Own::Session, false) => "tenure-session",
            (Own::Browser, true) => "__Host-tenure-browser",
            (Own::Browser, false) => "tenure-browser",
            (Own::Journey, true) => "__Host-tenure-oidc",
            (Own::Journey, false) => "tenure-oidc",
        }
    }
}

/// Gives a browser the cookie of a session: no script may read it, and no other site makes a browser send it with what
/// changes something. Also what this browser is known by from now on.
///
/// # Errors
/// Only internal ones.
pub fn give_session(
    app: &App,
    response: &mut Response,
    issued: &IssuedToken,
    person: PrincipalId,
) -> Result<(), Failure> {
    set(app, response, Own::Session.name(app), &issued.token, issued.expires.since(app.now()).0 / 1_000_000)?;
    let (name, known) = (Own::Browser.name(app), known_browsers::create_browser_cookie(app, person));
    set(app, response, name, &known, known_browsers::LIFETIME.0 / 1_000_000)
}

/// Gives the client of Probe.dev's wire its cookie besides.
///
/// # Errors
/// Only internal ones.
pub fn give_vendors(app: &App, response: &mut Response, issued: &IssuedToken) -> Result<(), Failure> {
    set(app, response, VENDORS, &issued.token, issued.expires.since(app.now()).0 / 1_000_000)
}

/// Takes the cookies of a session back.
pub fn take_back(app: &App, mut response: Response) -> Response {
    for name in [VENDORS, Own::Session.name(app)] {
        // Names and nothing else are headers always.
        let _ = set(app, &mut response, name, "", 0);
    }
    response
}

/// Sets a cookie for so many seconds; none takes it back. Lax, not strict: people come from pages of the issuer, and
/// from mails.
///
/// # Errors
/// Only internal ones.
pub fn set(app: &App, response: &mut Response, name: &str, value: &str, seconds: i64) -> Result<(), Failure> {
    let secure = if is_secure(app) { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let line = HeaderValue::from_str(&text).map_err(Failure::internal)?;
    response.headers_mut().append(header::SET_COOKIE, line);
    Ok(())
}

fn is_secure(app: &App) -> bool {
    app.base_url.starts_with("https:")
}

/// All values of a cookie that a request came with.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a line of cookies that is no text.
pub fn values(headers: &HeaderMap, name: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for line in headers.get_all(header::COOKIE) {
        let line = line.to_str().map_err(|_| Failure::Unauthenticated)?;
        let pairs = line.split(';').filter_map(|pair| pair.trim().split_once('='));
        found.extend(pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()));
    }
    Ok(found)
}

/// The value of a cookie of our own. One that came twice is none: which one counts would be a guess.
pub fn own(app: &App, headers: &HeaderMap, cookie: Own) -> Option<String> {
    let mut found = values(headers, cookie.name(app)).ok()?;
    let value = found.pop()?;
    found.is_empty().then_some(value)
}
