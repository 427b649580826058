//! Invitations: that whoever has an address may become a member of an organization.

use crate::ids::{InvitationId, OrganizationId, PrincipalId};
use crate::permission::Role;
use crate::time::Micros;

/// More would be a way to send mail to many who do not know the organization.
pub const MAX_OPEN: u32 = 100;

/// An invitation that was neither accepted nor rejected nor taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id, which opens nothing: what counts is whose the address is.
    pub id: InvitationId,
    /// Into which organization.
    pub organization: OrganizationId,
    /// Whom, in the one form of an address.
    pub email: String,
    /// As what.
    pub role: Role,
    /// Who invites.
    pub inviter: PrincipalId,
    /// When.
    pub created: Micros,
    /// From when on it is no good.
    pub expires: Micros,
}
