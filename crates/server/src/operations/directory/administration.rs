//! Members and organizations, for administrators on the wires and on the command line.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::directory::members::check_role;
use crate::services::{Services, mailer};
use domain::Refusal;
use domain::agent::{Acus, UsageLimits};
use domain::ids::{OrganizationId, PrincipalId};
use domain::name;
use domain::organization::Organization;
use domain::permission::{Permission, Role};
use domain::principal::{Membership, Principal, PrincipalKind, PrincipalState};
use domain::refusal::Thing;
use store::access::{ManageMembers, ManageOrganizations, ViewSessions};
use store::{Grant, Granted, GrantedAccount, System};

/// Changes to an organization. `None` keeps a value; an inner `None` removes a limit.
#[derive(Debug, Clone, Default)]
pub struct OrganizationUpdate {
    /// The name.
    pub name: Option<String>,
    /// Limit of usage of one session.
    pub max_session_acus: Option<Option<Acus>>,
    /// Limit of usage of all sessions in a billing cycle.
    pub max_cycle_acus: Option<Option<Acus>>,
}

/// Lists the organization's members, oldest first.
pub async fn list_members(
    services: &Services,
    granted: &Granted<ManageMembers>,
) -> Result<Vec<(Principal, Role)>, Failure> {
    Ok(services.store.list_principals_in_organization(granted).await?)
}

/// Lists the account's people with their memberships, oldest first.
pub async fn list_people(
    app: &App,
    granted: &GrantedAccount<ManageMembers>,
) -> Result<Vec<(Principal, Vec<Membership>)>, Failure> {
    Ok(app.store.list_account_people(granted, None).await?)
}

/// Loads one of the account's people with their memberships.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn load_person(
    services: &Services,
    granted: &GrantedAccount<ManageMembers>,
    id: Option<PrincipalId>,
) -> Result<(Principal, Vec<Membership>), Failure> {
    let missing = || Failure::from(Refusal::NotFound(Thing::Principal));
    let found = services.store.list_account_people(granted, Some(id.ok_or_else(missing)?)).await?;
    found.into_iter().next().ok_or_else(missing)
}

/// Changes a member's role. An administrator of the account can make anybody a member at once; others invite people,
/// who become members when they accept. The error does not reveal whether the id exists.
///
/// # Errors
/// [`Refusal::NotFound`] or, for a caller who has to invite, [`Refusal::Invalid`] for `field`; [`Refusal::Forbidden`]
/// for a role with permissions that the caller lacks; [`Refusal::LastAdmin`]; [`Failure::Busy`].
pub async fn set_member(
    services: &Services,
    granted: &Granted<ManageMembers>,
    field: &str,
    id: Option<PrincipalId>,
    role: Role,
) -> Result<(Principal, Role), Failure> {
    check_role(granted, role)?;
    let at_once = granted.has_in_account(Permission::ManageMembers);
    let set = match id {
        Some(id) if at_once => services.store.set_member(granted, id, role, services.now()).await,
        Some(id) => services.store.change_role(granted, id, role, services.now()).await,
        None => Err(Refusal::NotFound(Thing::Principal).into()),
    };
    match set {
        Err(store::Error::Refused(Refusal::NotFound(_))) if !at_once => {
            let expected = "a member of the organization: invite others by their address, with POST \
                            /api/v1/members/invitations";
            return Err(Refusal::invalid(field, expected).into());
        }
        outcome => outcome?,
    }
    let all = list_members(services, granted).await?;
    let found = all.into_iter().find(|(principal, _)| Some(principal.id) == id);
    // Somebody may have removed the member meanwhile.
    found.ok_or_else(|| Refusal::NotFound(Thing::Member).into())
}

/// Creates a person as a member of the organization, for an administrator who vouches for the address: it counts as
/// confirmed.
///
/// # Errors
/// [`Refusal::Invalid`] for the address; [`Refusal::Exists`] when a user has it; [`Refusal::NotFound`] when the
/// organization was deleted; [`Refusal::Forbidden`] for a role with permissions that the caller lacks.
pub async fn create_person(
    services: &Services,
    granted: &Granted<ManageMembers>,
    email: &str,
    password_hash: Option<&str>,
    role: Role,
) -> Result<Principal, Failure> {
    check_role(granted, role)?;
    let email = mailer::parse_address(email)?;
    let created = services.now();
    let mut person = Principal {
        id: PrincipalId::new(created, services.random_bytes()),
        number: 0,
        kind: PrincipalKind::User,
        email: Some(email.clone()),
        name: email,
        state: PrincipalState::Active,
        created,
        account_role: None,
        default_organization: None,
    };
    let acting = System::for_administration().attribute_to(granted.attribution());
    let member = Some((granted.organization(), role));
    person.number = services.store.create_principal(&acting, &person, password_hash, member).await?;
    Ok(person)
}

