//! The cookie of a login session, which browsers send by themselves: so what comes with it and changes something has to
//! come from a page of this server.

use crate::failure::{Failure, RequestFailure};
use crate::operations::sign_in::Issued;
use crate::operations::tokens::looks_signed;
use crate::state::App;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;

/// The cookie of a session.
const COOKIE: &str = "jwt";

/// The token in the cookie; more than one is none, for a page of a sibling host may have set another.
///
/// # Errors
/// [`Failure::Unauthenticated`].
pub fn cookie(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut found = Vec::new();
    for line in headers.get_all(header::COOKIE) {
        let line = line.to_str().map_err(|_| Failure::Unauthenticated)?;
        let pairs = line.split(';').filter_map(|pair| pair.trim().split_once('='));
        found.extend(pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned()));
    }
    match found.len() {
        0 => Ok(None),
        1 => Some(found.remove(0))
            .filter(|token| looks_signed(token))
            .ok_or(Failure::Unauthenticated)
            .map(Some),
        _ => Err(Failure::Unauthenticated),
    }
}

/// That a request which changes something was not sent by a page of another site. Browsers say so in
/// `Sec-Fetch-Site`, and older ones in `Origin`; what is no browser sends neither, and no cookies of others.
///
/// # Errors
/// [`RequestFailure::CrossSite`].
pub fn same_site(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return Ok(());
    }
    let only = |name: HeaderName, good: &dyn Fn(&[u8]) -> bool| {
        headers.get_all(name).iter().all(|value| good(value.as_bytes()))
    };
    let site =
        only(HeaderName::from_static("sec-fetch-site"), &|site| site == b"same-origin" || site == b"none");
    let origin = only(header::ORIGIN, &|origin| origin == app.base_url.as_bytes());
    if site && origin { Ok(()) } else { Err(RequestFailure::CrossSite.into()) }
}

/// The cookie of a session: no script may read it, and no other site makes a browser send it with what changes
/// something.
///
/// # Errors
/// Only internal ones.
pub fn given(app: &App, issued: &Issued) -> Result<HeaderValue, Failure> {
    let seconds = issued.expires.since(app.now()).0 / 1_000_000;
    let text = format!("{COOKIE}={}; {}; Max-Age={seconds}", issued.token, attributes(app));
    HeaderValue::from_str(&text).map_err(Failure::internal)
}

/// Takes the cookie back, with the attributes it was given with.
pub fn taken_back(app: &App, mut response: Response) -> Response {
    let text = format!("{COOKIE}=; {}; Max-Age=0", attributes(app));
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

fn attributes(app: &App) -> &'static str {
    if app.base_url.starts_with("https:") {
        "Path=/; HttpOnly; SameSite=Lax; Secure"
    } else {
        "Path=/; HttpOnly; SameSite=Lax"
    }
}
