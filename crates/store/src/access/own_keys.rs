//! A person's own API keys.

use crate::access::GrantedPerson;
use crate::access::credentials::{
    credential_columns, key_created_entry, key_entry, key_statements, read_credential,
};
use crate::access::idempotency::record_creation;
use crate::access::key_families::KeyRoot;
use crate::access::reads::Scope;
use crate::audit::attribution::Grant;
use crate::audit::log::batch_with_entry;
use crate::database::{Columns, DatabaseError};
use crate::logins::sessions::end_key_sessions;
use crate::rows::{format_scopes, values};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::credential::{Credential, SecretHash};
use domain::ids::{CredentialId, OrganizationId};
use domain::principal::Scopes;
use domain::refusal::Thing;
use domain::session::{EndReason, Ending};
use domain::time::Micros;
use serde_json::json;

/// An API key with details for its owner alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key.
    pub credential: Credential,
    /// The scopes it is limited to; `None` for all permissions of its owner.
    pub scopes: Option<Scopes>,
    /// When it was last changed.
    pub updated: Micros,
    /// The secret, if the settings keep it so that it can be shown again.
    pub recoverable: Option<String>,
}

/// How a person names one of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeyName {
    /// By its id.
    Id(CredentialId),
    /// By the hash of its secret.
    Secret(SecretHash),
}

macro_rules! tokens {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            credential_columns!(),
            ", scopes, updated_us, recoverable
             FROM credentials WHERE principal = $1 AND revoked_us IS NULL ",
            $rest
        )
    };
}

impl Store {
    /// The person's keys that are not revoked, expired ones included; oldest first.
    pub async fn list_api_keys(&self, granted: &GrantedPerson) -> Result<Vec<ApiKey>> {
        let sql = tokens!("ORDER BY created_us, id");
        let rows = self.read(granted, sql, values![]).await?;
        Ok(rows.read_all(read_api_key)?)
    }

    /// One of the person's keys.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also for another person's key.
    pub async fn load_api_key(&self, granted: &GrantedPerson, name: ApiKeyName) -> Result<ApiKey> {
        let rows = match name {
            ApiKeyName::Id(id) => self.read(granted, tokens!("AND id = $2"), values![id]).await?,
            ApiKeyName::Secret(hash) => {
                self.read(granted, tokens!("AND hash = $2"), values![&hash.0[..]]).await?
            }
        };
        rows.read_first(read_api_key)?.ok_or(Refusal::NotFound(Thing::Credential).into())
    }

    /// Stores a new key of the person.
    pub async fn create_api_key(
        &self,
        granted: &GrantedPerson,
        new: &ApiKey,
        hash: &SecretHash,
    ) -> Result<()> {
        assert_eq!(granted.person(), new.credential.principal, "a grant is for its own person only");
        let mut statements = key_statements(&new.credential, hash, granted.attribution());
        let sql = "UPDATE credentials SET scopes = $3, updated_us = $4, recoverable = $5
                   WHERE principal = $1 AND id = $2";
        let values =
            values![new.credential.id, format_scopes(new.scopes), new.updated, new.recoverable.as_deref()];
        statements.push(granted.one_row(sql, values));
        statements.extend(record_creation(granted, new.credential.id.0));
        let entry = key_created_entry(granted.attribution(), &new.credential, new.scopes);
        self.insert_credential(statements, &entry).await
    }

    /// Changes when a key expires and its scopes. Ends the sessions that it opened, because they have its old scopes.
    ///
    /// # Errors
    /// [`Error::Stale`] when the key was changed or revoked since it was loaded.
    pub async fn change_api_key(
        &self,
        granted: &GrantedPerson,
        before: &ApiKey,
        after: &ApiKey,
        secret: Option<(&SecretHash, &str)>,
    ) -> Result<()> {
        let (id, now) = (before.credential.id, after.updated);
        let change = granted.one_row(
            "UPDATE credentials SET scopes = $4, expires_us = $5, updated_us = $6, recoverable = $7
             WHERE principal = $1 AND id = $2 AND COALESCE(updated_us, created_us) = $3 AND revoked_us IS NULL",
            values![
                id,
                before.updated,
                format_scopes(after.scopes),
                after.credential.expires,
                now,
                after.recoverable.as_deref()
            ],
        );
        let mut statements = vec![change];
        if let Some((hash, suffix)) = secret {
            let sql = "UPDATE credentials SET hash = $3, suffix = $4 WHERE principal = $1 AND id = $2";
            statements.push(granted.any_rows(sql, values![id, &hash.0[..], suffix]));
        }
        let evidence = "the key that opened it was changed".to_owned();
        let ending = Ending { reason: EndReason::Revoked, actor: granted.actor(), evidence };
        // Sessions are found by the key, which is the person's: the first statement expects that.
        statements.extend(end_key_sessions(id, &ending, now));
        let terms = |token: &ApiKey| {
            let expires = token.credential.expires.map(|expires| expires.0);
            json!({ "of": token.credential.principal, "scopes": format_scopes(token.scopes), "expires_us": expires })
        };
        let action = if secret.is_some() { "key.renew" } else { "key.change" };
        let entry = key_entry(granted.attribution(), action, &after.credential, terms(after), now)
            .with_previous(terms(before));
        self.apply(batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?, |_| Error::Stale).await
    }

    /// Revokes one of the person's keys and its family for ever, and ends the sessions that they opened.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when the key was revoked before.
    pub async fn revoke_api_key(&self, granted: &GrantedPerson, id: CredentialId, now: Micros) -> Result<()> {
        let sql =
            "UPDATE credentials SET name = name WHERE principal = $1 AND id = $2 AND revoked_us IS NULL";
        let mut statements = vec![granted.one_row(sql, values![id])];
        // The family of the person's key may have keys of others.
        let root = KeyRoot::Key(id);
        statements.extend(root.revocation(granted.actor(), now));
        let key = self.load_api_key(granted, ApiKeyName::Id(id)).await?.credential;
        let details = json!({ "of": key.principal, "revoked": self.list_valid_keys(root).await? });
        let entry = key_entry(granted.attribution(), "key.revoke", &key, details, now);
        let batch = batch_with_entry([OrganizationId::PEOPLE], statements, &entry)?;
        self.apply(batch, |_| Refusal::NotFound(Thing::Credential).into()).await
    }
}

fn read_api_key(columns: &mut Columns) -> Result<ApiKey, DatabaseError> {
    let credential = read_credential(columns)?;
    Ok(ApiKey {
        scopes: columns.maybe_scopes()?,
        updated: columns.maybe_time()?.unwrap_or(credential.created),
        recoverable: columns.maybe_text()?,
        credential,
    })
}
