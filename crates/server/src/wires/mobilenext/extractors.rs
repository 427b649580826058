//! The extractors: the caller and their permission.

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
pub const ORGANIZATION_HEADER: &str = "x-organization-id";

/// The organization that a request names.
pub fn read_organization_choice(headers: &HeaderMap) -> OrganizationChoice {
    middleware::organization_choice(headers, ORGANIZATION_HEADER)
}

/// The caller, with any permissions.
pub struct Authenticated(pub Caller);

impl From<Authenticated> for Caller {
    fn from(Authenticated(caller): Authenticated) -> Caller {
        caller
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = MobileError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authenticated, MobileError> {
        let credential = credential::read_credential(app, parts)?;
        let (chosen, address) =
            (read_organization_choice(&parts.headers), middleware::address(&parts.extensions));
        let caller = authenticate_from(app, credential.as_deref(), chosen, address).await?;
        Ok(Authenticated(middleware::admit_caller(app, parts, caller)?))
    }
}

/// Proof that the caller has permission `P` in the chosen organization.
pub struct Authorized<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for Authorized<P> {
    type Rejection = MobileError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authorized<P>, MobileError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        Ok(Authorized(caller.authorize::<P>().map_err(Failure::from)?))
    }
}
