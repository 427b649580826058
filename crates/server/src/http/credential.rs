//! Reads the one credential of a request.
//!
//! Every wire accepts `Authorization` and the cookie of a session. Some also accept a query parameter. Two credentials that
//! differ are refused, because choosing one would be a guess. Browsers send cookies by themselves, even when a page of
//! another site causes the request. So a change with only a cookie must come from this site.

use super::cookies::{self, OwnCookie};
use super::middleware;
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::access::authenticate::authenticate_from;
use crate::operations::login::tokens::looks_signed;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use std::net::IpAddr;
use store::{Caller, OrganizationChoice};

/// A client's credential. It is authenticated at each use, so that a revoked one stops working at once.
#[derive(Clone)]
pub struct ClientCredential {
    /// The credential.
    pub credential: Option<String>,
    /// The organization that the request names.
    pub chosen: OrganizationChoice,
    /// The address of the client.
    pub address: Option<IpAddr>,
}

impl ClientCredential {
    /// Authenticates the caller.
    ///
    /// # Errors
    /// As [`authenticate_from`].
    pub async fn authenticate(&self, app: &App) -> Result<Caller, Failure> {
        authenticate_from(app, self.credential.as_deref(), self.chosen, self.address).await
    }
}

/// Reads the credential from `Authorization: Bearer` or the cookie.
///
/// # Errors
/// As [`bearer`] and [`single_credential`].
pub fn read_credential(app: &App, parts: &Parts) -> Result<Option<String>, Failure> {
    single_credential(app, &parts.method, &parts.headers, bearer(&parts.headers)?)
}

/// The credential of `Authorization: Bearer …`; `None` without that header.
///
/// # Errors
/// [`Failure::Unauthenticated`] for another scheme, a malformed header or more than one.
pub fn bearer(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let credential = middleware::bearer(headers).ok_or(Failure::Unauthenticated)?;
    Ok(Some(credential.to_owned()))
}

/// The one credential of a request: among `outside`, those that are not in a cookie, and the cookie. `None` without one.
///
/// # Errors
/// [`Failure::Unauthenticated`] when two differ, or when the cookie has no token; [`RequestFailure::CrossSite`] when only
/// a cookie came and a page of another site sent it.
pub fn single_credential(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    outside: impl IntoIterator<Item = String>,
) -> Result<Option<String>, Failure> {
    let mut found = outside.into_iter().collect::<Vec<_>>();
    let cookie = session_cookie_token(app, headers)?;
    let by_cookie = found.is_empty() && cookie.is_some();
    found.extend(cookie);
    found.dedup();
    if found.len() > 1 {
        return Err(Failure::Unauthenticated);
    }
    if by_cookie {
        demand_same_site(app, method, headers)?;
    }
    Ok(found.pop())
}

/// Checks the form of a credential: a signed token when `signed`, else a key.
///
/// # Errors
/// [`Failure::Unauthenticated`] for the other form.
pub fn check_form(credential: String, signed: bool) -> Result<String, Failure> {
    if looks_signed(&credential) == signed { Ok(credential) } else { Err(Failure::Unauthenticated) }
}

/// The token in Tenure's cookie of a session, or in the vendor's when that is missing.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a repeated cookie, which a sibling host can cause for the vendor's, and for a value
/// that is not a token.
pub fn session_cookie_token(app: &App, headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut found = cookies::cookie_values(headers, OwnCookie::Session.name(app))?;
    if found.is_empty() {
        found = cookies::cookie_values(headers, cookies::VENDOR_COOKIE)?;
    }
    match found.len() {
        0 => Ok(None),
        1 => check_form(found.remove(0), true).map(Some),
        _ => Err(Failure::Unauthenticated),
    }
}

/// The token in Tenure's own cookie, for pages: a cookie that a sibling host can set signs nobody in there.
pub fn own_session_token(app: &App, headers: &HeaderMap) -> Option<String> {
    cookies::own_cookie_value(app, headers, OwnCookie::Session).filter(|token| looks_signed(token))
}

/// The token that a browser sends with a sign-in, not yet checked.
pub fn session_token(app: &App, headers: &HeaderMap) -> Option<String> {
    session_cookie_token(app, headers).ok().flatten()
}

/// Refuses a change that a page of another site sent. Browsers send `Sec-Fetch-Site`, older ones `Origin`; other clients
/// send neither, and no cookies of other users. A WebSocket is checked although it begins with GET, because pages of all
/// sites can open one.
///
/// # Errors
/// [`RequestFailure::CrossSite`] when a page of another site sent the request.
pub fn demand_same_site(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if reads && !headers.contains_key(header::UPGRADE) {
        return Ok(());
    }
    let all_are = |name: HeaderName, good: &dyn Fn(&[u8]) -> bool| {
        headers.get_all(name).iter().all(|value| good(value.as_bytes()))
    };
    let site =
        all_are(HeaderName::from_static("sec-fetch-site"), &|site| site == b"same-origin" || site == b"none");
    let origin = all_are(header::ORIGIN, &|origin| origin == app.base_url.as_bytes());
    if site && origin { Ok(()) } else { Err(RequestFailure::CrossSite.into()) }
}
