//! `/api/v1/organizations`.

use super::errors::MobileError;
use super::extractors::Known;
use super::sessions::answer;
use super::shapes::{List, OrganizationEntry};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::operations::directory::members;
use crate::operations::directory::organizations;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::permission::Role;
use serde::Deserialize;
use store::access::UseSessions;

/// `GET /organizations`: those the caller may act in, the oldest first.
pub async fn list(Known(caller): Known, State(app): State<App>) -> Result<Response, MobileError> {
    caller.refuse_connector().map_err(Failure::from)?;
    let account =
        if caller.authorize_in_account::<UseSessions>().is_ok() { Role::Admin } else { Role::Readonly };
    let found = organizations::list_visible_organizations(&app, &caller).await?;
    let entries =
        found.iter().map(|(organization, role)| OrganizationEntry::new(organization, *role, account));
    answer(StatusCode::OK, &List::new(entries.collect(), None))
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a name")]
struct Found {
    name: String,
}

/// `POST /organizations`: the caller becomes its admin.
pub async fn create(
    Known(caller): Known,
    State(app): State<App>,
    Whole(request): Whole,
) -> Result<Response, MobileError> {
    let ask: Found = middleware::json(&app, request).await?;
    let made = members::create_own_organization(&app, &caller, &ask.name).await?;
    answer(StatusCode::CREATED, &OrganizationEntry::new(&made, Some(Role::Admin), Role::Admin))
}
