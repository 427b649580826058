//! Tenants.

use crate::ids::OrganizationId;
use crate::time::Micros;

/// A tenant of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, unique among those that are not deleted.
    pub name: String,
    /// When it was made.
    pub created: Micros,
    /// When it was deleted; its sessions are kept.
    pub deleted: Option<Micros>,
    /// How many devices it may hold or wait for at once.
    pub max_devices: Option<u32>,
}
