//! The directory on Tenure's own wire: organizations, people, keys, the audit log and usage.

use crate::sessions::{Named, Principal};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An organization that the caller sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationEntry {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The caller's role in it; `None` when the caller sees it by a role in the account.
    pub role: Option<String>,
    /// When it was created.
    pub created: Time,
    /// How many sessions it has; `None` when the caller may not see them.
    pub sessions: Option<SessionCounts>,
}

/// The number of sessions of each kind that an organization has. Login sessions belong to the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCounts {
    /// Device sessions.
    pub device: u64,
    /// Agent sessions.
    pub agent: u64,
}

/// A user or a service user, for those who manage the members of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonEntry {
    /// The id.
    pub id: Uuid,
    /// `user` or `service_user`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The address of a user.
    pub email: Option<String>,
    /// `active` or `suspended`.
    pub state: String,
    /// The roles in organizations of the scope.
    pub roles: Vec<OrganizationRole>,
    /// The role in the account; `None` also for a caller who does not manage the account's members.
    pub account_role: Option<String>,
    /// When it was created.
    pub created: Time,
    /// When a key or an open login session was last used, to about 30 s.
    pub last_seen: Option<Time>,
}

/// A role in an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationRole {
    /// The organization.
    pub organization: Named,
    /// The role.
    pub role: String,
}

/// An API key. Its secret is shown only when it is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The last characters of the secret.
    pub suffix: String,
    /// The wire that it was created for.
    pub wire: String,
    /// The only organization that it works in.
    pub organization: Option<Named>,
    /// The scopes that it is limited to; `None` for all permissions of its owner.
    pub scopes: Option<Vec<String>>,
    /// When it was created.
    pub created: Time,
    /// When it expires.
    pub expires: Option<Time>,
    /// When it was last used, to about 30 s.
    pub last_used: Option<Time>,
}

/// A page of the audit log, newest first. The log is not counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The entries.
    pub data: Vec<AuditLine>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number in the whole account.
    pub sequence: String,
    /// When.
    pub at: Time,
    /// The organization; `None` for the account.
    pub organization: Option<Named>,
    /// Who acted; `None` for Tenure itself, and for an operator at the machine.
    pub actor: Option<Principal>,
    /// The key that they used.
    pub key: Option<Uuid>,
    /// The login session that they used.
    pub login: Option<Uuid>,
    /// The address that the request came from.
    pub address: Option<String>,
    /// What they did, such as `organization.create`.
    pub action: String,
    /// The id of the thing that they changed.
    pub thing: String,
    /// The value before a change.
    pub was: Option<Value>,
    /// The value after the change, and more details.
    pub details: Value,
}

/// What an organization used on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageEntry {
    /// The day in UTC, such as `2026-03-01`.
    pub day: String,
    /// The organization.
    pub organization: Named,
    /// The number of sessions with usage.
    pub sessions: u64,
    /// Agent compute units.
    pub acus: f64,
    /// Tokens that models read.
    pub input_tokens: i64,
    /// Tokens that models wrote.
    pub output_tokens: i64,
    /// Tokens that models read from a cache.
    pub cache_read_tokens: i64,
    /// Tokens that models wrote into a cache.
    pub cache_creation_tokens: i64,
}
