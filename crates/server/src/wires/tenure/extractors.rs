//! Who is calling, and what they may.

use super::errors::TenureError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::operations::access::authenticate::authenticate_from;
use crate::operations::access::machine_grant::MachineGrant;
use crate::operations::access::machine_grant::ServeRequest;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use domain::Refusal;
use protocol::SERVES_HEADER as SERVES;
use store::access::PermissionType;
use store::{Caller, Granted};

/// The header that chooses the organization.
const ORGANIZATION: &str = "x-organization-id";

/// Who calls, whatever they may.
pub struct Known(pub Caller);

impl FromRequestParts<App> for Known {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Known, TenureError> {
        let chosen = middleware::chosen(&parts.headers, ORGANIZATION);
        let credential = credential::of(app, parts)?;
        let caller =
            authenticate_from(app, credential.as_deref(), chosen, middleware::address(&parts.extensions))
                .await?;
        Ok(Known(middleware::recognized(app, parts, caller)?))
    }
}

/// Whom a worker or a host asks to serve: the account, or an organization that it may name.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn serves(headers: &HeaderMap) -> Result<ServeRequest, Refusal> {
    let named = headers.contains_key(ORGANIZATION);
    match (headers.get(SERVES).map(HeaderValue::as_bytes), named) {
        (None, false) => Ok(ServeRequest::ByKey),
        (None | Some(b"organization"), _) => Ok(ServeRequest::Organization),
        (Some(b"account"), false) => Ok(ServeRequest::Account),
        (Some(b"account"), true) => {
            Err(Refusal::invalid(SERVES, format!("no {ORGANIZATION} beside account")))
        }
        _ => Err(Refusal::invalid(SERVES, "account or organization")),
    }
}

/// A worker or a host that may serve whom it asks to.
pub struct Serving<P: PermissionType>(pub MachineGrant<P>);

impl<P: PermissionType> FromRequestParts<App> for Serving<P> {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Serving<P>, TenureError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        let serves = serves(&parts.headers).map_err(Failure::from)?;
        Ok(Serving(MachineGrant::from_caller(&caller, serves).map_err(Failure::from)?))
    }
}

/// A caller that has the right `P` in the chosen organization.
pub struct May<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for May<P> {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<May<P>, TenureError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        Ok(May(caller.authorize::<P>().map_err(Failure::from)?))
    }
}
