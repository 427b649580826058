//! What a worker or a host serves: one organization, or the account.

use domain::Refusal;
use domain::ids::OrganizationId;
use domain::permission::Permission;
use store::access::PermissionType;
use store::{Caller, Granted, GrantedAccount};

/// The proof of what a worker or a host may serve.
#[derive(Debug, Clone)]
pub enum MachineGrant<P: PermissionType> {
    /// One organization.
    Organization(Granted<P>),
    /// All organizations.
    Account(GrantedAccount<P>),
}

/// What a worker or a host asks to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeRequest {
    /// What its key is for: the account with a key of the account, otherwise one organization.
    ByKey,
    /// One organization: the one that the request names, or the caller's default.
    Organization,
    /// The account.
    Account,
}

impl<P: PermissionType> MachineGrant<P> {
    /// Authorizes a caller to serve what it asks for.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]; [`Refusal::NoOrganization`]; [`Refusal::OutOfScope`] when a key of one organization
    /// asks to serve the account.
    pub fn from_caller(caller: &Caller, serves: ServeRequest) -> Result<MachineGrant<P>, Refusal> {
        let account = caller.authorize_in_account::<P>();
        match (serves, account) {
            (ServeRequest::ByKey | ServeRequest::Account, Ok(granted)) => Ok(MachineGrant::Account(granted)),
            (ServeRequest::Account, Err(_)) if caller.permissions().has(P::PERMISSION) => {
                Err(Refusal::OutOfScope("a key of the account, because it asks to serve the account"))
            }
            (ServeRequest::Account, Err(refusal)) => Err(refusal),
            _ => caller.authorize::<P>().map(MachineGrant::Organization),
        }
    }

    /// The organization, when it serves only one.
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            MachineGrant::Organization(granted) => Some(granted.organization()),
            MachineGrant::Account(_) => None,
        }
    }

    /// A warning when the key can do far more than a worker or a host needs, with the commands that make a better
    /// key. `role` is the role that is enough.
    pub fn warning(&self, role: &str) -> Option<String> {
        let administers = match self {
            MachineGrant::Organization(granted) => granted.has(Permission::ManageServiceUsers),
            MachineGrant::Account(granted) => granted.has(Permission::ManageServiceUsers),
        };
        let place =
            self.organization().map_or_else(String::new, |organization| format!(" --org {organization}"));
        administers.then(|| {
            format!(
                "this {role} uses an administrator's key, which can do far more than it needs: make a better one with \
                 `tenure admin service-user create NAME --role {role}{place}` and `tenure admin key create --service-user ID`"
            )
        })
    }
}
