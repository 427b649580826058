//! Reads, each limited by its grant.

use crate::access::lane::ReadStatement;
use crate::access::{Granted, GrantedAccount, PermissionType, System};
use crate::database::{Rows, Statement, Value};
use crate::rows::any_rows;
use crate::{Result, Store};
use domain::ids::OrganizationId;

impl Store {
    /// Reads in one organization, which is always `$1`. A statement that does not use `$1` is refused, because it
    /// would read the rows of all organizations.
    pub(crate) async fn read<P: PermissionType, S: ReadStatement>(
        &self,
        granted: &Granted<P>,
        sql: S,
        values: Vec<Value>,
    ) -> Result<Rows> {
        self.read_one::<S>(
            granted.by.scan_caller(granted.organization()),
            scope_statement(granted, sql.sql(), values),
        )
        .await
    }

    /// Reads several statements in one organization and in one snapshot.
    pub(crate) async fn read_snapshot<P: PermissionType, S: ReadStatement, const N: usize>(
        &self,
        granted: &Granted<P>,
        statements: [(S, Vec<Value>); N],
    ) -> Result<[Rows; N]> {
        let statements = statements.map(|(sql, values)| scope_statement(granted, sql.sql(), values));
        self.read_in_lane::<S, N>(granted.by.scan_caller(granted.organization()), statements).await
    }

    /// Reads in all organizations and in one snapshot, for a caller with a permission in the whole account.
    pub(crate) async fn read_account<P: PermissionType, S: ReadStatement, const N: usize>(
        &self,
        granted: &GrantedAccount<P>,
        statements: [(S, Vec<Value>); N],
    ) -> Result<[Rows; N]> {
        let statements = statements.map(|(sql, values)| any_rows(sql.sql(), values));
        self.read_in_lane::<S, N>(granted.by.scan_caller(OrganizationId::ACCOUNT), statements).await
    }

    /// Reads without a scope.
    pub(crate) async fn read_unscoped<S: ReadStatement>(
        &self,
        system: &System,
        sql: S,
        values: Vec<Value>,
    ) -> Result<Rows> {
        self.read_one::<S>(system.scan_caller(), any_rows(sql.sql(), values)).await
    }
}

fn scope_statement<P: PermissionType>(
    granted: &Granted<P>,
    sql: &'static str,
    values: Vec<Value>,
) -> Statement {
    assert!(uses_organization(sql), "a scoped statement must use $1: {sql}");
    let mut bound = Vec::with_capacity(values.len() + 1);
    bound.push(Value::from(granted.organization()));
    bound.extend(values);
    any_rows(sql, bound)
}

/// Whether a statement has `$1` (and not only `$10`).
fn uses_organization(sql: &str) -> bool {
    sql.match_indices("$1").any(|(at, _)| !sql[at + 2..].starts_with(|next: char| next.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::uses_organization;

    #[test]
    fn a_scoped_statement_uses_the_organization() {
        for (sql, expected) in [
            ("SELECT 1 FROM t WHERE organization = $1", true),
            ("SELECT 1 FROM t WHERE organization = $1 AND x = $10", true),
            ("SELECT 1 FROM t WHERE x = $10", false),
            ("SELECT 1 FROM t", false),
        ] {
            assert_eq!(uses_organization(sql), expected, "{sql}");
        }
    }
}
