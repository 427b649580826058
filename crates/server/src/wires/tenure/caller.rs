//! Who is calling, and what they may.

use super::errors::TenureError;
use crate::failure::Failure;
use crate::operations::authenticate::authenticate_from;
use crate::state::App;
use crate::wires::{credential, layers};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use store::access::Right;
use store::{Caller, Granted};

/// The header that chooses the organization.
const ORGANIZATION: &str = "x-organization-id";

/// Who calls, whatever they may.
pub struct Known(pub Caller);

impl FromRequestParts<App> for Known {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Known, TenureError> {
        let chosen = layers::chosen(&parts.headers, ORGANIZATION);
        let credential = credential::of(app, parts)?;
        let caller =
            authenticate_from(app, credential.as_deref(), chosen, layers::address(&parts.extensions)).await?;
        Ok(Known(layers::recognized(app, parts, caller)?))
    }
}

/// A caller that has the right `P` in the chosen organization.
pub struct May<P: Right>(pub Granted<P>);

impl<P: Right> FromRequestParts<App> for May<P> {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<May<P>, TenureError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        Ok(May(caller.may::<P>().map_err(Failure::from)?))
    }
}
