//! Organizations: the tenants of the account.

use crate::ids::OrganizationId;
use crate::time::Micros;

/// A tenant of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, unique among those that are not deleted.
    pub name: String,
    /// When it was created.
    pub created: Micros,
    /// When it was deleted. Its sessions stay.
    pub deleted: Option<Micros>,
    /// Maximum number of open holds; `None` for no limit.
    pub max_devices: Option<u32>,
}
