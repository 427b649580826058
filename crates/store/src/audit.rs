//! What administrators did.

use crate::access::{Granted, GrantedAccount, System, ViewAudit};
use crate::database::Row;
use crate::rows::{batch, from_json, json, one, values};
use crate::{Error, Result, Store};
use domain::ids::{OrganizationId, PrincipalId};
use domain::page::Page;
use domain::time::Micros;
use serde_json::Value as Json;

/// What is to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditLine {
    /// When.
    pub at: Micros,
    /// In which organization; none for what concerns the account.
    pub organization: Option<OrganizationId>,
    /// Who; nobody when it was done at the machine.
    pub principal: Option<PrincipalId>,
    /// What was done: `organization.create`.
    pub action: String,
    /// To what.
    pub thing: String,
    /// More of it; never a secret.
    pub details: Json,
}

/// What was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// Larger than that of every line before, over the whole account.
    pub sequence: i64,
    /// What.
    pub line: NewAuditLine,
}

const PAGE: &str = "
    SELECT organization, sequence, at_us, principal, action, thing, details FROM audit
    WHERE organization = $1 AND sequence < $2 ORDER BY organization DESC, sequence DESC LIMIT $3";

const ACCOUNT_PAGE: &str = "
    SELECT organization, sequence, at_us, principal, action, thing, details FROM audit
    WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2";

impl Store {
    /// Notes what was done.
    pub async fn audit_note(&self, _: &System, line: &NewAuditLine) -> Result<()> {
        let organization = line.organization.unwrap_or(OrganizationId::ACCOUNT);
        let insert = one(
            "INSERT INTO audit (organization, sequence, at_us, principal, action, thing, details)
             VALUES ($1, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit), $2, $3, $4, $5, $6)",
            values![
                organization,
                line.at,
                line.principal,
                line.action.as_str(),
                line.thing.as_str(),
                json(&line.details)?
            ],
        );
        // The account's row is locked, so that two servers do not take the same number.
        self.apply(batch([OrganizationId::ACCOUNT], vec![insert]), |_| Error::Stale).await
    }

    /// What was done in the organization before a line, the newest first.
    pub async fn audit_lines(
        &self,
        granted: &Granted<ViewAudit>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<AuditLine>> {
        let values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        page(&self.within(granted, PAGE, values).await?, limit)
    }

    /// What was done in the account and in all organizations before a line, the newest first.
    pub async fn audit_lines_account(
        &self,
        granted: &GrantedAccount<ViewAudit>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<AuditLine>> {
        let values = values![before.unwrap_or(i64::MAX), i64::from(limit) + 1];
        let [rows] = self.across(granted, vec![(ACCOUNT_PAGE, values)]).await?.try_into().unwrap_or_default();
        page(&rows, limit)
    }
}

fn page(rows: &[Row], limit: u32) -> Result<Page<AuditLine>> {
    let items = rows.iter().take(limit as usize).map(line).collect::<Result<_>>()?;
    Ok(Page { items, more: rows.len() > limit as usize })
}

fn line(row: &Row) -> Result<AuditLine> {
    let organization = OrganizationId(row.id(0)?);
    Ok(AuditLine {
        sequence: row.int(1)?,
        line: NewAuditLine {
            organization: (organization != OrganizationId::ACCOUNT).then_some(organization),
            at: Micros(row.int(2)?),
            principal: row.maybe_id(3)?.map(PrincipalId),
            action: row.text(4)?,
            thing: row.text(5)?,
            details: from_json(row, 6)?,
        },
    })
}
