//! Responses that are repeated when a request comes again with the same idempotency key.

use crate::access::authentication::Authentication;
use crate::access::{Caller, Granted, PermissionType, System, UseSessions};
use crate::audit::attribution::Grant;
use crate::database::{Columns, DatabaseError, Statement};
use crate::rows::{any_rows, batch, one_row, values};
use crate::{ATTEMPTS, Error, Result, Store};
use domain::ids::{OrganizationId, PrincipalId};
use domain::permission::{Permission, PermissionSet};
use domain::time::Micros;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Identifies a request with an idempotency key. It is a hash over what the caller proved, so callers never see each
/// other's responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyScope {
    organization: OrganizationId,
    hash: [u8; 32],
}

impl IdempotencyScope {
    /// The scope of a request in an organization. `wire` and `path` name the operation; `key` is the client's key.
    pub fn new<P: PermissionType>(
        granted: &Granted<P>,
        wire: &str,
        path: &str,
        key: &str,
    ) -> IdempotencyScope {
        IdempotencyScope::build(granted.organization(), granted.principal(), [wire, path, key])
    }

    /// The scope of a request of a caller. The caller's default organization is not part of it, because the request
    /// may change that: accepting an invitation does.
    pub fn new_for_caller(caller: &Caller, wire: &str, path: &str, key: &str) -> IdempotencyScope {
        let organization = caller.bound_organization().unwrap_or(OrganizationId::ACCOUNT);
        IdempotencyScope::build(organization, Some(caller.principal()), [wire, path, key])
    }

    fn build(
        organization: OrganizationId,
        principal: Option<PrincipalId>,
        parts: [&str; 3],
    ) -> IdempotencyScope {
        let mut hash = Sha256::new();
        hash.update(principal.map_or([0; 16], |principal| *principal.0.as_bytes()));
        for part in parts {
            // The lengths are hashed too, so that no two scopes have the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        IdempotencyScope { organization, hash: hash.finalize().into() }
    }

    /// The scope was made from a grant, so it is itself the right to read its row.
    fn proof(&self) -> Granted<UseSessions> {
        System::for_granted_reads().grant(self.organization)
    }
}

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The status.
    pub status: u16,
    /// The headers, in the format of the middleware that stores them.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
    /// What the caller was allowed to do; see [`Caller::authority`].
    pub authority: [u8; 32],
}

/// The state of a request with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyState {
    /// The first request with this key. It is recorded now; finish or abandon it.
    New,
    /// An earlier request has this key.
    Repeated {
        /// SHA-256 of the earlier request's body.
        digest: [u8; 32],
        /// Its response, once there is one.
        response: Option<StoredResponse>,
        /// When it began.
        started: Micros,
    },
}

impl Caller {
    /// SHA-256 of everything that decides what the caller may do: their organization, permissions, memberships,
    /// scopes and kind of credential. Two callers of one principal with the same authority have the same access.
    pub fn authority(&self) -> [u8; 32] {
        // Only names and ids, because later versions compare the stored hash.
        let actions = |set: PermissionSet| set.permissions().map(Permission::action).collect::<Vec<_>>();
        let memberships = self.memberships.iter().map(|member| (member.organization.0, member.role.name()));
        let authority = json!([
            matches!(self.authentication, Authentication::Key(_)),
            self.authenticated.is_some(),
            self.bound.map(|organization| organization.0),
            self.scopes.map(|scopes| scopes.names().collect::<Vec<_>>()),
            self.organization.map(|organization| organization.0),
            actions(self.permissions),
            actions(self.account),
            memberships.collect::<Vec<_>>(),
        ]);
        Sha256::digest(authority.to_string()).into()
    }
}

impl Store {
    /// Begins a request with an idempotency key. The key is kept until `expires`. `digest` is the SHA-256 of the
    /// body.
    ///
    /// # Errors
    /// [`Error::Stale`] when other requests begin and abandon the key all the time.
    pub async fn begin_idempotent_request(
        &self,
        scope: &IdempotencyScope,
        digest: [u8; 32],
        now: Micros,
        expires: Micros,
    ) -> Result<IdempotencyState> {
        for _ in 0..ATTEMPTS {
            if let Some(state) = self.read_repeated(scope, now).await? {
                return Ok(state);
            }
            let old = "DELETE FROM idempotency WHERE organization = $1 AND scope = $2 AND expires_us <= $3";
            let new = "INSERT INTO idempotency (organization, scope, digest, created_us, expires_us)
                       VALUES ($1, $2, $3, $4, $5)";
            let (organization, hash) = (scope.organization, &scope.hash[..]);
            let statements = vec![
                any_rows(old, values![organization, hash, now]),
                one_row(new, values![organization, hash, &digest[..], now, expires]),
            ];
            match self.apply(batch([], statements), |_| Error::Stale).await {
                // Another request with the key was faster.
                Err(Error::Stale) => {}
                outcome => return outcome.map(|()| IdempotencyState::New),
            }
        }
        Err(Error::Stale)
    }

    async fn read_repeated(&self, scope: &IdempotencyScope, now: Micros) -> Result<Option<IdempotencyState>> {
        let sql = "SELECT digest, created_us, status, headers, body, authority FROM idempotency
                   WHERE organization = $1 AND scope = $2 AND expires_us > $3";
        let rows = self.read(&scope.proof(), sql, values![&scope.hash[..], now]).await?;
        Ok(rows.read_first(read_repeated)?)
    }

