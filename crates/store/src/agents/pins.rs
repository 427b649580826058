//! Pinned agent sessions.

use crate::access::reads::Scope;
use crate::access::{Granted, ViewSessions};
use crate::devices::sessions::read_session_id;
use crate::rows::{batch, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::{PrincipalId, SessionId};
use domain::refusal::Thing;
use std::collections::HashSet;
use uuid::Uuid;

impl Store {
    /// Pins a session for the caller. Pinning again is no error.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such session.
    pub async fn pin_session(&self, granted: &Granted<ViewSessions>, id: SessionId) -> Result<()> {
        let insert = "INSERT INTO pins (organization, principal, session_us) VALUES ($1, $2, $3)
                      ON CONFLICT DO NOTHING";
        self.set_pin(granted, id, insert).await
    }

    /// Unpins a session for the caller. Unpinning again is no error.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such session.
    pub async fn unpin_session(&self, granted: &Granted<ViewSessions>, id: SessionId) -> Result<()> {
        let delete = "DELETE FROM pins WHERE organization = $1 AND principal = $2 AND session_us = $3";
        self.set_pin(granted, id, delete).await
    }

    async fn set_pin(&self, granted: &Granted<ViewSessions>, id: SessionId, sql: &'static str) -> Result<()> {
        let session_exists = "UPDATE counters SET sequence = sequence WHERE organization = $1 AND EXISTS
                         (SELECT 1 FROM agent_sessions WHERE organization = $1 AND created_us = $2 AND tail = $3)";
        let statements = vec![
            granted.one_row(session_exists, values![id.creation_time(), id.tail() as i64]),
            granted.any_rows(sql, values![pin_owner(granted), id.creation_time()]),
        ];
        // The organization's row is locked, so that the session still exists at the commit.
        self.apply(batch([granted.organization()], statements), |_| Refusal::NotFound(Thing::Session).into())
            .await
    }

    /// The sessions that the caller has pinned.
    pub async fn list_pinned_sessions(&self, granted: &Granted<ViewSessions>) -> Result<HashSet<SessionId>> {
        let sql = "SELECT s.created_us, s.tail FROM pins p JOIN agent_sessions s
                       ON s.organization = p.organization AND s.created_us = p.session_us
                   WHERE p.organization = $1 AND p.principal = $2";
        let rows = self.read(granted, sql, values![pin_owner(granted)]).await?;
        Ok(rows.read_all(read_session_id)?.into_iter().collect())
    }
}

/// Tenure itself pins under an id that no principal has.
fn pin_owner(granted: &Granted<ViewSessions>) -> PrincipalId {
    granted.principal().unwrap_or(PrincipalId(Uuid::nil()))
}
