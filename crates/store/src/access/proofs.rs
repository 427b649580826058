//! Who may touch what: the proofs that every other function here asks for.
//!
//! A proof's fields are private, and only the functions of this module make one, so access that nobody
//! checked cannot be written:
//!
//! ```compile_fail
//! // A proof cannot be made by hand.
//! let granted = store::Granted::<store::access::ViewSessions> {
//!     organization: domain::ids::OrganizationId::ACCOUNT,
//!     by: Default::default(),
//!     permissions: Default::default(),
//!     right: std::marker::PhantomData,
//! };
//! ```
//!
//! ```compile_fail
//! // A proof of one right is not a proof of another.
//! fn write(granted: store::Granted<store::access::ViewSessions>) -> store::Granted<store::access::UseSessions> {
//!     granted
//! }
//! ```
//!
//! ```compile_fail
//! // Nothing is listed without a proof.
//! async fn list(store: store::Store, page: domain::page::PageRequest) {
//!     store.list_device_sessions(page).await;
//! }
//! ```
//!
//! ```compile_fail
//! // A caller is what a look-up of a credential gives, not what somebody says.
//! let caller = store::Caller { ..unimplemented!() };
//! ```
//!
//! ```compile_fail
//! // Nobody acts on a person's sessions because of a right in an organization.
//! async fn list(store: store::Store, granted: store::Granted<store::access::ManageMembers>) {
//!     store.list_logins(&granted, domain::time::Micros(0)).await;
//! }
//! ```
//!
//! ```
//! // And what should compile does.
//! async fn list(store: store::Store, caller: store::Caller, page: domain::page::PageRequest) {
//!     let granted = caller.authorize::<store::access::ViewSessions>().unwrap();
//!     store.list_device_sessions(&granted, page).await.unwrap();
//!     let own = caller.authorize_self("read:user").unwrap();
//!     store.list_logins(&own, domain::time::Micros(0)).await.unwrap();
//! }
//! ```

use crate::access::authentication::Authentication;
use crate::access::idempotency::IdempotencyScope;
use crate::audit::attribution::Attribution;
use domain::Refusal;
use domain::device::Actor;
use domain::ids::{OrganizationId, PrincipalId};
use domain::login::Standing;
use domain::network::Networks;
use domain::permission::{Permission, PermissionSet};
use domain::principal::{Membership, PrincipalKind, Scopes};
use domain::time::Micros;
use std::marker::PhantomData;
use std::net::IpAddr;

/// A permission as a type.
pub trait PermissionType: Send + Sync + 'static {
    /// Which.
    const PERMISSION: Permission;
}

macro_rules! rights {
    ($($name:ident)*) => {$(
        /// The permission of this name, as a type.
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
        impl PermissionType for $name {
            const PERMISSION: Permission = Permission::$name;
        }
    )*};
}

rights! {
    ViewSessions UseSessions ManageSessions ImpersonateSessions ConnectHosts ConnectWorkers ManageOwnKeys ManageMembers
    ManageServiceUsers ManageOrganizations ViewAudit ViewUsage
}

/// Who is calling, and in which organization: what one look-up of a credential gave. It is looked up again for
/// every use, so that a revoke counts at once.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) principal: PrincipalId,
    pub(crate) kind: PrincipalKind,
    pub(crate) means: Authentication,
    /// The only organization that the credential opens.
    pub(crate) bound: Option<OrganizationId>,
    /// What the credential lets through at most.
    pub(crate) scopes: Option<Scopes>,
    /// When the credential is over.
    pub(crate) until: Option<Micros>,
    /// When it was last shown who this is; a key shows nothing else.
    pub(crate) authenticated: Option<Micros>,
    pub(crate) organization: Option<OrganizationId>,
    /// In the organization.
    pub(crate) permissions: PermissionSet,
    /// In all organizations and in the account.
    pub(crate) account: PermissionSet,
    pub(crate) memberships: Vec<Membership>,
    /// Whether its owner is a worker or a host, and nothing else.
    pub(crate) only_connects: bool,
    pub(crate) attempt: Option<IdempotencyScope>,
    /// Whether its role demands a second factor that was not shown: then it has no rights but over itself.
    pub(crate) lacks_factor: bool,
    /// From where the request came.
    pub(crate) address: Option<IpAddr>,
    /// From where its key may be used, or the key that opened its session.
    pub(crate) networks: Networks,
}

