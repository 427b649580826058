//! Who is calling, and what they may.

use super::errors::EverrunsError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::operations::access::authenticate::authenticate_from;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use std::net::IpAddr;
use store::access::PermissionType;
use store::{Caller, Granted, OrganizationChoice};

/// The header that chooses the organization.
const ORGANIZATION: &str = "x-org-id";
/// What may stand before a key: the SDKs send it bare, the command line as `Bearer`, the vendor's documents as `ApiKey`.
const SCHEMES: [&str; 2] = ["bearer", "apikey"];

/// What a client came with; looked up again for each use, so that a revoke counts at once.
#[derive(Clone)]
pub struct Visitor {
    credential: Option<String>,
    chosen: OrganizationChoice,
    address: Option<IpAddr>,
}

impl Visitor {
    /// What a request came with.
    ///
    /// # Errors
    /// As [`credential::only`].
    pub fn of(
        app: &App,
        method: &Method,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Visitor, Failure> {
        let said = match (headers.contains_key(header::AUTHORIZATION), key(headers)) {
            (true, None) => return Err(Failure::Unauthenticated),
            (_, key) => key.map(str::to_owned),
        };
        let credential = credential::only(app, method, headers, said)?;
        Ok(Visitor { credential, chosen: middleware::chosen(headers, ORGANIZATION), address })
    }

    /// Who is calling.
    ///
    /// # Errors
    /// As [`authenticate`].
    pub async fn caller(&self, app: &App) -> Result<Caller, Failure> {
        authenticate_from(app, self.credential.as_deref(), self.chosen, self.address).await
    }
}

/// The key of `Authorization`: bare, or after one of [`SCHEMES`]. More than one header is none, rather than a guess.
fn key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?;
    match value.split_once(' ') {
        None => Some(value),
        Some((scheme, key)) => SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(key),
    }
}

/// Who calls, whatever they may.
pub struct Known(pub Caller);

impl FromRequestParts<App> for Known {
    type Rejection = EverrunsError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Known, EverrunsError> {
        let address = middleware::address(&parts.extensions);
        let caller = Visitor::of(app, &parts.method, &parts.headers, address)?.caller(app).await?;
        Ok(Known(middleware::recognized(app, parts, caller)?))
    }
}

/// A caller that has the right `P` in the chosen organization.
pub struct May<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for May<P> {
    type Rejection = EverrunsError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<May<P>, EverrunsError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        Ok(May(caller.authorize::<P>().map_err(Failure::from)?))
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
            key(&headers).map(str::to_owned)
        };
        for value in ["evr_x", "Bearer evr_x", "bearer evr_x", "ApiKey evr_x", "APIKEY evr_x"] {
            assert_eq!(of(&[value]).as_deref(), Some("evr_x"), "{value}");
        }
        for values in [&[][..], &["Basic evr_x"], &["Token evr_x"], &["evr_x", "evr_x"]] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }
}
