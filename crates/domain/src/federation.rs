//! People who come by an issuer of OpenID Connect: who they are here, and what their groups make them.

use crate::ids::OrganizationId;
use crate::permission::Role;
use crate::principal::{Membership, PrincipalState};
use crate::time::{Micros, Span};

/// How long a sign-in at an issuer may take.
pub const JOURNEY: Span = Span::minutes(10);
/// The most characters of a subject (OpenID Connect Core, section 2).
pub const MAX_SUBJECT: usize = 255;

/// What an issuer says of somebody, after its signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// What the issuer calls them, for ever.
    pub subject: String,
    /// Their address in its one form.
    pub email: Option<String>,
    /// Whether the issuer vouches for the address.
    pub verified: bool,
    /// What people call them.
    pub name: Option<String>,
    /// First name.
    pub first: Option<String>,
    /// Last name.
    pub last: Option<String>,
    /// Their groups; nothing when the issuer says that it does not say all of them.
    pub groups: Option<Vec<String>>,
    /// When they last showed the issuer who they are, if it says so.
    pub authenticated: Option<Micros>,
    /// Whether they showed the issuer a second factor (`mfa` in `amr`, RFC 8176).
    pub multi_factor: bool,
}

/// The user of this server who has the address that an issuer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Whether it may act.
    pub state: PrincipalState,
    /// Whether somebody comes as this user by the same issuer already.
    pub linked: bool,
}

/// What becomes of somebody who comes by an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// They come in as who they were before.
    Enter,
    /// They come in as the user who has their address, from now on.
    Link,
    /// They become a new user, with their address.
    Create,
    /// They do not come in.
    Refuse(Stranger),
}

/// Why somebody does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Nobody knows them, and nobody said that they may come.
    Unknown,
    /// They may not act here.
    Suspended,
    /// The issuer does not vouch for their address, which somebody here has, or which they would be known by.
    Unverified,
    /// Somebody else of the same issuer comes as the user who has their address: it was given to another person.
    Taken,
}

impl Stranger {
    /// The word for it, in addresses and in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Stranger::Unknown => "unknown",
            Stranger::Suspended => "suspended",
            Stranger::Unverified => "unverified",
            Stranger::Taken => "taken",
        }
    }
}

/// Who comes in, and as whom. `known` is the state of whoever came with the same subject before, `owner` who has the
/// address that the issuer says.
pub fn admit(
    known: Option<PrincipalState>,
    verified: bool,
    owner: Option<Owner>,
    may_create: bool,
) -> Admission {
    use PrincipalState::{Active, Deleted, Pending, Suspended};
    match (known, owner) {
        (Some(Active), _) => Admission::Enter,
        (Some(Pending | Suspended | Deleted), _) => Admission::Refuse(Stranger::Suspended),
        (None, Some(_)) if !verified => Admission::Refuse(Stranger::Unverified),
        (None, Some(Owner { linked: true, .. })) => Admission::Refuse(Stranger::Taken),
        (None, Some(Owner { state: Active | Pending, .. })) => Admission::Link,
        (None, Some(Owner { state: Suspended | Deleted, .. })) => Admission::Refuse(Stranger::Suspended),
        (None, None) if may_create && verified => Admission::Create,
        (None, None) if may_create => Admission::Refuse(Stranger::Unverified),
        (None, None) => Admission::Refuse(Stranger::Unknown),
    }
}

/// A membership as it is, with where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Where and as what.
    pub membership: Membership,
    /// Whether groups gave it; otherwise somebody did, by hand.
    pub by_groups: bool,
    /// Whether nobody would look after the organization without this member.
    pub last_admin: bool,
}

/// What has to be changed of somebody's memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A new one.
    Add(Membership),
    /// Another role.
    Set {
        /// As it is to be.
        membership: Membership,
        /// As what they were a member before.
        was: Role,
    },
    /// The end of one; this is as it was.
    Remove(Membership),
}

