//! Authenticates callers by their credentials.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::policies;
use crate::operations::login::tokens;
use crate::operations::login::tokens::Use;
use crate::services::caller_cache::Presented;
use domain::credential::{KeySecret, SecretHash};
use domain::login::{RENEW_EVERY, renewal};
use std::net::IpAddr;
use store::{Authentication, Caller, OrganizationChoice, System};
use tracing::Instrument;

/// Reads a credential, an API key or a session token, used from an address, and records the use. At every use the store
/// says whether anything of it has changed, so that a revoked credential stops working at once.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a credential that is malformed, unknown, expired, revoked or not allowed from
/// this address; [`domain::Refusal::NotAMember`] for an organization that the caller cannot act in.
pub async fn authenticate_from(
    app: &App,
    credential: Option<&str>,
    chosen: OrganizationChoice,
    address: Option<IpAddr>,
) -> Result<Caller, Failure> {
    let credential = credential.ok_or(Failure::Unauthenticated)?;
    if tokens::looks_signed(credential) {
        return authenticate_login(app, credential, chosen, address).await;
    }
    let secret = KeySecret::parse(credential).ok_or(Failure::Unauthenticated)?;
    authenticate_key(app, &secret.hash(), chosen, address).await
}

/// Authenticates the owner of the API key with this hash, used from an address, and records the use.
///
/// # Errors
/// Those of [`authenticate_from`].
pub async fn authenticate_key(
    app: &App,
    key: &SecretHash,
    chosen: OrganizationChoice,
    address: Option<IpAddr>,
) -> Result<Caller, Failure> {
    let (presented, now) = (Presented::Key(*key, chosen), app.now());
    let caller = match app.callers.find(&presented, now).await? {
        Some(caller) => {
            check_network(&caller, address)?;
            caller
        }
        None => {
            let from = app.callers.begin_read().await?;
            let caller = app.store.authenticate_key(key, chosen, now).await?;
            check_network(&caller, address)?;
            let caller = policies::apply_second_factor_policy(app, caller).await?;
            app.callers.remember(presented, &caller, from, caller.valid_until());
            caller
        }
    };
    if app.used.due(caller.credential().0, now) {
        record_use(app, caller.authentication());
    }
    Ok(caller)
}

/// Authenticates a caller whose address is unknown. A key that is bound to networks is refused.
///
/// # Errors
/// Those of [`authenticate_from`].
pub async fn authenticate(
    app: &App,
    credential: Option<&str>,
    chosen: OrganizationChoice,
) -> Result<Caller, Failure> {
    authenticate_from(app, credential, chosen, None).await
}

/// The error does not reveal that the key works from other addresses.
fn check_network(caller: &Caller, address: Option<IpAddr>) -> Result<(), Failure> {
    if caller.accepts_address(address) { Ok(()) } else { Err(Failure::Unauthenticated) }
}

async fn authenticate_login(
    app: &App,
    token: &str,
    chosen: OrganizationChoice,
    address: Option<IpAddr>,
) -> Result<Caller, Failure> {
    let hash = tokens::hash_token(token).ok_or(Failure::Unauthenticated)?;
    let (presented, now) = (Presented::Token(hash, chosen), app.now());
    if let Some(caller) = app.callers.find(&presented, now).await? {
        check_network(&caller, address)?;
        return Ok(caller);
    }
    let (claims, good_until) = tokens::read_lasting_token(app, Use::Session, token).await?;
    let session = claims.session().ok_or(Failure::Unauthenticated)?;
    let scopes = claims.scopes()?;
    let from = app.callers.begin_read().await?;
    let (caller, last_use) = app.store.authenticate_login(session, &claims.hash(), chosen, now).await?;
    if caller.principal().0 != claims.sub {
        return Err(Failure::Unauthenticated);
    }
    check_network(&caller, address)?;
    if renewal(last_use, now).is_some() && app.used.due(session.uuid(), now) {
        record_use(app, caller.authentication());
    }
    let caller = policies::apply_second_factor_policy(app, caller).await?;
    let caller = match scopes {
        Some(scopes) => caller.narrow(scopes),
        None => caller,
    };
    // When the next use has to be recorded, the session is read again.
    let until = good_until.min(caller.valid_until()).min(last_use + RENEW_EVERY);
    app.callers.remember(presented, &caller, from, until);
    Ok(caller)
}

/// Records that a credential was used, in the background.
fn record_use(app: &App, authentication: Authentication) {
    let app = app.clone();
    let recording = async move {
        let (system, now) = (System::for_background_jobs(), app.now());
        let recorded = match authentication {
            Authentication::Key(key) => app.store.record_credential_use(&system, key, now).await,
            Authentication::Login(session) => app.store.record_login_use(&system, session, now).await,
        };
        if let Err(error) = recorded {
            tracing::warn!(%error, "cannot record that a credential was used");
        }
    };
    tokio::spawn(recording.in_current_span());
}
