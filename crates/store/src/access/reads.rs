//! Reads, each limited by its grant.

use crate::access::lane::{ReadStatement, Scan};
use crate::access::{Granted, GrantedAccount, GrantedPerson, PermissionType, System};
use crate::audit::attribution::Grant;
use crate::database::{DatabaseError, Rows, Statement, Value};
use crate::rows::any_rows;
use crate::{Result, Store};
use domain::ids::OrganizationId;

/// A grant whose statements are limited to one organization or one person, which is always `$1`.
pub(crate) trait Scope: Grant {
    /// The value of `$1`.
    fn scope(&self) -> Value;

    /// The organization that the bounds of scans count for.
    fn scan_organization(&self) -> OrganizationId;

    /// A statement in the scope: `values` are those of `$2`, `$3`, …
    ///
    /// # Panics
    /// When the statement does not use `$1`: it would apply to the rows of all organizations or people.
    fn any_rows(&self, sql: &'static str, values: Vec<Value>) -> Statement {
        assert!(uses_scope(sql), "a scoped statement must use $1: {sql}");
        any_rows(sql, [self.scope()].into_iter().chain(values).collect())
    }

    /// A statement in the scope that must change exactly one row; see [`Scope::any_rows`].
    ///
    /// # Panics
    /// When the statement does not use `$1`.
    fn one_row(&self, sql: &'static str, values: Vec<Value>) -> Statement {
        Statement { exactly_one: true, ..self.any_rows(sql, values) }
    }
}

impl<P: PermissionType> Scope for Granted<P> {
    fn scope(&self) -> Value {
        self.organization().into()
    }

    fn scan_organization(&self) -> OrganizationId {
        self.organization()
    }
}

impl Scope for GrantedPerson {
    fn scope(&self) -> Value {
        self.person().into()
    }

    fn scan_organization(&self) -> OrganizationId {
        OrganizationId::PEOPLE
    }
}

impl Store {
    /// Reads in the scope of a grant; see [`Scope::any_rows`].
    pub(crate) async fn read<S: ReadStatement>(
        &self,
        granted: &impl Scope,
        sql: S,
        values: Vec<Value>,
    ) -> Result<Rows> {
        let caller = granted.attribution().scan_caller(granted.scan_organization());
        self.read_one::<S>(caller, granted.any_rows(sql.sql(), values)).await
    }

    /// Reads several statements in the scope of a grant and in one snapshot.
    pub(crate) async fn read_snapshot<S: ReadStatement, const N: usize>(
        &self,
        granted: &impl Scope,
        statements: [(S, Vec<Value>); N],
    ) -> Result<[Rows; N]> {
        let caller = granted.attribution().scan_caller(granted.scan_organization());
        let statements = statements.map(|(sql, values)| granted.any_rows(sql.sql(), values));
        self.read_in_lane::<S, N>(caller, statements).await
    }

    /// Reads scans one after the other; see [`Database::scan_each`]. `next` takes the rows of a scan and returns the one that
    /// follows.
    ///
    /// [`Database::scan_each`]: crate::database::Database::scan_each
    pub(crate) async fn read_scans<T: Default + Send>(
        &self,
        granted: &(impl Scope + Sync),
        (first, values): (Scan, Vec<Value>),
        next: impl Fn(&mut T, Scan, Rows) -> Result<Option<(Scan, Vec<Value>)>, DatabaseError> + Sync,
    ) -> Result<T> {
        #[cfg(feature = "testing")]
        crate::testing::READS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let caller = granted.attribution().scan_caller(granted.scan_organization());
        let next = |all: &mut T, sql, rows| {
            let next = next(all, Scan(sql), rows)?;
            Ok(next.map(|(Scan(sql), values)| granted.any_rows(sql, values)))
        };
        Ok(self.database.scan_each(caller, granted.any_rows(first.sql(), values), next).await?)
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

/// Whether a statement has `$1` (and not only `$10`).
fn uses_scope(sql: &str) -> bool {
    sql.match_indices("$1").any(|(at, _)| !sql[at + 2..].starts_with(|next: char| next.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::uses_scope;

    #[test]
    fn a_scoped_statement_uses_its_scope() {
        for (sql, expected) in [
            ("SELECT 1 FROM t WHERE organization = $1", true),
            ("SELECT 1 FROM t WHERE organization = $1 AND x = $10", true),
            ("SELECT 1 FROM t WHERE x = $10", false),
            ("SELECT 1 FROM t", false),
        ] {
            assert_eq!(uses_scope(sql), expected, "{sql}");
        }
    }
}
