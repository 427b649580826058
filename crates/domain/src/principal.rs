//! People and machines.

use crate::ids::{OrganizationId, PrincipalId};
use crate::permission::{AccountRole, Role};
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
            PrincipalState::Suspended => "suspended",
            PrincipalState::Deleted => "deleted",
        }
    }

    /// The state of a word.
    pub fn parse(name: &str) -> Option<PrincipalState> {
        use PrincipalState::*;
        [Active, Suspended, Deleted].into_iter().find(|state| state.name() == name)
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
    /// Where it acts when nothing else says; the first membership until set.
    pub default_organization: Option<OrganizationId>,
}

/// That a principal has a role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Where.
    pub organization: OrganizationId,
    /// As what.
    pub role: Role,
}

/// Brings an address into its one form, or says that it is none. Deliverability is for a mail to find out;
/// here it only has to be one line with an `@` between two parts.
pub fn normal_email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, host) = text.rsplit_once('@')?;
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    (plain && !local.is_empty() && !host.is_empty() && text.len() <= 254).then(|| text.to_lowercase())
}
