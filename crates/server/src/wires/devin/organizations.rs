//! `/enterprise/organizations`: the account's organizations and their limits.

use super::body::Body;
use super::errors::DevinError;
use super::extractors::AuthorizedInAccount;
use super::query::Query;
use super::sessions::{HandlerResult, PathTexts, respond};
use super::shapes::{organization_id, seconds};
use super::short_lists::{self, ListReader};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::WholeRequest;
use crate::operations::directory::administration;
use crate::operations::directory::administration::OrganizationUpdate;
use axum::extract::State;
use axum::http::StatusCode;
use domain::Refusal;
use domain::agent::{Acus, UsageLimits};
use domain::ids::OrganizationId;
use domain::organization::Organization;
use domain::refusal::Thing;
use serde_json::{Value, json};
use store::access::ManageOrganizations;

const MAX_NAME: usize = 256;
/// An upper bound far above real use.
const MAX_ACUS: i64 = 1_000_000_000;

type Admin = AuthorizedInAccount<ManageOrganizations>;

fn organization_shape((organization, limits): &(Organization, UsageLimits)) -> Value {
    json!({
        "org_id": organization_id(organization.id),
        "name": organization.name,
        "created_at": seconds(organization.created),
        // The time of the last change is not stored; the audit log has it.
        "updated_at": seconds(organization.created),
        "max_cycle_acu_limit": limits.max_cycle_acus.map(Acus::units),
        "max_session_acu_limit": limits.max_session_acus.map(Acus::units),
    })
}

fn read_id(path: &PathTexts) -> Result<OrganizationId, Failure> {
    let id = OrganizationId::parse(path.get("org"));
    id.ok_or_else(|| Refusal::NotFound(Thing::Organization).into())
}

/// Reads a limit of a merge patch: a missing field leaves it unchanged, `null` removes it.
fn read_limit(body: &Body, name: &str) -> Result<Option<Option<Acus>>, Refusal> {
    let limit = body.number(name, 0..=MAX_ACUS)?.map(Acus::whole);
    Ok(body.has(name).then_some(limit))
}

fn read_update(body: &Body) -> Result<OrganizationUpdate, Refusal> {
    Ok(OrganizationUpdate {
        name: body.text("name", 1..=MAX_NAME)?,
        max_session_acus: read_limit(body, "max_session_acu_limit")?,
        max_cycle_acus: read_limit(body, "max_cycle_acu_limit")?,
    })
}

/// `GET /enterprise/organizations`.
pub async fn list(admin: Admin, State(app): State<App>, query: Query) -> HandlerResult {
    let all = administration::list_organizations(&app, &admin.granted).await?;
    let reader =
        ListReader { list: "organizations", principal: Some(admin.caller.principal()), organization: None };
    short_lists::respond_with_page(
        &app,
        &reader,
        &query,
        all,
        |(organization, _)| organization.id.0,
        organization_shape,
    )
}

/// `POST /enterprise/organizations`.
pub async fn create(
    admin: Admin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body = Body::read(&app, request).await?;
    let name = body.require_text("name", 1..=MAX_NAME).map_err(Failure::from)?;
    let limits = read_update(&body).map_err(Failure::from)?;
    respond(&organization_shape(
        &administration::create_organization(&app, &admin.granted, &name, limits).await?,
    ))
}

/// `GET /enterprise/organizations/{org}`.
pub async fn get(admin: Admin, State(app): State<App>, path: PathTexts) -> HandlerResult {
    respond(&organization_shape(
        &administration::load_organization(&app, &admin.granted, read_id(&path)?).await?,
    ))
}

/// `PATCH /enterprise/organizations/{org}`.
pub async fn update(
    admin: Admin,
    State(app): State<App>,
    path: PathTexts,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let id = read_id(&path)?;
    let body = Body::read(&app, request).await?;
    let update = read_update(&body).map_err(Failure::from)?;
    respond(&organization_shape(
        &administration::update_organization(&app, &admin.granted, id, update).await?,
    ))
}

/// `DELETE /enterprise/organizations/{org}`.
pub async fn delete(admin: Admin, State(app): State<App>, path: PathTexts) -> Result<StatusCode, DevinError> {
    administration::delete_organization(&app, &admin.granted, read_id(&path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
