//! `/enterprise/organizations`: the account's organizations with their limits.

use super::body::Body;
use super::errors::DevinError;
use super::extractors::MayInAccount;
use super::sessions::{Answer, Texts, answer};
use super::shapes::{organization_id, seconds};
use super::short_lists::{self, Reader};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::Whole;
use crate::operations::directory::administration;
use crate::operations::directory::administration::OrganizationUpdate;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use domain::Refusal;
use domain::agent::{Acus, Limits};
use domain::ids::OrganizationId;
use domain::organization::Organization;
use domain::refusal::Thing;
use serde_json::{Value, json};
use store::access::ManageOrganizations;

const MAX_NAME: usize = 256;
/// More than anybody will ever use.
const MAX_ACUS: i64 = 1_000_000_000;

type Admin = MayInAccount<ManageOrganizations>;

fn shown((organization, limits): &(Organization, Limits)) -> Value {
    json!({
        "org_id": organization_id(organization.id),
        "name": organization.name,
        "created_at": seconds(organization.created),
        // Changes of an organization are in the audit log.
        "updated_at": seconds(organization.created),
        "max_cycle_acu_limit": limits.max_cycle_acus.map(Acus::units),
        "max_session_acu_limit": limits.max_session_acus.map(Acus::units),
    })
}

fn id(path: &Texts) -> Result<OrganizationId, Failure> {
    let id = OrganizationId::parse(path.get("org"));
    id.ok_or_else(|| Refusal::NotFound(Thing::Organization).into())
}

/// As a merge patch says it: not sent stays, null lifts the limit.
fn limit(body: &Body, name: &str) -> Result<Option<Option<Acus>>, Refusal> {
    let limit = body.number(name, 0..=MAX_ACUS)?.map(Acus::whole);
    Ok(body.has(name).then_some(limit))
}

fn update(body: &Body) -> Result<OrganizationUpdate, Refusal> {
    Ok(OrganizationUpdate {
        name: body.text("name", 1..=MAX_NAME)?,
        max_session_acus: limit(body, "max_session_acu_limit")?,
        max_cycle_acus: limit(body, "max_cycle_acu_limit")?,
    })
}

/// `GET /enterprise/organizations`.
pub async fn list(admin: Admin, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let all = administration::list_organizations(&app, &admin.granted).await?;
    let reader =
        Reader { list: "organizations", principal: Some(admin.caller.principal()), organization: None };
    short_lists::page(&app, &reader, query.as_deref(), all, |(organization, _)| organization.id.0, shown)
}

/// `POST /enterprise/organizations`.
pub async fn create(admin: Admin, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body = Body::read(&app, request).await?;
    let name = body.needed("name", 1..=MAX_NAME).map_err(Failure::from)?;
    let limits = update(&body).map_err(Failure::from)?;
    answer(&shown(&administration::create_organization(&app, &admin.granted, &name, limits).await?))
}

/// `GET /enterprise/organizations/{org}`.
pub async fn get(admin: Admin, State(app): State<App>, path: Texts) -> Answer {
    answer(&shown(&administration::load_organization(&app, &admin.granted, id(&path)?).await?))
}

/// `PATCH /enterprise/organizations/{org}`.
pub async fn change(admin: Admin, State(app): State<App>, path: Texts, Whole(request): Whole) -> Answer {
    let id = id(&path)?;
    let body = Body::read(&app, request).await?;
    let update = update(&body).map_err(Failure::from)?;
    answer(&shown(&administration::update_organization(&app, &admin.granted, id, update).await?))
}

/// `DELETE /enterprise/organizations/{org}`.
pub async fn delete(admin: Admin, State(app): State<App>, path: Texts) -> Result<StatusCode, DevinError> {
    administration::delete_organization(&app, &admin.granted, id(&path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
