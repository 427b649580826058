//! How a caller authenticated, and how long that stays valid.

use crate::access::Caller;
use domain::Refusal;
use domain::ids::{CredentialId, SessionId};
use domain::permission::{Permission, PermissionSet, Role};
use domain::principal::Membership;
use domain::time::Micros;

/// How a caller authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// By an API key.
    Key(CredentialId),
    /// By a login session.
    Login(SessionId),
}

impl Caller {
    /// The same caller without permissions, except over themselves, until they show a second factor.
    #[must_use]
    pub fn require_second_factor(self) -> Caller {
        let none = PermissionSet::new(&[]);
        Caller { lacks_factor: true, permissions: none, account: none, ..self }
    }

    /// Whether the caller must show a second factor first.
    pub fn lacks_second_factor(&self) -> bool {
        self.lacks_factor
    }

    /// The caller's role in the chosen organization.
    pub fn role(&self) -> Option<Role> {
        let is_chosen = |membership: &&Membership| Some(membership.organization) == self.organization;
        self.memberships.iter().find(is_chosen).map(|membership| membership.role)
    }

    /// Whether the caller has a role in the account.
    pub fn has_account_role(&self) -> bool {
        self.account != PermissionSet::new(&[])
    }

    pub(crate) fn forbidden(&self, permission: Permission) -> Refusal {
        if self.lacks_factor { Refusal::SecondFactorRequired } else { Refusal::Forbidden(permission) }
    }

    /// The id that uses of the credential are counted by: the key's or the login session's.
    pub fn credential(&self) -> CredentialId {
        match self.authentication {
            Authentication::Key(key) => key,
            Authentication::Login(login) => CredentialId(login.uuid()),
        }
    }

    /// How the caller authenticated.
    pub fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// When the credential expires; `None` if it never does.
    pub fn expires(&self) -> Option<Micros> {
        self.expires
    }

    /// Until when the credential is good, as far as time alone decides: its expiry, its maximum age, and how long it may
    /// be unused. A use may make it later.
    pub fn valid_until(&self) -> Micros {
        self.valid_until
    }

    /// When the person last proved who they are; `None` for a key and for a session that a key opened.
    pub fn last_authentication(&self) -> Option<Micros> {
        self.authenticated
    }

    /// The latest expiry of a key that is made with this credential; `None` for no bound.
    ///
    /// A key that is made with a key, or in a session that a key opened, does not outlive it. Otherwise the finder of
    /// a key could keep access for ever. People who signed in themselves can make keys without expiry.
    pub fn max_key_expiry(&self) -> Option<Micros> {
        if self.authenticated.is_some() { None } else { self.expires }
    }
}
