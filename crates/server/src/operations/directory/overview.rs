//! The directory as people look at it: organizations, people, the audit log and usage, in the scope of a request.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::sessions::facets::{CountedField, count_values};
use crate::operations::sessions::visible::{authorize_sessions, list_admitted_roles};
use domain::ids::{OrganizationId, PrincipalId};
use domain::organization::Organization;
use domain::page::Page;
use domain::permission::Role;
use domain::session::{FieldValue, Filter, SessionKind, ValueField};
use std::collections::HashMap;
use store::access::{ManageMembers, PermissionType, ViewAudit, ViewUsage};
use store::{AuditEntry, Caller, RequestedScope, ScopeGrant, SessionNames};
pub use store::{ListedPerson, UsageDay};

/// The number of sessions of each kind that an organization has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindCounts {
    /// Device sessions.
    pub device: u64,
    /// Agent sessions.
    pub agent: u64,
}

/// An organization that a caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationOverview {
    /// The organization.
    pub organization: Organization,
    /// The caller's role in it; `None` when the role is the account's.
    pub role: Option<Role>,
    /// Its sessions; `None` when the caller may not see them.
    pub sessions: Option<KindCounts>,
}

/// Grants a caller a permission in the scope of a request.
///
/// # Errors
/// Those of [`store::Store::authorize_scope`].
pub async fn authorize_scope<P: PermissionType>(
    app: &App,
    caller: &Caller,
    requested: &RequestedScope,
) -> Result<ScopeGrant<P>, Failure> {
    let admitted = list_admitted_roles(app, caller).await?;
    Ok(app.store.authorize_scope(caller, requested, |role| admitted.contains(&role)).await?)
}

/// Lists the organizations that a caller sees, with the number of their sessions.
///
/// # Errors
/// [`domain::Refusal::OutOfScope`] for a worker or a host.
pub async fn list_organizations(app: &App, caller: &Caller) -> Result<Vec<OrganizationOverview>, Failure> {
    let visible = authorize_sessions(app, caller, &RequestedScope::Everything).await?;
    let count = |kind: SessionKind| CountedField {
        field: ValueField::Organization,
        filter: Filter::has_text(ValueField::Kind, [kind.name()]),
    };
    let counted = [SessionKind::Device, SessionKind::Agent].map(count);
    let (_, found) = count_values(app, &visible, &Filter::EVERY, &counted, usize::MAX).await?;
    let mut counts = HashMap::<_, KindCounts>::new();
    for (kind, values) in [SessionKind::Device, SessionKind::Agent].into_iter().zip(found) {
        for facet in values.values {
            let FieldValue::Id(id) = facet.value else { continue };
            let counts = counts.entry(OrganizationId(id)).or_default();
            match kind {
                SessionKind::Device => counts.device = facet.count,
                _ => counts.agent = facet.count,
            }
        }
    }
    let is_seen = |id: &OrganizationId| visible.organizations().is_none_or(|some| some.contains(id));
    let view = |(organization, role): (Organization, Option<Role>)| OrganizationOverview {
        sessions: is_seen(&organization.id)
            .then(|| counts.get(&organization.id).copied().unwrap_or_default()),
        organization,
        role,
    };
    Ok(app.store.list_visible_organizations(caller).await?.into_iter().map(view).collect())
}

/// The names of the organizations that a caller sees.
pub async fn list_organization_names(app: &App, caller: &Caller) -> Result<SessionNames, Failure> {
    let listed = app.store.list_visible_organizations(caller).await?.into_iter();
    let organizations = listed.map(|(organization, _)| (organization.id, organization.name)).collect();
    Ok(SessionNames { organizations, ..SessionNames::default() })
}

/// Lists the people and service users of a scope.
pub async fn list_people(
    app: &App,
    granted: &ScopeGrant<ManageMembers>,
) -> Result<Vec<ListedPerson>, Failure> {
    Ok(app.store.list_people_in_scope(granted).await?)
}

/// Lists the audit entries of a scope before a position, newest first.
pub async fn list_audit_entries(
    app: &App,
    granted: &ScopeGrant<ViewAudit>,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditEntry>, Failure> {
    let some = match granted {
        ScopeGrant::Account(granted) => {
            return Ok(app.store.list_account_audit_entries(granted, before, limit).await?);
        }
        ScopeGrant::Organizations(some) => some,
    };
    let mut all = Page { items: Vec::new(), more: false };
    for granted in some {
        let page = app.store.list_audit_entries(granted, before, limit).await?;
        all.more |= page.more;
        all.items.extend(page.items);
    }
    all.items.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.sequence));
    all.more |= all.items.len() > limit as usize;
    all.items.truncate(limit as usize);
    Ok(all)
}

/// Lists what the organizations of a scope used on each day from `from` up to, not including, `until`, in days since 1970
/// (UTC). Days without usage are omitted.
pub async fn list_usage_days(
    app: &App,
    granted: &ScopeGrant<ViewUsage>,
    from: i64,
    until: i64,
) -> Result<Vec<UsageDay>, Failure> {
    let some = match granted {
        ScopeGrant::Account(granted) => {
            return Ok(app.store.list_account_usage_days(granted, None, from, until).await?);
        }
        ScopeGrant::Organizations(some) => some,
    };
    let mut days = Vec::new();
    for granted in some {
        days.extend(app.store.list_usage_days(granted, from, until).await?);
    }
    Ok(days)
}

/// The names of organizations and people.
pub async fn load_names<P: PermissionType>(
    app: &App,
    granted: &ScopeGrant<P>,
    organizations: impl Iterator<Item = OrganizationId>,
    people: impl Iterator<Item = PrincipalId>,
) -> Result<SessionNames, Failure> {
    Ok(app.store.load_names_in_scope(granted, organizations, people).await?)
}