impl Caller {
    /// Who.
    pub fn principal(&self) -> PrincipalId {
        self.principal
    }

    /// A person or a machine.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The only organization that the credential opens, if it is bound to one. What is made with it is bound too.
    pub fn bound_organization(&self) -> Option<OrganizationId> {
        self.bound
    }

    /// What the credential lets through at most; nothing is whatever its owner may.
    pub fn scopes(&self) -> Option<Scopes> {
        self.scopes
    }

    /// What the caller may in the chosen organization and in the account.
    pub fn permissions(&self) -> PermissionSet {
        self.permissions
    }

    /// Whether the credential was made for this, whatever its owner may.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub fn require_scope(&self, scope: &'static str) -> std::result::Result<(), Refusal> {
        self.refuse_connector()?;
        let lets = self.scopes.is_none_or(|scopes| scopes.has(scope));
        if lets { Ok(()) } else { Err(Refusal::OutOfScope(scope)) }
    }

    /// Refuses a worker or a host: it serves the sessions of others and has nothing of its own here, no list, no key,
    /// no profile.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub fn refuse_connector(&self) -> std::result::Result<(), Refusal> {
        match self.only_connects {
            true => Err(Refusal::OutOfScope("another role than worker or host")),
            false => Ok(()),
        }
    }

    /// The same caller with a credential that lets less through.
    #[must_use]
    pub fn narrow(mut self, scopes: Scopes) -> Caller {
        let scopes = self.scopes.map_or(scopes, |own| own.intersection(scopes));
        self.permissions = self.permissions.intersection(scopes.permissions());
        self.account = self.account.intersection(scopes.permissions());
        self.scopes = Some(scopes);
        self
    }

    /// Proves that it acts on itself.
    ///
    /// # Errors
    /// [`Refusal::OutOfScope`].
    pub fn authorize_self(&self, scope: &'static str) -> std::result::Result<GrantedPerson, Refusal> {
        self.require_scope(scope)?;
        Ok(GrantedPerson { person: self.principal, by: self.attribution(), standing: Standing::Itself })
    }

    /// The organization that the request acts in.
    pub fn organization(&self) -> Option<OrganizationId> {
        self.organization
    }

    /// Whether its key may be used from an address; so may the sessions that the key opened.
    pub fn accepts_address(&self, address: Option<IpAddr>) -> bool {
        self.networks.admit(address)
    }

    /// All its memberships, the oldest first.
    pub fn memberships(&self) -> &[Membership] {
        &self.memberships
    }

    /// Whether its role in an organization lets it manage the members there.
    pub(crate) fn manages_members_of(&self, organization: OrganizationId) -> bool {
        let there = self.memberships.iter().find(|member| member.organization == organization);
        there.is_some_and(|member| member.role.permissions().has(Permission::ManageMembers))
    }

    /// The request, if it may be repeated.
    pub fn idempotency(&self) -> Option<IdempotencyScope> {
        self.attempt
    }

    /// The same caller in a request that may be repeated: what is made with its proofs is noted under the request's
    /// key, in the same batch.
    #[must_use]
    pub fn with_idempotency(self, attempt: Option<IdempotencyScope>) -> Caller {
        Caller { attempt, ..self }
    }

    /// Proves a right in the organization that was chosen.
    ///
    /// # Errors
    /// [`Refusal::NoOrganization`] when none was and there is no default; [`Refusal::Forbidden`];
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
            right: PhantomData,
        })
    }

    /// Proves a right in the whole account.
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
            right: PhantomData,
        })
    }
}

/// The proof that somebody has the right `P` in one organization.
#[derive(Debug)]
pub struct Granted<P: PermissionType> {
    organization: OrganizationId,
    pub(crate) by: Attribution,
    permissions: PermissionSet,
    /// In all organizations.
    account: PermissionSet,
    max_key_expiry: Option<Micros>,
    right: PhantomData<P>,
}

impl<P: PermissionType> Clone for Granted<P> {
    fn clone(&self) -> Self {
        Granted { right: PhantomData, ..*self }
    }
}

impl<P: PermissionType> Granted<P> {
    /// The only organization that it opens.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Who has it; nobody when it is Tenure itself.
    pub fn principal(&self) -> Option<PrincipalId> {
        self.by.principal
    }

    /// Who acts, as the rules see it.
    pub fn actor(&self) -> Actor {
        match self.by.principal {
            Some(principal) => {
                Actor::Member { principal, manages: self.permissions.has(Permission::ManageSessions) }
            }
            None => Actor::Tenure,
        }
    }

