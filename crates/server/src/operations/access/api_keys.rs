//! A person's own API keys. The keys of all wires are the same keys.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::own_keys::authorize_key_creation;
use crate::operations::access::service_users;
use crate::operations::login::sign_in::check_scopes;
use domain::Refusal;
use domain::credential::{Credential, KeySecret, Wire};
use domain::ids::{CredentialId, parse_uuid};
use domain::principal::Scopes;
use domain::refusal::Thing;
use domain::time::{Micros, Span};
use store::access::ManageOwnKeys;
use store::{ApiKeyName, Authentication, Caller, GrantedPerson};

pub use store::ApiKey;

/// A key with its secret. The secret is known when the key was just created, or when the settings keep secrets.
pub struct ApiKeyDetails {
    /// The key.
    pub key: ApiKey,
    /// The secret.
    pub secret: Option<String>,
}

/// What to change in a key. When everything is empty, the key gets a new secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiKeyUpdate {
    /// Lifetime from now on, in seconds; 0 means that the key does not expire.
    pub ttl: Option<i64>,
    /// The scopes that the key is limited to.
    pub scopes: Option<Scopes>,
    /// Whether to lift the limit to scopes.
    pub reset_scopes: bool,
}

/// Lists the caller's keys, oldest first. `expired` includes the expired ones.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn list_api_keys(app: &App, caller: &Caller, expired: bool) -> Result<Vec<ApiKeyDetails>, Failure> {
    let own = caller.authorize_self("read:user")?;
    let now = app.now();
    let all = app.store.list_api_keys(&own).await?.into_iter();
    Ok(all.filter(|key| expired || !has_expired(key, now)).map(to_details).collect())
}

/// Loads one of the caller's keys by its id or its secret.
///
/// # Errors
/// [`Refusal::NotFound`], also for another person's key, and for an expired one unless `expired` is set.
pub async fn load_api_key(
    app: &App,
    caller: &Caller,
    name: &str,
    expired: bool,
) -> Result<ApiKeyDetails, Failure> {
    let key = find_own_key(app, &caller.authorize_self("read:user")?, name).await?;
    if has_expired(&key, app.now()) && !expired {
        return Err(Refusal::NotFound(Thing::Credential).into());
    }
    Ok(to_details(key))
}

/// Creates a key. The caller must have signed in recently. The key has at most the scopes of the caller's session.
/// When the request is repeated, the answer is the key that was created before, without its secret.
///
/// # Errors
/// Those of [`authorize_key_creation`]; [`Refusal::OutOfScope`] for scopes that the session lacks.
pub async fn create_api_key(
    app: &App,
    caller: &Caller,
    ttl: i64,
    scopes: Option<Scopes>,
) -> Result<ApiKeyDetails, Failure> {
    let own = authorize_key_creation(app, caller).await?;
    check_scopes(caller.scopes(), scopes)?;
    if let Some(made) = app.store.find_earlier_creation(&own).await? {
        let key = app.store.load_api_key(&own, ApiKeyName::Id(CredentialId(made))).await?;
        return Ok(ApiKeyDetails { key, secret: None });
    }
    let now = app.now();
    let secret = KeySecret::new(Wire::Probe, app.random_bytes());
    let credential = Credential {
        organization: caller.bound_organization(),
        expires: key_expiry(caller, ttl, now),
        ..Credential::new(&secret, Wire::Probe, own.person(), now, app.random_bytes())
    };
    let recoverable = app.settings.probe_recoverable_tokens.then(|| secret.reveal().to_owned());
    let key = ApiKey { credential, scopes: scopes.or(caller.scopes()), updated: now, recoverable };
    app.store.create_api_key(&own, &key, &secret.hash()).await?;
    Ok(ApiKeyDetails { key, secret: Some(secret.reveal().to_owned()) })
}

/// Changes a key, or replaces its secret; the old secret stops working. A caller with an API key can change only that
/// key: a lost key must not give access to the owner's other keys.
///
/// # Errors
/// Those of [`create_api_key`] and [`load_api_key`].
pub async fn change_api_key(
    app: &App,
    caller: &Caller,
    name: &str,
    change: ApiKeyUpdate,
) -> Result<ApiKeyDetails, Failure> {
    let own = caller.authorize_self("write:user")?;
    caller.authorize::<ManageOwnKeys>()?;
    let before = find_own_key(app, &own, name).await?;
    if caller.authentication() != Authentication::Key(before.credential.id) {
        authorize_key_creation(app, caller).await?;
    }
    let scopes = if change.reset_scopes { None } else { change.scopes.or(before.scopes) };
    check_scopes(caller.scopes(), scopes)?;
    let mut after = before.clone();
    // When the limit is lifted, the caller's own scopes still limit the key.
    after.scopes = scopes.or(caller.scopes());
    after.updated = Micros(app.now().0.max(before.updated.0 + 1));
    if let Some(ttl) = change.ttl {
        after.credential.expires = key_expiry(caller, ttl, app.now());
    }
    let renews = change.ttl.is_none() && change.scopes.is_none() && !change.reset_scopes;
    if !renews {
        app.store.change_api_key(&own, &before, &after, None).await?;
        return Ok(to_details(after));
    }
    if has_expired(&before, app.now()) {
        return Err(Refusal::NotFound(Thing::Credential).into());
    }
    let secret = KeySecret::new(before.credential.wire, app.random_bytes());
    after.credential.suffix = secret.suffix().to_owned();
    after.recoverable = app.settings.probe_recoverable_tokens.then(|| secret.reveal().to_owned());
    app.store.change_api_key(&own, &before, &after, Some((&secret.hash(), secret.suffix()))).await?;
    Ok(ApiKeyDetails { key: after, secret: Some(secret.reveal().to_owned()) })
}

/// Revokes a key and its family, permanently. The key may be the one that the caller uses.
///
/// # Errors
/// Those of [`load_api_key`].
pub async fn revoke_api_key(app: &App, caller: &Caller, name: &str) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    let key = find_own_key(app, &own, name).await?;
    Ok(app.store.revoke_api_key(&own, key.credential.id, app.now()).await?)
}

/// Whether a key has expired.
pub fn has_expired(key: &ApiKey, now: Micros) -> bool {
    key.credential.expires.is_some_and(|expires| expires <= now)
}

async fn find_own_key(app: &App, own: &GrantedPerson, name: &str) -> Result<ApiKey, Failure> {
    let by_id = || parse_uuid(name).map(|id| ApiKeyName::Id(CredentialId(id)));
    let named = KeySecret::parse(name).map(|secret| ApiKeyName::Secret(secret.hash())).or_else(by_id);
    let named = named.ok_or(Refusal::NotFound(Thing::Credential))?;
    Ok(app.store.load_api_key(own, named).await?)
}

/// When a key with a lifetime of `ttl` seconds expires.
fn key_expiry(caller: &Caller, ttl: i64, now: Micros) -> Option<Micros> {
    let requested = (ttl > 0).then(|| now + Span(ttl.saturating_mul(1_000_000)));
    service_users::limit_expiry(requested, caller.max_key_expiry())
}

fn to_details(key: ApiKey) -> ApiKeyDetails {
    let secret = key.recoverable.clone();
    ApiKeyDetails { key, secret }
}