    /// Stores the response of a request that was begun.
    pub async fn finish_idempotent_request(
        &self,
        scope: &IdempotencyScope,
        response: &StoredResponse,
    ) -> Result<()> {
        let sql = "UPDATE idempotency SET status = $3, headers = $4, body = $5, authority = $6
                   WHERE organization = $1 AND scope = $2 AND status IS NULL";
        let values = values![
            scope.organization,
            &scope.hash[..],
            i64::from(response.status),
            response.headers.as_str(),
            &response.body[..],
            &response.authority[..]
        ];
        Ok(self.database.apply(batch([], vec![any_rows(sql, values)])).await?)
    }

    /// Restarts a request whose server died. Returns whether this caller may run it: of several at once, one may.
    pub async fn restart_idempotent_request(
        &self,
        scope: &IdempotencyScope,
        started: Micros,
        now: Micros,
    ) -> Result<bool> {
        let sql = "UPDATE idempotency SET created_us = $4
                   WHERE organization = $1 AND scope = $2 AND created_us = $3 AND status IS NULL";
        let statement = one_row(sql, values![scope.organization, &scope.hash[..], started, now]);
        match self.apply(batch([], vec![statement]), |_| Error::Stale).await {
            Err(Error::Stale) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// Releases a request that failed, so that the next one with its key can begin at once. The request is forgotten,
    /// unless it created something: then the next one finds that.
    pub async fn abandon_idempotent_request(&self, scope: &IdempotencyScope) -> Result<()> {
        let forget = "DELETE FROM idempotency
                      WHERE organization = $1 AND scope = $2 AND status IS NULL AND made IS NULL";
        let release = "UPDATE idempotency SET created_us = 0
                    WHERE organization = $1 AND scope = $2 AND status IS NULL";
        let statements =
            [forget, release].map(|sql| any_rows(sql, values![scope.organization, &scope.hash[..]]));
        Ok(self.database.apply(batch([], statements.to_vec())).await?)
    }

    /// What an earlier attempt of this request created before its server died. `None` also for a request without a
    /// key.
    pub async fn find_earlier_creation(&self, proof: &impl Grant) -> Result<Option<Uuid>> {
        let Some(scope) = proof.attribution().idempotency else { return Ok(None) };
        let sql = "SELECT made FROM idempotency WHERE organization = $1 AND scope = $2";
        let rows = self.read(&scope.proof(), sql, values![&scope.hash[..]]).await?;
        Ok(rows.read_first(Columns::maybe_id)?.flatten())
    }

    /// Deletes expired keys.
    pub async fn prune_idempotency(&self, _: &System, now: Micros) -> Result<()> {
        let sql = "DELETE FROM idempotency WHERE expires_us <= $1";
        Ok(self.database.apply(batch([], vec![any_rows(sql, values![now])])).await?)
    }
}

/// Records, in the batch that creates something, the id of what it creates. `None` for a request without an
/// idempotency key. The statement is not met when the same request has already created something.
pub(crate) fn record_creation(proof: &impl Grant, id: Uuid) -> Option<Statement> {
    let scope = proof.attribution().idempotency?;
    let sql = "UPDATE idempotency SET made = $3 WHERE organization = $1 AND scope = $2 AND made IS NULL";
    Some(one_row(sql, values![scope.organization, &scope.hash[..], id]))
}

fn read_repeated(columns: &mut Columns) -> Result<IdempotencyState, DatabaseError> {
    let digest = columns.bytes()?.try_into().unwrap_or_default();
    let started = columns.time()?;
    let status = columns.maybe_int()?.map(|status| u16::try_from(status).unwrap_or_default());
    let headers = columns.maybe_text()?.unwrap_or_default();
    let body = columns.maybe_bytes()?.unwrap_or_default();
    // Rows from before this column have no authority.
    let authority = columns.maybe_bytes()?.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    let response = status.map(|status| StoredResponse { status, headers, body, authority });
    Ok(IdempotencyState::Repeated { digest, response, started })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::CredentialId;
    use domain::permission::Role;
    use domain::principal::{Membership, PrincipalKind, Scopes};

    #[test]
    fn an_authority_consists_of_names_and_ids() {
        let organization = OrganizationId(Uuid::from_u128(1));
        let caller = Caller {
            principal: PrincipalId(Uuid::from_u128(2)),
            kind: PrincipalKind::User,
            authentication: Authentication::Key(CredentialId(Uuid::from_u128(3))),
            bound: None,
            scopes: Scopes::parse(["read:media"]),
            expires: None,
            valid_until: Micros::MAX,
            authenticated: None,
            organization: Some(organization),
            permissions: PermissionSet::new(&[Permission::ViewSessions]),
            account: PermissionSet::default(),
            memberships: [Membership { organization, role: Role::Admin }].into(),
            only_connects: false,
            idempotency: None,
            lacks_factor: false,
            address: None,
            networks: Default::default(),
        };
        let id = "00000000-0000-0000-0000-000000000001";
        let text =
            format!(r#"[true,false,null,["read:media"],"{id}",["view sessions"],[],[["{id}","admin"]]]"#);
        assert_eq!(caller.authority(), <[u8; 32]>::from(Sha256::digest(text)));
    }
}