    /// Whether the same caller has another right in the same organization.
    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// Whether the same caller has a right in the whole account.
    pub fn has_in_account(&self, permission: Permission) -> bool {
        self.account.has(permission)
    }

    /// See [`Caller::max_key_expiry`].
    pub fn max_key_expiry(&self) -> Option<Micros> {
        self.max_key_expiry
    }

    /// To read back what the caller has just written or is about to change, which every right to write includes.
    pub(crate) fn to_view(&self) -> Granted<ViewSessions> {
        let Granted { organization, by, permissions, account, max_key_expiry, .. } = *self;
        Granted { organization, by, permissions, account, max_key_expiry, right: PhantomData }
    }

    /// Proves another right of the same caller in the same organization.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn authorize<Q: PermissionType>(&self) -> std::result::Result<Granted<Q>, Refusal> {
        if !self.permissions.has(Q::PERMISSION) {
            return Err(Refusal::Forbidden(Q::PERMISSION));
        }
        let Granted { organization, by, permissions, account, max_key_expiry, .. } = *self;
        Ok(Granted { organization, by, permissions, account, max_key_expiry, right: PhantomData })
    }
}

/// The proof that somebody has the right `P` in the whole account.
#[derive(Debug, Clone)]
pub struct GrantedAccount<P: PermissionType> {
    pub(crate) by: Attribution,
    /// In all organizations.
    permissions: PermissionSet,
    max_key_expiry: Option<Micros>,
    right: PhantomData<P>,
}

impl<P: PermissionType> GrantedAccount<P> {
    /// Who has it; nobody when it is Tenure itself.
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

    /// The same right in one of the organizations.
    pub fn narrow_to(&self, organization: OrganizationId) -> Granted<P> {
        let GrantedAccount { by, permissions, max_key_expiry, .. } = *self;
        let account = permissions;
        Granted { organization, by, permissions, account, max_key_expiry, right: PhantomData }
    }
}

/// The proof that somebody may act on one person's sessions, keys and profile: the person, who made it as a sub user,
/// or an administrator of the account.
#[derive(Debug, Clone, Copy)]
pub struct GrantedPerson {
    pub(crate) person: PrincipalId,
    pub(crate) by: Attribution,
    pub(crate) standing: Standing,
}

impl GrantedPerson {
    /// The only person whom it opens.
    pub fn person(&self) -> PrincipalId {
        self.person
    }

    /// Who acts; nobody when it is Tenure itself.
    pub fn actor(&self) -> Option<PrincipalId> {
        self.by.principal
    }

    /// What the actor is to the person.
    pub fn standing(&self) -> Standing {
        self.standing
    }
}

/// The proof of Tenure's own errands: sweeps, hand-overs, and the administration on the command line, which whoever
/// can open the database may use. Every place that makes one says why, and can be found by its name.
#[derive(Debug, Clone, Copy)]
pub struct System(pub(crate) Attribution);

impl System {
    /// For the server's own jobs and for what follows from a host's connection.
    pub fn background_jobs() -> System {
        System(Attribution::TENURE)
    }

    /// For the administrator at the machine.
    pub fn administration() -> System {
        System(Attribution::TENURE)
    }

    /// For whoever is not known yet: signing in, a forgotten password, the proof of an address, the keys that tokens
    /// are checked with.
    pub fn sign_in() -> System {
        System(Attribution::TENURE)
    }

    /// For the look-up of a secret that is itself the proof: a key, or the address of a file.
    pub(crate) fn secret_lookup() -> System {
        System(Attribution::TENURE)
    }

    /// A right in the whole account.
    pub fn grant_account<P: PermissionType>(&self) -> GrantedAccount<P> {
        let permissions = PermissionSet::of(&Permission::ALL);
        GrantedAccount { by: self.0, permissions, max_key_expiry: None, right: PhantomData }
    }

    /// Everything that may be done to one person.
    pub fn grant_person(&self, person: PrincipalId) -> GrantedPerson {
        GrantedPerson { person, by: self.0, standing: Standing::Administrator }
    }

    /// Every right in one organization.
    pub fn grant<P: PermissionType>(&self, organization: OrganizationId) -> Granted<P> {
        let permissions = PermissionSet::of(&Permission::ALL);
        let account = permissions;
        Granted { organization, by: self.0, permissions, account, max_key_expiry: None, right: PhantomData }
    }
}
