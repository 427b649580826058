//! Users and service users.

use crate::access::credentials::{key_created_entry, key_statements, parse_principal_kind};
use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::{Caller, System};
use crate::audit::log::{NewAuditEntry, batch_with_entries, batch_with_entry};
use crate::database::{Columns, DatabaseError, Statement};
use crate::logins::sessions::end_all_statements;
use crate::rows::{any_rows, one_row, values};
use crate::{ATTEMPTS, Error, Result, Store};
use domain::Refusal;
use domain::credential::{Credential, SecretHash};
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{AccountRole, Role};
use domain::principal::{Principal, PrincipalKind, PrincipalState};
use domain::refusal::Thing;
use domain::session::{EndReason, Ending};
use domain::time::Micros;
use serde_json::{Value as Json, json};

/// The columns of a principal; see [`read_principal`].
macro_rules! principal_columns {
    () => {
        "p.id, p.number, p.kind, COALESCE(p.email, p.wanted_email), p.name, p.state, p.created_us, p.account_role, p.default_organization"
    };
}
pub(crate) use principal_columns;

const ALL: &str = concat!("SELECT ", principal_columns!(), " FROM principals p ORDER BY p.number");
const LIVING: &str =
    concat!("SELECT ", principal_columns!(), " FROM principals p WHERE p.id = $1 AND p.state <> 'deleted'");

/// A principal to create.
pub(crate) struct NewPrincipal<'a> {
    /// The principal.
    pub principal: &'a Principal,
    /// The hash of their password, if they have one.
    pub password_hash: Option<&'a str>,
    /// The organization that they become a member of, and their role.
    pub member: Option<(OrganizationId, Role)>,
    /// Whether another user has the address. Then the new user only shows it.
    pub address_taken: bool,
}

impl Store {
    /// Creates a user or service user, and makes it a member if `member` is given. That organization is then a
    /// service user's home. Returns the number.
    ///
    /// # Errors
    /// [`Refusal::Exists`] for an address that is taken; [`Refusal::NotFound`] when there is no such organization.
    pub async fn create_principal(
        &self,
        system: &System,
        new: &Principal,
        password_hash: Option<&str>,
        member: Option<(OrganizationId, Role)>,
    ) -> Result<i64> {
        if let Some(email) = new.email.as_deref()
            && self.is_taken(email).await?
        {
            return Err(Refusal::Exists(format!("a user with the address {email}")).into());
        }
        let new = NewPrincipal { principal: new, password_hash, member, address_taken: false };
        self.insert_principal(system, &new, Vec::new(), None).await
    }

    /// Creates a service user and its first key in one batch. Returns the number.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such organization.
    pub async fn create_service_user(
        &self,
        system: &System,
        new: &Principal,
        member: Option<(OrganizationId, Role)>,
        key: &Credential,
        hash: &SecretHash,
    ) -> Result<i64> {
        let entry = key_created_entry(system.0, key, None);
        let new = NewPrincipal { principal: new, password_hash: None, member, address_taken: false };
        self.insert_principal(system, &new, key_statements(key, hash, system.0), Some(&entry)).await
    }

    /// Whether a user has an address. The address must be normalized.
    pub(crate) async fn is_taken(&self, email: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM principals WHERE email = $1";
        Ok(!self.read_unscoped(&System::for_granted_reads(), sql, values![email]).await?.is_empty())
    }

    /// Creates a principal with further statements in the same batch, and a further audit entry.
    pub(crate) async fn insert_principal(
        &self,
        system: &System,
        row: &NewPrincipal<'_>,
        further_statements: Vec<Statement>,
        further_entry: Option<&NewAuditEntry>,
    ) -> Result<i64> {
        let NewPrincipal { principal: new, member, .. } = *row;
        let mut statements = vec![insert(row)];
        if let Some((organization, role)) = member {
            statements.push(one_row(
                "UPDATE organizations SET name = name WHERE id = $1 AND deleted_us IS NULL",
                values![organization],
            ));
            statements.push(any_rows(
                "INSERT INTO members (organization, principal, role, created_us) VALUES ($1, $2, $3, $4)",
                values![organization, new.id, role.name(), new.created],
            ));
        }
        statements.extend(further_statements);
        statements.extend(record_creation(system, new.id.0));
        let entry = NewAuditEntry::new(
            system.0,
            creation_action(new.kind),
            new.id,
            details(new, member),
            new.created,
        )
        .with_organization(member.map(|(organization, _)| organization));
        // The pool's row is locked, so that two administrators cannot get the same number.
        let entries = std::iter::once(&entry).chain(further_entry).collect::<Vec<_>>();
        let batch = batch_with_entries([OrganizationId::ACCOUNT], statements, &entries)?;
        self.apply(batch, |_| Refusal::NotFound(Thing::Organization).into()).await.map_err(|error| {
            match error {
                Error::Stale => Refusal::Exists("a user with this address".to_owned()).into(),
                error => error,
            }
        })?;
        let sql = "SELECT number FROM principals WHERE id = $1";
        let rows = self.read_unscoped(system, sql, values![new.id]).await?;
        Ok(rows.read_one(Columns::int)?)
    }

