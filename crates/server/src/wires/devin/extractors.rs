//! Who is calling, and what they may. The permission is judged before anything is looked for.

use super::errors::DevinError;
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential;
use crate::http::middleware;
use crate::operations::access::authenticate::authenticate_from;
use crate::operations::login::second_factor::demand_fresh_for;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use domain::ids::OrganizationId;
use domain::refusal::Refusal;
use store::access::PermissionType;
use store::{Caller, Granted, GrantedAccount, OrganizationChoice};

/// The organization in the pattern of a path.
const ORGANIZATION: &str = "/organizations/{org}";

/// Who calls, in the organization of the path. A path without one means the key's own, as the vendor resolves it
/// for keys of one organization.
pub struct Known(pub Caller);

impl FromRequestParts<App> for Known {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Known, DevinError> {
        let chosen = chosen(parts);
        Ok(Known(known(parts, app, chosen).await?.0))
    }
}

/// Who calls, and with what.
async fn known(
    parts: &Parts,
    app: &App,
    chosen: OrganizationChoice,
) -> Result<(Caller, Option<String>), Failure> {
    let credential = credential::of(app, parts)?;
    let caller =
        authenticate_from(app, credential.as_deref(), chosen, middleware::address(&parts.extensions)).await?;
    Ok((middleware::recognized(app, parts, caller)?, credential))
}

/// The organization is read from the path as it was sent: another part of the path that is no text must not hide it,
/// and none of the forms of its id has to be escaped.
fn chosen(parts: &Parts) -> OrganizationChoice {
    let pattern = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !pattern.contains(ORGANIZATION) {
        return OrganizationChoice::ByDefault;
    }
    // What stands before `organizations` is the wire's prefix, or nothing once that was taken off.
    let organization = parts.uri.path().split('/').skip_while(|part| *part != "organizations").nth(1);
    OrganizationChoice::Named(organization.and_then(OrganizationId::parse))
}

/// A caller that has the right `P` in the organization of the path.
pub struct May<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for May<P> {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<May<P>, DevinError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        let granted = caller.authorize::<P>().map_err(Failure::from)?;
        fresh::<P>(parts, app, &caller)?;
        Ok(May(granted))
    }
}

/// That somebody who signed in and changes something with the right `P` did so lately, where the right demands it.
///
/// # Errors
/// [`Refusal::StaleAuthentication`].
pub fn fresh<P: PermissionType>(parts: &Parts, app: &App, caller: &Caller) -> Result<(), Failure> {
    Ok(demand_fresh_for(app, caller, P::PERMISSION, !parts.method.is_safe())?)
}

/// A caller that has the right `P` in the whole account.
pub struct MayInAccount<P: PermissionType> {
    /// The right.
    pub granted: GrantedAccount<P>,
    /// Who has it.
    pub caller: Caller,
    credential: Option<String>,
}

impl<P: PermissionType> FromRequestParts<App> for MayInAccount<P> {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<MayInAccount<P>, DevinError> {
        // An organization in the path of the account's own routes is what is asked about, not where the caller acts.
        let (caller, credential) = known(parts, app, OrganizationChoice::ByDefault).await?;
        let granted = caller.authorize_in_account::<P>().map_err(Failure::from)?;
        fresh::<P>(parts, app, &caller)?;
        Ok(MayInAccount { granted, caller, credential })
    }
}

impl<P: PermissionType> MayInAccount<P> {
    /// The same right in one organization.
    ///
    /// # Errors
    /// [`Refusal::NotAMember`] for one that is unknown, malformed or deleted.
    pub async fn within(
        &self,
        app: &App,
        organization: Option<OrganizationId>,
    ) -> Result<Granted<P>, Failure> {
        let chosen = OrganizationChoice::Named(organization);
        let caller =
            authenticate_from(app, self.credential.as_deref(), chosen, self.caller.attribution().address)
                .await?;
        let caller = caller
            .with_address(self.caller.attribution().address)
            .with_idempotency(self.caller.idempotency());
        Ok(caller.authorize::<P>().map_err(|_: Refusal| Refusal::NotAMember)?)
    }
}
