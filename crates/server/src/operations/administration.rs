//! Members and organizations, for the wires that manage them.

use crate::failure::Failure;
use crate::operations::memberships::may_give;
use crate::state::App;
use domain::Refusal;
use domain::agent::{Acus, Limits};
use domain::ids::{OrganizationId, PrincipalId};
use domain::name;
use domain::organization::Organization;
use domain::permission::Role;
use domain::principal::Principal;
use domain::refusal::Thing;
use store::access::{ManageMembers, ManageOrganizations, ViewSessions};
use store::{Granted, GrantedAccount, Proof, System};

/// What is to change in an organization; what is `None` stays, and an inner `None` lifts a limit.
#[derive(Debug, Clone, Default)]
pub struct OrganizationUpdate {
    /// Its name.
    pub name: Option<String>,
    /// How much one session may use.
    pub max_session_acus: Option<Option<Acus>>,
    /// How much all of them may use in a cycle.
    pub max_cycle_acus: Option<Option<Acus>>,
}

/// The organization's members, the oldest first.
///
/// # Errors
/// Only those of the store.
pub async fn members(app: &App, granted: &Granted<ManageMembers>) -> Result<Vec<(Principal, Role)>, Failure> {
    Ok(app.store.members_here(granted).await?)
}

/// Every user and service user of the account with what it is in each organization.
///
/// # Errors
/// Only those of the store.
pub async fn everybody(
    app: &App,
    _: &GrantedAccount<ManageMembers>,
) -> Result<Vec<(Principal, Vec<(OrganizationId, Role)>)>, Failure> {
    let system = System::for_administration();
    let members = app.store.members(&system).await?;
    let all = app.store.principals(&system).await?.into_iter();
    let with_roles = all.filter(|one| one.state != domain::principal::PrincipalState::Deleted).map(|one| {
        let own = members.iter().filter(|(_, principal, _)| *principal == one.id);
        let roles = own.map(|(organization, _, role)| (*organization, *role)).collect();
        (one, roles)
    });
    Ok(with_roles.collect())
}

/// Makes somebody a member, or changes its role.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Forbidden`] for a role that may more than the caller; [`Refusal::LastAdmin`].
pub async fn set_member(
    app: &App,
    granted: &Granted<ManageMembers>,
    id: PrincipalId,
    role: Role,
) -> Result<(), Failure> {
    may_give(granted, role)?;
    Ok(app.store.set_member(granted, id, role, app.now()).await?)
}

/// Ends a membership.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::LastAdmin`].
pub async fn remove_member(
    app: &App,
    granted: &Granted<ManageMembers>,
    id: PrincipalId,
) -> Result<(), Failure> {
    Ok(app.store.remove_member(granted, id, app.now()).await?)
}

/// The account's organizations with their limits, the oldest first; not those that were deleted.
///
/// # Errors
/// Only those of the store.
pub async fn organizations(
    app: &App,
    granted: &GrantedAccount<ManageOrganizations>,
) -> Result<Vec<(Organization, Limits)>, Failure> {
    let all = app.store.organizations(&System::for_administration()).await?;
    let mut found = Vec::new();
    for organization in all.into_iter().filter(|one| one.deleted.is_none()) {
        let limits = app.store.organization_limits(&granted.within(organization.id), app.now()).await?;
        found.push((organization, limits));
    }
    Ok(found)
}

/// One organization with its limits.
///
/// # Errors
/// [`Refusal::NotFound`], also when it was deleted.
pub async fn organization(
    app: &App,
    granted: &GrantedAccount<ManageOrganizations>,
    id: OrganizationId,
) -> Result<(Organization, Limits), Failure> {
    known(app, id).await?;
    let limits = app.store.organization_limits(&granted.within(id), app.now()).await?;
    Ok((known(app, id).await?, limits))
}

/// The caller's own organization with its limits.
///
/// # Errors
/// Only those of the store.
pub async fn own_organization(
    app: &App,
    granted: &Granted<ViewSessions>,
) -> Result<(Organization, Limits), Failure> {
    let limits = app.store.organization_limits(granted, app.now()).await?;
    Ok((known(app, granted.organization()).await?, limits))
}

/// Makes an organization. Repeated, it is the one that was made before, which gets its limits if it had none yet.
///
/// # Errors
/// [`Refusal::Exists`]; [`Refusal::Invalid`].
pub async fn create_organization(
    app: &App,
    granted: &GrantedAccount<ManageOrganizations>,
    name: &str,
    limits: OrganizationUpdate,
) -> Result<(Organization, Limits), Failure> {
    let acting = acting(granted);
    let id = match app.store.made_before(&acting).await? {
        Some(made) => OrganizationId(made),
        None => {
            name::of_organization(name)?;
            let created = app.now();
            let id = OrganizationId::new(created, app.random_bytes());
            let new = Organization { id, name: name.to_owned(), created, deleted: None, max_devices: None };
            app.store.create_organization(&acting, &new).await?;
            id
        }
    };
    update_organization(app, granted, id, OrganizationUpdate { name: None, ..limits }).await
}

/// Changes name and limits.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Exists`]; [`Refusal::Invalid`].
pub async fn update_organization(
    app: &App,
    granted: &GrantedAccount<ManageOrganizations>,
    id: OrganizationId,
    update: OrganizationUpdate,
) -> Result<(Organization, Limits), Failure> {
    let system = acting(granted);
    let OrganizationUpdate { name, max_session_acus, max_cycle_acus } = update;
    for (field, limit) in
        [("max_session_acu_limit", max_session_acus), ("max_cycle_acu_limit", max_cycle_acus)]
    {
        if limit.flatten().is_some_and(|limit| limit.0 < 0) {
            return Err(Refusal::invalid(field, "a number that is not below zero").into());
        }
    }
    if let Some(name) = &name {
        name::of_organization(name)?;
        app.store.rename_organization(&system, id, name, app.now()).await?;
    }
    if max_session_acus.is_some() || max_cycle_acus.is_some() {
        app.store.set_organization_limits(&system, id, max_session_acus, max_cycle_acus, app.now()).await?;
    }
    organization(app, granted, id).await
}

/// Deletes an organization: it keeps its sessions, and nobody acts in it any more.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete_organization(
    app: &App,
    granted: &GrantedAccount<ManageOrganizations>,
    id: OrganizationId,
) -> Result<(), Failure> {
    Ok(app.store.delete_organization(&acting(granted), id, app.now()).await?)
}

/// The store's own right, used for who may manage organizations.
fn acting(granted: &GrantedAccount<ManageOrganizations>) -> System {
    System::for_administration().on_behalf_of(granted.by())
}

async fn known(app: &App, id: OrganizationId) -> Result<Organization, Failure> {
    let all = app.store.organizations(&System::for_administration()).await?;
    let found = all.into_iter().find(|one| one.id == id && one.deleted.is_none());
    found.ok_or_else(|| Refusal::NotFound(Thing::Organization).into())
}
