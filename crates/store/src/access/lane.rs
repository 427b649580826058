//! The lane of a statement that reads. Its type says which, where the statement is written.

use crate::access::System;
use crate::audit::attribution::Attribution;
#[cfg(feature = "testing")]
use crate::database::Database;
use crate::database::{Rows, ScanCaller, Statement};
use crate::{Result, Store};
use domain::ids::OrganizationId;

/// A statement that reads. A plain text finds a bounded number of rows by a key; [`Scan`] is for all others.
pub(crate) trait ReadStatement: Copy + Send + Sync {
    /// Whether it may take long.
    const SCANS: bool;

    /// The SQL text.
    fn sql(self) -> &'static str;
}

/// A statement that counts, searches, walks a table, or reads all rows of an organization. It uses the lane of scans.
/// In test builds, SQLite refuses a statement that walks a table and is no `Scan`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan(pub(crate) &'static str);

impl ReadStatement for &'static str {
    const SCANS: bool = false;

    fn sql(self) -> &'static str {
        self
    }
}

impl ReadStatement for Scan {
    const SCANS: bool = true;

    fn sql(self) -> &'static str {
        self.0
    }
}

impl Attribution {
    /// The caller that the bounds of scans count for.
    pub(crate) fn scan_caller(self, organization: OrganizationId) -> ScanCaller {
        match self.principal {
            Some(principal) => ScanCaller::Caller { principal: principal.0, organization: organization.0 },
            None => ScanCaller::Tenure,
        }
    }
}

impl System {
    /// The caller that the bounds of scans count for: an administrator, or Tenure itself.
    pub(crate) fn scan_caller(&self) -> ScanCaller {
        self.0.scan_caller(OrganizationId::ACCOUNT)
    }
}

impl Store {
    /// Reads statements in their lane and in one snapshot: the rows of each.
    pub(crate) async fn read_in_lane<S: ReadStatement, const N: usize>(
        &self,
        caller: ScanCaller,
        statements: [Statement; N],
    ) -> Result<[Rows; N]> {
        #[cfg(feature = "testing")]
        crate::testing::READS.fetch_add(N as u64, std::sync::atomic::Ordering::Relaxed);
        if S::SCANS {
            return Ok(self.database.scan(caller, statements).await?);
        }
        #[cfg(feature = "testing")]
        for statement in &statements {
            check_plan(&self.database, statement).await;
        }
        Ok(self.database.read_all(statements).await?)
    }

    /// Reads one statement in its lane.
    pub(crate) async fn read_one<S: ReadStatement>(
        &self,
        caller: ScanCaller,
        statement: Statement,
    ) -> Result<Rows> {
        let [rows] = self.read_in_lane::<S, 1>(caller, [statement]).await?;
        Ok(rows)
    }
}

/// Refuses a statement in the lane of keys that walks a whole table, so that no test passes with one.
///
/// # Panics
/// When the statement walks a table.
#[cfg(feature = "testing")]
async fn check_plan(database: &Database, statement: &Statement) {
    use std::collections::HashSet;
    use std::sync::{Mutex, PoisonError};
    static CHECKED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let is_new =
        CHECKED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(statement.sql);
    if database.kind() != "sqlite" || !is_new {
        return;
    }
    let sql = crate::testing::intern_sql(format!("EXPLAIN QUERY PLAN {}", statement.sql));
    let Ok(plan) = database.read(sql, statement.values.clone()).await else { return };
    let lines = plan.read_all(crate::testing::read_plan_line).unwrap_or_default();
    assert!(
        !walks(&lines),
        "this statement walks a table, so it must be a `Scan`: {} {lines:#?}",
        statement.sql
    );
}

/// Whether a plan of SQLite walks a table. Results of other parts of the statement do not count.
#[cfg(feature = "testing")]
fn walks(plan: &[String]) -> bool {
    let is_derived = |name: &str| {
        name.starts_with('(')
            || plan.iter().any(|line| {
                ["CO-ROUTINE ", "MATERIALIZE "].iter().any(|prefix| line.strip_prefix(prefix) == Some(name))
            })
    };
    let mut before = "";
    plan.iter().any(|line| {
        // A recursive step begins with the rows that the last step found.
        let recursive = std::mem::replace(&mut before, line) == "RECURSIVE STEP";
        let Some(scanned) = line.strip_prefix("SCAN ") else { return false };
        let name = scanned.split(" USING ").next().unwrap_or(scanned);
        !(recursive || is_derived(name) || scanned.contains("VIRTUAL TABLE") || scanned == "CONSTANT ROW")
    })
}
