//! The public keys of access tokens, and the budgets of sign-in attempts.

use crate::access::System;
use crate::database::{Columns, DatabaseError};
use crate::rows::{any_rows, batch, one_row, values};
use crate::{Error, Result, Store};
use domain::credential::SecretHash;
use domain::ids::SigningKeyId;
use domain::password::Attempts;
use domain::time::Micros;

/// Maximum number of budgets in one call of [`Store::load_attempts`].
pub const AT_ONCE: usize = 3;

/// The public half of a key that signs access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The `kid` of its tokens.
    pub id: SigningKeyId,
    /// 32 bytes of Ed25519.
    pub bytes: Vec<u8>,
    /// When it was made.
    pub created: Micros,
    /// From then on, none of its signatures is valid.
    pub retires: Micros,
}

impl Store {
    /// The public half of a key.
    pub async fn load_public_key(&self, system: &System, id: SigningKeyId) -> Result<Option<PublicKey>> {
        let sql = "SELECT id, public, created_us, retires_us FROM signing_keys WHERE id = $1";
        Ok(self.read_unscoped(system, sql, values![id]).await?.read_first(read_public_key)?)
    }

    /// Stores the public half of a key. Storing it again is no error.
    pub async fn store_public_key(&self, _: &System, key: &PublicKey) -> Result<()> {
        let sql = "INSERT INTO signing_keys (id, public, created_us, retires_us) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (id) DO NOTHING";
        let statement = any_rows(sql, values![key.id, &key.bytes[..], key.created, key.retires]);
        Ok(self.database.apply(batch([], vec![statement])).await?)
    }

    /// The attempts counted in each of up to [`AT_ONCE`] budgets, in the same order.
    pub async fn load_attempts(
        &self,
        system: &System,
        hashes: &[SecretHash],
        now: Micros,
    ) -> Result<Vec<Attempts>> {
        assert!((1..=AT_ONCE).contains(&hashes.len()), "one statement asks for {AT_ONCE} at most");
        let sql = "SELECT hash, failed, until_us FROM sign_in_attempts WHERE hash IN ($1, $2, $3) AND until_us > $4";
        let mut values =
            hashes.iter().cycle().take(AT_ONCE).map(|hash| (&hash.0[..]).into()).collect::<Vec<_>>();
        values.push(now.into());
        let mut attempts = vec![Attempts { count: 0, until: now }; hashes.len()];
        let rows = self.read_unscoped(system, sql, values).await?;
        let counted = rows.read_all(|columns| {
            Ok((columns.bytes()?, Attempts { count: columns.int()?, until: columns.time()? }))
        })?;
        for (hash, counted) in counted {
            if let Some(at) = hashes.iter().position(|one| one.0[..] == hash[..]) {
                attempts[at] = counted;
            }
        }
        Ok(attempts)
    }

    /// Takes one attempt out of all budgets or none, before the outcome is known, so that parallel attempts are all
    /// counted. A budget is the hash of what it limits, its number of attempts, and the end of a window that begins
    /// now.
    ///
    /// # Errors
    /// [`Error::Stale`] when one of the budgets is used up. Then no attempt is counted.
    pub async fn reserve_attempts(
        &self,
        _: &System,
        budgets: &[(SecretHash, u32, Micros)],
        now: Micros,
    ) -> Result<()> {
        let sql = "INSERT INTO sign_in_attempts (hash, failed, until_us) VALUES ($1, 1, $2)
                   ON CONFLICT (hash) DO UPDATE SET
                       failed = CASE WHEN sign_in_attempts.until_us <= $3 THEN 1 ELSE sign_in_attempts.failed + 1 END,
                       until_us = CASE WHEN sign_in_attempts.until_us <= $3 THEN $2 ELSE sign_in_attempts.until_us END
                   WHERE sign_in_attempts.until_us <= $3 OR sign_in_attempts.failed < $4";
        // All servers lock the rows in the same order.
        let mut budgets = budgets.to_vec();
        budgets.sort_by_key(|(hash, ..)| hash.0);
        let take = |(hash, limit, until): &(SecretHash, u32, Micros)| {
            one_row(sql, values![&hash.0[..], *until, now, i64::from(*limit)])
        };
        self.apply(batch([], budgets.iter().map(take).collect()), |_| Error::Stale).await
    }

    /// Clears some budgets, and returns one attempt to others.
    pub async fn settle_attempts(
        &self,
        _: &System,
        cleared: &[SecretHash],
        returned: &[SecretHash],
    ) -> Result<()> {
        let forget = cleared.iter().map(|hash| (hash, "DELETE FROM sign_in_attempts WHERE hash = $1"));
        let give_back = "UPDATE sign_in_attempts SET failed = failed - 1 WHERE hash = $1 AND failed > 0";
        let mut all = forget.chain(returned.iter().map(|hash| (hash, give_back))).collect::<Vec<_>>();
        all.sort_by_key(|(hash, _)| hash.0);
        let statements = all.into_iter().map(|(hash, sql)| any_rows(sql, values![&hash.0[..]])).collect();
        Ok(self.database.apply(batch([], statements)).await?)
    }

    /// Deletes attempts whose window is over, expired tokens and signing keys, and device logins that expired before
    /// `programs`.
    pub async fn prune_sign_in(&self, _: &System, programs: Micros, now: Micros) -> Result<()> {
        let statements = vec![
            any_rows("DELETE FROM sign_in_attempts WHERE until_us <= $1", values![now]),
            any_rows("DELETE FROM one_time_tokens WHERE expires_us <= $1", values![now]),
            any_rows("DELETE FROM signing_keys WHERE retires_us <= $1", values![now]),
            // A program that polls late is still told that it is late.
            crate::logins::device_logins::prune_statement(programs),
        ];
        Ok(self.database.apply(batch([], statements)).await?)
    }
}

pub(crate) fn read_public_key(columns: &mut Columns) -> Result<PublicKey, DatabaseError> {
    Ok(PublicKey {
        id: SigningKeyId(columns.id()?),
        bytes: columns.bytes()?,
        created: columns.time()?,
        retires: columns.time()?,
    })
}
