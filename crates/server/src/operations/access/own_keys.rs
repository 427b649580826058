//! A person's own keys, as Mobile Next manages them: only after a sign-in, never with a key.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::second_factor::demand_fresh;
use domain::Refusal;
use domain::credential::{Credential, KeySecret, Wire};
use domain::ids::{CredentialId, OrganizationId, PrincipalId};
use domain::name::{self, MAX_NAME_CHARS};
use domain::principal::Scopes;
use domain::refusal::Thing;
use domain::time::Micros;
use store::access::ManageOwnKeys;
use store::{ApiKey, ApiKeyName, Authentication, Caller, GrantedPerson};

/// A new key with its secret. The secret is shown once and not stored.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    /// The key.
    pub credential: Credential,
    /// The secret; `None` when an earlier attempt at the same request created the key.
    pub secret: Option<KeySecret>,
}

/// Authorizes a caller who has signed in. A caller with an API key is refused, and so is a session that was opened
/// with a key: a lost key must not create others.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn authorize_interactive(
    app: &App,
    caller: &Caller,
    scope: &'static str,
) -> Result<GrantedPerson, Failure> {
    let refusal = Refusal::OutOfScope("a login session");
    let Authentication::Login(session) = caller.authentication() else { return Err(refusal.into()) };
    let own = caller.authorize_self(scope)?;
    match app.store.load_login(&own, session).await?.credential {
        None => Ok(own),
        Some(_) => Err(refusal.into()),
    }
}

/// Authorizes a caller who has signed in recently to create and change keys.
///
/// # Errors
/// [`Refusal::OutOfScope`]; [`Refusal::StaleAuthentication`]; [`Refusal::Forbidden`] when the caller's role cannot
/// have keys.
pub async fn authorize_key_creation(app: &App, caller: &Caller) -> Result<GrantedPerson, Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    caller.authorize::<ManageOwnKeys>()?;
    demand_fresh(app, caller)?;
    Ok(own)
}

/// Lists the caller's keys that have not expired, oldest first.
///
/// # Errors
/// [`Refusal::OutOfScope`].
pub async fn list_own_keys(app: &App, caller: &Caller) -> Result<Vec<Credential>, Failure> {
    let own = authorize_interactive(app, caller, "read:user").await?;
    let now = app.now();
    let good = |token: &ApiKey| token.credential.expires.is_none_or(|expires| expires > now);
    Ok(app.store.list_api_keys(&own).await?.into_iter().filter(good).map(|token| token.credential).collect())
}

/// Creates a key for the organization that the caller acts in. When the request is repeated, the answer is the key
/// that was created before.
///
/// # Errors
/// Those of [`authorize_key_creation`]; [`Refusal::Invalid`] for the name.
pub async fn create_own_key(app: &App, caller: &Caller, name: &str) -> Result<CreatedKey, Failure> {
    let own = authorize_key_creation(app, caller).await?;
    let granted = caller.authorize::<ManageOwnKeys>()?;
    if let Some(made) = app.store.find_earlier_creation(&own).await? {
        let made = app.store.load_api_key(&own, ApiKeyName::Id(CredentialId(made))).await?;
        return Ok(CreatedKey { credential: made.credential, secret: None });
    }
    name::check_line("name", name, MAX_NAME_CHARS)?;
    let organization = granted.organization();
    let (token, secret) = build_key(app, own.person(), Some(organization), name, caller.scopes(), None);
    app.store.create_api_key(&own, &token, &secret.hash()).await?;
    Ok(CreatedKey { credential: token.credential, secret: Some(secret) })
}

/// Builds a key; the caller stores it.
pub(crate) fn build_key(
    app: &App,
    principal: PrincipalId,
    organization: Option<OrganizationId>,
    name: &str,
    scopes: Option<Scopes>,
    expires: Option<Micros>,
) -> (ApiKey, KeySecret) {
    let now = app.now();
    let secret = KeySecret::new(Wire::MobileNext, app.random_bytes());
    let credential = Credential {
        organization,
        name: name.to_owned(),
        expires,
        ..Credential::new(&secret, Wire::MobileNext, principal, now, app.random_bytes())
    };
    (ApiKey { credential, scopes, updated: now, recoverable: None }, secret)
}

/// Revokes all of the caller's keys and their families, permanently.
///
/// # Errors
/// [`Refusal::OutOfScope`] for a caller who has not signed in: whoever finds a key cannot revoke the others.
pub async fn revoke_all_own_keys(app: &App, caller: &Caller) -> Result<(), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    Ok(app.store.revoke_all_api_keys(&own, app.now()).await?)
}

/// Revokes one of the caller's keys and its family, permanently.
///
/// # Errors
/// [`Refusal::NotFound`], also for another person's key; those of [`authorize_interactive`]; [`Refusal::Forbidden`].
pub async fn revoke_own_key(app: &App, caller: &Caller, id: Option<CredentialId>) -> Result<(), Failure> {
    let own = authorize_interactive(app, caller, "write:user").await?;
    caller.authorize::<ManageOwnKeys>()?;
    let id = id.ok_or(Refusal::NotFound(Thing::Credential))?;
    app.store.revoke_api_key(&own, id, app.now()).await?;
    Ok(())
}
