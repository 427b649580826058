//! The changes that follow the restore of a backup.

use crate::access::System;
use crate::access::lane::Scan;
use crate::audit::attribution::Attribution;
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, Statement};
use crate::logins::sessions::{NONE, OF_EVERYBODY, end_statements};
use crate::rows::{any_rows, values};
use crate::{Error, Result, Store};
use domain::session::{EndReason, Ending};
use domain::time::Micros;
use serde_json::json;
use uuid::Uuid;

/// Number of credentials that a restore revoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreRevocations {
    /// Login sessions.
    pub logins: i64,
    /// API keys, including those of hosts and workers.
    pub keys: i64,
}

/// The statements that run on restored data before anyone uses it. Login sessions end, because nobody knows which
/// were ended after the backup. The same holds for keys, unless `keep_keys` is set.
///
/// # Errors
/// [`Error::Database`] when the audit entry cannot be written as JSON.
pub fn statements(backup_time: Micros, keep_keys: bool, now: Micros) -> Result<Vec<Statement>> {
    let evidence = "a backup was restored".to_owned();
    let ending = Ending { reason: EndReason::Revoked, actor: None, evidence };
    let mut statements = end_statements(&OF_EVERYBODY, Uuid::nil(), NONE, &ending, now).to_vec();
    if !keep_keys {
        let sql = "UPDATE credentials SET revoked_us = $1, recoverable = NULL WHERE revoked_us IS NULL";
        statements.push(any_rows(sql, values![now]));
    }
    for sql in [
        "DELETE FROM one_time_tokens",
        "DELETE FROM idempotency",
        "DELETE FROM signing_keys",
        // No server has a connected host.
        "DELETE FROM links",
    ] {
        statements.push(any_rows(sql, values![]));
    }
    let details = json!({ "made_us": backup_time.0, "keys_kept": keep_keys });
    let entry = NewAuditEntry::new(Attribution::TENURE, "backup.restore", "", details, now);
    Ok(batch_with_entry([], statements, &entry)?.statements)
}

impl Store {
    /// Counts the credentials that a restore at `now` revoked.
    pub async fn count_restore_revocations(
        &self,
        system: &System,
        now: Micros,
    ) -> Result<RestoreRevocations> {
        let logins = "SELECT COUNT(*) FROM sessions WHERE kind = 'login' AND ended_us = $1";
        let keys = "SELECT COUNT(*) FROM credentials WHERE revoked_us = $1";
        let count = async |sql| {
            let rows = self.read_unscoped(system, Scan(sql), values![now]).await?;
            Ok::<_, Error>(rows.read_one(Columns::int)?)
        };
        Ok(RestoreRevocations { logins: count(logins).await?, keys: count(keys).await? })
    }
}
