//! Roles: the vendor's words for ours.

use super::body::Body;
use super::caller::MayInAccount;
use super::sessions::{Answer, answer};
use super::shapes::Page;
use crate::operations::keys::RoleOf;
use domain::Refusal;
use domain::permission::{AccountRole, Role};
use serde::Serialize;
use store::access::ManageMembers;

/// A role as this wire knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoleShape {
    role_id: &'static str,
    role_name: &'static str,
    role_type: &'static str,
}

const ORGANIZATION: [(Role, RoleShape); 3] = [
    (Role::Readonly, RoleShape { role_id: "org_viewer", role_name: "Viewer", role_type: "org" }),
    (Role::Readwrite, RoleShape { role_id: "org_member", role_name: "Member", role_type: "org" }),
    (Role::Admin, RoleShape { role_id: "org_admin", role_name: "Admin", role_type: "org" }),
];

const ACCOUNT: [(AccountRole, RoleShape); 2] = [
    (
        AccountRole::Viewer,
        RoleShape { role_id: "account_viewer", role_name: "Viewer", role_type: "enterprise" },
    ),
    (AccountRole::Admin, RoleShape { role_id: "account_admin", role_name: "Admin", role_type: "enterprise" }),
];

impl From<Role> for RoleShape {
    fn from(role: Role) -> RoleShape {
        ORGANIZATION
            .into_iter()
            .find(|(known, _)| *known == role)
            .map_or(ORGANIZATION[0].1, |(_, shape)| shape)
    }
}

impl From<AccountRole> for RoleShape {
    fn from(role: AccountRole) -> RoleShape {
        ACCOUNT.into_iter().find(|(known, _)| *known == role).map_or(ACCOUNT[0].1, |(_, shape)| shape)
    }
}

impl From<RoleOf> for RoleShape {
    fn from(role: RoleOf) -> RoleShape {
        match role {
            RoleOf::Organization(role) => role.into(),
            RoleOf::Account(role) => role.into(),
        }
    }
}

/// Reads the role that somebody gets in an organization.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn in_organization(body: &Body) -> Result<Role, Refusal> {
    read(body, &ORGANIZATION)
}

/// Reads the role that somebody gets in the account.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn in_account(body: &Body) -> Result<AccountRole, Refusal> {
    read(body, &ACCOUNT)
}

fn read<R: Copy>(body: &Body, known: &[(R, RoleShape)]) -> Result<R, Refusal> {
    let text = body.text("role_id", 0..=64)?.unwrap_or_default();
    let found = known.iter().find(|(_, shape)| shape.role_id == text).map(|(role, _)| *role);
    let names = known.iter().map(|(_, shape)| shape.role_id).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| Refusal::invalid("role_id", format!("one of {names}")))
}

/// `GET /enterprise/roles`.
pub async fn list(_: MayInAccount<ManageMembers>) -> Answer {
    let items = ACCOUNT.iter().map(|(_, shape)| *shape).chain(ORGANIZATION.iter().map(|(_, shape)| *shape));
    let items = items.collect::<Vec<_>>();
    answer(&Page { total: items.len() as u64, items, end_cursor: None, has_next_page: false })
}
