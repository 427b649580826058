//! Principals: users and service users.

use crate::ids::{OrganizationId, PrincipalId};
use crate::permission::{AccountRole, Permission, PermissionSet, Role};
use crate::time::Micros;

/// The kind of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person, identified by an address.
    User,
    /// A machine of one organization or of the account.
    ServiceUser,
}

impl PrincipalKind {
    /// The kind with this name.
    pub fn parse(name: &str) -> Option<PrincipalKind> {
        [PrincipalKind::User, PrincipalKind::ServiceUser].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in the store and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PrincipalKind::User => "user",
            PrincipalKind::ServiceUser => "service_user",
        }
    }
}

/// The state of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalState {
    /// It can act.
    Active,
    /// It can act once the person has confirmed their address.
    Pending,
    /// It cannot act.
    Suspended,
    /// It was deleted. Its row stays because sessions refer to it.
    Deleted,
}

impl PrincipalState {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            PrincipalState::Active => "active",
            PrincipalState::Pending => "pending",
            PrincipalState::Suspended => "suspended",
            PrincipalState::Deleted => "deleted",
        }
    }

    /// Whether a principal in this state can be suspended. A pending one cannot: it cannot act anyway, and ending the
    /// suspension would confirm its address.
    pub fn can_be_suspended(self) -> bool {
        self == PrincipalState::Active
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<PrincipalState> {
        use PrincipalState::*;
        [Active, Pending, Suspended, Deleted].into_iter().find(|state| state.name() == name)
    }
}

/// A principal: a user or a service user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its id.
    pub id: PrincipalId,
    /// Its number, for wires with integer ids.
    pub number: i64,
    /// Its kind.
    pub kind: PrincipalKind,
    /// The address of a user, in lower case.
    pub email: Option<String>,
    /// Its name for people.
    pub name: String,
    /// Its state.
    pub state: PrincipalState,
    /// When it was created.
    pub created: Micros,
    /// Its role in the whole account.
    pub account_role: Option<AccountRole>,
    /// The organization it acts in when a request names none. For a user, the first membership until it is set; for a
    /// service user, its home, or `None` if that is the account.
    pub default_organization: Option<OrganizationId>,
}

/// Whose administrators manage a service user. It is fixed when the service user is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// Those of one organization.
    Organization(OrganizationId),
    /// Those of the account.
    Account,
}

impl Principal {
    /// The home of a service user; `None` for a user.
    pub fn home(&self) -> Option<Home> {
        let home = self.default_organization.map_or(Home::Account, Home::Organization);
        (self.kind == PrincipalKind::ServiceUser).then_some(home)
    }
}

/// A principal's role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub organization: OrganizationId,
    /// The role.
    pub role: Role,
}

/// A user, with the fields that only users have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user as a principal.
    pub principal: Principal,
    /// The creator of a sub user.
    pub parent: Option<PrincipalId>,
    /// First name; can be empty.
    pub first_name: String,
    /// Last name; can be empty.
    pub last_name: String,
    /// When any of these fields last changed.
    pub updated: Micros,
}

/// The scopes of a key or a session: an upper bound on its permissions. The names are those of Probe.dev, whose tokens
/// can have fewer rights than their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

/// Every scope with the permissions it includes. A scope without permissions is for the caller's own profile, or for
/// features that Tenure does not have.
const SCOPES: [(&str, &[Permission]); 14] = [
    ("read:admin", &[Permission::ViewAudit]),
    ("read:billing", &[]),
    ("read:invite", &[]),
    ("read:media", &[Permission::ViewSessions]),
    ("read:profile", &[]),
    ("read:statistics", &[Permission::ViewUsage]),
    ("read:sub-user", &[]),
    ("read:user", &[]),
    (
        "write:admin",
        &[
            Permission::ManageSessions,
            Permission::ImpersonateSessions,
            Permission::ConnectHosts,
            Permission::ConnectWorkers,
            Permission::ManageServiceUsers,
            Permission::ManageOrganizations,
        ],
    ),
    ("write:billing", &[]),
    ("write:invite", &[Permission::ManageMembers]),
    ("write:media", &[Permission::UseSessions]),
    ("write:sub-user", &[Permission::ManageMembers]),
    ("write:user", &[Permission::ManageOwnKeys]),
];

