//! The audit log: administration and changes of credentials.
//!
//! The store writes an entry in the batch that makes the change: see [`batch_with_entry`]. The grant says who acted
//! ([`Attribution`]). [`crate::audit::chain`] describes the chain of hashes.

use crate::access::{Granted, GrantedAccount, System, ViewAudit};
use crate::audit::attribution::Attribution;
use crate::audit::chain::{GENESIS, hash_content};
use crate::database::{Batch, Columns, DatabaseError, Rows, Statement, Topic};
use crate::rows::{batch, one_row, to_json, values};
use crate::{Error, Result, Store};
use domain::ids::{CredentialId, OrganizationId, PrincipalId, SessionId};
use domain::page::Page;
use domain::time::Micros;
use serde_json::Value as Json;
use uuid::Uuid;

/// An entry to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// When.
    pub at: Micros,
    /// The organization; `None` for the account.
    pub organization: Option<OrganizationId>,
    /// Who acted.
    pub attribution: Attribution,
    /// What they did, such as `organization.create`.
    pub action: String,
    /// The id of the thing that they changed.
    pub thing: String,
    /// The value before a change; never a secret.
    pub was: Option<Json>,
    /// The value after the change, and more details; never a secret.
    pub details: Json,
}

/// A written entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The sequence: one more than that of the entry before, in the whole account.
    pub sequence: i64,
    /// The content.
    pub content: NewAuditEntry,
}

macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, organization, at_us, principal, action, thing, details, credential, login, address, was,
                    previous, hash FROM audit WHERE ",
            $rest
        )
    };
}
pub(crate) use entries;

const PAGE: &str =
    entries!("organization = $1 AND sequence < $2 ORDER BY organization DESC, sequence DESC LIMIT $3");
const ACCOUNT_PAGE: &str = entries!("sequence < $1 ORDER BY sequence DESC LIMIT $2");

/// The counter of [`OrganizationId::AUDIT`] is locked, so the last entry stays the last until the commit.
const INSERT: &str = "
    INSERT INTO audit (organization, sequence, at_us, principal, action, thing, details, credential, login, address,
                       was, previous, hash)
    VALUES ($1, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit), $2, $3, $4, $5, $6, $7, $8, $9, $10,
            COALESCE((SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1), $11),
            audit_link(COALESCE((SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1), $11),
                       (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit), $12))";

impl NewAuditEntry {
    /// An entry about the account, without a previous value.
    pub fn new(
        attribution: Attribution,
        action: &str,
        thing: impl ToString,
        details: Json,
        at: Micros,
    ) -> NewAuditEntry {
        let (action, thing) = (action.to_owned(), thing.to_string());
        NewAuditEntry { at, organization: None, attribution, action, thing, was: None, details }
    }

    /// The same entry in an organization.
    #[must_use]
    pub fn with_organization(mut self, organization: Option<OrganizationId>) -> NewAuditEntry {
        self.organization = organization;
        self
    }

    /// The topics of access that it may change: the thing itself, its owner, and the keys that were revoked with it.
    pub(crate) fn concerns(&self) -> impl Iterator<Item = Topic> {
        let owner = self.details.get("of").and_then(Json::as_str);
        let revoked = self.details.get("revoked").and_then(Json::as_array);
        let revoked = revoked.into_iter().flatten().filter_map(Json::as_str);
        let ids = [Some(self.thing.as_str()), owner].into_iter().flatten().chain(revoked);
        ids.filter_map(|id| Uuid::try_parse(id).ok()).map(Topic::Access).collect::<Vec<_>>().into_iter()
    }

    /// The same entry with the value before the change.
    #[must_use]
    pub fn with_previous(mut self, was: Json) -> NewAuditEntry {
        self.was = Some(was);
        self
    }
}

/// A batch that writes an audit entry at its end.
pub(crate) fn batch_with_entry<const N: usize>(
    locks: [OrganizationId; N],
    statements: Vec<Statement>,
    entry: &NewAuditEntry,
) -> Result<Batch> {
    batch_with_entries(locks, statements, &[entry])
}

/// A batch that writes several audit entries at its end, in this order.
pub(crate) fn batch_with_entries<const N: usize>(
    locks: [OrganizationId; N],
    mut statements: Vec<Statement>,
    entries: &[&NewAuditEntry],
) -> Result<Batch> {
    for entry in entries {
        statements.push(insert_entry(entry)?);
    }
    let mut batch = batch(locks, statements);
    batch.locks.insert(OrganizationId::AUDIT.0);
    batch.topics.extend(entries.iter().flat_map(|entry| entry.concerns()));
    Ok(batch)
}

/// The statement that writes an entry. Its batch must lock [`OrganizationId::AUDIT`].
pub(crate) fn insert_entry(entry: &NewAuditEntry) -> Result<Statement> {
    let Attribution { principal, credential, login, address, .. } = entry.attribution;
    let organization = entry.organization.unwrap_or(OrganizationId::ACCOUNT);
    let (details, was) = (to_json(&entry.details)?, entry.was.as_ref().map(to_json).transpose()?);
    let (login, address) = (login.map(SessionId::uuid), address.map(|address| address.to_string()));
    let mut values = values![
        organization,
        entry.at,
        principal,
        entry.action.as_str(),
        entry.thing.as_str(),
        details,
        credential,
        login,
        address,
        was
    ];
    let content = hash_content(&values)?;
    values.extend(values![&GENESIS[..], &content[..]]);
    Ok(one_row(INSERT, values))
}

impl Store {
    /// Records something that the store does not do itself. All other entries are written with the change.
    pub async fn record_audit_entry(&self, _: &System, entry: &NewAuditEntry) -> Result<()> {
        self.apply(batch_with_entry([], Vec::new(), entry)?, |_| Error::Stale).await
    }

    /// The entries of the organization before a sequence, newest first.
    pub async fn list_audit_entries(
        &self,
        granted: &Granted<ViewAudit>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<AuditEntry>> {
        let values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        read_page(self.read(granted, PAGE, values).await?, limit)
    }

    /// The entries of the account and of all organizations before a sequence, newest first.
    pub async fn list_account_audit_entries(
        &self,
        granted: &GrantedAccount<ViewAudit>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<AuditEntry>> {
        let values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        let [rows] = self.read_account(granted, [(ACCOUNT_PAGE, values)]).await?;
        read_page(rows, limit)
    }
}

fn read_page(rows: Rows, limit: u32) -> Result<Page<AuditEntry>> {
    let mut items = rows.read_all(|columns| {
        let entry = read_entry(columns)?;
        columns.skip_rest();
        Ok(entry)
    })?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(Page { items, more })
}

/// Reads an entry without its hashes.
pub(crate) fn read_entry(columns: &mut Columns) -> Result<AuditEntry, DatabaseError> {
    let sequence = columns.int()?;
    let organization = OrganizationId(columns.id()?);
    let (at, principal) = (columns.time()?, columns.maybe_id()?.map(PrincipalId));
    let (action, thing, details) = (columns.text()?, columns.text()?, columns.json()?);
    let attribution = Attribution {
        principal,
        credential: columns.maybe_id()?.map(CredentialId),
        login: columns.maybe_id()?.and_then(SessionId::from_uuid),
        address: columns.maybe_text()?.and_then(|address| address.parse().ok()),
        idempotency: None,
    };
    let was = columns.maybe_json()?;
    let organization = (organization != OrganizationId::ACCOUNT).then_some(organization);
    Ok(AuditEntry {
        sequence,
        content: NewAuditEntry { at, organization, attribution, action, thing, was, details },
    })
}