/// Ends a membership.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::LastAdmin`].
pub async fn remove_member(
    services: &Services,
    granted: &Granted<ManageMembers>,
    id: PrincipalId,
) -> Result<(), Failure> {
    Ok(services.store.remove_member(granted, id, services.now()).await?)
}

/// Lists the account's organizations with their limits, oldest first, without the deleted ones.
pub async fn list_organizations(
    app: &App,
    granted: &GrantedAccount<ManageOrganizations>,
) -> Result<Vec<(Organization, UsageLimits)>, Failure> {
    Ok(app.store.list_organizations_with_limits(granted, app.now()).await?)
}

/// Loads an organization with its limits.
///
/// # Errors
/// [`Refusal::NotFound`], also for a deleted one.
pub async fn load_organization(
    services: &Services,
    granted: &GrantedAccount<ManageOrganizations>,
    id: OrganizationId,
) -> Result<(Organization, UsageLimits), Failure> {
    let organization = services.store.load_organization(&acting_system(granted), id).await?;
    let limits = services.store.load_organization_limits(&granted.narrow_to(id), services.now()).await?;
    Ok((organization, limits))
}

/// Loads the caller's organization with its limits.
pub async fn load_own_organization(
    app: &App,
    granted: &Granted<ViewSessions>,
) -> Result<(Organization, UsageLimits), Failure> {
    let system = System::for_administration();
    let organization = app.store.load_organization(&system, granted.organization()).await?;
    let limits = app.store.load_organization_limits(granted, app.now()).await?;
    Ok((organization, limits))
}

/// Creates an organization. When the request is repeated, the answer is the organization that was created before; it
/// gets its limits if the first attempt did not set them.
///
/// # Errors
/// [`Refusal::Exists`]; [`Refusal::Invalid`].
pub async fn create_organization(
    services: &Services,
    granted: &GrantedAccount<ManageOrganizations>,
    name: &str,
    limits: OrganizationUpdate,
) -> Result<(Organization, UsageLimits), Failure> {
    let acting = acting_system(granted);
    let id = match services.store.find_earlier_creation(&acting).await? {
        Some(made) => OrganizationId(made),
        None => {
            name::check_organization_name(name)?;
            let created = services.now();
            let id = OrganizationId::new(created, services.random_bytes());
            let new = Organization { id, name: name.to_owned(), created, deleted: None, max_devices: None };
            services.store.create_organization(&acting, &new).await?;
            id
        }
    };
    update_organization(services, granted, id, OrganizationUpdate { name: None, ..limits }).await
}

/// Changes the name and the limits.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Exists`]; [`Refusal::Invalid`].
pub async fn update_organization(
    services: &Services,
    granted: &GrantedAccount<ManageOrganizations>,
    id: OrganizationId,
    update: OrganizationUpdate,
) -> Result<(Organization, UsageLimits), Failure> {
    let system = acting_system(granted);
    let OrganizationUpdate { name, max_session_acus, max_cycle_acus } = update;
    for (field, limit) in
        [("max_session_acu_limit", max_session_acus), ("max_cycle_acu_limit", max_cycle_acus)]
    {
        if limit.flatten().is_some_and(|limit| limit.0 < 0) {
            return Err(Refusal::invalid(field, "zero or a greater number").into());
        }
    }
    if let Some(name) = &name {
        name::check_organization_name(name)?;
        services.store.rename_organization(&system, id, name, services.now()).await?;
    }
    if max_session_acus.is_some() || max_cycle_acus.is_some() {
        services
            .store
            .set_organization_limits(&system, id, max_session_acus, max_cycle_acus, services.now())
            .await?;
    }
    load_organization(services, granted, id).await
}

/// Deletes an organization. Its sessions stay, but nobody can act in it any more.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete_organization(
    services: &Services,
    granted: &GrantedAccount<ManageOrganizations>,
    id: OrganizationId,
) -> Result<(), Failure> {
    Ok(services.store.delete_organization(&acting_system(granted), id, services.now()).await?)
}

/// The store's grant for the changes, attributed to the caller.
fn acting_system(granted: &GrantedAccount<ManageOrganizations>) -> System {
    System::for_administration().attribute_to(granted.attribution())
}
