//! The extractors: the caller and their permission.

use super::errors::TenureError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential::{self, ClientCredential};
use crate::http::middleware;
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
pub const ORGANIZATION_HEADER: &str = "x-organization-id";

/// Reads the credential of a request.
///
/// # Errors
/// As [`credential::read_credential`].
pub fn read_client_credential(app: &App, parts: &Parts) -> Result<ClientCredential, Failure> {
    Ok(ClientCredential {
        credential: credential::read_credential(app, parts)?,
        chosen: middleware::organization_choice(&parts.headers, ORGANIZATION_HEADER),
        address: middleware::address(&parts.extensions),
    })
}

/// The caller, with any permissions.
pub struct Authenticated(pub Caller);

impl From<Authenticated> for Caller {
    fn from(Authenticated(caller): Authenticated) -> Caller {
        caller
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authenticated, TenureError> {
        let caller = read_client_credential(app, parts)?.authenticate(app).await?;
        Ok(Authenticated(middleware::admit_caller(app, parts, caller)?))
    }
}

/// Reads whom a worker or a host asks to serve: the account, or an organization.
///
/// # Errors
/// [`Refusal::Invalid`] for another value, and for an organization beside `account`.
pub fn read_serves(headers: &HeaderMap) -> Result<ServeRequest, Refusal> {
    let named = headers.contains_key(ORGANIZATION_HEADER);
    match (headers.get(SERVES).map(HeaderValue::as_bytes), named) {
        (None, false) => Ok(ServeRequest::ByKey),
        (None | Some(b"organization"), _) => Ok(ServeRequest::Organization),
        (Some(b"account"), false) => Ok(ServeRequest::Account),
        (Some(b"account"), true) => {
            Err(Refusal::invalid(SERVES, format!("no {ORGANIZATION_HEADER} beside account")))
        }
        _ => Err(Refusal::invalid(SERVES, "account or organization")),
    }
}

/// Proof that a worker or a host can serve whom it asks to serve.
pub struct AuthorizedReach<P: PermissionType>(pub MachineGrant<P>);

impl<P: PermissionType> FromRequestParts<App> for AuthorizedReach<P> {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<AuthorizedReach<P>, TenureError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        let serves = read_serves(&parts.headers).map_err(Failure::from)?;
        Ok(AuthorizedReach(MachineGrant::from_caller(&caller, serves).map_err(Failure::from)?))
    }
}

/// Proof that the caller has permission `P` in the chosen organization.
pub struct Authorized<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for Authorized<P> {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authorized<P>, TenureError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        Ok(Authorized(caller.authorize::<P>().map_err(Failure::from)?))
    }
}
