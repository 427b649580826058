//! Roles: the vendor's words for ours.

use super::body::Body;
use super::extractors::MayInAccount;
use super::sessions::{Answer, answer};
use super::shapes::Page;
use crate::operations::access::service_users::ServiceUserRole;
use domain::Refusal;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalKind;
use serde::Serialize;
use store::access::ManageMembers;

/// A role as this wire knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoleShape {
    role_id: &'static str,
    role_name: &'static str,
    role_type: &'static str,
}

const fn shape(role_id: &'static str, role_name: &'static str, role_type: &'static str) -> RoleShape {
    RoleShape { role_id, role_name, role_type }
}

const ORGANIZATION: [(Role, RoleShape); 6] = [
    (Role::Readonly, shape("org_viewer", "Viewer", "org")),
    (Role::Readwrite, shape("org_member", "Member", "org")),
    (Role::Admin, shape("org_admin", "Admin", "org")),
    (Role::Auditor, shape("org_auditor", "Auditor", "org")),
    (Role::Worker, shape("org_worker", "Worker", "org")),
    (Role::Host, shape("org_host", "Host", "org")),
];

const ACCOUNT: [(AccountRole, RoleShape); 5] = [
    (AccountRole::Viewer, shape("account_viewer", "Viewer", "enterprise")),
    (AccountRole::Admin, shape("account_admin", "Admin", "enterprise")),
    (AccountRole::Auditor, shape("account_auditor", "Auditor", "enterprise")),
    (AccountRole::Worker, shape("account_worker", "Worker", "enterprise")),
    (AccountRole::Host, shape("account_host", "Host", "enterprise")),
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

impl From<ServiceUserRole> for RoleShape {
    fn from(role: ServiceUserRole) -> RoleShape {
        match role {
            ServiceUserRole::Organization(role) => role.into(),
            ServiceUserRole::Account(role) => role.into(),
        }
    }
}

/// Reads the role that a principal of this kind gets in an organization.
///
/// # Errors
/// [`Refusal::Invalid`], also for a role of workers and hosts when it is for a person.
pub fn in_organization(body: &Body, kind: PrincipalKind) -> Result<Role, Refusal> {
    read(body, &ORGANIZATION, |role| role.fits(kind))
}

/// Reads the role that a service user gets in the account.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn in_account(body: &Body) -> Result<AccountRole, Refusal> {
    read(body, &ACCOUNT, |role| role.fits(PrincipalKind::ServiceUser))
}

fn read<R: Copy>(body: &Body, known: &[(R, RoleShape)], fits: impl Fn(R) -> bool) -> Result<R, Refusal> {
    let text = body.text("role_id", 0..=64)?.unwrap_or_default();
    let fitting = || known.iter().filter(|(role, _)| fits(*role));
    let found = fitting().find(|(_, shape)| shape.role_id == text).map(|(role, _)| *role);
    let names = || fitting().map(|(_, shape)| shape.role_id).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| Refusal::invalid("role_id", format!("one of {}", names())))
}

/// `GET /enterprise/roles`.
pub async fn list(_: MayInAccount<ManageMembers>) -> Answer {
    let items = ACCOUNT.iter().map(|(_, shape)| *shape).chain(ORGANIZATION.iter().map(|(_, shape)| *shape));
    let items = items.collect::<Vec<_>>();
    answer(&Page { total: items.len() as u64, items, end_cursor: None, has_next_page: false })
}
