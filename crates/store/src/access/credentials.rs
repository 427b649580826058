//! API keys, and the look-up of a caller by a key.

use crate::access::authentication::Authentication;
use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::{Caller, System};
use crate::audit::attribution::Attribution;
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, DatabaseError, Rows, Statement};
use crate::rows::{any_rows, batch, format_scopes, one_row, values};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::credential::{Credential, SecretHash, Wire};
use domain::ids::{CredentialId, OrganizationId, PrincipalId, SessionId};
use domain::network::Networks;
use domain::permission::{AccountRole, Permission, PermissionSet, Role};
use domain::principal::{Membership, PrincipalKind, Scopes};
use domain::refusal::Thing;
use domain::time::Micros;
use serde_json::{Value as Json, json};

/// The organization that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrganizationChoice {
    /// None: the one that the key is bound to, or else the caller's default.
    ByDefault,
    /// This organization; `None` when the name cannot be an organization's.
    Named(Option<OrganizationId>),
}

/// The columns of a caller (see [`read_caller`]), the key's id, and when it was created and last used. The two joins are not one
/// join in parentheses, because SQLite would then join the members of all organizations for each request.
pub(crate) const CALLER: &str = "
    SELECT c.principal, c.organization, p.kind, p.account_role, p.default_organization, o.id, m.role,
           c.scopes, c.expires_us, c.networks, c.id, c.created_us, COALESCE(c.last_used_us, c.created_us)
    FROM credentials c
    JOIN principals p ON p.id = c.principal
    LEFT JOIN members m ON m.principal = p.id
    LEFT JOIN organizations o ON o.id = m.organization AND o.deleted_us IS NULL
    WHERE c.hash = $1 AND c.revoked_us IS NULL AND (c.expires_us IS NULL OR c.expires_us > $2)
      AND c.created_us > $3 AND COALESCE(c.last_used_us, c.created_us) > $4 AND p.state = 'active'
    ORDER BY m.created_us, m.organization";

/// The columns of a key; see [`read_credential`].
macro_rules! credential_columns {
    () => {
        "id, principal, organization, wire, name, suffix, created_us, expires_us, last_used_us, revoked_us, made_by, networks"
    };
}
pub(crate) use credential_columns;

const CREDENTIAL: &str =
    concat!("SELECT ", credential_columns!(), " FROM credentials ORDER BY created_us, id");

pub(crate) const ONE: &str = concat!("SELECT ", credential_columns!(), " FROM credentials WHERE id = $1");

impl Store {
    /// Looks up the caller of a key, and chooses the organization.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Refusal::NotAMember`] for an organization that is malformed, unknown, deleted or
    /// not the caller's, or that the key is not bound to.
    pub async fn authenticate_key(
        &self,
        secret: &SecretHash,
        chosen: OrganizationChoice,
        now: Micros,
    ) -> Result<Caller> {
        let system = System::for_secret_lookup();
        let limits = self.key_limits;
        let values = values![&secret.0[..], now, limits.creation_cutoff(now), limits.last_use_cutoff(now)];
        let rows = self.read_unscoped(&system, CALLER, values).await?;
        let own = |columns: &mut Columns| Ok((CredentialId(columns.id()?), columns.time()?, columns.time()?));
        let (record, (key, created, last_use)) = read_caller(rows, own)?;
        let caller = build_caller(self, &system, record, Authentication::Key(key), chosen).await?;
        let expires = limits.expiry(created, caller.expires);
        let idle = limits.idle.map(|idle| last_use + idle);
        Ok(Caller { expires, valid_until: earliest([expires, idle]), ..caller })
    }

    /// Without a membership, only a role in the account gives access to an organization, and only if it exists.
    pub(crate) async fn account_opens(
        &self,
        system: &System,
        organization: OrganizationId,
        account: PermissionSet,
    ) -> Result<()> {
        let sql = "SELECT 1 FROM organizations WHERE id = $1 AND deleted_us IS NULL";
        let exists = !self.read_unscoped(system, sql, values![organization]).await?.is_empty();
        if exists && account != PermissionSet::default() { Ok(()) } else { Err(Refusal::NotAMember.into()) }
    }

    /// Records the use of a key. Callers do so at most every 30 s for each key.
    pub async fn record_credential_use(
        &self,
        _: &System,
        credential: CredentialId,
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE credentials SET last_used_us = $2
                   WHERE id = $1 AND (last_used_us IS NULL OR last_used_us < $2)";
        Ok(self.database.apply(batch([], vec![any_rows(sql, values![credential, now])])).await?)
    }

