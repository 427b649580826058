//! Who does something, as the audit log keeps it.

use crate::access::authentication::Authentication;
use crate::access::idempotency::IdempotencyScope;
use crate::access::{Caller, Granted, GrantedAccount, GrantedPerson, PermissionType, System};
use domain::ids::{CredentialId, PrincipalId, SessionId};
use std::net::IpAddr;

/// Who does something, with what, from where, and in which request. Nobody is whoever sits at the machine, or Tenure itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attribution {
    /// Who.
    pub principal: Option<PrincipalId>,
    /// The key it came with.
    pub credential: Option<CredentialId>,
    /// The login session it came with.
    pub login: Option<SessionId>,
    /// From where the request came.
    pub address: Option<IpAddr>,
    /// The request, if it may be repeated: what is made with a proof is noted under it, in the same batch.
    pub attempt: Option<IdempotencyScope>,
}

/// What all proofs have in common; there are no others than the store's.
pub trait Grant: SealedGrant {
    /// Who has it, for the audit log, and in which request.
    fn attribution(&self) -> Attribution;
}

/// Keeps others from calling something a proof.
pub trait SealedGrant {}

impl Attribution {
    /// Nobody in particular.
    pub const TENURE: Attribution =
        Attribution { principal: None, credential: None, login: None, address: None, attempt: None };

    /// Somebody who is not known, from somewhere.
    pub fn anonymous(address: Option<IpAddr>) -> Attribution {
        Attribution { address, ..Attribution::TENURE }
    }
}

impl Caller {
    /// The same caller, with the address its request came from.
    #[must_use]
    pub fn with_address(self, address: Option<IpAddr>) -> Caller {
        Caller { address, ..self }
    }

    /// Who this is, for the audit log.
    pub fn attribution(&self) -> Attribution {
        let (credential, login) = match self.means {
            Authentication::Key(key) => (Some(key), None),
            Authentication::Login(login) => (None, Some(login)),
        };
        Attribution {
            principal: Some(self.principal),
            credential,
            login,
            address: self.address,
            attempt: self.attempt,
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
    /// The same proof, used for somebody whose own right was checked: the audit log names them, and
    /// what is made is noted under their request.
    #[must_use]
    pub fn attribute_to(self, by: Attribution) -> System {
        System(by)
    }
}
