//! The extractors: the caller, by one of five forms of credential.
//!
//! `Authorization: Bearer` has an API key or a token (with two dots), `?token=` a key, `?jwt=` and the cookie `jwt` a token.
//! `http/credential.rs` handles several at once. Query strings end up in logs and browser histories, so responses mark the
//! two forms in the query as deprecated.

use super::errors::ProbeError;
use super::fields::QueryFields;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::operations::access::authenticate::authenticate_from;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use store::Caller;

/// The header that chooses the organization; the vendor has none.
pub const ORGANIZATION_HEADER: &str = "x-organization-id";
/// RFC 9745. Since 2026-01-01.
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const DEPRECATED_SINCE: HeaderValue = HeaderValue::from_static("@1767225600");

/// The caller and their credential.
pub struct Authenticated {
    /// The caller.
    pub caller: Caller,
    /// The credential as sent.
    pub credential: String,
}

impl From<Authenticated> for Caller {
    fn from(known: Authenticated) -> Caller {
        known.caller
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = ProbeError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authenticated, ProbeError> {
        match MaybeAuthenticated::from_request_parts(parts, app).await? {
            MaybeAuthenticated(Some(known)) => Ok(known),
            MaybeAuthenticated(None) => Err(Failure::Unauthenticated.into()),
        }
    }
}

/// The caller, or `None` for a request without a credential. An invalid credential is refused.
pub struct MaybeAuthenticated(pub Option<Authenticated>);

impl FromRequestParts<App> for MaybeAuthenticated {
    type Rejection = ProbeError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<MaybeAuthenticated, ProbeError> {
        let Some(credential) = read_credential(app, parts).await? else {
            return Ok(MaybeAuthenticated(None));
        };
        let chosen = middleware::organization_choice(&parts.headers, ORGANIZATION_HEADER);
        let caller =
            authenticate_from(app, Some(&credential), chosen, middleware::address(&parts.extensions)).await?;
        let caller = middleware::admit_caller(app, parts, caller)?;
        Ok(MaybeAuthenticated(Some(Authenticated { caller, credential })))
    }
}

async fn read_credential(app: &App, parts: &mut Parts) -> Result<Option<String>, Failure> {
    let mut presented = Vec::from_iter(credential::bearer(&parts.headers)?);
    let Ok(QueryFields(query)) = QueryFields::from_request_parts(parts, app).await;
    for (name, signed) in [("token", false), ("jwt", true)] {
        let value = query.text(name).map_err(|_| Failure::Unauthenticated)?;
        presented.extend(value.map(|value| credential::check_form(value.to_owned(), signed)).transpose()?);
    }
    credential::single_credential(app, &parts.method, &parts.headers, presented)
}

/// Refuses requests from pages of other sites, for routes that open a session without a credential: another site must not
/// sign a browser in as somebody else.
pub struct SameSite;

impl FromRequestParts<App> for SameSite {
    type Rejection = ProbeError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<SameSite, ProbeError> {
        credential::demand_same_site(app, &parts.method, &parts.headers)?;
        Ok(SameSite)
    }
}

/// Marks responses as deprecated when the request has a credential in its query.
pub async fn deprecate(QueryFields(query): QueryFields, request: Request, next: Next) -> Response {
    let deprecated = query.has("token") || query.has("jwt");
    let mut response = next.run(request).await.into_response();
    if deprecated {
        response.headers_mut().insert(DEPRECATION, DEPRECATED_SINCE);
    }
    response
}