    /// Stores a new key: its hash, not its secret.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when the principal does not exist or was deleted.
    pub async fn create_credential(
        &self,
        system: &System,
        new: &Credential,
        hash: &SecretHash,
    ) -> Result<()> {
        let mut statements = key_statements(new, hash, system.0);
        statements.extend(record_creation(system, new.id.0));
        self.insert_credential(statements, &key_created_entry(system.0, new, None)).await
    }

    pub(crate) async fn insert_credential(
        &self,
        statements: Vec<Statement>,
        entry: &NewAuditEntry,
    ) -> Result<()> {
        self.apply(batch_with_entry([], statements, entry)?, |statement| match statement {
            0 => Refusal::NotFound(Thing::Principal).into(),
            _ => Error::Stale,
        })
        .await
    }

    /// The API key of a caller.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it was revoked, and when the caller has no key.
    pub async fn load_caller_key(&self, caller: &Caller) -> Result<Credential> {
        let rows =
            self.read_unscoped(&System::for_granted_reads(), ONE, values![caller.credential()]).await?;
        rows.read_first(read_credential)?.ok_or(Error::Unauthenticated)
    }

    /// All keys, oldest first.
    pub async fn list_credentials(&self, system: &System) -> Result<Vec<Credential>> {
        Ok(self.read_unscoped(system, Scan(CREDENTIAL), values![]).await?.read_all(read_credential)?)
    }
}

/// An audit entry about a key.
pub(crate) fn key_entry(
    by: Attribution,
    action: &str,
    key: &Credential,
    details: Json,
    now: Micros,
) -> NewAuditEntry {
    NewAuditEntry::new(by, action, key.id, details, now).with_organization(key.organization)
}

/// The audit entry about a new key. It has no part of the secret.
pub(crate) fn key_created_entry(by: Attribution, new: &Credential, scopes: Option<Scopes>) -> NewAuditEntry {
    let details = json!({
        "of": new.principal, "name": new.name, "wire": new.wire.name(),
        "expires_us": new.expires.map(|expires| expires.0), "scopes": format_scopes(scopes),
    });
    key_entry(by, "key.create", new, details, new.created)
}

/// The statements that create a key. The first one expects that the owner exists.
///
/// The key records the credential of `by`, and inherits the networks of the key that it is made with.
pub(crate) fn key_statements(new: &Credential, hash: &SecretHash, by: Attribution) -> Vec<Statement> {
    let principal = one_row(
        "UPDATE principals SET state = state WHERE id = $1 AND state <> 'deleted'",
        values![new.principal],
    );
    let insert = one_row(
        "INSERT INTO credentials
             (id, hash, principal, organization, wire, name, suffix, created_us, expires_us, made_by, made_in,
              networks)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                 COALESCE($10, (SELECT l.credential FROM logins l WHERE l.created_us = $11)), $11,
                 COALESCE((SELECT k.networks FROM credentials k WHERE k.id = COALESCE($10,
                     (SELECT l.credential FROM logins l WHERE l.created_us = $11))), $12))",
        values![
            new.id,
            &hash.0[..],
            new.principal,
            new.organization,
            new.wire.name(),
            new.name.as_str(),
            new.suffix.as_str(),
            new.created,
            new.expires,
            by.credential,
            by.login.map(SessionId::creation_time),
            new.networks.text()
        ],
    );
    vec![principal, insert]
}

/// What the database knows of a caller.
pub(crate) struct CallerRecord {
    principal: PrincipalId,
    bound: Option<OrganizationId>,
    kind: PrincipalKind,
    account_role: Option<AccountRole>,
    default: Option<OrganizationId>,
    memberships: Vec<Membership>,
    scopes: Option<Scopes>,
    expires: Option<Micros>,
    networks: Networks,
}

/// Reads the rows of a caller, one for each membership. `own` reads the further columns of a query; see [`CALLER`].
pub(crate) fn read_caller<T>(
    rows: Rows,
    own: impl Fn(&mut Columns) -> Result<T, DatabaseError>,
) -> Result<(CallerRecord, T)> {
    let rows = rows.read_all(|columns| Ok((read_caller_record(columns)?, own(columns)?)))?;
    let mut rows = rows.into_iter();
    let (mut caller, own) = rows.next().ok_or(Error::Unauthenticated)?;
    caller.memberships.extend(rows.flat_map(|(other, _)| other.memberships));
    Ok((caller, own))
}

fn read_caller_record(columns: &mut Columns) -> Result<CallerRecord, DatabaseError> {
    Ok(CallerRecord {
        principal: PrincipalId(columns.id()?),
        bound: columns.maybe_id()?.map(OrganizationId),
        kind: columns.word(parse_principal_kind)?,
        account_role: columns.maybe_word(AccountRole::parse)?,
        default: columns.maybe_id()?.map(OrganizationId),
        memberships: read_membership(columns)?.into_iter().collect(),
        scopes: columns.maybe_scopes()?,
        expires: columns.maybe_time()?,
        networks: read_networks(columns)?,
    })
}

