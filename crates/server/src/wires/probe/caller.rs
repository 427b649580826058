//! Who is calling: five ways to send one credential.
//!
//! `Authorization: Bearer` with an API key or a token (two dots), `?token=` with a key, `?jwt=` and the cookie `jwt`
//! with a token. Two credentials that differ are refused, whichever of them is good: which one counts would be a
//! guess. The two of the query stay in logs and histories: answers to them say that they are deprecated.

use super::errors::ProbeError;
use crate::failure::Failure;
use crate::operations::authenticate::authenticate;
use crate::operations::tokens::looks_signed;
use crate::state::App;
use crate::wires::cookies::{cookie, same_site};
use crate::wires::layers;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use store::Caller;

/// The header that chooses the organization; the vendor has none.
const ORGANIZATION: &str = "x-organization-id";
/// RFC 9745. Since 2026-01-01.
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const DEPRECATED_SINCE: HeaderValue = HeaderValue::from_static("@1767225600");

/// Who calls, and with what.
pub struct Known {
    /// Who.
    pub caller: Caller,
    /// The credential itself.
    pub credential: String,
}

impl FromRequestParts<App> for Known {
    type Rejection = ProbeError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Known, ProbeError> {
        match Maybe::from_request_parts(parts, app).await? {
            Maybe(Some(known)) => Ok(known),
            Maybe(None) => Err(Failure::Unauthenticated.into()),
        }
    }
}

/// Who calls, or nobody when there is no credential at all. One that is no good is still refused.
pub struct Maybe(pub Option<Known>);

impl FromRequestParts<App> for Maybe {
    type Rejection = ProbeError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Maybe, ProbeError> {
        let Some(sent) = sent(&parts.headers, parts.uri.query())? else { return Ok(Maybe(None)) };
        if sent.by_cookie {
            same_site(app, &parts.method, &parts.headers)?;
        }
        let chosen = layers::chosen(&parts.headers, ORGANIZATION);
        let caller = authenticate(app, Some(&sent.credential), chosen).await?;
        let caller = layers::recognized(parts, caller);
        Ok(Maybe(Some(Known { caller, credential: sent.credential })))
    }
}

/// A credential as it was sent.
struct Sent {
    credential: String,
    /// And in no other way: a browser adds it by itself.
    by_cookie: bool,
}

fn sent(headers: &HeaderMap, query: Option<&str>) -> Result<Option<Sent>, Failure> {
    let mut found: Vec<String> = Vec::new();
    if headers.contains_key(header::AUTHORIZATION) {
        found.push(layers::bearer(headers).ok_or(Failure::Unauthenticated)?.to_owned());
    }
    for (name, signed) in [("token", false), ("jwt", true)] {
        let value = layers::query_value(query, name).map_err(|_| Failure::Unauthenticated)?;
        found.extend(value.map(|value| of_form(value, signed)).transpose()?);
    }
    let cookie = cookie(headers)?;
    let by_cookie = found.is_empty() && cookie.is_some();
    found.extend(cookie);
    found.dedup();
    match (found.pop(), found.is_empty()) {
        (Some(credential), true) => Ok(Some(Sent { credential, by_cookie })),
        (None, _) => Ok(None),
        (Some(_), false) => Err(Failure::Unauthenticated),
    }
}

fn of_form(credential: String, signed: bool) -> Result<String, Failure> {
    if looks_signed(&credential) == signed { Ok(credential) } else { Err(Failure::Unauthenticated) }
}

/// The token that comes with a sign-in, of whatever worth.
pub fn presented(headers: &HeaderMap) -> Option<String> {
    cookie(headers).ok().flatten()
}

/// For what opens a session without a credential: a page of another site may not sign a browser in as somebody else.
pub struct SameSite;

impl FromRequestParts<App> for SameSite {
    type Rejection = ProbeError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<SameSite, ProbeError> {
        same_site(app, &parts.method, &parts.headers)?;
        Ok(SameSite)
    }
}

/// Says in the answer that a credential in the query is deprecated.
pub async fn deprecate(State(_): State<App>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let deprecated =
        form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "token" || name == "jwt");
    let mut response = next.run(request).await.into_response();
    if deprecated {
        response.headers_mut().insert(DEPRECATION, DEPRECATED_SINCE);
    }
    response
}
