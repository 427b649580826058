//! What the pages of all wires share: the cookie of a session, and that no page of another site sends what changes
//! something.

use crate::failure::{Failure, RequestFailure};
use crate::operations::sign_in::Issued;
use crate::operations::tokens::looks_signed;
use crate::state::App;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The cookie of a session.
const COOKIE: &str = "jwt";

/// The token in the cookie; more than one is none, for a page of a sibling host may have set another.
pub fn token(headers: &HeaderMap) -> Option<String> {
    let mut found = Vec::new();
    for line in headers.get_all(header::COOKIE) {
        let pairs = line.to_str().ok()?.split(';').filter_map(|pair| pair.trim().split_once('='));
        found.extend(pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned()));
    }
    match (found.pop(), found.is_empty()) {
        (Some(token), true) if looks_signed(&token) => Some(token),
        _ => None,
    }
}

/// That a request was not sent by a page of another site. Browsers say so in `Sec-Fetch-Site`, and older ones in
/// `Origin`; what is no browser sends neither, and no cookies of others.
///
/// # Errors
/// [`RequestFailure::CrossSite`].
pub fn same_site(app: &App, headers: &HeaderMap) -> Result<(), Failure> {
    let only = |name: HeaderName, good: &dyn Fn(&[u8]) -> bool| {
        headers.get_all(name).iter().all(|value| good(value.as_bytes()))
    };
    let site =
        only(HeaderName::from_static("sec-fetch-site"), &|site| site == b"same-origin" || site == b"none");
    let origin = only(header::ORIGIN, &|origin| origin == app.base_url.as_bytes());
    if site && origin { Ok(()) } else { Err(RequestFailure::CrossSite.into()) }
}

/// The cookie of a session that was just opened: no script may read it, and no other site makes a browser send it with
/// what changes something.
///
/// # Errors
/// Only when the token is none that fits a header.
pub fn cookie(app: &App, issued: &Issued) -> Result<HeaderValue, Failure> {
    let seconds = issued.expires.since(app.now()).0 / 1_000_000;
    let secure = if app.base_url.starts_with("https:") { "; Secure" } else { "" };
    let text =
        format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age={seconds}", issued.token);
    HeaderValue::from_str(&text).map_err(Failure::internal)
}
