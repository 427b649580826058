//! Who does something, as the audit log keeps it.

use crate::access::authentication::Means;
use crate::access::idempotency::Scope;
use crate::access::{Caller, Granted, GrantedAccount, GrantedPerson, Right, System};
use domain::ids::{CredentialId, PrincipalId, SessionId};
use std::net::IpAddr;

/// Who does something, with what, from where, and in which request. Nobody is whoever sits at the machine, or Tenure itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub principal: Option<PrincipalId>,
    /// The key it came with.
    pub credential: Option<CredentialId>,
    /// The login session it came with.
    pub login: Option<SessionId>,
    /// From where the request came.
    pub address: Option<IpAddr>,
    /// The request, if it may be repeated: what is made with a proof is noted under it, in the same batch.
    pub attempt: Option<Scope>,
}

/// What all proofs have in common; there are no others than the store's.
pub trait Proof: Sealed {
    /// Who has it, for the audit log, and in which request.
    fn by(&self) -> By;
}

/// Keeps others from calling something a proof.
pub trait Sealed {}

impl By {
    /// Nobody in particular.
    pub const NOBODY: By =
        By { principal: None, credential: None, login: None, address: None, attempt: None };

    /// Somebody who is not known, from somewhere.
    pub fn address(address: Option<IpAddr>) -> By {
        By { address, ..By::NOBODY }
    }
}

impl Caller {
    /// The same caller, with the address its request came from.
    #[must_use]
    pub fn coming_from(self, address: Option<IpAddr>) -> Caller {
        Caller { address, ..self }
    }

    /// Who this is, for the audit log.
    pub fn by(&self) -> By {
        let (credential, login) = match self.means {
            Means::Key(key) => (Some(key), None),
            Means::Login(login) => (None, Some(login)),
        };
        By {
            principal: Some(self.principal),
            credential,
            login,
            address: self.address,
            attempt: self.attempt,
        }
    }
}

impl<P: Right> Sealed for Granted<P> {}
impl<P: Right> Sealed for GrantedAccount<P> {}
impl Sealed for GrantedPerson {}
impl Sealed for System {}

impl<P: Right> Proof for Granted<P> {
    fn by(&self) -> By {
        self.by
    }
}

impl<P: Right> Proof for GrantedAccount<P> {
    fn by(&self) -> By {
        self.by
    }
}

impl Proof for GrantedPerson {
    fn by(&self) -> By {
        self.by
    }
}

impl Proof for System {
    fn by(&self) -> By {
        self.0
    }
}

impl System {
    /// The same proof, used for somebody whose own right was checked: the audit log names them, and
    /// what is made is noted under their request.
    #[must_use]
    pub fn on_behalf_of(self, by: By) -> System {
        System(by)
    }
}
