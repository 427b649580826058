//! Secrets of agent sessions. They are sealed before they reach the store: the key is not in the database.

use crate::access::{Granted, PermissionType, System};
use crate::database::{Columns, DatabaseError, Statement};
use crate::rows::{batch, one_row, values};
use crate::{Error, Result, Store};
use domain::agent::AgentSession;
use domain::ids::{OrganizationId, SessionId};
use domain::time::Micros;

/// A secret that can only be read with the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The name of the environment variable that a worker receives.
    pub key: String,
    /// The sealed text.
    pub ciphertext: Vec<u8>,
    /// Whether it is hidden from people.
    pub sensitive: bool,
}

/// The position of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    /// The organization.
    pub organization: OrganizationId,
    /// When the session was created.
    pub session: Micros,
    /// The name of the variable.
    pub key: String,
}

impl Store {
    /// The secrets of a session, by name; empty when there is no such session.
    pub async fn list_session_secrets<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        id: SessionId,
    ) -> Result<Vec<SealedSecret>> {
        let sql = "SELECT x.name, x.ciphertext, x.sensitive FROM secrets x JOIN agent_sessions s
                       ON s.organization = x.organization AND s.created_us = x.session_us AND s.tail = $3
                   WHERE x.organization = $1 AND x.session_us = $2 ORDER BY x.name";
        let rows = self.read(granted, sql, values![id.creation_time(), id.tail() as i64]).await?;
        Ok(rows.read_all(read_secret)?)
    }

    /// The secrets of all sessions after a position, for a change of the master key.
    pub async fn list_all_secrets(
        &self,
        system: &System,
        after: Option<&SecretPlace>,
        limit: u32,
    ) -> Result<Vec<(SecretPlace, SealedSecret)>> {
        let sql = "SELECT organization, session_us, name, ciphertext, sensitive FROM secrets
                   WHERE (organization, session_us, name) > ($1, $2, $3)
                   ORDER BY organization, session_us, name LIMIT $4";
        let values = match after {
            Some(after) => values![after.organization, after.session, after.key.as_str(), limit],
            // No secret has the reserved id.
            None => values![OrganizationId::ACCOUNT, 0, "", limit],
        };
        let rows = self.read_unscoped(system, sql, values).await?;
        let read_row = |columns: &mut Columns| {
            let (organization, session) = (OrganizationId(columns.id()?), columns.time()?);
            let secret = read_secret(columns)?;
            Ok((SecretPlace { organization, session, key: secret.key.clone() }, secret))
        };
        Ok(rows.read_all(read_row)?)
    }

    /// Replaces a secret by one that is sealed with another key.
    ///
    /// # Errors
    /// [`Error::Stale`] when it is no longer `before`.
    pub async fn replace_secret(
        &self,
        _: &System,
        place: &SecretPlace,
        before: &[u8],
        after: &[u8],
    ) -> Result<()> {
        let sql = "UPDATE secrets SET ciphertext = $5
                   WHERE organization = $1 AND session_us = $2 AND name = $3 AND ciphertext = $4";
        let values = values![place.organization, place.session, place.key.as_str(), before, after];
        self.apply(batch([], vec![one_row(sql, values)]), |_| Error::Stale).await
    }
}

/// The row of a new session's secret.
pub(crate) fn insert(session: &AgentSession, secret: &SealedSecret) -> Statement {
    one_row(
        "INSERT INTO secrets (organization, session_us, name, ciphertext, sensitive) VALUES ($1, $2, $3, $4, $5)",
        values![
            session.organization,
            session.id.creation_time(),
            secret.key.as_str(),
            &secret.ciphertext[..],
            secret.sensitive
        ],
    )
}

fn read_secret(columns: &mut Columns) -> Result<SealedSecret, DatabaseError> {
    Ok(SealedSecret { key: columns.text()?, ciphertext: columns.bytes()?, sensitive: columns.flag()? })
}