    /// All principals, deleted ones included, oldest first.
    pub async fn list_principals(&self, system: &System) -> Result<Vec<Principal>> {
        Ok(self.read_unscoped(system, Scan(ALL), values![]).await?.read_all(read_principal)?)
    }

    /// A principal that was not deleted.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_principal(&self, system: &System, id: PrincipalId) -> Result<Principal> {
        let rows = self.read_unscoped(system, LIVING, values![id]).await?;
        rows.read_first(read_principal)?.ok_or(Refusal::NotFound(Thing::Principal).into())
    }

    /// The principal of a caller.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it was deleted.
    pub async fn load_caller_principal(&self, caller: &Caller) -> Result<Principal> {
        let rows =
            self.read_unscoped(&System::for_granted_reads(), LIVING, values![caller.principal()]).await?;
        rows.read_first(read_principal)?.ok_or(Error::Unauthenticated)
    }

    /// Suspends, deletes or restores a principal. Deletion is final and frees the address. Keys are refused from now
    /// on and login sessions end. The next sweep releases the devices that the principal still holds.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it was deleted before; [`Error::Stale`] when others change the state all the
    /// time.
    pub async fn set_principal_state(
        &self,
        system: &System,
        id: PrincipalId,
        state: PrincipalState,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE principals SET state = $2, updated_us = $3,
                       email = CASE WHEN $2 = 'deleted' THEN NULL ELSE email END,
                       wanted_email = CASE WHEN $2 = 'deleted' THEN NULL ELSE wanted_email END,
                       password_hash = CASE WHEN $2 = 'deleted' THEN NULL ELSE password_hash END
                   WHERE id = $1 AND state = $4";
        for _ in 0..ATTEMPTS {
            let previous = self.load_principal(system, id).await?;
            let mut statements = vec![one_row(sql, values![id, state.name(), now, previous.state.name()])];
            if state != PrincipalState::Active {
                statements.extend(end_all_statements(
                    id,
                    None,
                    &owner_gone_ending(format!("its owner is {}", state.name())),
                    now,
                ));
            }
            if state == PrincipalState::Deleted {
                statements.push(any_rows("DELETE FROM identities WHERE principal = $1", values![id]));
                statements.push(any_rows("DELETE FROM views WHERE owner = $1", values![id]));
            }
            let details = json!({ "state": state.name() });
            let entry = NewAuditEntry::new(system.0, &state_action(previous.kind, state), id, details, now)
                .with_organization(
                    previous.default_organization.filter(|_| previous.kind == PrincipalKind::ServiceUser),
                )
                .with_previous(
                    json!({ "state": previous.state.name(), "name": previous.name, "email": previous.email }),
                );
            let batch = batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?;
            match self.apply(batch, |_| Error::Stale).await {
                // The principal was changed meanwhile.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }
}

/// The audit action of creating a principal.
fn creation_action(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "user.create",
        PrincipalKind::ServiceUser => "service_user.create",
    }
}

/// The audit action of setting a principal's state.
fn state_action(kind: PrincipalKind, state: PrincipalState) -> String {
    let verb = match state {
        PrincipalState::Deleted => "delete",
        PrincipalState::Suspended => "suspend",
        PrincipalState::Active | PrincipalState::Pending => "restore",
    };
    format!("{}.{verb}", kind.name())
}

fn details(new: &Principal, member: Option<(OrganizationId, Role)>) -> Json {
    let role = member.map(|(_, role)| role.name()).or(new.account_role.map(AccountRole::name));
    json!({ "name": new.name, "email": new.email, "role": role })
}

/// The ending of login sessions whose owner may no longer act.
pub(crate) fn owner_gone_ending(evidence: String) -> Ending {
    Ending { reason: EndReason::OwnerGone, actor: None, evidence }
}

fn insert(row: &NewPrincipal<'_>) -> Statement {
    let NewPrincipal { principal: new, password_hash, member, address_taken } = *row;
    let home = match new.kind {
        PrincipalKind::ServiceUser => member.map(|(organization, _)| organization),
        PrincipalKind::User => new.default_organization,
    };
    let email = new.email.as_deref();
    one_row(
        "INSERT INTO principals
             (id, number, kind, email, name, password_hash, state, created_us, account_role, default_organization,
              updated_us, wanted_email)
         VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM principals), $2, $3, $4, $5, $6, $7, $8, $9, $7, $10)",
        values![
            new.id,
            new.kind.name(),
            email.filter(|_| !address_taken),
            new.name.as_str(),
            password_hash,
            new.state.name(),
            new.created,
            new.account_role.map(AccountRole::name),
            home,
            email.filter(|_| address_taken)
        ],
    )
}

pub(crate) fn read_principal(columns: &mut Columns) -> Result<Principal, DatabaseError> {
    Ok(Principal {
        id: PrincipalId(columns.id()?),
        number: columns.int()?,
        kind: columns.word(parse_principal_kind)?,
        email: columns.maybe_text()?,
        name: columns.text()?,
        state: columns.word(PrincipalState::parse)?,
        created: columns.time()?,
        account_role: columns.maybe_word(AccountRole::parse)?,
        default_organization: columns.maybe_id()?.map(OrganizationId),
    })
}
