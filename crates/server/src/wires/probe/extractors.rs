//! Who is calling: five ways to send one credential.
//!
//! `Authorization: Bearer` with an API key or a token (two dots), `?token=` with a key, `?jwt=` and the cookie `jwt`
//! with a token; `http/credential.rs` says what is done with several. The two of the query stay in logs and histories: answers to them say that they are deprecated.

use super::errors::ProbeError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::operations::access::authenticate::authenticate_from;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
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
        let Some(credential) = sent(app, parts)? else { return Ok(Maybe(None)) };
        let chosen = middleware::chosen(&parts.headers, ORGANIZATION);
        let caller =
            authenticate_from(app, Some(&credential), chosen, middleware::address(&parts.extensions)).await?;
        let caller = middleware::recognized(app, parts, caller)?;
        Ok(Maybe(Some(Known { caller, credential })))
    }
}

fn sent(app: &App, parts: &Parts) -> Result<Option<String>, Failure> {
    let mut said = Vec::from_iter(credential::bearer(&parts.headers)?);
    for (name, signed) in [("token", false), ("jwt", true)] {
        let value = middleware::query_value(parts.uri.query(), name).map_err(|_| Failure::Unauthenticated)?;
        said.extend(value.map(|value| credential::of_form(value, signed)).transpose()?);
    }
    credential::only(app, &parts.method, &parts.headers, said)
}

/// For what opens a session without a credential: a page of another site may not sign a browser in as somebody else.
pub struct SameSite;

impl FromRequestParts<App> for SameSite {
    type Rejection = ProbeError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<SameSite, ProbeError> {
        credential::same_site(app, &parts.method, &parts.headers)?;
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
