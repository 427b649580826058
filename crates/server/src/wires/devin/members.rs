//! `/self`, and the members of an organization and of the account.

use super::body::Body;
use super::errors::DevinError;
use super::extractors::{Authenticated, Authorized, AuthorizedInAccount};
use super::query::Query;
use super::roles::{self, RoleShape};
use super::sessions::{HandlerResult, PathTexts, respond};
use super::shapes::{organization_id, principal_id, read_principal_id};
use super::short_lists::{self, ListReader};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::WholeRequest;
use crate::operations::access::whoami;
use crate::operations::directory::administration;
use axum::extract::State;
use axum::http::StatusCode;
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::Role;
use domain::principal::{Membership, Principal, PrincipalKind};
use domain::refusal::Thing;
use serde_json::{Value, json};
use store::access::ManageMembers;

/// `GET /self`: users and service users have different shapes, as with the vendor.
pub async fn myself(Authenticated(caller): Authenticated, State(app): State<App>) -> HandlerResult {
    let (principal, key) =
        (whoami::load_caller_principal(&app, &caller).await?, whoami::load_caller_key(&app, &caller).await?);
    let id = principal_id(principal.id, principal.kind);
    let organization = caller.organization().map(organization_id);
    respond(&match principal.kind {
        PrincipalKind::ServiceUser => json!({
            "principal_type": "service_user",
            "service_user_id": id,
            "service_user_name": principal.name,
            "org_id": organization,
        }),
        PrincipalKind::User => json!({
            "principal_type": "pat_user",
            "user_id": id,
            "user_name": principal.name,
            "api_key_id": format!("key-{}", key.id.0.simple()),
            "api_key_name": key.name,
            "org_id": organization,
        }),
    })
}

fn user_shape(principal: &Principal, roles: Vec<Value>) -> Value {
    json!({
        "user_id": principal_id(principal.id, principal.kind),
        "email": principal.email,
        "name": principal.name,
        "role_assignments": roles,
    })
}

fn assignment_shape(organization: Option<OrganizationId>, role: impl Into<RoleShape>) -> Value {
    json!({ "org_id": organization.map(organization_id), "role": role.into() })
}

fn account_user_shape((principal, memberships): &(Principal, Vec<Membership>)) -> Value {
    let account = principal.account_role.map(|role| assignment_shape(None, role));
    let others = memberships.iter().map(|member| assignment_shape(Some(member.organization), member.role));
    user_shape(principal, account.into_iter().chain(others).collect())
}

/// `GET /enterprise/members/users`.
pub async fn list_in_account(
    account: AuthorizedInAccount<ManageMembers>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let all = administration::list_people(&app, &account.granted).await?;
    let reader =
        ListReader { list: "users", principal: Some(account.caller.principal()), organization: None };
    short_lists::respond_with_page(
        &app,
        &reader,
        &query,
        all,
        |(principal, _)| principal.id.0,
        account_user_shape,
    )
}

/// `GET /enterprise/members/users/{user}`.
pub async fn get_in_account(
    account: AuthorizedInAccount<ManageMembers>,
    State(app): State<App>,
    path: PathTexts,
) -> HandlerResult {
    let found = administration::load_person(&app, &account.granted, user_id(path.get("user"))).await?;
    respond(&account_user_shape(&found))
}

fn user_id(text: &str) -> Option<PrincipalId> {
    read_principal_id(text, PrincipalKind::User)
}

/// `GET /members/users`.
pub async fn list(
    Authorized(granted): Authorized<ManageMembers>,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let all = administration::list_members(&app, &granted).await?;
    let people = all.into_iter().filter(|(principal, _)| principal.kind == PrincipalKind::User).collect();
    let here = Some(granted.organization());
    let reader = ListReader { list: "members", principal: granted.principal(), organization: here };
    let member =
        |(principal, role): &(Principal, Role)| user_shape(principal, vec![assignment_shape(here, *role)]);
    short_lists::respond_with_page(&app, &reader, &query, people, |(principal, _)| principal.id.0, member)
}

/// `POST /members/users`: changes a member's role. A key of the account can also add a member.
pub async fn set(
    Authorized(granted): Authorized<ManageMembers>,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body = Body::read(&app, request).await?;
    let named = body.require_text("user_id", 1..=256).map_err(Failure::from)?;
    let role = roles::read_organization_role(&body, PrincipalKind::User).map_err(Failure::from)?;
    let (principal, role) =
        administration::set_member(&app, &granted, "user_id", user_id(&named), role).await?;
    respond(&user_shape(&principal, vec![assignment_shape(Some(granted.organization()), role)]))
}

/// `DELETE /members/users/{user}`.
pub async fn remove(
    Authorized(granted): Authorized<ManageMembers>,
    State(app): State<App>,
    path: PathTexts,
) -> Result<StatusCode, DevinError> {
    let id = user_id(path.get("user")).ok_or(Refusal::NotFound(Thing::Member)).map_err(Failure::from)?;
    administration::remove_member(&app, &granted, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
