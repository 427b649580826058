//! The audit log: what administrators and people who sign in did.

use crate::app::App;
use crate::failure::Failure;
use domain::page::Page;
use store::access::ViewAudit;
pub use store::{AuditEntry, NewAuditEntry};
use store::{Granted, GrantedAccount, System};

/// Notes what is done outside of the store, or not done at all: a sign-in that failed. Everything else is noted by the
/// store in the batch that does it. When it cannot be noted, that is logged, and the caller is not told that it failed.
pub async fn record_audit_entry(app: &App, line: NewAuditEntry) {
    if let Err(error) = app.store.record_audit_entry(&System::background_jobs(), &line).await {
        tracing::error!(%error, action = line.action, "a line of the audit log is lost");
    }
}

/// What was done in an organization before a line, newest first.
///
/// # Errors
/// Only those of the store.
pub async fn list_audit_entries(
    app: &App,
    granted: &Granted<ViewAudit>,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditEntry>, Failure> {
    Ok(app.store.list_audit_entries(granted, before, limit).await?)
}

/// The like for the whole account.
///
/// # Errors
/// Only those of the store.
pub async fn list_account_audit_entries(
    app: &App,
    granted: &GrantedAccount<ViewAudit>,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditEntry>, Failure> {
    Ok(app.store.list_account_audit_entries(granted, before, limit).await?)
}
