//! Grants: the proofs of permissions that every method of the store takes.
//!
//! The fields of a grant are private, and only this module makes one. So access without a check does not compile:
//!
//! ```compile_fail
//! // A grant cannot be made by hand.
//! let granted = store::Granted::<store::access::ViewSessions> {
//!     organization: domain::ids::OrganizationId::ACCOUNT,
//!     by: Default::default(),
//!     permissions: Default::default(),
//!     permission: std::marker::PhantomData,
//! };
//! ```
//!
//! ```compile_fail
//! // A grant of one permission is not a grant of another.
//! fn write(granted: store::Granted<store::access::ViewSessions>) -> store::Granted<store::access::UseSessions> {
//!     granted
//! }
//! ```
//!
//! ```compile_fail
//! // Nothing is listed without a grant.
//! async fn list(store: store::Store, ids: &[domain::ids::SessionId]) {
//!     store.load_device_sessions(ids).await;
//! }
//! ```
//!
//! ```compile_fail
//! // A caller comes from a look-up of a credential only.
//! let caller = store::Caller { ..unimplemented!() };
//! ```
//!
//! ```compile_fail
//! // A permission in an organization does not give access to a person's sessions.
//! async fn list(store: store::Store, granted: store::Granted<store::access::ManageMembers>) {
//!     store.load_logins(&granted, &[]).await;
//! }
//! ```
//!
//! ```
//! // Checked access compiles.
//! async fn list(store: store::Store, caller: store::Caller, ids: &[domain::ids::SessionId]) {
//!     let granted = caller.authorize::<store::access::ViewSessions>().unwrap();
//!     store.load_device_sessions(&granted, ids).await.unwrap();
//!     let own = caller.authorize_self("read:user").unwrap();
//!     store.load_logins(&own, ids).await.unwrap();
//! }
//! ```

use crate::access::authentication::Authentication;
use crate::access::idempotency::IdempotencyScope;
use crate::audit::attribution::Attribution;
use domain::Refusal;
use domain::device::Actor;
use domain::ids::{OrganizationId, PrincipalId};
use domain::login::PersonRelation;
use domain::network::Networks;
use domain::permission::{Permission, PermissionSet, Role};
use domain::principal::{Membership, PrincipalKind, Scopes};
use domain::time::Micros;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;

/// A permission as a type.
pub trait PermissionType: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permission_types {
    ($($name:ident)*) => {$(
        /// The permission of this name, as a type.
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
        impl PermissionType for $name {
            const PERMISSION: Permission = Permission::$name;
        }
    )*};
}

permission_types! {
    ViewSessions UseSessions ManageSessions ImpersonateSessions ConnectHosts ConnectWorkers ManageOwnKeys ManageMembers
    ManageServiceUsers ManageOrganizations ViewAudit ViewUsage
}

/// The caller of a request and the chosen organization, from one look-up of a credential. It may be remembered as long as
/// an [`AccessWatch`](super::watch::AccessWatch), asked at every use, says that nothing has changed: so revoking a
/// credential counts at once.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) principal: PrincipalId,
    pub(crate) kind: PrincipalKind,
    pub(crate) authentication: Authentication,
    /// The only organization that the credential gives access to.
    pub(crate) bound: Option<OrganizationId>,
    /// The scopes that the credential is limited to.
    pub(crate) scopes: Option<Scopes>,
    /// When the credential expires.
    pub(crate) expires: Option<Micros>,
    /// Until when the credential is good if it is not used any more and nothing of it changes.
    pub(crate) valid_until: Micros,
    /// When the person last proved who they are; `None` for a key.
    pub(crate) authenticated: Option<Micros>,
    pub(crate) organization: Option<OrganizationId>,
    /// In the organization.
    pub(crate) permissions: PermissionSet,
    /// In the account, and so in every organization.
    pub(crate) account: PermissionSet,
    pub(crate) memberships: Arc<[Membership]>,
    /// Whether the owner is only a worker or a host.
    pub(crate) only_connects: bool,
    pub(crate) idempotency: Option<IdempotencyScope>,
    /// Whether the caller's role requires a second factor that they have not shown. Then they have no permissions,
    /// except over themselves.
    pub(crate) lacks_factor: bool,
    /// The address that the request came from.
    pub(crate) address: Option<IpAddr>,
    /// The networks that the key may be used from, or the key that opened the session.
    pub(crate) networks: Networks,
}

