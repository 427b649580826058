//! The audit log: what administrators did.

use crate::failure::Failure;
use crate::state::App;
use domain::ids::{OrganizationId, PrincipalId};
use domain::page::Page;
use serde_json::Value;
use store::access::ViewAudit;
pub use store::{AuditLine, NewAuditLine};
use store::{Granted, GrantedAccount, System};

/// Notes what was done. It is done already: when it cannot be noted, that is logged, and the caller is not told
/// that it failed.
pub async fn note(
    app: &App,
    organization: Option<OrganizationId>,
    principal: Option<PrincipalId>,
    action: &str,
    thing: impl ToString,
    details: Value,
) {
    let (action, thing) = (action.to_owned(), thing.to_string());
    let line = NewAuditLine { at: app.now(), organization, principal, action, thing, details };
    if let Err(error) = app.store.audit_note(&System::for_jobs(), &line).await {
        tracing::error!(%error, action = line.action, "a line of the audit log is lost");
    }
}

/// What was done in an organization before a line, newest first.
///
/// # Errors
/// Only those of the store.
pub async fn list(
    app: &App,
    granted: &Granted<ViewAudit>,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditLine>, Failure> {
    Ok(app.store.audit_lines(granted, before, limit).await?)
}

/// The like for the whole account.
///
/// # Errors
/// Only those of the store.
pub async fn list_account(
    app: &App,
    granted: &GrantedAccount<ViewAudit>,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditLine>, Failure> {
    Ok(app.store.audit_lines_account(granted, before, limit).await?)
}
