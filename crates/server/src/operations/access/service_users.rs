//! Service users and their keys, for the wires that manage them.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::own_keys::CreatedKey;
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

/// The home whose service users are managed.
#[derive(Debug, Clone)]
pub enum ServiceUserHome {
    /// An organization.
    Organization(Granted<ManageServiceUsers>),
    /// The account.
    Account(GrantedAccount<ManageServiceUsers>),
}

/// The role of a service user in its home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceUserRole {
    /// In an organization.
    Organization(Role),
    /// In the account.
    Account(AccountRole),
}

/// A service user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUser {
    /// The principal.
    pub principal: Principal,
    /// The role in its home.
    pub role: ServiceUserRole,
}

impl ServiceUserHome {
    fn organization(&self) -> Option<OrganizationId> {
        match self {
            ServiceUserHome::Organization(granted) => Some(granted.organization()),
            ServiceUserHome::Account(_) => None,
        }
    }

    /// The store's grant for the changes, attributed to the caller.
    fn acting_system(&self) -> System {
        System::administration().attribute_to(match self {
            ServiceUserHome::Organization(granted) => granted.attribution(),
            ServiceUserHome::Account(granted) => granted.attribution(),
        })
    }

    fn max_key_expiry(&self) -> Option<Micros> {
        match self {
            ServiceUserHome::Organization(granted) => granted.max_key_expiry(),
            ServiceUserHome::Account(granted) => granted.max_key_expiry(),
        }
    }

    fn has(&self, permission: Permission) -> bool {
        match self {
            ServiceUserHome::Organization(granted) => granted.has(permission),
            ServiceUserHome::Account(granted) => granted.has(permission),
        }
    }

    /// Nobody can grant permissions that they lack.
    fn check_permissions(&self, requested: PermissionSet) -> Result<(), Refusal> {
        let lacking = Permission::ALL.into_iter().find(|one| requested.has(*one) && !self.has(*one));
        lacking.map_or(Ok(()), |permission| Err(Refusal::Forbidden(permission)))
    }
}

/// Lists the service users of a home, oldest first.
pub async fn list_service_users(app: &App, home: &ServiceUserHome) -> Result<Vec<ServiceUser>, Failure> {
    find_service_users(app, home, None).await
}

/// Loads a service user of a home.
///
/// # Errors
/// [`Refusal::NotFound`], also for a service user with another home.
pub async fn load_service_user(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
) -> Result<ServiceUser, Failure> {
    let found = find_service_users(app, home, Some(id)).await?.into_iter().next();
    found.ok_or_else(|| Refusal::NotFound(Thing::Principal).into())
}

async fn find_service_users(
    app: &App,
    home: &ServiceUserHome,
    id: Option<PrincipalId>,
) -> Result<Vec<ServiceUser>, Failure> {
    Ok(match home {
        ServiceUserHome::Organization(granted) => {
            let found = app.store.list_service_users(granted, id).await?.into_iter();
            let user =
                |(principal, role)| ServiceUser { principal, role: ServiceUserRole::Organization(role) };
            found.map(user).collect()
        }
        ServiceUserHome::Account(granted) => {
            let found = app.store.list_account_service_users(granted, id).await?.into_iter();
            let user = |principal: Principal| {
                let role = ServiceUserRole::Account(principal.account_role?);
                Some(ServiceUser { principal, role })
            };
            found.filter_map(user).collect()
        }
    })
}

/// The earlier of the requested expiry and the expiry of the creator's own credential.
pub(crate) fn limit_expiry(requested: Option<Micros>, limit: Option<Micros>) -> Option<Micros> {
    requested.into_iter().chain(limit).min()
}

/// Creates a service user with its first key, which expires no later than the caller's credential. When the request
/// is repeated, the answer is the service user that was created before.
///
/// # Errors
/// [`Refusal::Invalid`] for the name, and for a role that does not fit the home; [`Refusal::Forbidden`] for a role
/// with permissions that the caller lacks.
pub async fn create_service_user(
    app: &App,
    home: &ServiceUserHome,
    name: &str,
    role: ServiceUserRole,
    wire: Wire,
    expires: Option<Micros>,
) -> Result<(ServiceUser, CreatedKey), Failure> {
    let (account_role, member) = match (role, home.organization()) {
        (ServiceUserRole::Organization(role), Some(organization)) => {
            home.check_permissions(role.permissions())?;
            (None, Some((organization, role)))
        }
        (ServiceUserRole::Account(role), None) => {
            home.check_permissions(role.permissions())?;
            (Some(role), None)
        }
        _ => return Err(Refusal::invalid("role_id", "a role of the service user's home").into()),
    };
    if let Some(made) = app.store.find_earlier_creation(&home.acting_system()).await? {
        return load_created_service_user(app, home, PrincipalId(made)).await;
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
        default_organization: home.organization(),
    };
    let (credential, secret) = build_key(app, home, principal.id, &KeyTerms::new(name, wire, expires));
    let (acting, hash) = (home.acting_system(), secret.hash());
    principal.number = app.store.create_service_user(&acting, &principal, member, &credential, &hash).await?;
    Ok((ServiceUser { principal, role }, CreatedKey { credential, secret: Some(secret) }))
}

