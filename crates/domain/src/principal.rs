//! People and machines.

use crate::ids::{OrganizationId, PrincipalId};
use crate::permission::{AccountRole, Permission, PermissionSet, Role};
use crate::time::Micros;

/// A person, or a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person, known by an address.
    User,
    /// A machine of one organization, or of the account.
    ServiceUser,
}

impl PrincipalKind {
    /// The word for it in the store and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PrincipalKind::User => "user",
            PrincipalKind::ServiceUser => "service_user",
        }
    }
}

/// Whether a principal may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalState {
    /// Yes.
    Active,
    /// Not before they showed that the address is theirs.
    Pending,
    /// Not now.
    Suspended,
    /// Never again; the row stays because sessions name it.
    Deleted,
}

impl PrincipalState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            PrincipalState::Active => "active",
            PrincipalState::Pending => "pending",
            PrincipalState::Suspended => "suspended",
            PrincipalState::Deleted => "deleted",
        }
    }

    /// Whether somebody in this state can be suspended. Who has not confirmed the address can not: they cannot act yet,
    /// and resuming them would confirm it.
    pub fn can_be_suspended(self) -> bool {
        self == PrincipalState::Active
    }

    /// The state of a word.
    pub fn parse(name: &str) -> Option<PrincipalState> {
        use PrincipalState::*;
        [Active, Pending, Suspended, Deleted].into_iter().find(|state| state.name() == name)
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its id.
    pub id: PrincipalId,
    /// Its number, for wires that know integers only.
    pub number: i64,
    /// A person or a machine.
    pub kind: PrincipalKind,
    /// A person's address, in lower case.
    pub email: Option<String>,
    /// What people call it.
    pub name: String,
    /// Whether it may act.
    pub state: PrincipalState,
    /// When it was made.
    pub created: Micros,
    /// Its role in the whole account.
    pub account_role: Option<AccountRole>,
    /// Where it acts when nothing else says. Of a person, the first membership until it is set; of a service user, its
    /// home, unless that is the account.
    pub default_organization: Option<OrganizationId>,
}

/// Who alone looks after a service user. It is fixed when the service user is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The administrators of one organization.
    Organization(OrganizationId),
    /// The administrators of the account.
    Account,
}

impl Principal {
    /// The home of a service user; a person has none.
    pub fn home(&self) -> Option<Home> {
        let home = self.default_organization.map_or(Home::Account, Home::Organization);
        (self.kind == PrincipalKind::ServiceUser).then_some(home)
    }
}

/// That a principal has a role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Where.
    pub organization: OrganizationId,
    /// As what.
    pub role: Role,
}

/// A person with what only people have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person as a principal.
    pub principal: Principal,
    /// Whose sub user it is.
    pub parent: Option<PrincipalId>,
    /// First name; may be empty.
    pub first_name: String,
    /// Last name; may be empty.
    pub last_name: String,
    /// When any of this last changed.
    pub updated: Micros,
}

/// What a key or a session may at most, in the words of Probe.dev, whose tokens can be made narrower than their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

/// Every scope with what it lets through; a scope that lets nothing through is about the person itself, or about what
/// Tenure does not have.
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
    /// Their names, in the order of the alphabet.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        SCOPES.iter().map(|(name, _)| *name)
    }

    /// The scopes of these names; nothing if one of them is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Scopes> {
        names.into_iter().try_fold(Scopes::default(), |Scopes(bits), name| {
            let at = SCOPES.iter().position(|(known, _)| *known == name)?;
            Some(Scopes(bits | 1 << at))
        })
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        SCOPES.iter().enumerate().filter(move |(at, _)| self.0 & (1 << at) != 0).map(|(_, (name, _))| *name)
    }

    /// Whether it has the scope of a name.
    pub fn has(self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Whether all of these are also in `other`.
    pub fn within(self, other: Scopes) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in both.
    pub fn intersection(self, other: Scopes) -> Scopes {
        Scopes(self.0 & other.0)
    }

    /// What somebody with these permissions may: their own profile and keys, and what the permissions let through. A
    /// worker or a host has neither profile nor keys of its own to look after.
    pub fn of(permissions: PermissionSet) -> Scopes {
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

    /// The permissions that they let through at most.
    pub fn permissions(self) -> PermissionSet {
        let sets = SCOPES.iter().filter(|(name, _)| self.has(name)).map(|(_, set)| PermissionSet::of(set));
        sets.fold(PermissionSet::default(), PermissionSet::union)
    }
}

/// Brings an address into its one form, or says that it is none. Deliverability is for a mail to find out;
/// here it only has to be one line with an `@` between two parts.
pub fn normal_email(text: &str) -> Option<String> {
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
    fn every_permission_can_be_let_through_or_held_back() {
        let all = Scopes::parse(Scopes::all_names()).unwrap();
        assert_eq!(all.permissions(), PermissionSet::of(&Permission::ALL));
        assert_eq!(Scopes::default().permissions(), PermissionSet::default());
        let media = Scopes::parse(["read:media"]).unwrap();
        assert_eq!(media.permissions(), PermissionSet::of(&[Permission::ViewSessions]));
        assert_eq!(Scopes::parse(["read:media", "read:everything"]), None);
    }

    #[test]
    fn what_a_role_may() {
        let names = |set: PermissionSet| Scopes::of(set).names().collect::<Vec<_>>().join(" ");
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
            prop_assert!(both.within(a) && both.within(b));
            for permission in Permission::ALL {
                prop_assert!(!both.permissions().has(permission)
                    || (a.permissions().has(permission) && b.permissions().has(permission)));
            }
            prop_assert_eq!(Scopes::parse(a.names()), Some(a));
        }
    }
}
