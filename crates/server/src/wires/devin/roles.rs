//! The vendor's names for Tenure's roles.

use super::body::Body;
use super::extractors::AuthorizedInAccount;
use super::sessions::{HandlerResult, respond};
use super::shapes::Page;
use crate::operations::access::service_users::ServiceUserRole;
use domain::Refusal;
use domain::permission::{AccountRole, Role};
use domain::principal::PrincipalKind;
use serde::Serialize;
use store::access::ManageMembers;

/// A role in this wire's shape.
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

/// Reads a role in an organization for a principal of this kind.
///
/// # Errors
/// [`Refusal::Invalid`] for an unknown role, and for a user with a role of workers or hosts.
pub fn read_organization_role(body: &Body, kind: PrincipalKind) -> Result<Role, Refusal> {
    read_role(body, &ORGANIZATION, |role| role.fits(kind))
}

/// Reads a role in the account for a service user.
///
/// # Errors
/// [`Refusal::Invalid`] for an unknown role.
pub fn read_account_role(body: &Body) -> Result<AccountRole, Refusal> {
    read_role(body, &ACCOUNT, |role| role.fits(PrincipalKind::ServiceUser))
}

fn read_role<R: Copy>(body: &Body, known: &[(R, RoleShape)], fits: impl Fn(R) -> bool) -> Result<R, Refusal> {
    let text = body.text("role_id", 0..=64)?.unwrap_or_default();
    let fitting = || known.iter().filter(|(role, _)| fits(*role));
    let found = fitting().find(|(_, shape)| shape.role_id == text).map(|(role, _)| *role);
    let names = || fitting().map(|(_, shape)| shape.role_id).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| Refusal::invalid("role_id", format!("one of {}", names())))
}

/// `GET /enterprise/roles`.
pub async fn list(_: AuthorizedInAccount<ManageMembers>) -> HandlerResult {
    let items = ACCOUNT.iter().map(|(_, shape)| *shape).chain(ORGANIZATION.iter().map(|(_, shape)| *shape));
    let items = items.collect::<Vec<_>>();
    respond(&Page { total: items.len() as u64, items, end_cursor: None, has_next_page: false })
}
