//! Who may do what: the one table of roles (design §4a), under names that every wire maps to its own.

/// A right in one organization, or in all of them when it comes of an account role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Permission {
    /// List, get and watch sessions; see what devices there are.
    ViewSessions,
    /// Create sessions and act on one's own; hold, drive and release devices.
    UseSessions,
    /// Act on anybody's session; release anybody's device.
    ManageSessions,
    /// Create sessions in somebody else's name.
    ImpersonateSessions,
    /// Connect a host with devices.
    ConnectHosts,
    /// Connect a worker that runs agents' turns.
    ConnectWorkers,
    /// Make and revoke one's own API keys.
    ManageOwnKeys,
    /// Invite members and change their roles.
    ManageMembers,
    /// Make and delete service users.
    ManageServiceUsers,
    /// Make, change and delete organizations.
    ManageOrganizations,
    /// Read the audit log.
    ViewAudit,
    /// Read usage and consumption.
    ViewUsage,
}

use Permission::*;

impl Permission {
    /// All of them, in the order of the table.
    pub const ALL: [Permission; 12] = [
        ViewSessions,
        UseSessions,
        ManageSessions,
        ImpersonateSessions,
        ConnectHosts,
        ConnectWorkers,
        ManageOwnKeys,
        ManageMembers,
        ManageServiceUsers,
        ManageOrganizations,
        ViewAudit,
        ViewUsage,
    ];
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionSet(u16);

impl PermissionSet {
    /// The set of exactly these.
    pub const fn of(permissions: &[Permission]) -> PermissionSet {
        let mut bits = 0;
        let mut i = 0;
        while i < permissions.len() {
            bits |= 1 << permissions[i] as u16;
            i += 1;
        }
        PermissionSet(bits)
    }

    /// Whether it has this one.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u16) != 0
    }

    /// What both have.
    pub const fn intersection(self, other: PermissionSet) -> PermissionSet {
        PermissionSet(self.0 & other.0)
    }

    /// What either has.
    pub const fn union(self, other: PermissionSet) -> PermissionSet {
        PermissionSet(self.0 | other.0)
    }
}

/// What a member is in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Looks.
    Readonly,
    /// Works.
    Readwrite,
    /// Works, and looks after the organization.
    Admin,
}

/// What a principal is in the whole account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountRole {
    /// Looks at every organization.
    Viewer,
    /// Looks after every organization.
    Admin,
}

impl Role {
    /// All of them with their names.
    pub const NAMES: [(Role, &'static str); 3] =
        [(Role::Readonly, "readonly"), (Role::Readwrite, "readwrite"), (Role::Admin, "admin")];

    /// Its name on every wire.
    pub fn name(self) -> &'static str {
        match self {
            Role::Readonly => "readonly",
            Role::Readwrite => "readwrite",
            Role::Admin => "admin",
        }
    }

    /// The role of a name.
    pub fn parse(name: &str) -> Option<Role> {
        Role::NAMES.iter().find(|(_, n)| *n == name).map(|(role, _)| *role)
    }

    /// What it may do in its organization.
    pub const fn permissions(self) -> PermissionSet {
        match self {
            Role::Readonly => PermissionSet::of(&[ViewSessions]),
            Role::Readwrite => PermissionSet::of(&[ViewSessions, UseSessions, ManageOwnKeys]),
            Role::Admin => PermissionSet::of(&[
                ViewSessions,
                UseSessions,
                ManageSessions,
                ImpersonateSessions,
                ConnectHosts,
                ConnectWorkers,
                ManageOwnKeys,
                ManageMembers,
                ManageServiceUsers,
                ViewAudit,
                ViewUsage,
            ]),
        }
    }
}

impl AccountRole {
    /// Its name on every wire.
    pub fn name(self) -> &'static str {
        match self {
            AccountRole::Viewer => "viewer",
            AccountRole::Admin => "admin",
        }
    }

    /// The role of a name.
    pub fn parse(name: &str) -> Option<AccountRole> {
        [AccountRole::Viewer, AccountRole::Admin].into_iter().find(|role| role.name() == name)
    }

    /// What it may do in every organization, and in the account.
    pub const fn permissions(self) -> PermissionSet {
        match self {
            AccountRole::Viewer => PermissionSet::of(&[ViewSessions, ViewUsage]),
            AccountRole::Admin => PermissionSet::of(&Permission::ALL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of design §4a, written once more by hand: a change of a role must be made in two places.
    #[test]
    fn the_table_of_roles() {
        #[rustfmt::skip]
        let table = [
            //                    readonly readwrite admin  viewer account admin
            (ViewSessions,        [true,   true,     true,  true,  true]),
            (UseSessions,         [false,  true,     true,  false, true]),
            (ManageSessions,      [false,  false,    true,  false, true]),
            (ImpersonateSessions, [false,  false,    true,  false, true]),
            (ConnectHosts,        [false,  false,    true,  false, true]),
            (ConnectWorkers,      [false,  false,    true,  false, true]),
            (ManageOwnKeys,       [false,  true,     true,  false, true]),
            (ManageMembers,       [false,  false,    true,  false, true]),
            (ManageServiceUsers,  [false,  false,    true,  false, true]),
            (ManageOrganizations, [false,  false,    false, false, true]),
            (ViewAudit,           [false,  false,    true,  false, true]),
            (ViewUsage,           [false,  false,    true,  true,  true]),
        ];
        assert_eq!(table.len(), Permission::ALL.len());
        let sets = [
            Role::Readonly.permissions(),
            Role::Readwrite.permissions(),
            Role::Admin.permissions(),
            AccountRole::Viewer.permissions(),
            AccountRole::Admin.permissions(),
        ];
        for (permission, expected) in table {
            assert_eq!(sets.map(|set| set.has(permission)), expected, "{permission:?}");
        }
    }
}
