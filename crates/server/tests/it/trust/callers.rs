//! Every kind of caller: users and service users of an organization and of the account, in every role.

use crate::world::{Actor, START, World};
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use store::{RoleSource, System};

/// A caller with its scope.
pub struct Who<'w> {
    pub name: String,
    pub actor: Actor<'w>,
    /// Whether its permissions cover the whole account.
    pub account: bool,
    /// Whether it names the organization in a header.
    pub named: bool,
}

/// A service user of an organization, with a key.
pub async fn machine(world: &World, home: OrganizationId, role: Role) -> Actor<'_> {
    let id = PrincipalId::new(START, world.bytes());
    let new = Principal {
        id,
        number: 0,
        kind: PrincipalKind::ServiceUser,
        email: None,
        name: "bot".into(),
        state: PrincipalState::Active,
        created: START,
        account_role: None,
        default_organization: None,
    };
    let system = System::for_administration();
    world.store().create_principal(&system, &new, None, Some((home, role))).await.unwrap();
    world.actor(id, Some(home), None).await
}

/// A user with a role in the account and without memberships.
async fn person(world: &World, role: AccountRole) -> Actor<'_> {
    let id = world.principal(None, None).await;
    let system = System::for_administration();
    world.store().set_account_role(&system, id, Some(role), RoleSource::Hand, START).await.unwrap();
    world.actor(id, None, None).await
}

/// Every kind of caller in an organization.
pub async fn everybody(world: &World, organization: OrganizationId) -> Vec<Who<'_>> {
    let mut everybody = Vec::new();
    for (role, name) in Role::NAMES {
        if role.fits(PrincipalKind::User) {
            let actor = world.member(organization, role).await;
            everybody.push(Who { name: format!("{name}, a person"), actor, account: false, named: false });
        }
        let actor = machine(world, organization, role).await;
        everybody.push(Who { name: format!("{name}, a machine"), actor, account: false, named: false });
    }
    for (role, name) in AccountRole::NAMES {
        let mut actors = vec![("machine", world.account_member(role).await)];
        if role.fits(PrincipalKind::User) {
            actors.push(("person", person(world, role).await));
        }
        for (what, actor) in actors {
            let named = actor.naming(organization);
            let name = format!("account {name}, a {what}");
            everybody.push(Who { name: name.clone(), actor, account: true, named: false });
            everybody.push(Who { name: format!("{name}, here"), actor: named, account: true, named: true });
        }
    }
    everybody
}
