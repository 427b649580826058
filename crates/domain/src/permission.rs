//! Permissions and roles (design §4a). Each wire maps these names to its own.

use crate::principal::PrincipalKind;
use crate::refusal::Refusal;

/// A permission in one organization, or in all of them if an account role includes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Permission {
    /// List, get and watch sessions; list devices.
    ViewSessions,
    /// Create sessions and act on one's own sessions; hold, drive and release devices.
    UseSessions,
    /// Act on all sessions; release all devices.
    ManageSessions,
    /// Create sessions in another user's name.
    ImpersonateSessions,
    /// Connect a host with devices.
    ConnectHosts,
    /// Connect a worker that runs turns of agents.
    ConnectWorkers,
    /// Create and revoke one's own API keys.
    ManageOwnKeys,
    /// Invite members and change their roles.
    ManageMembers,
    /// Create and delete service users.
    ManageServiceUsers,
    /// Create, change and delete organizations.
    ManageOrganizations,
    /// Read the audit log.
    ViewAudit,
    /// Read usage and consumption.
    ViewUsage,
}

use Permission::*;

impl Permission {
    /// All permissions, in the order of the table of roles.
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

    /// What it allows, after "to" in a sentence.
    pub fn action(self) -> &'static str {
        match self {
            ViewSessions => "view sessions",
            UseSessions => "use sessions",
            ManageSessions => "manage sessions",
            ImpersonateSessions => "create sessions in another user's name",
            ConnectHosts => "connect hosts",
            ConnectWorkers => "connect workers",
            ManageOwnKeys => "manage one's own keys",
            ManageMembers => "manage members",
            ManageServiceUsers => "manage service users",
            ManageOrganizations => "manage organizations",
            ViewAudit => "view the audit log",
            ViewUsage => "view usage",
        }
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionSet(u16);

impl PermissionSet {
    /// The set of these permissions.
    pub const fn new(permissions: &[Permission]) -> PermissionSet {
        let mut bits = 0;
        let mut i = 0;
        while i < permissions.len() {
            bits |= 1 << permissions[i] as u16;
            i += 1;
        }
        PermissionSet(bits)
    }

    /// Whether it contains a permission.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u16) != 0
    }

    /// Its permissions, in the order of [`Permission::ALL`].
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }

    /// The permissions in both sets.
    pub const fn intersection(self, other: PermissionSet) -> PermissionSet {
        PermissionSet(self.0 & other.0)
    }

    /// The permissions in at least one of the sets.
    pub const fn union(self, other: PermissionSet) -> PermissionSet {
        PermissionSet(self.0 | other.0)
    }

    /// Whether it only allows a worker or a host to connect. Principals with this set cannot read lists, and have no keys
    /// and no profile.
    pub const fn only_connects(self) -> bool {
        let connecting = PermissionSet::new(&[ConnectHosts, ConnectWorkers]);
        self.0 != 0 && self.0 & !connecting.0 == 0
    }
}

/// A role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads sessions.
    Readonly,
    /// Uses sessions.
    Readwrite,
    /// Uses sessions and administers the organization.
    Admin,
    /// Reads the audit log and the usage, but no sessions.
    Auditor,
    /// Runs turns of agents. For service users only.
    Worker,
    /// Offers devices. For service users only.
    Host,
}

/// A role in the whole account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountRole {
    /// Reads sessions and usage of every organization.
    Viewer,
    /// Administers the account and every organization.
    Admin,
    /// Reads the audit log and the usage of every organization, but no sessions.
    Auditor,
    /// Runs turns of agents of every organization. For service users only.
    Worker,
    /// Offers devices to every organization. For service users only.
    Host,
}

