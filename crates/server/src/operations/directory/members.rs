//! Members of an organization as they see and change each other, and organizations that users create.

use crate::app::App;
use crate::failure::Failure;
use crate::services::Services;
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::name;
use domain::organization::Organization;
use domain::permission::{Permission, Role};
use domain::principal::PrincipalKind;
use domain::refusal::Thing;
use store::access::{ManageMembers, ManageOrganizations, ViewSessions};
use store::{Caller, Granted};

pub use store::OrganizationMember;

/// Lists the people of the organization, oldest first.
pub async fn list_people_in_organization(
    app: &App,
    granted: &Granted<ViewSessions>,
) -> Result<Vec<OrganizationMember>, Failure> {
    Ok(app.store.list_people_in_organization(granted).await?)
}

/// Checks that a person can have the role and that the caller can grant it. Nobody can grant a role above their own.
///
/// # Errors
/// [`Refusal::Invalid`]; [`Refusal::Forbidden`].
pub fn check_role(granted: &Granted<ManageMembers>, role: Role) -> Result<(), Refusal> {
    Role::parse_for(role.name(), PrincipalKind::User, "role")?;
    let given = role.permissions();
    let lacking = Permission::ALL.into_iter().find(|one| given.has(*one) && !granted.has(*one));
    lacking.map_or(Ok(()), |permission| Err(Refusal::Forbidden(permission)))
}

/// Changes a member's role.
///
/// # Errors
/// [`Refusal::NotFound`] for somebody who is not a member; [`Refusal::Forbidden`] for a role with permissions that
/// the caller lacks; [`Refusal::LastAdmin`]; [`Failure::Busy`].
pub async fn change_role(
    services: &Services,
    granted: &Granted<ManageMembers>,
    member: PrincipalId,
    role: Role,
) -> Result<OrganizationMember, Failure> {
    check_role(granted, role)?;
    let all = services.store.list_people_in_organization(granted).await?;
    // Service users are not listed here.
    let found = all.into_iter().find(|one| one.principal.id == member);
    let found = found.ok_or(Refusal::NotFound(Thing::Member))?;
    services.store.change_role(granted, member, role, services.now()).await?;
    Ok(OrganizationMember { role, ..found })
}

/// Ends a membership. Callers can end their own; others need [`ManageMembers`].
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::NotFound`]; [`Refusal::LastAdmin`].
pub async fn remove_member(app: &App, caller: &Caller, member: Option<PrincipalId>) -> Result<(), Failure> {
    let organization = caller.authorize::<ViewSessions>()?.organization();
    let missing = || Refusal::NotFound(Thing::Member);
    match (member, caller.authorize::<ManageMembers>()) {
        (member, Ok(granted)) => {
            Ok(app.store.remove_member(&granted, member.ok_or_else(missing)?, app.now()).await?)
        }
        (Some(member), Err(_)) if member == caller.principal() => Ok(app
            .store
            .leave_organization(&caller.authorize_self("write:user")?, organization, app.now())
            .await?),
        (_, Err(refusal)) => Err(refusal.into()),
    }
}

/// Creates an organization with the caller as its first admin. When the request is repeated, the answer is the
/// organization that was created before.
///
/// # Errors
/// [`Refusal::Forbidden`] unless the caller manages the account or the settings allow it to all users;
/// [`Refusal::OutOfScope`] for a key of one organization; [`Refusal::Exists`]; [`Refusal::Invalid`].
pub async fn create_own_organization(
    app: &App,
    caller: &Caller,
    name: &str,
) -> Result<Organization, Failure> {
    let own = caller.authorize_self("write:admin")?;
    if caller.bound_organization().is_some() {
        return Err(Refusal::OutOfScope("a credential that is not bound to one organization").into());
    }
    let manages = caller.authorize_in_account::<ManageOrganizations>();
    // A service user could not become a member, because its home is fixed.
    if !app.settings.users_make_organizations || caller.kind() == PrincipalKind::ServiceUser {
        manages?;
    }
    if let Some(made) = app.store.find_earlier_creation(&own).await? {
        let all = app.store.list_visible_organizations(caller).await?.into_iter();
        let found = all.map(|(one, _)| one).find(|one| one.id == OrganizationId(made));
        return found.ok_or_else(|| Refusal::NotFound(Thing::Organization).into());
    }
    name::check_organization_name(name)?;
    let created = app.now();
    let id = OrganizationId::new(created, app.random_bytes());
    let new = Organization { id, name: name.to_owned(), created, deleted: None, max_devices: None };
    app.store.create_own_organization(&own, &new).await?;
    Ok(new)
}
