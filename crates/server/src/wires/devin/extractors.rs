//! The extractors: the caller and their permission, which is checked before anything is loaded.

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

/// The organization in the pattern of a route.
const ORGANIZATION: &str = "/organizations/{org}";

/// The caller, in the organization of the path. A path without an organization means the key's own, as the vendor
/// resolves it for keys of one organization.
pub struct Authenticated(pub Caller);

impl From<Authenticated> for Caller {
    fn from(Authenticated(caller): Authenticated) -> Caller {
        caller
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authenticated, DevinError> {
        let chosen = organization_choice(parts);
        Ok(Authenticated(authenticate(parts, app, chosen).await?.0))
    }
}

/// Authenticates a request. Returns the caller and their credential.
async fn authenticate(
    parts: &Parts,
    app: &App,
    chosen: OrganizationChoice,
) -> Result<(Caller, Option<String>), Failure> {
    let credential = credential::read_credential(app, parts)?;
    let caller =
        authenticate_from(app, credential.as_deref(), chosen, middleware::address(&parts.extensions)).await?;
    Ok((middleware::admit_caller(app, parts, caller)?, credential))
}

/// Reads the organization from the raw path: a part of the path that is not valid UTF-8 must not hide it, and no form of
/// an organization's id needs escaping.
fn organization_choice(parts: &Parts) -> OrganizationChoice {
    let pattern = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !pattern.contains(ORGANIZATION) {
        return OrganizationChoice::ByDefault;
    }
    // The wire's prefix comes before `organizations`.
    let organization = parts.uri.path().split('/').skip_while(|part| *part != "organizations").nth(1);
    OrganizationChoice::Named(organization.and_then(OrganizationId::parse))
}

/// Proof that the caller has permission `P` in the organization of the path.
pub struct Authorized<P: PermissionType>(pub Granted<P>);

impl<P: PermissionType> FromRequestParts<App> for Authorized<P> {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authorized<P>, DevinError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, app).await?;
        let granted = caller.authorize::<P>().map_err(Failure::from)?;
        demand_fresh_sign_in::<P>(parts, app, &caller)?;
        Ok(Authorized(granted))
    }
}

/// Demands a recent sign-in for a change that uses permission `P`, where that permission requires one.
///
/// # Errors
/// [`Refusal::StaleAuthentication`] when the sign-in is too old.
pub fn demand_fresh_sign_in<P: PermissionType>(
    parts: &Parts,
    app: &App,
    caller: &Caller,
) -> Result<(), Failure> {
    Ok(demand_fresh_for(app, caller, P::PERMISSION, !parts.method.is_safe())?)
}

/// Proof that the caller has permission `P` in the whole account.
pub struct AuthorizedInAccount<P: PermissionType> {
    /// The grant.
    pub granted: GrantedAccount<P>,
    /// The caller.
    pub caller: Caller,
    credential: Option<String>,
}

impl<P: PermissionType> FromRequestParts<App> for AuthorizedInAccount<P> {
    type Rejection = DevinError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<AuthorizedInAccount<P>, DevinError> {
        // In the account's routes, an organization in the path is the subject, not the place where the caller acts.
        let (caller, credential) = authenticate(parts, app, OrganizationChoice::ByDefault).await?;
        let granted = caller.authorize_in_account::<P>().map_err(Failure::from)?;
        demand_fresh_sign_in::<P>(parts, app, &caller)?;
        Ok(AuthorizedInAccount { granted, caller, credential })
    }
}

impl<P: PermissionType> AuthorizedInAccount<P> {
    /// Authorizes the caller for the same permission in one organization.
    ///
    /// # Errors
    /// [`Refusal::NotAMember`] for an organization that is unknown, malformed or deleted.
    pub async fn authorize_in(
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