/// Loads the service user that an earlier attempt created, with its first key.
async fn load_created_service_user(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
) -> Result<(ServiceUser, CreatedKey), Failure> {
    let user = load_service_user(app, home, id).await?;
    let keys = app.store.list_principal_credentials(&System::administration(), id).await?;
    let credential = keys.into_iter().next().ok_or(Refusal::NotFound(Thing::Credential))?;
    Ok((user, CreatedKey { credential, secret: None }))
}

/// Deletes a service user permanently. Its keys stop working.
///
/// # Errors
/// [`Refusal::NotFound`], also for a service user with another home.
pub async fn delete_service_user(app: &App, home: &ServiceUserHome, id: PrincipalId) -> Result<(), Failure> {
    load_service_user(app, home, id).await?;
    Ok(app.store.set_principal_state(&home.acting_system(), id, PrincipalState::Deleted, app.now()).await?)
}

/// Lists the keys of a service user, oldest first.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn list_service_user_keys(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
) -> Result<Vec<Credential>, Failure> {
    load_service_user(app, home, id).await?;
    Ok(app.store.list_principal_credentials(&System::administration(), id).await?)
}

/// The properties of a new key.
struct KeyTerms<'a> {
    name: &'a str,
    wire: Wire,
    expires: Option<Micros>,
    networks: Networks,
}

impl<'a> KeyTerms<'a> {
    fn new(name: &'a str, wire: Wire, expires: Option<Micros>) -> KeyTerms<'a> {
        KeyTerms { name, wire, expires, networks: Networks::default() }
    }
}

/// Creates another key of a service user. It belongs to the family of the caller's key and expires no later. When the
/// request is repeated, the answer is the key that was created before.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Invalid`] for the name; [`Refusal::Forbidden`] for a service user with
/// permissions that the caller lacks.
pub async fn create_service_user_key(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
    name: &str,
    wire: Wire,
    expires: Option<Micros>,
) -> Result<CreatedKey, Failure> {
    add_key(app, home, id, &KeyTerms::new(name, wire, expires)).await
}

async fn add_key(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
    terms: &KeyTerms<'_>,
) -> Result<CreatedKey, Failure> {
    let user = load_service_user(app, home, id).await?;
    home.check_permissions(match user.role {
        ServiceUserRole::Organization(role) => role.permissions(),
        ServiceUserRole::Account(role) => role.permissions(),
    })?;
    if let Some(made) = app.store.find_earlier_creation(&home.acting_system()).await? {
        let known = list_service_user_keys(app, home, id)
            .await?
            .into_iter()
            .find(|known| known.id == CredentialId(made));
        let credential = known.ok_or(Refusal::NotFound(Thing::Credential))?;
        return Ok(CreatedKey { credential, secret: None });
    }
    name::needed(terms.name)?;
    let (credential, secret) = build_key(app, home, id, terms);
    app.store.create_credential(&home.acting_system(), &credential, &secret.hash()).await?;
    Ok(CreatedKey { credential, secret: Some(secret) })
}

/// Revokes a key and its family, permanently.
///
/// # Errors
/// [`Refusal::NotFound`], also for another user's key.
pub async fn revoke_service_user_key(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
    key: CredentialId,
) -> Result<(), Failure> {
    let known = list_service_user_keys(app, home, id).await?;
    if !known.iter().any(|known| known.id == key) {
        return Err(Refusal::NotFound(Thing::Credential).into());
    }
    Ok(app.store.revoke_credential(&home.acting_system(), key, app.now()).await?)
}

/// Replaces a key with a new one. Only that key is revoked, not the keys that were made with it. The new key is
/// stored first, so that a failure in between leaves the service user with a key.
///
/// # Errors
/// Those of [`create_service_user_key`] and [`revoke_service_user_key`].
pub async fn rotate_service_user_key(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
    key: CredentialId,
) -> Result<CreatedKey, Failure> {
    let known = list_service_user_keys(app, home, id).await?;
    let old = known.iter().find(|known| known.id == key).ok_or(Refusal::NotFound(Thing::Credential))?;
    let terms =
        KeyTerms { name: &old.name, wire: old.wire, expires: old.expires, networks: old.networks.clone() };
    let new = add_key(app, home, id, &terms).await?;
    app.store.replace_credential(&home.acting_system(), key, new.credential.id, app.now()).await?;
    Ok(new)
}

/// Builds a key; the caller stores it.
fn build_key(
    app: &App,
    home: &ServiceUserHome,
    id: PrincipalId,
    terms: &KeyTerms<'_>,
) -> (Credential, Secret) {
    let secret = Secret::new(terms.wire, app.random_bytes());
    let credential = Credential {
        organization: home.organization(),
        name: terms.name.to_owned(),
        expires: limit_expiry(terms.expires, home.max_key_expiry()),
        networks: terms.networks.clone(),
        ..Credential::new(&secret, terms.wire, id, app.now(), app.random_bytes())
    };
    (credential, secret)
}