/// The earliest of some times; a time after all others when there is none.
pub(crate) fn earliest<const N: usize>(times: [Option<Micros>; N]) -> Micros {
    times.into_iter().flatten().min().unwrap_or(Micros::MAX)
}

/// Chooses the organization of a caller, and finds their permissions.
pub(crate) async fn build_caller(
    store: &Store,
    system: &System,
    record: CallerRecord,
    authentication: Authentication,
    chosen: OrganizationChoice,
) -> Result<Caller> {
    let CallerRecord { principal, bound, kind, memberships, scopes, expires, networks, .. } = record;
    let scope_permissions = scopes.map_or(PermissionSet::new(&Permission::ALL), Scopes::permissions);
    let account = record.account_role.map_or(PermissionSet::default(), AccountRole::permissions);
    let organization = choose(chosen, bound, kind, record.default, &memberships)?;
    let role = memberships.iter().find(|member| Some(member.organization) == organization);
    let permissions = role.map_or(PermissionSet::default(), |member| member.role.permissions());
    let everywhere = memberships.iter().map(|member| member.role.permissions());
    let only_connects = everywhere.fold(account, PermissionSet::union).only_connects();
    // A role in the account applies only to an organization that the request or the key names.
    let by_default = matches!((chosen, bound), (OrganizationChoice::ByDefault, None));
    let by_account_role = if by_default { PermissionSet::default() } else { account };
    if let (Some(organization), None) = (organization, role) {
        store.account_opens(system, organization, account).await?;
    }
    Ok(Caller {
        principal,
        kind,
        authentication,
        bound,
        scopes,
        expires,
        valid_until: Micros(0),
        authenticated: None,
        organization,
        permissions: permissions.union(by_account_role).intersection(scope_permissions),
        // A key that is bound to one organization does not reach others through its owner's role in the account.
        account: if bound.is_some() {
            PermissionSet::default()
        } else {
            account.intersection(scope_permissions)
        },
        memberships: memberships.into(),
        only_connects,
        lacks_factor: false,
        idempotency: None,
        address: None,
        networks,
    })
}

fn choose(
    chosen: OrganizationChoice,
    bound: Option<OrganizationId>,
    kind: PrincipalKind,
    default: Option<OrganizationId>,
    memberships: &[Membership],
) -> Result<Option<OrganizationId>> {
    match (chosen, bound) {
        (OrganizationChoice::Named(None), _) => Err(Refusal::NotAMember.into()),
        (OrganizationChoice::Named(Some(named)), Some(bound)) if named != bound => {
            Err(Refusal::NotAMember.into())
        }
        (OrganizationChoice::Named(Some(named)), _) => Ok(Some(named)),
        (OrganizationChoice::ByDefault, Some(bound)) => Ok(Some(bound)),
        (OrganizationChoice::ByDefault, None) => {
            let member = |organization| memberships.iter().any(|m| m.organization == organization);
            let default = default.filter(|organization| member(*organization));
            Ok(match kind {
                // A service user acts at home. If its home is the account, it has no default organization.
                PrincipalKind::ServiceUser => default,
                PrincipalKind::User => default.or(memberships.first().map(|member| member.organization)),
            })
        }
    }
}

/// An organization and the role in it; `None` when a join found none.
pub(crate) fn read_membership(columns: &mut Columns) -> Result<Option<Membership>, DatabaseError> {
    let organization = columns.maybe_id()?.map(OrganizationId);
    let role = columns.maybe_word(Role::parse)?;
    Ok(organization.zip(role).map(|(organization, role)| Membership { organization, role }))
}

pub(crate) fn parse_principal_kind(name: &str) -> Option<PrincipalKind> {
    [PrincipalKind::User, PrincipalKind::ServiceUser].into_iter().find(|kind| kind.name() == name)
}

pub(crate) fn read_credential(columns: &mut Columns) -> Result<Credential, DatabaseError> {
    Ok(Credential {
        id: CredentialId(columns.id()?),
        principal: PrincipalId(columns.id()?),
        organization: columns.maybe_id()?.map(OrganizationId),
        wire: columns.word(Wire::parse)?,
        name: columns.text()?,
        suffix: columns.text()?,
        created: columns.time()?,
        expires: columns.maybe_time()?,
        last_used: columns.maybe_time()?,
        revoked: columns.maybe_time()?,
        made_by: columns.maybe_id()?.map(CredentialId),
        networks: read_networks(columns)?,
    })
}

/// A column of networks; NULL means everywhere.
fn read_networks(columns: &mut Columns) -> Result<Networks, DatabaseError> {
    Ok(columns.maybe_word(Networks::parse)?.unwrap_or_default())
}
