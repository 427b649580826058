//! Families of keys: a key, all keys that were made with it, all that were made with those, and so on. A key that was
//! made in a login session belongs to the key that opened the session.
//!
//! Revoking a key revokes its family. So the finder of a key loses everything they made with it.

use crate::access::credentials::{ONE, key_entry, read_credential};
use crate::access::{GrantedPerson, System};
use crate::audit::attribution::Grant;
use crate::audit::log::{NewAuditEntry, batch_with_entry};
use crate::database::{Columns, Statement};
use crate::logins::sessions::{EndStatements, NONE, end_key_sessions, end_statements, ends};
use crate::rows::{any_rows, one_row, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::{CredentialId, OrganizationId, PrincipalId};
use domain::refusal::Thing;
use domain::session::{EndReason, Ending};
use domain::time::Micros;
use serde_json::json;
use uuid::Uuid;

/// The ids of the keys that `$root` selects by `$2`, and of their families. `UNION` drops keys that were found
/// before, so a circle of keys that renewed each other ends.
macro_rules! family {
    ($root:literal) => {
        concat!(
            "WITH RECURSIVE family (id) AS (
                 SELECT k.id FROM credentials k WHERE ",
            $root,
            " UNION SELECT k.id FROM family f JOIN credentials k ON k.made_by = f.id)
             SELECT id FROM family"
        )
    };
}

macro_rules! of_key {
    () => {
        family!("k.id = $2")
    };
}

macro_rules! of_owner {
    () => {
        family!("k.principal = $2")
    };
}

macro_rules! revoke {
    ($family:expr) => {
        concat!(
            "UPDATE credentials SET revoked_us = COALESCE(revoked_us, $1), recoverable = NULL WHERE id IN (",
            $family,
            ")"
        )
    };
}

macro_rules! good {
    ($family:expr) => {
        concat!("SELECT id FROM credentials WHERE COALESCE(revoked_us, $1) = $1 AND id IN (", $family, ")")
    };
}

/// Which keys are revoked together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyRoot {
    /// A key and its family.
    Key(CredentialId),
    /// All keys of a principal and their families.
    Owner(PrincipalId),
}

impl KeyRoot {
    fn id(self) -> Uuid {
        match self {
            KeyRoot::Key(key) => key.0,
            KeyRoot::Owner(owner) => owner.0,
        }
    }

    /// Revokes the keys and ends the login sessions that they opened. The batch must lock [`OrganizationId::PEOPLE`].
    pub(crate) fn revocation(self, actor: Option<PrincipalId>, now: Micros) -> Vec<Statement> {
        const SESSIONS_OF_KEY: EndStatements = ends!(
            "created_us IN (SELECT l.created_us FROM logins l WHERE l.credential IN (",
            of_key!(),
            ")) AND created_us <> $3"
        );
        const SESSIONS_OF_OWNER: EndStatements = ends!(
            "created_us IN (SELECT l.created_us FROM logins l WHERE l.credential IN (",
            of_owner!(),
            ")) AND created_us <> $3"
        );
        let (sql, sessions) = match self {
            KeyRoot::Key(_) => (revoke!(of_key!()), SESSIONS_OF_KEY),
            KeyRoot::Owner(_) => (revoke!(of_owner!()), SESSIONS_OF_OWNER),
        };
        let mut statements = vec![any_rows(sql, values![now, self.id()])];
        statements.extend(end_statements(&sessions, self.id(), NONE, &key_revoked_ending(actor), now));
        statements
    }
}

/// The ending of sessions that a revoked key opened.
pub(crate) fn key_revoked_ending(actor: Option<PrincipalId>) -> Ending {
    let evidence = "the key that opened it was revoked".to_owned();
    Ending { reason: EndReason::Revoked, actor, evidence }
}

impl Store {
    /// The keys of a family that are not revoked, for the audit log. [`NONE`] is a time that no key has, so it
    /// matches none that was revoked.
    pub(crate) async fn list_valid_keys(&self, root: KeyRoot) -> Result<Vec<Uuid>> {
        let sql = match root {
            KeyRoot::Key(_) => good!(of_key!()),
            KeyRoot::Owner(_) => good!(of_owner!()),
        };
        let rows = self.read_unscoped(&System::for_granted_reads(), sql, values![NONE, root.id()]).await?;
        let mut ids = rows.read_all(Columns::id)?;
        ids.sort();
        Ok(ids)
    }

    /// Revokes a key and its family for ever, and ends the sessions that they opened. Revoking again is no error.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such key.
    pub async fn revoke_credential(&self, system: &System, id: CredentialId, now: Micros) -> Result<()> {
        let rows = self.read_unscoped(system, ONE, values![id]).await?;
        let key = rows.read_first(read_credential)?.ok_or(Refusal::NotFound(Thing::Credential))?;
        let all = self.list_valid_keys(KeyRoot::Key(id)).await?;
        let entry =
            key_entry(system.0, "key.revoke", &key, json!({ "of": key.principal, "revoked": all }), now);
        let statements = KeyRoot::Key(id).revocation(system.0.principal, now);
        Ok(self.database.apply(batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?).await?)
    }

    /// Revokes all keys of the person and their families for ever, and ends the sessions that they opened.
    pub async fn revoke_all_api_keys(&self, granted: &GrantedPerson, now: Micros) -> Result<()> {
        let root = KeyRoot::Owner(granted.person());
        let details = json!({ "revoked": self.list_valid_keys(root).await? });
        let entry =
            NewAuditEntry::new(granted.attribution(), "key.revoke_all", granted.person(), details, now);
        let statements = root.revocation(granted.actor(), now);
        Ok(self.database.apply(batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?).await?)
    }

    /// Replaces a key by a new one and revokes only the old key. Its children join the family of the new key. When
    /// the old key made the new one, the new key inherits its maker. Replacing again is no error.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such key.
    pub async fn replace_credential(
        &self,
        system: &System,
        old: CredentialId,
        new: CredentialId,
        now: Micros,
    ) -> Result<()> {
        let rows = self.read_unscoped(system, ONE, values![old]).await?;
        let key = rows.read_first(read_credential)?.ok_or(Refusal::NotFound(Thing::Credential))?;
        let own_maker =
            "UPDATE credentials SET made_by = (SELECT k.made_by FROM credentials k WHERE k.id = $2)
                         WHERE id = $1 AND made_by = $2";
        let children = "UPDATE credentials SET made_by = $1 WHERE made_by = $2 AND id <> $1";
        let revoke =
            "UPDATE credentials SET revoked_us = COALESCE(revoked_us, $2), recoverable = NULL WHERE id = $1";
        let mut statements = vec![
            any_rows(own_maker, values![new, old]),
            any_rows(children, values![new, old]),
            one_row(revoke, values![old, now]),
        ];
        statements.extend(end_key_sessions(old, &key_revoked_ending(system.0.principal), now));
        let details = json!({ "of": key.principal, "revoked": [old.0], "successor": new.0 });
        let entry = key_entry(system.0, "key.revoke", &key, details, now);
        self.apply(batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?, |_| {
            Refusal::NotFound(Thing::Credential).into()
        })
        .await
    }
}
