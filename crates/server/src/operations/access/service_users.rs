//! Service users and their keys, for the wires and the commands that manage them.

use crate::failure::Failure;
use crate::operations::access::own_keys::CreatedKey;
use crate::services::Services;
use domain::Refusal;
use domain::credential::{Credential, KeySecret, Wire};
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
    /// The home of a service user, for an operator.
    pub fn new(system: &System, user: &Principal) -> ServiceUserHome {
        match user.default_organization {
            Some(organization) => ServiceUserHome::Organization(system.grant(organization)),
            None => ServiceUserHome::Account(system.grant_account()),
        }
    }

    fn organization(&self) -> Option<OrganizationId> {
        match self {
            ServiceUserHome::Organization(granted) => Some(granted.organization()),
            ServiceUserHome::Account(_) => None,
        }
    }

    /// The store's grant for the changes, attributed to the caller.
    fn acting_system(&self) -> System {
        System::for_administration().attribute_to(match self {
            ServiceUserHome::Organization(granted) => granted.attribution(),
            ServiceUserHome::Account(granted) => granted.attribution(),
        })
    }

    /// The terms with the limits of the home: its organization, and the expiry of the creator's own credential.
    fn limit_terms<'a>(&self, terms: &KeyTerms<'a>) -> KeyTerms<'a> {
        let max_expiry = match self {
            ServiceUserHome::Organization(granted) => granted.max_key_expiry(),
            ServiceUserHome::Account(granted) => granted.max_key_expiry(),
        };
        KeyTerms {
            organization: self.organization().or(terms.organization),
            expires: limit_expiry(terms.expires, max_expiry),
            ..terms.clone()
        }
    }

    fn has(&self, permission: Permission) -> bool {
        match self {
            ServiceUserHome::Organization(granted) => granted.has(permission),
            ServiceUserHome::Account(granted) => granted.has(permission),
        }
    }

    /// Nobody can grant permissions that they lack.
    fn check_permissions(&self, role: ServiceUserRole) -> Result<(), Refusal> {
        let requested = role.permissions();
        let lacking = Permission::ALL.into_iter().find(|one| requested.has(*one) && !self.has(*one));
        lacking.map_or(Ok(()), |permission| Err(Refusal::Forbidden(permission)))
    }

    /// Checks that a role fits the home.
    fn check_role(&self, role: ServiceUserRole) -> Result<(), Refusal> {
        match (role, self) {
            (ServiceUserRole::Organization(_), ServiceUserHome::Organization(_))
            | (ServiceUserRole::Account(_), ServiceUserHome::Account(_)) => self.check_permissions(role),
            _ => Err(Refusal::invalid("role_id", "a role of the service user's home")),
        }
    }
}

impl ServiceUserRole {
    fn permissions(self) -> PermissionSet {
        match self {
            ServiceUserRole::Organization(role) => role.permissions(),
            ServiceUserRole::Account(role) => role.permissions(),
        }
    }
}

impl ServiceUser {
    /// The membership that it begins with.
    fn membership(&self) -> Option<(OrganizationId, Role)> {
        match self.role {
            ServiceUserRole::Organization(role) => {
                self.principal.default_organization.map(|home| (home, role))
            }
            ServiceUserRole::Account(_) => None,
        }
    }
}

/// Lists the service users of a home, oldest first.
pub async fn list_service_users(
    services: &Services,
    home: &ServiceUserHome,
) -> Result<Vec<ServiceUser>, Failure> {
    find_service_users(services, home, None).await
}

/// Loads a service user of a home.
///
/// # Errors
/// [`Refusal::NotFound`], also for a service user with another home.
pub async fn load_service_user(
    services: &Services,
    home: &ServiceUserHome,
    id: PrincipalId,
) -> Result<ServiceUser, Failure> {
    let found = find_service_users(services, home, Some(id)).await?.into_iter().next();
    found.ok_or_else(|| Refusal::NotFound(Thing::Principal).into())
}

