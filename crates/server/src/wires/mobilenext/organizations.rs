//! `/api/v1/organizations`.

use super::errors::MobileError;
use super::extractors::Authenticated;
use super::sessions::respond;
use super::shapes::{List, OrganizationEntry};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::WholeRequest;
use crate::operations::directory::members;
use crate::operations::directory::organizations;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::permission::Role;
use serde::Deserialize;
use store::access::UseSessions;

/// `GET /organizations`: the organizations in which the caller can act, oldest first.
pub async fn list(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
) -> Result<Response, MobileError> {
    caller.refuse_connector().map_err(Failure::from)?;
    let account =
        if caller.authorize_in_account::<UseSessions>().is_ok() { Role::Admin } else { Role::Readonly };
    let found = organizations::list_visible_organizations(&app, &caller).await?;
    let entries =
        found.iter().map(|(organization, role)| OrganizationEntry::new(organization, *role, account));
    respond(StatusCode::OK, &List::new(entries.collect::<Vec<_>>(), None))
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a name")]
struct OrganizationRequest {
    name: String,
}

/// `POST /organizations`: creates an organization, with the caller as its admin.
pub async fn create(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, MobileError> {
    let ask: OrganizationRequest = middleware::read_json(&app, request).await?;
    let created = members::create_own_organization(&app, &caller, &ask.name).await?;
    respond(StatusCode::CREATED, &OrganizationEntry::new(&created, Some(Role::Admin), Role::Admin))
}
