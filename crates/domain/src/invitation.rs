//! Invitations: the owner of an e-mail address can become a member of an organization.

use crate::ids::{InvitationId, OrganizationId, PrincipalId};
use crate::permission::Role;
use crate::time::Micros;

/// Maximum number of open invitations of an organization, so that it cannot send mail to very many addresses.
pub const MAX_OPEN: u32 = 100;

/// An open invitation: neither accepted nor rejected nor withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id. It is not a secret: only the owner of the address can accept.
    pub id: InvitationId,
    /// The organization.
    pub organization: OrganizationId,
    /// The normalized address of the invited person.
    pub email: String,
    /// The role in the organization.
    pub role: Role,
    /// Who sent it.
    pub inviter: PrincipalId,
    /// When it was created.
    pub created: Micros,
    /// When it expires.
    pub expires: Micros,
}
