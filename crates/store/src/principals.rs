//! Users and service users.

use crate::access::{Caller, System};
use crate::credentials::principal_kind;
use crate::database::Row;
use crate::rows::{any, batch, one, values, word};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalState};
use domain::refusal::Thing;
use domain::time::Micros;

/// What [`principal`] reads of those that are meant.
macro_rules! principals {
    ($which:literal) => {
        concat!(
            "SELECT id, number, kind, email, name, state, created_us, account_role, default_organization
             FROM principals ",
            $which
        )
    };
}

impl Store {
    /// Keeps a new user or service user and makes it a member where one is given. Gives its number.
    ///
    /// # Errors
    /// [`Refusal::Exists`] for an address that is known; [`Refusal::NotFound`] for an organization that is not.
    pub async fn create_principal(
        &self,
        system: &System,
        new: &Principal,
        password_hash: Option<&str>,
        member: Option<(OrganizationId, Role)>,
    ) -> Result<i64> {
        if let Some(email) = &new.email {
            let taken =
                self.principals(system).await?.iter().any(|known| known.email.as_ref() == Some(email));
            if taken {
                return Err(Refusal::Exists(format!("a user with the address {email}")).into());
            }
        }
        let mut statements = vec![insert(new, password_hash)];
        if let Some((organization, role)) = member {
            statements.push(one(
                "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
                values![organization],
            ));
            statements.push(any(
                "INSERT INTO members (organization, principal, role, created_us) VALUES ($1, $2, $3, $4)",
                values![organization, new.id, role.name(), new.created],
            ));
        }
        // The pool's row is locked so that two administrators cannot take the same number.
        let batch = batch([OrganizationId::ACCOUNT], statements);
        self.apply(batch, |_| Refusal::NotFound(Thing::Organization).into()).await.map_err(|error| {
            match error {
                Error::Stale => Refusal::Exists("a user with this address".to_owned()).into(),
                error => error,
            }
        })?;
        let sql = "SELECT number FROM principals WHERE id = $1";
        let rows = self.everywhere(system, sql, values![new.id]).await?;
        rows.first().map_or(Ok(0), |row| Ok(row.int(0)?))
    }

    /// All of them, also deleted ones, the oldest first.
    pub async fn principals(&self, system: &System) -> Result<Vec<Principal>> {
        let sql = principals!("ORDER BY number");
        self.everywhere(system, sql, values![]).await?.iter().map(principal).collect()
    }

    /// Who a caller is.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it is no more.
    pub async fn principal_of(&self, caller: &Caller) -> Result<Principal> {
        let sql = principals!("WHERE id = $1 AND state <> 'deleted'");
        let rows = self.everywhere(&System::for_secrets(), sql, values![caller.principal()]).await?;
        rows.first().map(principal).unwrap_or(Err(Error::Unauthenticated))
    }

    /// Suspends, deletes or restores a principal; deleted is final, and frees the address. What it still holds is
    /// released by the server's next sweep, and its keys are refused from now on.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it was deleted before.
    pub async fn set_principal_state(
        &self,
        _: &System,
        id: PrincipalId,
        state: PrincipalState,
    ) -> Result<()> {
        let sql = "UPDATE principals SET state = $2,
                       email = CASE WHEN $2 = 'deleted' THEN NULL ELSE email END,
                       password_hash = CASE WHEN $2 = 'deleted' THEN NULL ELSE password_hash END
                   WHERE id = $1 AND state <> 'deleted'";
        let statement = one(sql, values![id, state.name()]);
        self.apply(batch([], vec![statement]), |_| Refusal::NotFound(Thing::Principal).into()).await
    }
}

fn insert(new: &Principal, password_hash: Option<&str>) -> crate::database::Statement {
    one(
        "INSERT INTO principals
             (id, number, kind, email, name, password_hash, state, created_us, account_role, default_organization)
         VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM principals), $2, $3, $4, $5, $6, $7, $8, $9)",
        values![
            new.id,
            new.kind.name(),
            new.email.as_deref(),
            new.name.as_str(),
            password_hash,
            new.state.name(),
            new.created,
            new.account_role.map(AccountRole::name),
            new.default_organization
        ],
    )
}

pub(crate) fn principal(row: &Row) -> Result<Principal> {
    Ok(Principal {
        id: PrincipalId(row.id(0)?),
        number: row.int(1)?,
        kind: word(&row.text(2)?, principal_kind)?,
        email: row.maybe_text(3)?,
        name: row.text(4)?,
        state: word(&row.text(5)?, PrincipalState::parse)?,
        created: Micros(row.int(6)?),
        account_role: row.maybe_text(7)?.map(|name| word(&name, AccountRole::parse)).transpose()?,
        default_organization: row.maybe_id(8)?.map(OrganizationId),
    })
}
