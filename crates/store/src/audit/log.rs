//! What administrators and people who sign in did.
//!
//! A line is written in the batch that does the thing, by the store itself: see [`Store::audited`]. Who did it is in
//! the proof ([`Attribution`]). How lines follow from one another is in [`crate::audit::chain`].

use crate::access::{Granted, GrantedAccount, System, ViewAudit};
use crate::audit::attribution::Attribution;
use crate::audit::chain::{GENESIS, hash_content};
use crate::database::{Batch, Row, Statement, Topic};
use crate::rows::{batch, one_row, parse_json, to_json, values};
use crate::{Error, Result, Store};
use domain::ids::{CredentialId, OrganizationId, PrincipalId, SessionId};
use domain::page::Page;
use domain::time::Micros;
use serde_json::Value as Json;
use uuid::Uuid;

/// What is to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// When.
    pub at: Micros,
    /// In which organization; none for what concerns the account.
    pub organization: Option<OrganizationId>,
    /// Who; nobody when it was done at the machine.
    pub by: Attribution,
    /// What was done: `organization.create`.
    pub action: String,
    /// To what.
    pub thing: String,
    /// What was before, where something was changed; never a secret.
    pub was: Option<Json>,
    /// What is after, and more of it; never a secret.
    pub details: Json,
}

/// What was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Larger by one than that of the line before, over the whole account.
    pub sequence: i64,
    /// What.
    pub line: NewAuditEntry,
}

macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT organization, sequence, at_us, principal, action, thing, details, credential, login, address, was,
                    previous, hash FROM audit WHERE ",
            $rest
        )
    };
}
pub(crate) use entries;

const PAGE: &str =
    entries!("organization = $1 AND sequence < $2 ORDER BY organization DESC, sequence DESC LIMIT $3");
const ACCOUNT_PAGE: &str = entries!("sequence < $1 ORDER BY sequence DESC LIMIT $2");

/// The counter of [`OrganizationId::AUDIT`] is locked by then, so what is the last line stays the last one.
const INSERT: &str = "
    INSERT INTO audit (organization, sequence, at_us, principal, action, thing, details, credential, login, address,
                       was, previous, hash)
    VALUES ($1, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit), $2, $3, $4, $5, $6, $7, $8, $9, $10,
            COALESCE((SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1), $11),
            audit_link(COALESCE((SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1), $11),
                       (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit), $12))";

impl NewAuditEntry {
    /// A line about something that concerns the account and was nothing before.
    pub fn new(
        by: Attribution,
        action: &str,
        thing: impl ToString,
        details: Json,
        at: Micros,
    ) -> NewAuditEntry {
        let (action, thing) = (action.to_owned(), thing.to_string());
        NewAuditEntry { at, organization: None, by, action, thing, was: None, details }
    }

    /// The same in an organization.
    #[must_use]
    pub fn with_organization(mut self, organization: Option<OrganizationId>) -> NewAuditEntry {
        self.organization = organization;
        self
    }

    /// Whose rights it may be about: what it was done to, the owner of that, and the keys that were revoked with it.
    pub(crate) fn concerns(&self) -> impl Iterator<Item = Topic> {
        let owner = self.details.get("of").and_then(Json::as_str);
        let revoked = self.details.get("revoked").and_then(Json::as_array);
        let revoked = revoked.into_iter().flatten().filter_map(Json::as_str);
        let ids = [Some(self.thing.as_str()), owner].into_iter().flatten().chain(revoked);
        ids.filter_map(|id| Uuid::try_parse(id).ok()).map(Topic::Access).collect::<Vec<_>>().into_iter()
    }

    /// The same with what was before.
    #[must_use]
    pub fn with_previous(mut self, was: Json) -> NewAuditEntry {
        self.was = Some(was);
        self
    }
}

/// A batch with a line of the audit log at its end.
pub(crate) fn batch_with_entry<const N: usize>(
    locks: [OrganizationId; N],
    statements: Vec<Statement>,
    line: &NewAuditEntry,
) -> Result<Batch> {
    batch_with_entries(locks, statements, &[line])
}

/// The like with several lines, one after another.
pub(crate) fn batch_with_entries<const N: usize>(
    locks: [OrganizationId; N],
    mut statements: Vec<Statement>,
    lines: &[&NewAuditEntry],
) -> Result<Batch> {
    for line in lines {
        statements.push(insert_entry(line)?);
    }
    let mut batch = batch(locks, statements);
    batch.locks.insert(OrganizationId::AUDIT.0);
    batch.topics.extend(lines.iter().flat_map(|line| line.concerns()));
    Ok(batch)
}

/// The statement that adds a line. Its batch must lock [`OrganizationId::AUDIT`].
pub(crate) fn insert_entry(line: &NewAuditEntry) -> Result<Statement> {
    let Attribution { principal, credential, login, address, .. } = line.by;
    let organization = line.organization.unwrap_or(OrganizationId::ACCOUNT);
    let (details, was) = (to_json(&line.details)?, line.was.as_ref().map(to_json).transpose()?);
    let (login, address) = (login.map(SessionId::uuid), address.map(|address| address.to_string()));
    let mut values = values![
        organization,
        line.at,
        principal,
        line.action.as_str(),
        line.thing.as_str(),
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
    /// Notes what was done, where it is not the store that it is done in: everything else is noted with what it does.
    pub async fn record_audit_entry(&self, _: &System, line: &NewAuditEntry) -> Result<()> {
        self.apply(batch_with_entry([], Vec::new(), line)?, |_| Error::Stale).await
    }

    /// What was done in the organization before a line, the newest first.
    pub async fn list_audit_entries(
        &self,
        granted: &Granted<ViewAudit>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<AuditEntry>> {
        let values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        page(&self.read(granted, PAGE, values).await?, limit)
    }

    /// What was done in the account and in all organizations before a line, the newest first.
    pub async fn list_account_audit_entries(
        &self,
        granted: &GrantedAccount<ViewAudit>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<AuditEntry>> {
        let values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        let [rows] =
            self.read_account(granted, vec![(ACCOUNT_PAGE, values)]).await?.try_into().unwrap_or_default();
        page(&rows, limit)
    }
}

fn page(rows: &[Row], limit: u32) -> Result<Page<AuditEntry>> {
    let items = rows.iter().take(limit as usize).map(read_entry).collect::<Result<_>>()?;
    Ok(Page { items, more: rows.len() > limit as usize })
}

/// A line out of its columns.
pub(crate) fn read_entry(row: &Row) -> Result<AuditEntry> {
    let organization = OrganizationId(row.id(0)?);
    let was = row.maybe_text(10)?.map(|_| parse_json(row, 10)).transpose()?;
    Ok(AuditEntry {
        sequence: row.int(1)?,
        line: NewAuditEntry {
            organization: (organization != OrganizationId::ACCOUNT).then_some(organization),
            at: Micros(row.int(2)?),
            by: Attribution {
                principal: row.maybe_id(3)?.map(PrincipalId),
                credential: row.maybe_id(7)?.map(CredentialId),
                login: row.maybe_id(8)?.and_then(SessionId::from_uuid),
                address: row.maybe_text(9)?.and_then(|address| address.parse().ok()),
                attempt: None,
            },
            action: row.text(4)?,
            thing: row.text(5)?,
            was,
            details: parse_json(row, 6)?,
        },
    })
}
