//! Cookies. `credential.rs` reads the one of a login session.
//!
//! Over https, the name of the session's cookie begins with `__Host-`, so that no sibling host can set it. Probe.dev's
//! clients know the cookie `jwt`, which any sibling host can set. Only that wire sets it, and it counts only when the
//! other is missing.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::known_browsers;
use crate::operations::login::sign_in::IssuedToken;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use domain::ids::PrincipalId;

/// The vendor's name for the session's cookie, on Probe.dev's wire.
pub const VENDOR_COOKIE: &str = "jwt";

/// A cookie of Tenure's own. Over plain http, on loopback, browsers refuse the prefix `__Host-`.
#[derive(Debug, Clone, Copy)]
pub enum OwnCookie {
    /// The token of a login session.
    Session,
    /// Proof that this browser has signed in before.
    Browser,
    /// State of a sign-in while the browser is at the issuer.
    OidcState,
}

impl OwnCookie {
    /// The cookie's name.
    pub fn name(self, app: &App) -> &'static str {
        match (self, is_secure(app)) {
            (OwnCookie::Session, true) => "__Host-tenure-session",
            (OwnCookie::Session, false) => "tenure-session",
            (OwnCookie::Browser, true) => "__Host-tenure-browser",
            (OwnCookie::Browser, false) => "tenure-browser",
            (OwnCookie::OidcState, true) => "__Host-tenure-oidc",
            (OwnCookie::OidcState, false) => "tenure-oidc",
        }
    }
}

/// Sets the cookie of a session. Scripts cannot read it, and browsers do not send it with changes made by other sites.
/// Also sets the cookie by which the browser is known later.
///
/// # Errors
/// [`Failure::Internal`] for a value that is not valid in a header.
pub fn set_session_cookie(
    app: &App,
    response: &mut Response,
    issued: &IssuedToken,
    person: PrincipalId,
) -> Result<(), Failure> {
    set_cookie(
        app,
        response,
        OwnCookie::Session.name(app),
        &issued.token,
        issued.expires.duration_since(app.now()).0 / 1_000_000,
    )?;
    let (name, known) = (OwnCookie::Browser.name(app), known_browsers::create_browser_cookie(app, person));
    set_cookie(app, response, name, &known, known_browsers::LIFETIME.0 / 1_000_000)
}

/// Also sets the cookie that clients of Probe.dev's wire know.
///
/// # Errors
/// [`Failure::Internal`] for a value that is not valid in a header.
pub fn set_vendor_cookie(app: &App, response: &mut Response, issued: &IssuedToken) -> Result<(), Failure> {
    set_cookie(
        app,
        response,
        VENDOR_COOKIE,
        &issued.token,
        issued.expires.duration_since(app.now()).0 / 1_000_000,
    )
}

/// Deletes the cookies of a session.
pub fn clear_session_cookies(app: &App, mut response: Response) -> Response {
    for name in [VENDOR_COOKIE, OwnCookie::Session.name(app)] {
        // Cannot fail: the names are valid in a header.
        let _ = set_cookie(app, &mut response, name, "", 0);
    }
    response
}

/// Sets a cookie for some seconds; zero deletes it. `SameSite` is lax and not strict, because people come from pages of
/// the issuer and from mails.
///
/// # Errors
/// [`Failure::Internal`] for a value that is not valid in a header.
pub fn set_cookie(
    app: &App,
    response: &mut Response,
    name: &str,
    value: &str,
    seconds: i64,
) -> Result<(), Failure> {
    let secure = if is_secure(app) { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let line = HeaderValue::from_str(&text).map_err(Failure::internal)?;
    response.headers_mut().append(header::SET_COOKIE, line);
    Ok(())
}

fn is_secure(app: &App) -> bool {
    app.base_url.starts_with("https:")
}

/// All values of a cookie in a request.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a `Cookie` header that is not valid text.
pub fn cookie_values(headers: &HeaderMap, name: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for line in headers.get_all(header::COOKIE) {
        let line = line.to_str().map_err(|_| Failure::Unauthenticated)?;
        let pairs = line.split(';').filter_map(|pair| pair.trim().split_once('='));
        found.extend(pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()));
    }
    Ok(found)
}

/// The value of one of Tenure's own cookies. `None` when it is repeated: choosing one would be a guess.
pub fn own_cookie_value(app: &App, headers: &HeaderMap, cookie: OwnCookie) -> Option<String> {
    let mut found = cookie_values(headers, cookie.name(app)).ok()?;
    let value = found.pop()?;
    found.is_empty().then_some(value)
}
