//! Who did something, as the audit log records it.

use crate::access::authentication::Authentication;
use crate::access::idempotency::IdempotencyScope;
use crate::access::{Caller, Granted, GrantedAccount, GrantedPerson, PermissionType, System};
use domain::ids::{CredentialId, PrincipalId, SessionId};
use std::net::IpAddr;

/// Who did something, with which credential, from where and in which request. All fields are `None` for Tenure itself
/// and for administration commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attribution {
    /// The principal.
    pub principal: Option<PrincipalId>,
    /// The key that they authenticated with.
    pub credential: Option<CredentialId>,
    /// The login session that they authenticated with.
    pub login: Option<SessionId>,
    /// The address that the request came from.
    pub address: Option<IpAddr>,
    /// The request's idempotency scope: a batch records what it creates under it.
    pub idempotency: Option<IdempotencyScope>,
}

/// What all grants have in common. Only the store implements it.
pub trait Grant: SealedGrant {
    /// Who has the grant, for the audit log, and in which request.
    fn attribution(&self) -> Attribution;
}

/// Keeps other crates from implementing [`Grant`].
pub trait SealedGrant {}

impl Attribution {
    /// Tenure itself.
    pub const TENURE: Attribution =
        Attribution { principal: None, credential: None, login: None, address: None, idempotency: None };

    /// An anonymous caller at an address.
    pub fn anonymous(address: Option<IpAddr>) -> Attribution {
        Attribution { address, ..Attribution::TENURE }
    }
}

impl Caller {
    /// The same caller, with the address of the request.
    #[must_use]
    pub fn with_address(self, address: Option<IpAddr>) -> Caller {
        Caller { address, ..self }
    }

    /// Who the caller is, for the audit log.
    pub fn attribution(&self) -> Attribution {
        let (credential, login) = match self.authentication {
            Authentication::Key(key) => (Some(key), None),
            Authentication::Login(login) => (None, Some(login)),
        };
        Attribution {
            principal: Some(self.principal),
            credential,
            login,
            address: self.address,
            idempotency: self.idempotency,
        }
    }
}

impl<P: PermissionType> SealedGrant for Granted<P> {}
impl<P: PermissionType> SealedGrant for GrantedAccount<P> {}
impl SealedGrant for GrantedPerson {}
impl SealedGrant for System {}

impl<P: PermissionType> Grant for Granted<P> {
    fn attribution(&self) -> Attribution {
        self.by
    }
}

impl<P: PermissionType> Grant for GrantedAccount<P> {
    fn attribution(&self) -> Attribution {
        self.by
    }
}

impl Grant for GrantedPerson {
    fn attribution(&self) -> Attribution {
        self.by
    }
}

impl Grant for System {
    fn attribution(&self) -> Attribution {
        self.0
    }
}

impl System {
    /// The same grant, used for a caller whose own permission was checked. The audit log names the caller, and what
    /// is created is recorded under their request.
    #[must_use]
    pub fn attribute_to(self, by: Attribution) -> System {
        System(by)
    }
}
