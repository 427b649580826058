//! Whom a worker or a host serves: one organization, or all of them.

use domain::Refusal;
use domain::ids::OrganizationId;
use domain::permission::Permission;
use store::access::PermissionType;
use store::{Caller, Granted, GrantedAccount};

/// The proof of whom a worker or a host serves.
#[derive(Debug, Clone)]
pub enum Reach<P: PermissionType> {
    /// One organization.
    Organization(Granted<P>),
    /// All organizations.
    Account(GrantedAccount<P>),
}

/// Whom a worker or a host asks to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// What its key is for: the account with a key of the account, otherwise one organization.
    ByKey,
    /// One organization: the one that the request names, or the caller's default.
    Organization,
    /// The account.
    Account,
}

impl<P: PermissionType> Reach<P> {
    /// What a caller reaches who asks to serve this.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]; [`Refusal::NoOrganization`]; [`Refusal::OutOfScope`] for the account with a key of one
    /// organization.
    pub fn of(caller: &Caller, serves: Serves) -> Result<Reach<P>, Refusal> {
        let account = caller.authorize_in_account::<P>();
        match (serves, account) {
            (Serves::ByKey | Serves::Account, Ok(granted)) => Ok(Reach::Account(granted)),
            (Serves::Account, Err(_)) if caller.permissions().has(P::PERMISSION) => {
                Err(Refusal::OutOfScope("a key of the account, because it asks to serve the account"))
            }
            (Serves::Account, Err(refusal)) => Err(refusal),
            _ => caller.authorize::<P>().map(Reach::Organization),
        }
    }

    /// The only organization that it reaches.
    pub fn only(&self) -> Option<OrganizationId> {
        match self {
            Reach::Organization(granted) => Some(granted.organization()),
            Reach::Account(_) => None,
        }
    }

    /// What is wrong with a key that can do far more than a worker or a host needs, and how to make a better one.
    /// `role` is the role that is enough.
    pub fn warning(&self, role: &str) -> Option<String> {
        let administers = match self {
            Reach::Organization(granted) => granted.has(Permission::ManageServiceUsers),
            Reach::Account(granted) => granted.has(Permission::ManageServiceUsers),
        };
        let place = self.only().map_or_else(String::new, |organization| format!(" --org {organization}"));
        administers.then(|| {
            format!(
                "this {role} uses an administrator's key, which can do far more than it needs: make a better one with \
                 `tenure admin service-user create NAME --role {role}{place}` and `tenure admin key create --service-user ID`"
            )
        })
    }
}
