//! Reads, each within what its proof opens.

use crate::access::lane::Reads;
use crate::access::{Granted, GrantedAccount, PermissionType, System};
use crate::database::{Row, Statement, Value};
use crate::rows::any;
use crate::{Result, Store};
use domain::ids::OrganizationId;

impl Store {
    /// Reads in one organization. The organization is always `$1`, and a statement that does not use it is refused:
    /// it would show everybody's rows.
    pub(crate) async fn within<P: PermissionType, S: Reads>(
        &self,
        granted: &Granted<P>,
        sql: S,
        values: Vec<Value>,
    ) -> Result<Vec<Row>> {
        self.ask_one::<S>(granted.by.asker(granted.organization()), scoped(granted, sql.sql(), values)).await
    }

    /// Reads several statements in one organization, which see the same moment.
    pub(crate) async fn within_snapshot<P: PermissionType, S: Reads>(
        &self,
        granted: &Granted<P>,
        statements: Vec<(S, Vec<Value>)>,
    ) -> Result<Vec<Vec<Row>>> {
        let statements = statements.into_iter().map(|(sql, values)| scoped(granted, sql.sql(), values));
        self.ask::<S>(granted.by.asker(granted.organization()), statements.collect()).await
    }

    /// Reads in all organizations and in one snapshot, for somebody who has the right in the whole account.
    pub(crate) async fn across<P: PermissionType, S: Reads>(
        &self,
        granted: &GrantedAccount<P>,
        statements: Vec<(S, Vec<Value>)>,
    ) -> Result<Vec<Vec<Row>>> {
        let statements = statements.into_iter().map(|(sql, values)| any(sql.sql(), values));
        self.ask::<S>(granted.by.asker(OrganizationId::ACCOUNT), statements.collect()).await
    }

    /// Reads across organizations.
    pub(crate) async fn everywhere<S: Reads>(
        &self,
        system: &System,
        sql: S,
        values: Vec<Value>,
    ) -> Result<Vec<Row>> {
        self.ask_one::<S>(system.asker(), any(sql.sql(), values)).await
    }
}

fn scoped<P: PermissionType>(granted: &Granted<P>, sql: &'static str, values: Vec<Value>) -> Statement {
    assert!(uses_organization(sql), "a scoped statement must use $1: {sql}");
    let mut bound = Vec::with_capacity(values.len() + 1);
    bound.push(Value::from(granted.organization()));
    bound.extend(values);
    any(sql, bound)
}

/// Whether `$1` stands in a statement (and not only `$10`).
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