impl Caller {
    /// The principal.
    pub fn principal(&self) -> PrincipalId {
        self.principal
    }

    /// Whether the principal is a user or a service user.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The only organization that the credential gives access to, if it is bound to one. Keys that are made with it
    /// are bound too.
    pub fn bound_organization(&self) -> Option<OrganizationId> {
        self.bound
    }

    /// The scopes that the credential is limited to; `None` for all permissions of its owner.
    pub fn scopes(&self) -> Option<Scopes> {
        self.scopes
    }

    /// The caller's permissions in the chosen organization, those of the account included.
    pub fn permissions(&self) -> PermissionSet {
        self.permissions
    }

    /// Checks that the credential has a scope.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub fn require_scope(&self, scope: &'static str) -> std::result::Result<(), Refusal> {
        self.refuse_connector()?;
        let has_scope = self.scopes.is_none_or(|scopes| scopes.has(scope));
        if has_scope { Ok(()) } else { Err(Refusal::OutOfScope(scope)) }
    }

    /// Refuses a worker or a host. It serves the sessions of others and has no lists, keys or profile of its own.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub fn refuse_connector(&self) -> std::result::Result<(), Refusal> {
        match self.only_connects {
            true => Err(Refusal::OutOfScope("another role than worker or host")),
            false => Ok(()),
        }
    }

    /// The same caller, limited to these scopes.
    #[must_use]
    pub fn narrow(mut self, scopes: Scopes) -> Caller {
        let scopes = self.scopes.map_or(scopes, |own| own.intersection(scopes));
        self.permissions = self.permissions.intersection(scopes.permissions());
        self.account = self.account.intersection(scopes.permissions());
        self.scopes = Some(scopes);
        self
    }

    /// Grants the caller access to themselves.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub fn authorize_self(&self, scope: &'static str) -> std::result::Result<GrantedPerson, Refusal> {
        self.require_scope(scope)?;
        Ok(GrantedPerson { person: self.principal, by: self.attribution(), relation: PersonRelation::Same })
    }

    /// The organization that the request acts in.
    pub fn organization(&self) -> Option<OrganizationId> {
        self.organization
    }

    /// Whether the caller's key, or the key that opened their session, may be used from this address.
    pub fn accepts_address(&self, address: Option<IpAddr>) -> bool {
        self.networks.allows(address)
    }

    /// All memberships of the caller, oldest first.
    pub fn memberships(&self) -> &[Membership] {
        &self.memberships
    }

    /// Whether the caller's role in an organization allows managing its members.
    pub(crate) fn manages_members_of(&self, organization: OrganizationId) -> bool {
        let membership = self.memberships.iter().find(|member| member.organization == organization);
        membership.is_some_and(|member| member.role.permissions().has(Permission::ManageMembers))
    }

    /// The idempotency scope of the request, if it has a key.
    pub fn idempotency(&self) -> Option<IdempotencyScope> {
        self.idempotency
    }

    /// The same caller in a request with an idempotency key: batches with their grants record what they create under
    /// it.
    #[must_use]
    pub fn with_idempotency(self, idempotency: Option<IdempotencyScope>) -> Caller {
        Caller { idempotency, ..self }
    }

    /// Grants a permission in the chosen organization.
    ///
    /// # Errors
    /// [`Refusal::NoOrganization`] when none was chosen and there is no default; [`Refusal::Forbidden`];
    /// [`Refusal::SecondFactorRequired`].
    pub fn authorize<P: PermissionType>(&self) -> std::result::Result<Granted<P>, Refusal> {
        let organization = self.organization.ok_or(Refusal::NoOrganization)?;
        if !self.permissions.has(P::PERMISSION) {
            return Err(self.forbidden(P::PERMISSION));
        }
        Ok(Granted {
            organization,
            by: self.attribution(),
            permissions: self.permissions,
            account: self.account,
            max_key_expiry: self.max_key_expiry(),
            permission: PhantomData,
        })
    }

    /// Grants a permission in any organization that was not deleted. `is_admitted` says whether a role counts for the caller,
    /// who may lack the second factor that it demands.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]; [`Refusal::SecondFactorRequired`].
    pub(crate) fn authorize_in<P: PermissionType>(
        &self,
        organization: OrganizationId,
        is_admitted: &impl Fn(Role) -> bool,
    ) -> std::result::Result<Granted<P>, Refusal> {
        let permissions = self.permissions_in(organization, is_admitted);
        if self.lacks_factor || !permissions.has(P::PERMISSION) {
            return Err(self.forbidden(P::PERMISSION));
        }
        Ok(Granted {
            organization,
            by: self.attribution(),
            permissions,
            account: self.account,
            max_key_expiry: self.max_key_expiry(),
            permission: PhantomData,
        })
    }

    /// Grants a permission in the whole account.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]; [`Refusal::SecondFactorRequired`].
    pub fn authorize_in_account<P: PermissionType>(&self) -> std::result::Result<GrantedAccount<P>, Refusal> {
        if !self.account.has(P::PERMISSION) {
            return Err(self.forbidden(P::PERMISSION));
        }
        Ok(GrantedAccount {
            by: self.attribution(),
            permissions: self.account,
            max_key_expiry: self.max_key_expiry(),
            permission: PhantomData,
        })
    }
}