impl Role {
    /// All roles with their names.
    pub const NAMES: [(Role, &'static str); 6] = [
        (Role::Readonly, "readonly"),
        (Role::Readwrite, "readwrite"),
        (Role::Admin, "admin"),
        (Role::Auditor, "auditor"),
        (Role::Worker, "worker"),
        (Role::Host, "host"),
    ];

    /// Its name on every wire.
    pub fn name(self) -> &'static str {
        match self {
            Role::Readonly => "readonly",
            Role::Readwrite => "readwrite",
            Role::Admin => "admin",
            Role::Auditor => "auditor",
            Role::Worker => "worker",
            Role::Host => "host",
        }
    }

    /// Whether principals of this kind can have it: a user cannot be a worker or a host.
    pub fn fits(self, kind: PrincipalKind) -> bool {
        kind == PrincipalKind::ServiceUser || !self.permissions().only_connects()
    }

    /// The names of the roles that principals of this kind can have.
    pub fn names_for(kind: PrincipalKind) -> Vec<&'static str> {
        Role::NAMES.iter().filter(|(role, _)| role.fits(kind)).map(|(_, name)| *name).collect()
    }

    /// The role with this name, if principals of this kind can have it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for `field`, which lists the possible names.
    pub fn parse_for(name: &str, kind: PrincipalKind, field: &str) -> Result<Role, Refusal> {
        let role = Role::parse(name).filter(|role| role.fits(kind));
        role.ok_or_else(|| Refusal::invalid(field, format!("one of {}", Role::names_for(kind).join(", "))))
    }

    /// The role with this name.
    pub fn parse(name: &str) -> Option<Role> {
        Role::NAMES.iter().find(|(_, n)| *n == name).map(|(role, _)| *role)
    }

    /// Its permissions in its organization.
    pub const fn permissions(self) -> PermissionSet {
        match self {
            Role::Readonly => PermissionSet::new(&[ViewSessions]),
            Role::Readwrite => PermissionSet::new(&[ViewSessions, UseSessions, ManageOwnKeys]),
            Role::Admin => PermissionSet::new(&[
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
            Role::Auditor => PermissionSet::new(&[ViewAudit, ViewUsage]),
            Role::Worker => PermissionSet::new(&[ConnectWorkers]),
            Role::Host => PermissionSet::new(&[ConnectHosts]),
        }
    }
}

impl AccountRole {
    /// All roles with their names.
    pub const NAMES: [(AccountRole, &'static str); 5] = [
        (AccountRole::Viewer, "viewer"),
        (AccountRole::Admin, "admin"),
        (AccountRole::Auditor, "auditor"),
        (AccountRole::Worker, "worker"),
        (AccountRole::Host, "host"),
    ];

    /// Its name on every wire.
    pub fn name(self) -> &'static str {
        match self {
            AccountRole::Viewer => "viewer",
            AccountRole::Admin => "admin",
            AccountRole::Auditor => "auditor",
            AccountRole::Worker => "worker",
            AccountRole::Host => "host",
        }
    }

    /// The role with this name.
    pub fn parse(name: &str) -> Option<AccountRole> {
        AccountRole::NAMES.iter().find(|(_, n)| *n == name).map(|(role, _)| *role)
    }

    /// Whether principals of this kind can have it: a user cannot be a worker or a host.
    pub fn fits(self, kind: PrincipalKind) -> bool {
        kind == PrincipalKind::ServiceUser || !self.permissions().only_connects()
    }

    /// The names of the roles that principals of this kind can have.
    pub fn names_for(kind: PrincipalKind) -> Vec<&'static str> {
        AccountRole::NAMES.iter().filter(|(role, _)| role.fits(kind)).map(|(_, name)| *name).collect()
    }

    /// The role of a user whose groups have several: the greatest.
    pub fn greatest(roles: impl IntoIterator<Item = AccountRole>) -> Option<AccountRole> {
        let rank = |role: &AccountRole| match role {
            AccountRole::Worker | AccountRole::Host => 0,
            AccountRole::Viewer => 1,
            AccountRole::Auditor => 2,
            AccountRole::Admin => 3,
        };
        roles.into_iter().max_by_key(rank)
    }

    /// Its permissions in every organization and in the account.
    pub const fn permissions(self) -> PermissionSet {
        match self {
            AccountRole::Viewer => PermissionSet::new(&[ViewSessions, ViewUsage]),
            AccountRole::Admin => PermissionSet::new(&Permission::ALL),
            AccountRole::Auditor => Role::Auditor.permissions(),
            AccountRole::Worker => Role::Worker.permissions(),
            AccountRole::Host => Role::Host.permissions(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of design §4a, written again by hand: a change of a role has to be made in two places.
    #[test]
    fn the_table_of_roles() {
        // Roles of an organization, then the account's.
        #[rustfmt::skip]
        let table = [
            //                    readonly readwrite admin  auditor worker host   viewer admin auditor worker host
            (ViewSessions,        [true,   true,     true,  false,  false, false, true,  true, false,  false, false]),
            (UseSessions,         [false,  true,     true,  false,  false, false, false, true, false,  false, false]),
            (ManageSessions,      [false,  false,    true,  false,  false, false, false, true, false,  false, false]),
            (ImpersonateSessions, [false,  false,    true,  false,  false, false, false, true, false,  false, false]),
            (ConnectHosts,        [false,  false,    true,  false,  false, true,  false, true, false,  false, true]),
            (ConnectWorkers,      [false,  false,    true,  false,  true,  false, false, true, false,  true,  false]),
            (ManageOwnKeys,       [false,  true,     true,  false,  false, false, false, true, false,  false, false]),
            (ManageMembers,       [false,  false,    true,  false,  false, false, false, true, false,  false, false]),
            (ManageServiceUsers,  [false,  false,    true,  false,  false, false, false, true, false,  false, false]),
            (ManageOrganizations, [false,  false,    false, false,  false, false, false, true, false,  false, false]),
            (ViewAudit,           [false,  false,    true,  true,   false, false, false, true, true,   false, false]),
            (ViewUsage,           [false,  false,    true,  true,   false, false, true,  true, true,   false, false]),
        ];
        assert_eq!(table.len(), Permission::ALL.len());
        let here = Role::NAMES.iter().map(|(role, _)| role.permissions());
        let sets =
            here.chain(AccountRole::NAMES.iter().map(|(role, _)| role.permissions())).collect::<Vec<_>>();
        for (permission, expected) in table {
            let has = sets.iter().map(|set| set.has(permission)).collect::<Vec<_>>();
            assert_eq!(has, expected, "{permission:?}");
        }
    }

    #[test]
    fn the_greatest_role_counts() {
        use AccountRole::{Admin, Auditor, Viewer};
        assert_eq!(AccountRole::greatest([]), None);
        assert_eq!(AccountRole::greatest([Auditor, Viewer]), Some(Auditor));
        assert_eq!(AccountRole::greatest([Viewer, Admin, Auditor]), Some(Admin));
    }

    #[test]
    fn workers_and_hosts_are_service_users_that_only_connect() {
        for (role, name) in Role::NAMES {
            let connects = ["worker", "host"].contains(&name);
            assert_eq!(role.permissions().only_connects(), connects, "{name}");
            assert_eq!((Role::parse(name), role.name()), (Some(role), name));
            assert_eq!(role.fits(PrincipalKind::User), !connects, "{name}");
            assert!(role.fits(PrincipalKind::ServiceUser), "{name}");
            assert_eq!(Role::parse_for(name, PrincipalKind::User, "role").is_err(), connects, "{name}");
        }
        for (role, name) in AccountRole::NAMES {
            assert_eq!((AccountRole::parse(name), role.name()), (Some(role), name));
            assert_eq!(role.fits(PrincipalKind::User), !["worker", "host"].contains(&name), "{name}");
        }
        assert!(!PermissionSet::default().only_connects());
    }
}
