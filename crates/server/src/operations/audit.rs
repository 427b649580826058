//! The audit log: what administrators did, and sign-ins.

use crate::app::App;
use crate::failure::Failure;
use domain::page::Page;
use store::access::ViewAudit;
pub use store::{AuditEntry, NewAuditEntry};
use store::{Granted, GrantedAccount, System};

/// Records an action that changes no row of the store, such as a failed sign-in. The store records every other action
/// in the batch that writes it. When recording fails, the error is logged and the caller does not learn of it.
pub async fn record_audit_entry(app: &App, entry: NewAuditEntry) {
    if let Err(error) = app.store.record_audit_entry(&System::for_background_jobs(), &entry).await {
        tracing::error!(%error, action = entry.action, "an audit entry is lost");
    }
}

/// Lists the audit entries of an organization before a position, newest first.
pub async fn list_audit_entries(
    app: &App,
    granted: &Granted<ViewAudit>,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditEntry>, Failure> {
    Ok(app.store.list_audit_entries(granted, before, limit).await?)
}

/// Lists the audit entries of the whole account before a position, newest first.
pub async fn list_account_audit_entries(
    app: &App,
    granted: &GrantedAccount<ViewAudit>,
    before: Option<i64>,
    limit: u32,
) -> Result<Page<AuditEntry>, Failure> {
    Ok(app.store.list_account_audit_entries(granted, before, limit).await?)
}
