//! Who calls, and the members of an organization and of the account.

use super::body::Body;
use super::errors::DevinError;
use super::extractors::{Known, May, MayInAccount};
use super::roles::{self, RoleShape};
use super::sessions::{Answer, Texts, answer};
use super::shapes::{organization_id, principal_id, read_principal_id};
use super::short_lists::{self, Reader};
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware::Whole;
use crate::operations::access::whoami;
use crate::operations::directory::administration;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::Role;
use domain::principal::{Membership, Principal, PrincipalKind};
use domain::refusal::Thing;
use serde_json::{Value, json};
use store::access::ManageMembers;

/// `GET /self`: the shapes differ by what calls, as with the vendor.
pub async fn myself(Known(caller): Known, State(app): State<App>) -> Answer {
    let (principal, key) =
        (whoami::load_caller_principal(&app, &caller).await?, whoami::load_caller_key(&app, &caller).await?);
    let id = principal_id(principal.id, principal.kind);
    let organization = caller.organization().map(organization_id);
    answer(&match principal.kind {
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

fn user(principal: &Principal, roles: Vec<Value>) -> Value {
    json!({
        "user_id": principal_id(principal.id, principal.kind),
        "email": principal.email,
        "name": principal.name,
        "role_assignments": roles,
    })
}

fn assignment(organization: Option<OrganizationId>, role: impl Into<RoleShape>) -> Value {
    json!({ "org_id": organization.map(organization_id), "role": role.into() })
}

fn account_user((principal, memberships): &(Principal, Vec<Membership>)) -> Value {
    let account = principal.account_role.map(|role| assignment(None, role));
    let others = memberships.iter().map(|member| assignment(Some(member.organization), member.role));
    user(principal, account.into_iter().chain(others).collect())
}

/// `GET /enterprise/members/users`.
pub async fn list_in_account(
    account: MayInAccount<ManageMembers>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let all = administration::list_people(&app, &account.granted).await?;
    let reader = Reader { list: "users", principal: Some(account.caller.principal()), organization: None };
    short_lists::page(&app, &reader, query.as_deref(), all, |(principal, _)| principal.id.0, account_user)
}

/// `GET /enterprise/members/users/{user}`.
pub async fn get_in_account(
    account: MayInAccount<ManageMembers>,
    State(app): State<App>,
    path: Texts,
) -> Answer {
    let found = administration::load_person(&app, &account.granted, user_id(path.get("user"))).await?;
    answer(&account_user(&found))
}

fn user_id(text: &str) -> Option<PrincipalId> {
    read_principal_id(text, PrincipalKind::User)
}

/// `GET /members/users`.
pub async fn list(
    May(granted): May<ManageMembers>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer {
    let all = administration::list_members(&app, &granted).await?;
    let people = all.into_iter().filter(|(principal, _)| principal.kind == PrincipalKind::User).collect();
    let here = Some(granted.organization());
    let reader = Reader { list: "members", principal: granted.principal(), organization: here };
    let shown = |(principal, role): &(Principal, Role)| user(principal, vec![assignment(here, *role)]);
    short_lists::page(&app, &reader, query.as_deref(), people, |(principal, _)| principal.id.0, shown)
}

/// `POST /members/users`: changes what a member is; with a key of the account, also makes somebody one.
pub async fn set(May(granted): May<ManageMembers>, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body = Body::read(&app, request).await?;
    let named = body.needed("user_id", 1..=256).map_err(Failure::from)?;
    let role = roles::in_organization(&body, PrincipalKind::User).map_err(Failure::from)?;
    let (principal, role) =
        administration::set_member(&app, &granted, "user_id", user_id(&named), role).await?;
    answer(&user(&principal, vec![assignment(Some(granted.organization()), role)]))
}

/// `DELETE /members/users/{user}`.
pub async fn remove(
    May(granted): May<ManageMembers>,
    State(app): State<App>,
    path: Texts,
) -> Result<StatusCode, DevinError> {
    let id = user_id(path.get("user")).ok_or(Refusal::NotFound(Thing::Member)).map_err(Failure::from)?;
    administration::remove_member(&app, &granted, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
