//! Service users and their keys, for the wires that manage them.

use crate::app::App;
use crate::failure::Failure;
use domain::Refusal;
use domain::credential::{Credential, Secret, Wire};
use domain::ids::{CredentialId, OrganizationId, PrincipalId};
use domain::name;
use domain::network::Networks;
use domain::permission::{AccountRole, Permission, PermissionSet, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::refusal::Thing;
use domain::time::Micros;
use store::access::ManageServiceUsers;
use store::{Grant, Granted, GrantedAccount, System};

/// Whose service users are looked after.
#[derive(Debug, Clone)]
pub enum Of {
    /// Those of one organization.
    Organization(Granted<ManageServiceUsers>),
    /// Those of the account.
    Account(GrantedAccount<ManageServiceUsers>),
}

/// What a service user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleOf {
    /// In its organization.
    Organization(Role),
    /// In the account.
    Account(AccountRole),
}

/// A service user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUser {
    /// What is known of it.
    pub principal: Principal,
    /// What it is.
    pub role: RoleOf,
}

/// A key with its secret, which is shown once and kept nowhere.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What is known of it.
    pub credential: Credential,
    /// The secret; nothing where an earlier attempt at the same request has made the key, and kept it nowhere.
    pub secret: Option<Secret>,
}

impl Of {
    fn organization(&self) -> Option<OrganizationId> {
        match self {
            Of::Organization(granted) => Some(granted.organization()),
            Of::Account(_) => None,
        }
    }

    /// The store's own right, used for who looks after them.
    fn acting(&self) -> System {
        System::administration().attribute_to(match self {
            Of::Organization(granted) => granted.attribution(),
            Of::Account(granted) => granted.attribution(),
        })
    }

    fn max_key_expiry(&self) -> Option<Micros> {
        match self {
            Of::Organization(granted) => granted.max_key_expiry(),
            Of::Account(granted) => granted.max_key_expiry(),
        }
    }

    fn has(&self, permission: Permission) -> bool {
        match self {
            Of::Organization(granted) => granted.has(permission),
            Of::Account(granted) => granted.has(permission),
        }
    }

    /// Nobody gives what it does not have.
    fn may_give(&self, wanted: PermissionSet) -> Result<(), Refusal> {
        let lacking = Permission::ALL.into_iter().find(|one| wanted.has(*one) && !self.has(*one));
        lacking.map_or(Ok(()), |permission| Err(Refusal::Forbidden(permission)))
    }
}

/// The service users whose home this is, the oldest first.
///
/// # Errors
/// Only those of the store.
pub async fn list(app: &App, of: &Of) -> Result<Vec<ServiceUser>, Failure> {
    find(app, of, None).await
}

/// One of them.
///
/// # Errors
/// [`Refusal::NotFound`], also for one whose home is elsewhere.
pub async fn own(app: &App, of: &Of, id: PrincipalId) -> Result<ServiceUser, Failure> {
    let found = find(app, of, Some(id)).await?.into_iter().next();
    found.ok_or_else(|| Refusal::NotFound(Thing::Principal).into())
}

async fn find(app: &App, of: &Of, id: Option<PrincipalId>) -> Result<Vec<ServiceUser>, Failure> {
    Ok(match of {
        Of::Organization(granted) => {
            let found = app.store.list_service_users(granted, id).await?.into_iter();
            let user = |(principal, role)| ServiceUser { principal, role: RoleOf::Organization(role) };
            found.map(user).collect()
        }
        Of::Account(granted) => {
            let found = app.store.list_account_service_users(granted, id).await?.into_iter();
            let user = |principal: Principal| {
                let role = RoleOf::Account(principal.account_role?);
                Some(ServiceUser { principal, role })
            };
            found.filter_map(user).collect()
        }
    })
}

/// The sooner of when a key was asked to expire and until when its maker's credential lends it anything.
pub(crate) fn expiry(asked: Option<Micros>, most: Option<Micros>) -> Option<Micros> {
    asked.into_iter().chain(most).min()
}

/// Makes a service user with its first key. No key outlives the one that it is made with. Repeated, it is the one that
/// was made before.
///
/// # Errors
/// [`Refusal::Invalid`] for its name; [`Refusal::Forbidden`] for a role that may more than the caller.
pub async fn create(
    app: &App,
    of: &Of,
    name: &str,
    role: RoleOf,
    wire: Wire,
    expires: Option<Micros>,
) -> Result<(ServiceUser, NewKey), Failure> {
    let (account_role, member) = match (role, of.organization()) {
        (RoleOf::Organization(role), Some(organization)) => {
            of.may_give(role.permissions())?;
            (None, Some((organization, role)))
        }
        (RoleOf::Account(role), None) => {
            of.may_give(role.permissions())?;
            (Some(role), None)
        }
        _ => return Err(Refusal::invalid("role_id", "a role of the place that the user is made in").into()),
    };
    if let Some(made) = app.store.find_earlier_creation(&of.acting()).await? {
        return first(app, of, PrincipalId(made)).await;
    }
    name::needed(name)?;
    let created = app.now();
    let mut principal = Principal {
        id: PrincipalId::new(created, app.random_bytes()),
        number: 0,
        kind: PrincipalKind::ServiceUser,
        email: None,
        name: name.to_owned(),
        state: PrincipalState::Active,
        created,
        account_role,
        default_organization: of.organization(),
    };
    let (credential, secret) = prepare(app, of, principal.id, &Terms::new(name, wire, expires));
    let (acting, hash) = (of.acting(), secret.hash());
    principal.number = app.store.create_service_user(&acting, &principal, member, &credential, &hash).await?;
    Ok((ServiceUser { principal, role }, NewKey { credential, secret: Some(secret) }))
}

