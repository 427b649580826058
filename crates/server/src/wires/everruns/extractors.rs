//! The extractors: the caller and their permission.

use super::errors::EverrunsError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::credential::ClientCredential;
use crate::http::middleware;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use std::net::IpAddr;
use store::access::PermissionType;
use store::{Caller, Granted};

/// The header that chooses the organization.
pub const ORGANIZATION_HEADER: &str = "x-org-id";
/// The schemes of a key: the SDKs send it bare, the command line as `Bearer`, the vendor's documents as `ApiKey`.
const SCHEMES: [&str; 2] = ["bearer", "apikey"];

/// Reads the credential of a request.
///
/// # Errors
/// [`Failure::Unauthenticated`] for an `Authorization` header without a key, and as [`credential::single_credential`].
pub fn read_client_credential(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<ClientCredential, Failure> {
    let presented = match (headers.contains_key(header::AUTHORIZATION), read_key(headers)) {
        (true, None) => return Err(Failure::Unauthenticated),
        (_, key) => key.map(str::to_owned),
    };
    let credential = credential::single_credential(app, method, headers, presented)?;
    let chosen = middleware::organization_choice(headers, ORGANIZATION_HEADER);
    Ok(ClientCredential { credential, chosen, address })
}

/// The key of `Authorization`: bare, or after one of [`SCHEMES`]. `None` for repeated headers: choosing one would be a guess.
fn read_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?;
    match value.split_once(' ') {
        None => Some(value),
        Some((scheme, key)) => SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(key),
    }
}

/// The caller, with any permissions.
pub struct Authenticated(pub Caller);

impl From<Authenticated> for Caller {
    fn from(Authenticated(caller): Authenticated) -> Caller {
        caller
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = EverrunsError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authenticated, EverrunsError> {
        let address = middleware::address(&parts.extensions);
        let caller =
            read_client_credential(app, &parts.method, &parts.headers, address)?.authenticate(app).await?;
        Ok(Authenticated(middleware::admit_caller(app, parts, caller)?))
    }
}

/// Proof that the caller has permission `P` in the chosen organization.
pub struct Authorized<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for Authorized<P> {
    type Rejection = EverrunsError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authorized<P>, EverrunsError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        Ok(Authorized(caller.authorize::<P>().map_err(Failure::from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_key_is_read_in_three_forms() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            read_key(&headers).map(str::to_owned)
        };
        for value in ["evr_x", "Bearer evr_x", "bearer evr_x", "ApiKey evr_x", "APIKEY evr_x"] {
            assert_eq!(of(&[value]).as_deref(), Some("evr_x"), "{value}");
        }
        for values in [&[][..], &["Basic evr_x"], &["Token evr_x"], &["evr_x", "evr_x"]] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }
}
