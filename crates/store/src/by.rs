//! Who does something, as the audit log keeps it.

use crate::access::{Caller, Granted, GrantedAccount, GrantedPerson, Right, System};
use crate::means::Means;
use domain::ids::{CredentialId, PrincipalId, SessionId};
use std::net::IpAddr;

/// Who does something, with what, and from where. Nobody is whoever sits at the machine, or Tenure itself.
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
}

impl By {
    /// Nobody in particular.
    pub const NOBODY: By = By { principal: None, credential: None, login: None, address: None };

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
        By { principal: Some(self.principal), credential, login, address: self.address }
    }
}

impl<P: Right> Granted<P> {
    /// Who has it, for the audit log.
    pub fn by(&self) -> By {
        self.by
    }
}

impl<P: Right> GrantedAccount<P> {
    /// Who has it, for the audit log.
    pub fn by(&self) -> By {
        self.by
    }
}

impl GrantedPerson {
    /// Who acts, for the audit log.
    pub fn by(&self) -> By {
        self.by
    }
}

impl System {
    /// The same proof, used for somebody whose own right was checked: the audit log names them.
    #[must_use]
    pub fn on_behalf_of(self, by: By) -> System {
        System(by)
    }
}