async fn find_service_users(
    services: &Services,
    home: &ServiceUserHome,
    id: Option<PrincipalId>,
) -> Result<Vec<ServiceUser>, Failure> {
    Ok(match home {
        ServiceUserHome::Organization(granted) => {
            let found = services.store.list_service_users(granted, id).await?.into_iter();
            let user =
                |(principal, role)| ServiceUser { principal, role: ServiceUserRole::Organization(role) };
            found.map(user).collect()
        }
        ServiceUserHome::Account(granted) => {
            let found = services.store.list_account_service_users(granted, id).await?.into_iter();
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
    services: &Services,
    home: &ServiceUserHome,
    name: &str,
    role: ServiceUserRole,
    wire: Wire,
    expires: Option<Micros>,
) -> Result<(ServiceUser, CreatedKey), Failure> {
    home.check_role(role)?;
    if let Some(made) = services.store.find_earlier_creation(&home.acting_system()).await? {
        return load_created_service_user(services, home, PrincipalId(made)).await;
    }
    let mut user = build_service_user(services, home, name, role)?;
    let terms = home.limit_terms(&KeyTerms::new(name, wire, expires));
    let (credential, secret) = terms.build_key(services, user.principal.id);
    let (acting, member, hash) = (home.acting_system(), user.membership(), secret.hash());
    user.principal.number =
        services.store.create_service_user(&acting, &user.principal, member, &credential, &hash).await?;
    Ok((user, CreatedKey { credential, secret: Some(secret) }))
}

/// Creates a service user that has no key yet.
///
/// # Errors
/// Those of [`create_service_user`].
pub async fn create_service_user_without_key(
    services: &Services,
    home: &ServiceUserHome,
    name: &str,
    role: ServiceUserRole,
) -> Result<ServiceUser, Failure> {
    home.check_role(role)?;
    let mut user = build_service_user(services, home, name, role)?;
    let (acting, member) = (home.acting_system(), user.membership());
    user.principal.number = services.store.create_principal(&acting, &user.principal, None, member).await?;
    Ok(user)
}

/// Builds a service user; the caller stores it.
fn build_service_user(
    services: &Services,
    home: &ServiceUserHome,
    name: &str,
    role: ServiceUserRole,
) -> Result<ServiceUser, Refusal> {
    name::check_name(name)?;
    let created = services.now();
    let principal = Principal {
        id: PrincipalId::new(created, services.random_bytes()),
        number: 0,
        kind: PrincipalKind::ServiceUser,
        email: None,
        name: name.to_owned(),
        state: PrincipalState::Active,
        created,
        account_role: match role {
            ServiceUserRole::Account(role) => Some(role),
            ServiceUserRole::Organization(_) => None,
        },
        default_organization: home.organization(),
    };
    Ok(ServiceUser { principal, role })
}

/// Loads the service user that an earlier attempt created, with its first key.
async fn load_created_service_user(
    services: &Services,
    home: &ServiceUserHome,
    id: PrincipalId,
) -> Result<(ServiceUser, CreatedKey), Failure> {
    let user = load_service_user(services, home, id).await?;
    let keys = services.store.list_principal_credentials(&System::for_administration(), id).await?;
    let credential = keys.into_iter().next().ok_or(Refusal::NotFound(Thing::Credential))?;
    Ok((user, CreatedKey { credential, secret: None }))
}

/// Deletes a service user permanently. Its keys stop working.
///
/// # Errors
/// [`Refusal::NotFound`], also for a service user with another home.
pub async fn delete_service_user(
    services: &Services,
    home: &ServiceUserHome,
    id: PrincipalId,
) -> Result<(), Failure> {
    load_service_user(services, home, id).await?;
    Ok(services
        .store
        .set_principal_state(&home.acting_system(), id, PrincipalState::Deleted, services.now())
        .await?)
}

/// Lists the keys of a service user, oldest first.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn list_service_user_keys(
    services: &Services,
    home: &ServiceUserHome,
    id: PrincipalId,
) -> Result<Vec<Credential>, Failure> {
    load_service_user(services, home, id).await?;
    Ok(services.store.list_principal_credentials(&System::for_administration(), id).await?)
}

/// The properties of a new key.
#[derive(Debug, Clone)]
pub struct KeyTerms<'a> {
    /// Its name; empty for none.
    pub name: &'a str,
    /// The wire whose prefix it gets.
    pub wire: Wire,
    /// The only organization that it works in; `None` for all of its owner.
    pub organization: Option<OrganizationId>,
    /// When it expires.
    pub expires: Option<Micros>,
    /// The networks that it can be used from.
    pub networks: Networks,
}

impl<'a> KeyTerms<'a> {
    /// Terms of a key that works everywhere.
    pub fn new(name: &'a str, wire: Wire, expires: Option<Micros>) -> KeyTerms<'a> {
        KeyTerms { name, wire, organization: None, expires, networks: Networks::default() }
    }

    /// Builds a key; the caller stores it.
    pub(crate) fn build_key(&self, services: &Services, owner: PrincipalId) -> (Credential, KeySecret) {
        let secret = KeySecret::new(self.wire, services.random_bytes());
        let credential = Credential {
            organization: self.organization,
            name: self.name.to_owned(),
            expires: self.expires,
            networks: self.networks.clone(),
            ..Credential::new(&secret, self.wire, owner, services.now(), services.random_bytes())
        };
        (credential, secret)
    }
}

/// Creates another key of a service user. It belongs to the family of the caller's key and expires no later. When the
/// request is repeated, the answer is the key that was created before.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::Invalid`] for the name; [`Refusal::Forbidden`] for a service user with
/// permissions that the caller lacks.
pub async fn create_service_user_key(
    services: &Services,
    home: &ServiceUserHome,
    id: PrincipalId,
    terms: &KeyTerms<'_>,
) -> Result<CreatedKey, Failure> {
    let user = load_service_user(services, home, id).await?;
    home.check_permissions(user.role)?;
    if let Some(made) = services.store.find_earlier_creation(&home.acting_system()).await? {
        let known = list_service_user_keys(services, home, id)
            .await?
            .into_iter()
            .find(|known| known.id == CredentialId(made));
        let credential = known.ok_or(Refusal::NotFound(Thing::Credential))?;
        return Ok(CreatedKey { credential, secret: None });
    }
    if !terms.name.is_empty() {
        name::check_name(terms.name)?;
    }
    let (credential, secret) = home.limit_terms(terms).build_key(services, id);
    services.store.create_credential(&home.acting_system(), &credential, &secret.hash()).await?;
    Ok(CreatedKey { credential, secret: Some(secret) })
}

/// Revokes a key and its family, permanently.
///
/// # Errors
/// [`Refusal::NotFound`], also for another user's key.
pub async fn revoke_service_user_key(
    services: &Services,
    home: &ServiceUserHome,
    id: PrincipalId,
    key: CredentialId,
) -> Result<(), Failure> {
    let known = list_service_user_keys(services, home, id).await?;
    if !known.iter().any(|known| known.id == key) {
        return Err(Refusal::NotFound(Thing::Credential).into());
    }
    Ok(services.store.revoke_credential(&home.acting_system(), key, services.now()).await?)
}

/// Replaces a key with a new one for the same organization. Only that key is revoked, not the keys that were made with
/// it. The new key is stored first, so that a failure in between leaves the service user with a key.
///
/// # Errors
/// Those of [`create_service_user_key`] and [`revoke_service_user_key`].
pub async fn rotate_service_user_key(
    services: &Services,
    home: &ServiceUserHome,
    id: PrincipalId,
    key: CredentialId,
) -> Result<CreatedKey, Failure> {
    let known = list_service_user_keys(services, home, id).await?;
    let old = known.iter().find(|known| known.id == key).ok_or(Refusal::NotFound(Thing::Credential))?;
    let terms = KeyTerms {
        organization: old.organization,
        networks: old.networks.clone(),
        ..KeyTerms::new(&old.name, old.wire, old.expires)
    };
    let new = create_service_user_key(services, home, id, &terms).await?;
    services.store.replace_credential(&home.acting_system(), key, new.credential.id, services.now()).await?;
    Ok(new)
}
