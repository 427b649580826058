//! Who is calling, and what they may.

use super::errors::MobileError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::operations::access::authenticate::authenticate_from;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use store::access::PermissionType;
use store::{Caller, Granted, OrganizationChoice};

/// The header that chooses the organization.
const ORGANIZATION: &str = "x-organization-id";

/// The organization that a request names.
pub fn chosen(headers: &HeaderMap) -> OrganizationChoice {
    middleware::chosen(headers, ORGANIZATION)
}

/// Who calls, whatever they may.
pub struct Known(pub Caller);

impl FromRequestParts<App> for Known {
    type Rejection = MobileError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Known, MobileError> {
        let credential = credential::of(app, parts)?;
        let (chosen, address) = (chosen(&parts.headers), middleware::address(&parts.extensions));
        let caller = authenticate_from(app, credential.as_deref(), chosen, address).await?;
        Ok(Known(middleware::recognized(app, parts, caller)?))
    }
}

/// A caller that has the right `P` in the chosen organization.
pub struct May<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for May<P> {
    type Rejection = MobileError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<May<P>, MobileError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        Ok(May(caller.authorize::<P>().map_err(Failure::from)?))
    }
}
