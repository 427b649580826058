//! Sign-in with an issuer of OpenID Connect: the user of an identity, and the memberships that groups give.

use crate::ids::OrganizationId;
use crate::permission::Role;
use crate::principal::{Membership, PrincipalState};
use crate::time::{Micros, Span};

/// How long a sign-in at the issuer may take.
pub const SIGN_IN_LIFETIME: Span = Span::minutes(10);
/// Maximum length of a subject, in characters (OpenID Connect Core, section 2).
pub const MAX_SUBJECT: usize = 255;

/// The issuer's claims about a person, after the signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityClaims {
    /// The issuer's permanent id of the person.
    pub subject: String,
    /// Their normalized address.
    pub email: Option<String>,
    /// Whether the issuer has verified the address.
    pub verified: bool,
    /// Their display name.
    pub name: Option<String>,
    /// First name.
    pub first: Option<String>,
    /// Last name.
    pub last: Option<String>,
    /// Their groups; `None` when the issuer states that the list is not complete.
    pub groups: Option<Vec<String>>,
    /// When they last authenticated at the issuer, if it states that.
    pub authenticated: Option<Micros>,
    /// Whether they used a second factor at the issuer (`mfa` in `amr`, RFC 8176).
    pub multi_factor: bool,
}

/// The user of this server with the address in the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressOwner {
    /// The user's state.
    pub state: PrincipalState,
    /// Whether another identity of the same issuer is linked to this user.
    pub linked: bool,
}

/// The outcome of a sign-in with an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// They sign in as the user whom their identity is linked to.
    Enter,
    /// Their identity is linked to the user with their address.
    Link,
    /// A new user is created with their address.
    Create,
    /// The sign-in is refused.
    Refuse(AdmissionRefusal),
}

/// Why a sign-in with an issuer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionRefusal {
    /// No user has this identity or address, and no user may be created for them.
    Unknown,
    /// The user is suspended, pending or deleted.
    Suspended,
    /// The issuer has not verified the address, which a user here has or which the new user would get.
    Unverified,
    /// Another identity of the same issuer is linked to the user with this address: the issuer has given the address to
    /// another person.
    Taken,
}

impl AdmissionRefusal {
    /// Its name, in URLs and in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            AdmissionRefusal::Unknown => "unknown",
            AdmissionRefusal::Suspended => "suspended",
            AdmissionRefusal::Unverified => "unverified",
            AdmissionRefusal::Taken => "taken",
        }
    }
}

/// Decides a sign-in with an issuer. `known` is the state of the user linked to the same subject, `owner` the user with
/// the address in the claims.
pub fn admit(
    known: Option<PrincipalState>,
    verified: bool,
    owner: Option<AddressOwner>,
    may_create: bool,
) -> Admission {
    use PrincipalState::{Active, Deleted, Pending, Suspended};
    match (known, owner) {
        (Some(Active), _) => Admission::Enter,
        (Some(Pending | Suspended | Deleted), _) => Admission::Refuse(AdmissionRefusal::Suspended),
        (None, Some(_)) if !verified => Admission::Refuse(AdmissionRefusal::Unverified),
        (None, Some(AddressOwner { linked: true, .. })) => Admission::Refuse(AdmissionRefusal::Taken),
        (None, Some(AddressOwner { state: Active | Pending, .. })) => Admission::Link,
        (None, Some(AddressOwner { state: Suspended | Deleted, .. })) => {
            Admission::Refuse(AdmissionRefusal::Suspended)
        }
        (None, None) if may_create && verified => Admission::Create,
        (None, None) if may_create => Admission::Refuse(AdmissionRefusal::Unverified),
        (None, None) => Admission::Refuse(AdmissionRefusal::Unknown),
    }
}

/// A membership that a user has, with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldMembership {
    /// The organization and the role.
    pub membership: Membership,
    /// Whether groups gave it; otherwise an administrator did.
    pub by_groups: bool,
    /// Whether this member is the organization's last admin.
    pub last_admin: bool,
}

/// A change of a user's memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipChange {
    /// A new membership.
    Add(Membership),
    /// A new role.
    Set {
        /// The membership with the new role.
        membership: Membership,
        /// The old role.
        was: Role,
    },
    /// The end of this membership.
    Remove(Membership),
}

/// The changes that give a user the memberships of their groups. Memberships that an administrator gave stay as they are,
/// and so does an organization's last admin.
pub fn membership_changes(held: &[HeldMembership], wanted: &[Membership]) -> Vec<MembershipChange> {
    let wanted = highest(wanted);
    let role_in = |organization| wanted.iter().find(|one| one.organization == organization);
    let mut changes = Vec::new();
    for HeldMembership { membership, by_groups, last_admin } in held.iter().copied() {
        match role_in(membership.organization) {
            _ if !by_groups || last_admin => {}
            None => changes.push(MembershipChange::Remove(membership)),
            Some(new) if new.role != membership.role => {
                changes.push(MembershipChange::Set { membership: *new, was: membership.role });
            }
            Some(_) => {}
        }
    }
    let is_held = |organization| held.iter().any(|one| one.membership.organization == organization);
    changes
        .extend(wanted.iter().filter(|one| !is_held(one.organization)).copied().map(MembershipChange::Add));
    changes
}