/// The proof that a caller has permission `P` in one organization.
#[derive(Debug)]
pub struct Granted<P: PermissionType> {
    organization: OrganizationId,
    pub(crate) by: Attribution,
    permissions: PermissionSet,
    /// In the account, and so in every organization.
    account: PermissionSet,
    max_key_expiry: Option<Micros>,
    permission: PhantomData<P>,
}

impl<P: PermissionType> Clone for Granted<P> {
    fn clone(&self) -> Self {
        Granted { permission: PhantomData, ..*self }
    }
}

impl<P: PermissionType> Granted<P> {
    /// The only organization that it gives access to.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The principal; `None` for Tenure itself.
    pub fn principal(&self) -> Option<PrincipalId> {
        self.by.principal
    }

    /// The actor, for the rules.
    pub fn actor(&self) -> Actor {
        match self.by.principal {
            Some(principal) => {
                Actor::Member { principal, manages: self.permissions.has(Permission::ManageSessions) }
            }
            None => Actor::Tenure,
        }
    }

    /// Whether the same caller has another permission in the organization.
    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// Whether the same caller has a permission in the whole account.
    pub fn has_in_account(&self, permission: Permission) -> bool {
        self.account.has(permission)
    }

    /// See [`Caller::max_key_expiry`].
    pub fn max_key_expiry(&self) -> Option<Micros> {
        self.max_key_expiry
    }

    /// A grant to read what the caller has just written or is about to change. Every permission to write includes it.
    pub(crate) fn to_view(&self) -> Granted<ViewSessions> {
        let Granted { organization, by, permissions, account, max_key_expiry, .. } = *self;
        Granted { organization, by, permissions, account, max_key_expiry, permission: PhantomData }
    }

    /// Grants another permission to the same caller in the same organization.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn authorize<Q: PermissionType>(&self) -> std::result::Result<Granted<Q>, Refusal> {
        if !self.permissions.has(Q::PERMISSION) {
            return Err(Refusal::Forbidden(Q::PERMISSION));
        }
        let Granted { organization, by, permissions, account, max_key_expiry, .. } = *self;
        Ok(Granted { organization, by, permissions, account, max_key_expiry, permission: PhantomData })
    }
}

impl super::visible::VisibleSessions {
    /// The permission to view the sessions of an organization, if they are visible.
    pub(crate) fn grant_view(&self, organization: OrganizationId) -> Option<Granted<ViewSessions>> {
        let permissions = PermissionSet::new(&[Permission::ViewSessions]);
        self.includes_organization(organization).then_some(Granted {
            organization,
            by: self.by,
            permissions,
            account: PermissionSet::default(),
            max_key_expiry: None,
            permission: PhantomData,
        })
    }
}