/// A service user that was made before, with the key it was made with.
async fn first(app: &App, of: &Of, id: PrincipalId) -> Result<(ServiceUser, NewKey), Failure> {
    let user = own(app, of, id).await?;
    let keys = app.store.list_principal_credentials(&System::administration(), id).await?;
    let credential = keys.into_iter().next().ok_or(Refusal::NotFound(Thing::Credential))?;
    Ok((user, NewKey { credential, secret: None }))
}

/// Deletes a service user for ever; its keys are refused from now on.
///
/// # Errors
/// [`Refusal::NotFound`], also for one of another place.
pub async fn delete(app: &App, of: &Of, id: PrincipalId) -> Result<(), Failure> {
    own(app, of, id).await?;
    Ok(app.store.set_principal_state(&of.acting(), id, PrincipalState::Deleted, app.now()).await?)
}

/// The keys of a service user, the oldest first.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn keys(app: &App, of: &Of, id: PrincipalId) -> Result<Vec<Credential>, Failure> {
    own(app, of, id).await?;
    Ok(app.store.list_principal_credentials(&System::administration(), id).await?)
}

/// What a new key is to be.
struct Terms<'a> {
    name: &'a str,
    wire: Wire,
    expires: Option<Micros>,
    networks: Networks,
}

impl<'a> Terms<'a> {
    fn new(name: &'a str, wire: Wire, expires: Option<Micros>) -> Terms<'a> {
        Terms { name, wire, expires, networks: Networks::default() }
    }
}

/// Makes another key of a service user. It belongs to the family of the key that it is made with, may no more and lasts
/// no longer. Repeated, it is the one that was made before.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Invalid`] for its name; [`Refusal::Forbidden`] for one that may more than the
/// caller.
pub async fn create_key(
    app: &App,
    of: &Of,
    id: PrincipalId,
    name: &str,
    wire: Wire,
    expires: Option<Micros>,
) -> Result<NewKey, Failure> {
    add_key(app, of, id, &Terms::new(name, wire, expires)).await
}

async fn add_key(app: &App, of: &Of, id: PrincipalId, terms: &Terms<'_>) -> Result<NewKey, Failure> {
    let user = own(app, of, id).await?;
    of.may_give(match user.role {
        RoleOf::Organization(role) => role.permissions(),
        RoleOf::Account(role) => role.permissions(),
    })?;
    if let Some(made) = app.store.find_earlier_creation(&of.acting()).await? {
        let known = keys(app, of, id).await?.into_iter().find(|known| known.id == CredentialId(made));
        let credential = known.ok_or(Refusal::NotFound(Thing::Credential))?;
        return Ok(NewKey { credential, secret: None });
    }
    name::needed(terms.name)?;
    let (credential, secret) = prepare(app, of, id, terms);
    app.store.create_credential(&of.acting(), &credential, &secret.hash()).await?;
    Ok(NewKey { credential, secret: Some(secret) })
}

/// Revokes a key and its family for ever.
///
/// # Errors
/// [`Refusal::NotFound`], also for a key of somebody else.
pub async fn revoke_key(app: &App, of: &Of, id: PrincipalId, key: CredentialId) -> Result<(), Failure> {
    let known = keys(app, of, id).await?;
    if !known.iter().any(|known| known.id == key) {
        return Err(Refusal::NotFound(Thing::Credential).into());
    }
    Ok(app.store.revoke_credential(&of.acting(), key, app.now()).await?)
}

/// Makes a new key in the place of another, which is revoked alone: what was made with it goes on. The new one is there
/// first, so that a failure in between leaves nobody without.
///
/// # Errors
/// As [`create_key`] and [`revoke_key`].
pub async fn rotate_key(app: &App, of: &Of, id: PrincipalId, key: CredentialId) -> Result<NewKey, Failure> {
    let known = keys(app, of, id).await?;
    let old = known.iter().find(|known| known.id == key).ok_or(Refusal::NotFound(Thing::Credential))?;
    let terms =
        Terms { name: &old.name, wire: old.wire, expires: old.expires, networks: old.networks.clone() };
    let new = add_key(app, of, id, &terms).await?;
    app.store.replace_credential(&of.acting(), key, new.credential.id, app.now()).await?;
    Ok(new)
}

/// A new key, not kept yet.
fn prepare(app: &App, of: &Of, id: PrincipalId, terms: &Terms<'_>) -> (Credential, Secret) {
    let secret = Secret::new(terms.wire, app.random_bytes());
    let credential = Credential {
        organization: of.organization(),
        name: terms.name.to_owned(),
        expires: expiry(terms.expires, of.max_key_expiry()),
        networks: terms.networks.clone(),
        ..Credential::new(&secret, terms.wire, id, app.now(), app.random_bytes())
    };
    (credential, secret)
}