impl Scopes {
    /// The names of all scopes, in alphabetical order.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        SCOPES.iter().map(|(name, _)| *name)
    }

    /// The scopes with these names; `None` if one of them is unknown.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Scopes> {
        names.into_iter().try_fold(Scopes::default(), |Scopes(bits), name| {
            let at = SCOPES.iter().position(|(known, _)| *known == name)?;
            Some(Scopes(bits | 1 << at))
        })
    }

    /// The names of these scopes.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        SCOPES.iter().enumerate().filter(move |(at, _)| self.0 & (1 << at) != 0).map(|(_, (name, _))| *name)
    }

    /// Whether the scope with this name is included.
    pub fn has(self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Whether all of these scopes are in `other`.
    pub fn is_subset_of(self, other: Scopes) -> bool {
        self.0 & !other.0 == 0
    }

    /// The scopes that are in both.
    pub fn intersection(self, other: Scopes) -> Scopes {
        Scopes(self.0 & other.0)
    }

    /// The scopes of a principal with these permissions: those for the own profile and keys, and those whose permissions
    /// it has. Workers and hosts get no scope: they have no profile and no keys to manage.
    pub fn from_permissions(permissions: PermissionSet) -> Scopes {
        if permissions.only_connects() {
            return Scopes::default();
        }
        let own = ["read:profile", "read:user", "write:user"];
        let through =
            |let_through: &[Permission]| let_through.iter().any(|permission| permissions.has(*permission));
        let manages = permissions.has(Permission::ManageMembers);
        let names = SCOPES.iter().filter(|(name, let_through)| {
            own.contains(name)
                || through(let_through)
                || (manages && ["read:sub-user", "read:invite"].contains(name))
        });
        Scopes::parse(names.map(|(name, _)| *name)).unwrap_or_default()
    }

    /// The permissions that these scopes include.
    pub fn permissions(self) -> PermissionSet {
        let sets = SCOPES.iter().filter(|(name, _)| self.has(name)).map(|(_, set)| PermissionSet::new(set));
        sets.fold(PermissionSet::default(), PermissionSet::union)
    }
}

/// Normalizes an e-mail address to lower case; `None` if it is malformed. It only has to be one line with an `@` between
/// two parts: whether it exists is known once a mail arrives.
pub fn normalize_email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, host) = text.rsplit_once('@')?;
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    (plain && !local.is_empty() && !host.is_empty() && text.len() <= 254).then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_permission_can_be_granted_or_withheld() {
        let all = Scopes::parse(Scopes::all_names()).unwrap();
        assert_eq!(all.permissions(), PermissionSet::new(&Permission::ALL));
        assert_eq!(Scopes::default().permissions(), PermissionSet::default());
        let media = Scopes::parse(["read:media"]).unwrap();
        assert_eq!(media.permissions(), PermissionSet::new(&[Permission::ViewSessions]));
        assert_eq!(Scopes::parse(["read:media", "read:everything"]), None);
    }

    #[test]
    fn permissions_of_roles() {
        let names = |set: PermissionSet| Scopes::from_permissions(set).names().collect::<Vec<_>>().join(" ");
        assert_eq!(names(PermissionSet::default()), "read:profile read:user write:user");
        assert_eq!(names(Role::Worker.permissions()), "");
        assert_eq!(names(Role::Host.permissions()), "");
        assert_eq!(
            names(Role::Auditor.permissions()),
            "read:admin read:profile read:statistics read:user write:user"
        );
        assert_eq!(names(Role::Readonly.permissions()), "read:media read:profile read:user write:user");
        assert_eq!(
            names(Role::Admin.permissions()),
            "read:admin read:invite read:media read:profile read:statistics read:sub-user read:user \
             write:admin write:invite write:media write:sub-user write:user"
        );
    }

    proptest! {
        #[test]
        fn narrower_scopes_never_let_more_through(a in 0u16..1 << 14, b in 0u16..1 << 14) {
            let (a, b) = (Scopes(a), Scopes(b));
            let both = a.intersection(b);
            prop_assert!(both.is_subset_of(a) && both.is_subset_of(b));
            for permission in Permission::ALL {
                prop_assert!(!both.permissions().has(permission)
                    || (a.permissions().has(permission) && b.permissions().has(permission)));
            }
            prop_assert_eq!(Scopes::parse(a.names()), Some(a));
        }
    }
}