/// What has to be changed so that somebody is a member where their groups say. What was given by hand stays as it is,
/// and so does an organization's last admin.
pub fn changes(held: &[Held], wanted: &[Membership]) -> Vec<Change> {
    let wanted = highest(wanted);
    let role_in = |organization| wanted.iter().find(|one| one.organization == organization);
    let mut changes = Vec::new();
    for Held { membership, by_groups, last_admin } in held.iter().copied() {
        match role_in(membership.organization) {
            _ if !by_groups || last_admin => {}
            None => changes.push(Change::Remove(membership)),
            Some(new) if new.role != membership.role => {
                changes.push(Change::Set { membership: *new, was: membership.role });
            }
            Some(_) => {}
        }
    }
    let is_held = |organization| held.iter().any(|one| one.membership.organization == organization);
    changes.extend(wanted.iter().filter(|one| !is_held(one.organization)).copied().map(Change::Add));
    changes
}

/// One membership for each organization: where several groups say something, what may most.
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

/// Which of two roles is given to somebody whose groups say both: the greater one. Groups give no role to machines.
fn rank(role: Role) -> u8 {
    match role {
        Role::Worker | Role::Host => 0,
        Role::Readonly => 1,
        Role::Auditor => 2,
        Role::Readwrite => 3,
        Role::Admin => 4,
    }
}

/// The organization of a membership.
pub fn place(change: &Change) -> OrganizationId {
    match change {
        Change::Add(membership) | Change::Set { membership, .. } | Change::Remove(membership) => {
            membership.organization
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn who_comes_in() {
        use Admission::{Create, Enter, Link, Refuse};
        use PrincipalState::{Active, Deleted, Pending, Suspended};
        let owner = |state, linked| Some(Owner { state, linked });
        for (known, verified, owner, may_create, expected) in [
            (Some(Active), false, None, false, Enter),
            (Some(Active), true, owner(Suspended, false), true, Enter),
            (Some(Suspended), true, owner(Active, false), true, Refuse(Stranger::Suspended)),
            (Some(Deleted), true, None, true, Refuse(Stranger::Suspended)),
            (None, true, owner(Active, false), false, Link),
            (None, true, owner(Pending, false), false, Link),
            (None, true, owner(Suspended, false), true, Refuse(Stranger::Suspended)),
            (None, true, owner(Active, true), true, Refuse(Stranger::Taken)),
            (None, false, owner(Active, false), true, Refuse(Stranger::Unverified)),
            (None, false, owner(Active, true), true, Refuse(Stranger::Unverified)),
            (None, true, None, false, Refuse(Stranger::Unknown)),
            (None, true, None, true, Create),
            (None, false, None, true, Refuse(Stranger::Unverified)),
            (None, false, None, false, Refuse(Stranger::Unknown)),
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

    fn held() -> impl Strategy<Value = Vec<Held>> {
        proptest::collection::vec((membership(), any::<bool>(), any::<bool>()), 0..6).prop_map(|all| {
            let mut held: Vec<Held> = Vec::new();
            for (membership, by_groups, last_admin) in all {
                let last_admin = last_admin && membership.role == Role::Admin;
                if held.iter().all(|one| one.membership.organization != membership.organization) {
                    held.push(Held { membership, by_groups, last_admin });
                }
            }
            held
        })
    }

    /// What is held after changes.
    fn after(held: &[Held], changes: &[Change]) -> Vec<Held> {
        let mut held = held.to_vec();
        for change in changes {
            let at = held.iter().position(|one| one.membership.organization == place(change));
            match (change, at) {
                (Change::Add(new), None) => {
                    held.push(Held { membership: *new, by_groups: true, last_admin: false });
                }
                (Change::Set { membership, was }, Some(at)) => {
                    assert_eq!(held[at].membership.role, *was);
                    held[at].membership = *membership;
                }
                (Change::Remove(was), Some(at)) => assert_eq!(held.remove(at).membership, *was),
                _ => panic!("{change:?} of {held:?}"),
            }
        }
        held
    }

    proptest! {
        #[test]
        fn groups_change_what_groups_gave(
            held in held(),
            wanted in proptest::collection::vec(membership(), 0..6),
        ) {
            let made = changes(&held, &wanted);
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
            prop_assert_eq!(changes(&new, &wanted), vec![], "the same claim changes nothing again");
        }
    }
}
