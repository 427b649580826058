//! The directory as this wire writes it.

use super::super::sessions::shapes::{write_organization, write_principal};
use crate::operations::access::api_keys::ApiKey;
use crate::operations::audit::AuditEntry;
use crate::operations::directory::overview::{ListedPerson, OrganizationOverview, UsageDay};
use domain::principal::{Membership, Scopes};
use domain::time::Micros;
use protocol::directory::{
    AuditLine, KeyEntry, OrganizationEntry, OrganizationRole, PersonEntry, SessionCounts, UsageEntry,
};
use protocol::time::Time;
use store::SessionNames;

fn time(time: Micros) -> Time {
    Time(time.0)
}

/// An organization.
pub fn write_organization_entry(listed: &OrganizationOverview) -> OrganizationEntry {
    OrganizationEntry {
        id: listed.organization.id.0,
        name: listed.organization.name.clone(),
        role: listed.role.map(|role| role.name().to_owned()),
        created: time(listed.organization.created),
        sessions: listed.sessions.map(|counts| SessionCounts { device: counts.device, agent: counts.agent }),
    }
}

/// A person or service user. Only those who manage the account's members see its roles.
pub fn write_person(listed: &ListedPerson, names: &SessionNames, is_account: bool) -> PersonEntry {
    let principal = &listed.principal;
    let role = |membership: &Membership| OrganizationRole {
        organization: write_organization(names, membership.organization),
        role: membership.role.name().to_owned(),
    };
    PersonEntry {
        id: principal.id.0,
        kind: principal.kind.name().to_owned(),
        name: principal.name.clone(),
        email: principal.email.clone(),
        state: principal.state.name().to_owned(),
        roles: listed.memberships.iter().map(role).collect(),
        account_role: principal.account_role.filter(|_| is_account).map(|role| role.name().to_owned()),
        created: time(principal.created),
        last_seen: listed.last_used.map(time),
    }
}

/// A key, without its secret.
pub fn write_key(key: &ApiKey, names: &SessionNames) -> KeyEntry {
    let credential = &key.credential;
    KeyEntry {
        id: credential.id.0,
        name: credential.name.clone(),
        suffix: credential.suffix.clone(),
        wire: credential.wire.name().to_owned(),
        organization: credential.organization.map(|organization| write_organization(names, organization)),
        scopes: key.scopes.map(|scopes| Scopes::names(scopes).map(str::to_owned).collect()),
        created: time(credential.created),
        expires: credential.expires.map(time),
        last_used: credential.last_used.map(time),
    }
}

/// An entry of the audit log.
pub fn write_audit_line(entry: AuditEntry, names: &SessionNames) -> AuditLine {
    let content = entry.content;
    let by = content.attribution;
    AuditLine {
        sequence: entry.sequence.to_string(),
        at: time(content.at),
        organization: content.organization.map(|organization| write_organization(names, organization)),
        actor: by.principal.map(|actor| write_principal(names, actor)),
        key: by.credential.map(|key| key.0),
        login: by.login.map(domain::ids::SessionId::uuid),
        address: by.address.map(|address| address.to_string()),
        action: content.action,
        thing: content.thing,
        was: content.was,
        details: content.details,
    }
}

/// What an organization used on a day.
pub fn write_usage(used: &UsageDay, day: &str, names: &SessionNames) -> UsageEntry {
    UsageEntry {
        day: day.to_owned(),
        organization: write_organization(names, used.organization),
        sessions: u64::try_from(used.sessions).unwrap_or(0),
        acus: used.usage.acus.units(),
        input_tokens: used.usage.input_tokens,
        output_tokens: used.usage.output_tokens,
        cache_read_tokens: used.usage.cache_read_tokens,
        cache_creation_tokens: used.usage.cache_creation_tokens,
    }
}
