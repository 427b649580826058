//! Answers that are given again when a request is repeated with the same idempotency key.

use crate::access::{Caller, Granted, Right, System};
use crate::database::Row;
use crate::rows::{any, batch, one, values};
use crate::{Error, Result, Store};
use domain::ids::{OrganizationId, PrincipalId};
use domain::time::Micros;
use sha2::{Digest, Sha256};

/// Whose request it is and which, made of what the request proved: one caller never meets another's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    organization: OrganizationId,
    hash: [u8; 32],
}

impl Scope {
    /// A request in an organization: `wire` and `path` say which one, `key` is what the client sent.
    pub fn of<P: Right>(granted: &Granted<P>, wire: &str, path: &str, key: &str) -> Scope {
        Scope::new(granted.organization(), granted.principal(), [wire, path, key])
    }

    /// A request of a caller, in the organization that it chose, if any.
    pub fn of_caller(caller: &Caller, wire: &str, path: &str, key: &str) -> Scope {
        let organization = caller.organization().unwrap_or(OrganizationId::ACCOUNT);
        Scope::new(organization, Some(caller.principal()), [wire, path, key])
    }

    fn new(organization: OrganizationId, principal: Option<PrincipalId>, parts: [&str; 3]) -> Scope {
        let mut hash = Sha256::new();
        hash.update(principal.map_or([0; 16], |principal| *principal.0.as_bytes()));
        for part in parts {
            // With their lengths: no two scopes run into one another.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Scope { organization, hash: hash.finalize().into() }
    }
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, as the layer that keeps it writes them.
    pub headers: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// What is known of a request that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the first with its key: it is noted now, and is to be finished or abandoned.
    New,
    /// There was one before.
    Held {
        /// SHA-256 of that one's body.
        digest: [u8; 32],
        /// What it was answered, once it was.
        answer: Option<StoredAnswer>,
        /// When it began.
        started: Micros,
    },
}

impl Store {
    /// Begins a request with an idempotency key, which is remembered until `expires`.
    pub async fn idempotency_begin(
        &self,
        scope: &Scope,
        digest: [u8; 32],
        now: Micros,
        expires: Micros,
    ) -> Result<Begun> {
        loop {
            if let Some(held) = self.held(scope, now).await? {
                return Ok(held);
            }
            let old = "DELETE FROM idempotency WHERE organization = $1 AND scope = $2 AND expires_us <= $3";
            let new = "INSERT INTO idempotency (organization, scope, digest, created_us, expires_us)
                       VALUES ($1, $2, $3, $4, $5)";
            let (organization, hash) = (scope.organization, &scope.hash[..]);
            let statements = vec![
                any(old, values![organization, hash, now]),
                one(new, values![organization, hash, &digest[..], now, expires]),
            ];
            match self.apply(batch([], statements), |_| Error::Stale).await {
                // Another request with the key was faster.
                Err(Error::Stale) => {}
                outcome => return outcome.map(|()| Begun::New),
            }
        }
    }

    async fn held(&self, scope: &Scope, now: Micros) -> Result<Option<Begun>> {
        let sql = "SELECT digest, created_us, status, headers, body FROM idempotency
                   WHERE organization = $1 AND scope = $2 AND expires_us > $3";
        // The scope is itself the proof: it was made of one.
        let granted = System::for_secrets().within::<crate::access::UseSessions>(scope.organization);
        let rows = self.within(&granted, sql, values![&scope.hash[..], now]).await?;
        rows.first().map(held).transpose()
    }

    /// Keeps the answer of a request that was begun.
    pub async fn idempotency_finish(&self, scope: &Scope, answer: &StoredAnswer) -> Result<()> {
        let sql = "UPDATE idempotency SET status = $3, headers = $4, body = $5
                   WHERE organization = $1 AND scope = $2 AND status IS NULL";
        let values = values![
            scope.organization,
            &scope.hash[..],
            i64::from(answer.status),
            answer.headers.as_str(),
            &answer.body[..]
        ];
        Ok(self.database.apply(batch([], vec![any(sql, values)])).await?)
    }

    /// Forgets a request that was begun and came to nothing: the next one with its key is the first again.
    pub async fn idempotency_abandon(&self, scope: &Scope) -> Result<()> {
        let sql = "DELETE FROM idempotency WHERE organization = $1 AND scope = $2 AND status IS NULL";
        let values = values![scope.organization, &scope.hash[..]];
        Ok(self.database.apply(batch([], vec![any(sql, values)])).await?)
    }

    /// Forgets what has expired.
    pub async fn prune_idempotency(&self, _: &System, now: Micros) -> Result<()> {
        let sql = "DELETE FROM idempotency WHERE expires_us <= $1";
        Ok(self.database.apply(batch([], vec![any(sql, values![now])])).await?)
    }
}

fn held(row: &Row) -> Result<Begun> {
    let digest = <[u8; 32]>::try_from(row.bytes_ref(0)?).unwrap_or_default();
    let status = row.maybe_int(2)?.map(|status| u16::try_from(status).unwrap_or_default());
    let answer = match status {
        Some(status) => Some(StoredAnswer {
            status,
            headers: row.maybe_text(3)?.unwrap_or_default(),
            body: row.maybe_bytes(4)?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Begun::Held { digest, answer, started: Micros(row.int(1)?) })
}