/// One membership for each organization: the greatest role where groups give several.
fn highest(wanted: &[Membership]) -> Vec<Membership> {
    let mut found: Vec<Membership> = Vec::new();
    for one in wanted {
        match found.iter_mut().find(|other| other.organization == one.organization) {
            Some(other) if rank(other.role) < rank(one.role) => other.role = one.role,
            Some(_) => {}
            None => found.push(*one),
        }
    }
    found
}

/// The rank of a role: of several roles, the greatest is given. Groups give no roles of service users.
fn rank(role: Role) -> u8 {
    match role {
        Role::Worker | Role::Host => 0,
        Role::Readonly => 1,
        Role::Auditor => 2,
        Role::Readwrite => 3,
        Role::Admin => 4,
    }
}

/// The organization of a change.
pub fn organization_of(change: &MembershipChange) -> OrganizationId {
    match change {
        MembershipChange::Add(membership)
        | MembershipChange::Set { membership, .. }
        | MembershipChange::Remove(membership) => membership.organization,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn admission_follows_the_identity_the_address_and_the_settings() {
        use Admission::{Create, Enter, Link, Refuse};
        use PrincipalState::{Active, Deleted, Pending, Suspended};
        let owner = |state, linked| Some(AddressOwner { state, linked });
        for (known, verified, owner, may_create, expected) in [
            (Some(Active), false, None, false, Enter),
            (Some(Active), true, owner(Suspended, false), true, Enter),
            (Some(Suspended), true, owner(Active, false), true, Refuse(AdmissionRefusal::Suspended)),
            (Some(Deleted), true, None, true, Refuse(AdmissionRefusal::Suspended)),
            (None, true, owner(Active, false), false, Link),
            (None, true, owner(Pending, false), false, Link),
            (None, true, owner(Suspended, false), true, Refuse(AdmissionRefusal::Suspended)),
            (None, true, owner(Active, true), true, Refuse(AdmissionRefusal::Taken)),
            (None, false, owner(Active, false), true, Refuse(AdmissionRefusal::Unverified)),
            (None, false, owner(Active, true), true, Refuse(AdmissionRefusal::Unverified)),
            (None, true, None, false, Refuse(AdmissionRefusal::Unknown)),
            (None, true, None, true, Create),
            (None, false, None, true, Refuse(AdmissionRefusal::Unverified)),
            (None, false, None, false, Refuse(AdmissionRefusal::Unknown)),
        ] {
            let outcome = admit(known, verified, owner, may_create);
            assert_eq!(outcome, expected, "{known:?} {verified} {owner:?} {may_create}");
        }
    }

    fn role() -> impl Strategy<Value = Role> {
        (0usize..4).prop_map(|at| Role::NAMES[at].0)
    }

    fn membership() -> impl Strategy<Value = Membership> {
        (1u128..6, role())
            .prop_map(|(id, role)| Membership { organization: OrganizationId(Uuid::from_u128(id)), role })
    }

    fn held() -> impl Strategy<Value = Vec<HeldMembership>> {
        proptest::collection::vec((membership(), any::<bool>(), any::<bool>()), 0..6).prop_map(|all| {
            let mut held: Vec<HeldMembership> = Vec::new();
            for (membership, by_groups, last_admin) in all {
                let last_admin = last_admin && membership.role == Role::Admin;
                if held.iter().all(|one| one.membership.organization != membership.organization) {
                    held.push(HeldMembership { membership, by_groups, last_admin });
                }
            }
            held
        })
    }

    /// The memberships after changes.
    fn after(held: &[HeldMembership], changes: &[MembershipChange]) -> Vec<HeldMembership> {
        let mut held = held.to_vec();
        for change in changes {
            let at = held.iter().position(|one| one.membership.organization == organization_of(change));
            match (change, at) {
                (MembershipChange::Add(new), None) => {
                    held.push(HeldMembership { membership: *new, by_groups: true, last_admin: false });
                }
                (MembershipChange::Set { membership, was }, Some(at)) => {
                    assert_eq!(held[at].membership.role, *was);
                    held[at].membership = *membership;
                }
                (MembershipChange::Remove(was), Some(at)) => assert_eq!(held.remove(at).membership, *was),
                _ => panic!("{change:?} of {held:?}"),
            }
        }
        held
    }

    proptest! {
        #[test]
        fn groups_change_only_memberships_from_groups(
            held in held(),
            wanted in proptest::collection::vec(membership(), 0..6),
        ) {
            let made = membership_changes(&held, &wanted);
            let new = after(&held, &made);
            for one in held.iter().filter(|one| !one.by_groups || one.last_admin) {
                prop_assert!(new.contains(one), "{one:?} is not theirs to change");
            }
            for one in &wanted {
                let is = new.iter().find(|is| is.membership.organization == one.organization).unwrap();
                let kept = !is.by_groups || is.last_admin;
                prop_assert!(kept || rank(is.membership.role) >= rank(one.role));
            }
            for one in new.iter().filter(|one| one.by_groups && !one.last_admin) {
                prop_assert!(wanted.contains(&one.membership), "{one:?} came from somewhere");
            }
            prop_assert_eq!(membership_changes(&new, &wanted), vec![], "the same claim changes nothing again");
        }
    }
}
