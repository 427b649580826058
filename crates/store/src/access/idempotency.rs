//! Answers that are given again when a request is repeated with the same idempotency key.

use crate::access::authentication::Authentication;
use crate::access::{Caller, Granted, PermissionType, System, UseSessions};
use crate::audit::attribution::Grant;
use crate::database::{Row, Statement};
use crate::rows::{any_rows, batch, one_row, values};
use crate::{Error, Result, Store};
use domain::ids::{OrganizationId, PrincipalId};
use domain::time::Micros;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Whose request it is and which, made of what the request proved: one caller never meets another's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyScope {
    organization: OrganizationId,
    hash: [u8; 32],
}

impl IdempotencyScope {
    /// A request in an organization: `wire` and `path` say which one, `key` is what the client sent.
    pub fn new<P: PermissionType>(
        granted: &Granted<P>,
        wire: &str,
        path: &str,
        key: &str,
    ) -> IdempotencyScope {
        IdempotencyScope::build(granted.organization(), granted.principal(), [wire, path, key])
    }

    /// A request of a caller. Which organization it acts in by default is not part of it: the request itself may change
    /// that, as who accepts an invitation does.
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
            // With their lengths: no two scopes run into one another.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        IdempotencyScope { organization, hash: hash.finalize().into() }
    }

    /// It is itself the proof that its row may be read: it was made of one.
    fn proof(&self) -> Granted<UseSessions> {
        System::secret_lookup().grant(self.organization)
    }
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Its status.
    pub status: u16,
    /// Its headers, as the layer that keeps it writes them.
    pub headers: String,
    /// Its body.
    pub body: Vec<u8>,
    /// What its caller was allowed to do; see [`Caller::authority`].
    pub authority: [u8; 32],
}

/// What is known of a request that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyState {
    /// It is the first with its key: it is noted now, and is to be finished or abandoned.
    New,
    /// There was one before.
    Held {
        /// SHA-256 of that one's body.
        digest: [u8; 32],
        /// What it was answered, once it was.
        answer: Option<StoredResponse>,
        /// When it began.
        started: Micros,
    },
}

impl Caller {
    /// SHA-256 of all that decides what the caller may do: where it acts, what it may there and in the account, what else
    /// it is a member of, and with what kind of credential it comes. Two callers of one principal with the same authority
    /// are refused and let through alike.
    pub fn authority(&self) -> [u8; 32] {
        let signed_in = self.authenticated.is_some();
        let scopes = self.scopes.map(|scopes| scopes.names().collect::<Vec<_>>());
        let credential = (matches!(self.means, Authentication::Key(_)), signed_in, self.bound, scopes);
        let rights = (self.organization, self.permissions, self.account, &self.memberships);
        Sha256::digest(format!("{credential:?} {rights:?}")).into()
    }
}

impl Store {
    /// Begins a request with an idempotency key, which is remembered until `expires`. `digest` is SHA-256 of its body.
    pub async fn begin_idempotent_request(
        &self,
        scope: &IdempotencyScope,
        digest: [u8; 32],
        now: Micros,
        expires: Micros,
    ) -> Result<IdempotencyState> {
        loop {
            if let Some(held) = self.read_repeated(scope, now).await? {
                return Ok(held);
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
    }

    async fn read_repeated(&self, scope: &IdempotencyScope, now: Micros) -> Result<Option<IdempotencyState>> {
        let sql = "SELECT digest, created_us, status, headers, body, authority FROM idempotency
                   WHERE organization = $1 AND scope = $2 AND expires_us > $3";
        let rows = self.read(&scope.proof(), sql, values![&scope.hash[..], now]).await?;
        rows.first().map(read_repeated).transpose()
    }

    /// Keeps the answer of a request that was begun.
    pub async fn finish_idempotent_request(
        &self,
        scope: &IdempotencyScope,
        answer: &StoredResponse,
    ) -> Result<()> {
        let sql = "UPDATE idempotency SET status = $3, headers = $4, body = $5, authority = $6
                   WHERE organization = $1 AND scope = $2 AND status IS NULL";
        let values = values![
            scope.organization,
            &scope.hash[..],
            i64::from(answer.status),
            answer.headers.as_str(),
            &answer.body[..],
            &answer.authority[..]
        ];
        Ok(self.database.apply(batch([], vec![any_rows(sql, values)])).await?)
    }

    /// Begins a request again whose server died: one that asks now may, whoever asks at the same time may not.
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

    /// Lets go of a request that was begun and failed: the next one with its key begins at once. It is forgotten,
    /// unless it made something: then the next one finds that.
    pub async fn abandon_idempotent_request(&self, scope: &IdempotencyScope) -> Result<()> {
        let forget = "DELETE FROM idempotency
                      WHERE organization = $1 AND scope = $2 AND status IS NULL AND made IS NULL";
        let free = "UPDATE idempotency SET created_us = 0
                    WHERE organization = $1 AND scope = $2 AND status IS NULL";
        let statements =
            [forget, free].map(|sql| any_rows(sql, values![scope.organization, &scope.hash[..]]));
        Ok(self.database.apply(batch([], statements.to_vec())).await?)
    }

    /// What an earlier attempt at this request made before its server died, if it is one that may be repeated.
    pub async fn find_earlier_creation(&self, proof: &impl Grant) -> Result<Option<Uuid>> {
        let Some(scope) = proof.attribution().attempt else { return Ok(None) };
        let sql = "SELECT made FROM idempotency WHERE organization = $1 AND scope = $2";
        let rows = self.read(&scope.proof(), sql, values![&scope.hash[..]]).await?;
        Ok(rows.first().map(|row| row.maybe_id(0)).transpose()?.flatten())
    }

    /// Forgets what has expired.
    pub async fn prune_idempotency(&self, _: &System, now: Micros) -> Result<()> {
        let sql = "DELETE FROM idempotency WHERE expires_us <= $1";
        Ok(self.database.apply(batch([], vec![any_rows(sql, values![now])])).await?)
    }
}

/// Notes in the batch that makes something what it made, if the request may be repeated. Not met when the same request
/// has made something already.
pub(crate) fn record_creation(proof: &impl Grant, id: Uuid) -> Option<Statement> {
    let scope = proof.attribution().attempt?;
    let sql = "UPDATE idempotency SET made = $3 WHERE organization = $1 AND scope = $2 AND made IS NULL";
    Some(one_row(sql, values![scope.organization, &scope.hash[..], id]))
}

fn read_repeated(row: &Row) -> Result<IdempotencyState> {
    let digest = <[u8; 32]>::try_from(row.bytes_ref(0)?).unwrap_or_default();
    let status = row.maybe_int(2)?.map(|status| u16::try_from(status).unwrap_or_default());
    let answer = match status {
        Some(status) => Some(StoredResponse {
            status,
            headers: row.maybe_text(3)?.unwrap_or_default(),
            body: row.maybe_bytes(4)?.unwrap_or_default(),
            // Of an answer of before this column nothing is known.
            authority: row.maybe_bytes(5)?.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default(),
        }),
        None => None,
    };
    Ok(IdempotencyState::Held { digest, answer, started: Micros(row.int(1)?) })
}
