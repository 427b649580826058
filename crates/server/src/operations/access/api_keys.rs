//! A person's own API keys. Every wire's keys are the same keys.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::own_keys::authorize_key_creation;
use crate::operations::access::service_users;
use crate::operations::login::sign_in::check_scopes;
use domain::Refusal;
use domain::credential::{Credential, Secret, Wire};
use domain::ids::{CredentialId, parse_uuid};
use domain::principal::Scopes;
use domain::refusal::Thing;
use domain::time::{Micros, Span};
use store::access::ManageOwnKeys;
use store::{ApiKeyName, Authentication, Caller, GrantedPerson};

pub use store::ApiKey;

/// A key with its secret, where it may be shown: when it was just made, or the settings say that it is kept.
pub struct ApiKeyDetails {
    /// The key.
    pub key: ApiKey,
    /// The secret.
    pub secret: Option<String>,
}

/// What is to be changed of a key. Nothing at all means a new secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiKeyUpdate {
    /// How long it is good from now on, in seconds; 0 is for ever.
    pub ttl: Option<i64>,
    /// What it may at most.
    pub scopes: Option<Scopes>,
    /// Whether it may again whatever its maker may.
    pub reset_scopes: bool,
}

/// The caller's keys, the oldest first.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn list_api_keys(app: &App, caller: &Caller, expired: bool) -> Result<Vec<ApiKeyDetails>, Failure> {
    let own = caller.authorize_self("read:user")?;
    let now = app.now();
    let all = app.store.list_api_keys(&own).await?.into_iter();
    Ok(all.filter(|key| expired || !has_expired(key, now)).map(to_details).collect())
}

/// One of them by its id or its secret.
///
/// # Errors
/// [`Refusal::NotFound`], also for somebody else's and for one that has expired, unless those are asked for.
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

/// Makes a key for who has signed in themselves and lately. It may no more than the session it is made in. Repeated, it
/// is the one that was made before, without its secret.
///
/// # Errors
/// As [`authorize_key_creation`]; [`Refusal::OutOfScope`] for more than the session may.
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
    let secret = Secret::new(Wire::Probe, app.random_bytes());
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

/// Changes a key, or gives it a new secret; the old one is no good from then on. With a key, that is possible for
/// itself alone: who found one key must not get another one of its owner.
///
/// # Errors
/// As [`create_api_key`] and [`load_api_key`].
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
    let wanted = if change.reset_scopes { None } else { change.scopes.or(before.scopes) };
    check_scopes(caller.scopes(), wanted)?;
    let mut after = before.clone();
    // Also where a scoped caller lets it be "whatever": no more than it may itself.
    after.scopes = wanted.or(caller.scopes());
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
    let secret = Secret::new(before.credential.wire, app.random_bytes());
    after.credential.suffix = secret.suffix().to_owned();
    after.recoverable = app.settings.probe_recoverable_tokens.then(|| secret.reveal().to_owned());
    app.store.change_api_key(&own, &before, &after, Some((&secret.hash(), secret.suffix()))).await?;
    Ok(ApiKeyDetails { key: after, secret: Some(secret.reveal().to_owned()) })
}

/// Revokes a key and its family for ever, also the one that the caller calls with.
///
/// # Errors
/// As [`load_api_key`].
pub async fn revoke_api_key(app: &App, caller: &Caller, name: &str) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    let key = find_own_key(app, &own, name).await?;
    Ok(app.store.revoke_api_key(&own, key.credential.id, app.now()).await?)
}

/// Whether a key is good no longer.
pub fn has_expired(key: &ApiKey, now: Micros) -> bool {
    key.credential.expires.is_some_and(|expires| expires <= now)
}

async fn find_own_key(app: &App, own: &GrantedPerson, name: &str) -> Result<ApiKey, Failure> {
    let by_id = || parse_uuid(name).map(|id| ApiKeyName::Id(CredentialId(id)));
    let named = Secret::parse(name).map(|secret| ApiKeyName::Secret(secret.hash())).or_else(by_id);
    let named = named.ok_or(Refusal::NotFound(Thing::Credential))?;
    Ok(app.store.load_api_key(own, named).await?)
}

/// When a key expires that a caller gives so many seconds.
fn key_expiry(caller: &Caller, ttl: i64, now: Micros) -> Option<Micros> {
    let asked = (ttl > 0).then(|| now + Span(ttl.saturating_mul(1_000_000)));
    service_users::limit_expiry(asked, caller.max_key_expiry())
}

fn to_details(key: ApiKey) -> ApiKeyDetails {
    let secret = key.recoverable.clone();
    ApiKeyDetails { key, secret }
}
