//! What tokens are checked with, and how often a sign-in was tried.

use crate::access::System;
use crate::database::Row;
use crate::rows::{any, batch, values};
use crate::{Result, Store};
use domain::credential::SecretHash;
use domain::ids::SigningKeyId;
use domain::password::Attempts;
use domain::time::{Micros, Span};

/// The public half of a key that tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The `kid` of its tokens.
    pub id: SigningKeyId,
    /// 32 bytes of Ed25519.
    pub bytes: Vec<u8>,
    /// When it was made.
    pub created: Micros,
    /// From then on nothing that it signed is good.
    pub retires: Micros,
}

impl Store {
    /// The public half of a key, if it is known.
    pub async fn public_key(&self, system: &System, id: SigningKeyId) -> Result<Option<PublicKey>> {
        let sql = "SELECT id, public, created_us, retires_us FROM signing_keys WHERE id = $1";
        self.everywhere(system, sql, values![id]).await?.first().map(public_key).transpose()
    }

    /// Keeps the public half of a key, or of the same one again.
    pub async fn keep_public_key(&self, _: &System, key: &PublicKey) -> Result<()> {
        let sql = "INSERT INTO signing_keys (id, public, created_us, retires_us) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (id) DO NOTHING";
        let statement = any(sql, values![key.id, &key.bytes[..], key.created, key.retires]);
        Ok(self.database.apply(batch([], vec![statement])).await?)
    }

    /// Counts a try before its outcome is known, so that many at once are counted as many. Gives how many there were
    /// in the window, this one included.
    pub async fn count_attempt(
        &self,
        system: &System,
        what: &SecretHash,
        window: Span,
        now: Micros,
    ) -> Result<Attempts> {
        let sql = "INSERT INTO sign_in_attempts (hash, failed, since_us) VALUES ($1, 1, $2)
                   ON CONFLICT (hash) DO UPDATE SET
                       failed = CASE WHEN sign_in_attempts.since_us <= $3 THEN 1 ELSE sign_in_attempts.failed + 1 END,
                       since_us = CASE WHEN sign_in_attempts.since_us <= $3 THEN $2 ELSE sign_in_attempts.since_us END";
        let count = any(sql, values![&what.0[..], now, now - window]);
        self.database.apply(batch([], vec![count])).await?;
        let sql = "SELECT failed, since_us FROM sign_in_attempts WHERE hash = $1";
        let rows = self.everywhere(system, sql, values![&what.0[..]]).await?;
        let attempts = |row: &Row| Ok(Attempts { failed: row.int(0)?, since: Micros(row.int(1)?) });
        rows.first().map_or(Ok(Attempts { failed: 1, since: now }), attempts)
    }

    /// Forgets the tries of somebody who has signed in.
    pub async fn forget_attempts(&self, _: &System, what: &SecretHash) -> Result<()> {
        let sql = "DELETE FROM sign_in_attempts WHERE hash = $1";
        Ok(self.database.apply(batch([], vec![any(sql, values![&what.0[..]])])).await?)
    }

    /// Forgets what is of no more use: tries before `window`, tokens and keys that have expired.
    pub async fn forget_expired(&self, _: &System, window: Span, now: Micros) -> Result<()> {
        let statements = vec![
            any("DELETE FROM sign_in_attempts WHERE since_us <= $1", values![now - window]),
            any("DELETE FROM one_time_tokens WHERE expires_us <= $1", values![now]),
            any("DELETE FROM signing_keys WHERE retires_us <= $1", values![now]),
            // A program that asks late is still told that it is late.
            crate::device_logins::forget_before(now - window),
        ];
        Ok(self.database.apply(batch([], statements)).await?)
    }
}

pub(crate) fn public_key(row: &Row) -> Result<PublicKey> {
    Ok(PublicKey {
        id: SigningKeyId(row.id(0)?),
        bytes: row.bytes(1)?,
        created: Micros(row.int(2)?),
        retires: Micros(row.int(3)?),
    })
}