/// The proof that a caller has permission `P` in the whole account.
#[derive(Debug, Clone)]
pub struct GrantedAccount<P: PermissionType> {
    pub(crate) by: Attribution,
    /// In the account, and so in every organization.
    permissions: PermissionSet,
    max_key_expiry: Option<Micros>,
    permission: PhantomData<P>,
}

impl<P: PermissionType> GrantedAccount<P> {
    /// The principal; `None` for Tenure itself.
    pub fn principal(&self) -> Option<PrincipalId> {
        self.by.principal
    }

    /// Whether the same caller has another permission in the account.
    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// See [`Caller::max_key_expiry`].
    pub fn max_key_expiry(&self) -> Option<Micros> {
        self.max_key_expiry
    }

    /// The same permission in one organization.
    pub fn narrow_to(&self, organization: OrganizationId) -> Granted<P> {
        let GrantedAccount { by, permissions, max_key_expiry, .. } = *self;
        let account = permissions;
        Granted { organization, by, permissions, account, max_key_expiry, permission: PhantomData }
    }
}

/// The proof of access to one person's sessions, keys and profile. The person has it, and so do the maker of a sub
/// user and administrators of the account.
#[derive(Debug, Clone, Copy)]
pub struct GrantedPerson {
    pub(crate) person: PrincipalId,
    pub(crate) by: Attribution,
    pub(crate) relation: PersonRelation,
}

impl GrantedPerson {
    /// The only person that it gives access to.
    pub fn person(&self) -> PrincipalId {
        self.person
    }

    /// The principal who acts; `None` for Tenure itself.
    pub fn actor(&self) -> Option<PrincipalId> {
        self.by.principal
    }

    /// How the actor stands to the person.
    pub fn relation(&self) -> PersonRelation {
        self.relation
    }
}

/// The proof of access for Tenure itself: background jobs, sign-in, and administration commands, which anyone who can
/// open the database may run. Each constructor names its purpose.
#[derive(Debug, Clone, Copy)]
pub struct System(pub(crate) Attribution);

impl System {
    /// For the server's background jobs and for events of a host's connection.
    pub fn for_background_jobs() -> System {
        System(Attribution::TENURE)
    }

    /// For administration commands on the server's machine.
    pub fn for_administration() -> System {
        System(Attribution::TENURE)
    }

    /// Before the caller is known: sign-in, password recovery, address verification, and the keys that check tokens.
    pub fn for_sign_in() -> System {
        System(Attribution::TENURE)
    }

    /// For workers: to claim turns, and for requests about a turn with its token.
    pub fn for_workers() -> System {
        System(Attribution::TENURE)
    }

    /// For fetching a file by a signed link, which is itself the proof.
    pub fn for_signed_links() -> System {
        System(Attribution::TENURE)
    }

    /// For looking up a secret that is itself the proof: a key or the address of a file.
    pub(crate) fn for_secret_lookup() -> System {
        System(Attribution::TENURE)
    }

    /// For reads that the caller's grant, or being the caller, has authorized.
    pub(crate) fn for_granted_reads() -> System {
        System(Attribution::TENURE)
    }

    /// A permission in the whole account.
    pub fn grant_account<P: PermissionType>(&self) -> GrantedAccount<P> {
        let permissions = PermissionSet::new(&Permission::ALL);
        GrantedAccount { by: self.0, permissions, max_key_expiry: None, permission: PhantomData }
    }

    /// Full access to one person.
    pub fn grant_person(&self, person: PrincipalId) -> GrantedPerson {
        GrantedPerson { person, by: self.0, relation: PersonRelation::Administrator }
    }

    /// A permission in one organization.
    pub fn grant<P: PermissionType>(&self, organization: OrganizationId) -> Granted<P> {
        let permissions = PermissionSet::new(&Permission::ALL);
        let account = permissions;
        Granted {
            organization,
            by: self.0,
            permissions,
            account,
            max_key_expiry: None,
            permission: PhantomData,
        }
    }
}
