//! The one credential of a request, however it came.
//!
//! Every wire takes `Authorization` and the cookie of a session, and some a part of the query. Two that differ are refused,
//! whichever of them is good: which one counts would be a guess. A cookie is sent by a browser by itself, also when a
//! page of another site makes it send a request: what changes something by it alone has to come from this site.

use super::cookies::{self, Own};
use super::middleware;
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::login::tokens::looks_signed;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};

/// The credential of a request whose wire reads it from `Authorization: Bearer` alone, and the cookie.
///
/// # Errors
/// As [`only`].
pub fn of(app: &App, parts: &Parts) -> Result<Option<String>, Failure> {
    only(app, &parts.method, &parts.headers, bearer(&parts.headers)?)
}

/// The credential of `Authorization: Bearer …`, or none without that header.
///
/// # Errors
/// [`Failure::Unauthenticated`] when it is there and cannot be read, or more than once.
pub fn bearer(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let credential = middleware::bearer(headers).ok_or(Failure::Unauthenticated)?;
    Ok(Some(credential.to_owned()))
}

/// The one credential among those that were said and the cookie.
///
/// # Errors
/// [`Failure::Unauthenticated`] when two of them differ, or the cookie has none; [`RequestFailure::CrossSite`] when the
/// cookie is the only one and another site's page sent it.
pub fn only(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    said: impl IntoIterator<Item = String>,
) -> Result<Option<String>, Failure> {
    let mut found = said.into_iter().collect::<Vec<_>>();
    let cookie = cookie(app, headers)?;
    let by_cookie = found.is_empty() && cookie.is_some();
    found.extend(cookie);
    found.dedup();
    if found.len() > 1 {
        return Err(Failure::Unauthenticated);
    }
    if by_cookie {
        same_site(app, method, headers)?;
    }
    Ok(found.pop())
}

/// A credential where only a key, or only a token, is taken.
///
/// # Errors
/// [`Failure::Unauthenticated`] for the other.
pub fn of_form(credential: String, signed: bool) -> Result<String, Failure> {
    if looks_signed(&credential) == signed { Ok(credential) } else { Err(Failure::Unauthenticated) }
}

/// The token in the cookie: in our own, or where that is missing in the vendor's. Of the vendor's, more than one is
/// none, for a page of a sibling host may have set another; beside our own it means nothing at all.
///
/// # Errors
/// [`Failure::Unauthenticated`].
pub fn cookie(app: &App, headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut found = cookies::values(headers, Own::Session.name(app))?;
    if found.is_empty() {
        found = cookies::values(headers, cookies::VENDORS)?;
    }
    match found.len() {
        0 => Ok(None),
        1 => of_form(found.remove(0), true).map(Some),
        _ => Err(Failure::Unauthenticated),
    }
}

/// The token in our own cookie, for pages: nobody is signed in there by a cookie that a sibling host can set.
pub fn own_cookie(app: &App, headers: &HeaderMap) -> Option<String> {
    cookies::own(app, headers, Own::Session).filter(|token| looks_signed(token))
}

/// The token that comes with a sign-in, of whatever worth.
pub fn presented(app: &App, headers: &HeaderMap) -> Option<String> {
    cookie(app, headers).ok().flatten()
}

/// That a request which changes something was not sent by a page of another site. Browsers say so in
/// `Sec-Fetch-Site`, and older ones in `Origin`; what is no browser sends neither, and no cookies of others. A
/// WebSocket begins with GET, and pages of all sites may open one.
///
/// # Errors
/// [`RequestFailure::CrossSite`].
pub fn same_site(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if reads && !headers.contains_key(header::UPGRADE) {
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
