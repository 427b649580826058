//! With what somebody comes, and how long that is good.

use crate::access::Caller;
use domain::Refusal;
use domain::ids::{CredentialId, SessionId};
use domain::permission::{Permission, PermissionSet, Role};
use domain::principal::Membership;
use domain::time::Micros;

/// With what somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// With an API key.
    Key(CredentialId),
    /// Signed in.
    Login(SessionId),
}

impl Caller {
    /// The same caller with no rights but over itself, until a second factor is shown.
    #[must_use]
    pub fn require_second_factor(self) -> Caller {
        let none = PermissionSet::of(&[]);
        Caller { lacks_factor: true, permissions: none, account: none, ..self }
    }

    /// Whether a second factor has to be shown first.
    pub fn lacks_second_factor(&self) -> bool {
        self.lacks_factor
    }

    /// Its role in the organization that was chosen.
    pub fn role(&self) -> Option<Role> {
        let here = |membership: &&Membership| Some(membership.organization) == self.organization;
        self.memberships.iter().find(here).map(|membership| membership.role)
    }

    /// Whether it has a role in the account.
    pub fn has_account_role(&self) -> bool {
        self.account != PermissionSet::of(&[])
    }

    pub(crate) fn forbidden(&self, permission: Permission) -> Refusal {
        if self.lacks_factor { Refusal::SecondFactorRequired } else { Refusal::Forbidden(permission) }
    }

    /// What its uses are counted by: the key's id, or the login session's.
    pub fn credential(&self) -> CredentialId {
        match self.means {
            Authentication::Key(key) => key,
            Authentication::Login(login) => CredentialId(login.uuid()),
        }
    }

    /// With a key or signed in.
    pub fn authentication(&self) -> Authentication {
        self.means
    }

    /// When the credential is over, if it ever is.
    pub fn expires(&self) -> Option<Micros> {
        self.until
    }

    /// When the person last showed who they are; nothing for a key and for what a key opened.
    pub fn last_authentication(&self) -> Option<Micros> {
        self.authenticated
    }

    /// Until when a key can be good that is made with this credential; nothing is for ever. What is made with a key, or
    /// with what a key opened, does not outlive it: whoever finds one could keep themselves in. People who signed in
    /// themselves make keys that last.
    pub fn max_key_expiry(&self) -> Option<Micros> {
        if self.authenticated.is_some() { None } else { self.until }
    }
}
