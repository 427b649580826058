//! Who is calling.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::policies;
use crate::operations::login::tokens;
use crate::operations::login::tokens::Use;
use domain::credential::{Secret, SecretHash};
use domain::login::renewal;
use std::net::IpAddr;
use store::{Authentication, Caller, OrganizationChoice, System};
use tracing::Instrument;

/// Looks up who calls with a credential, an API key or the token of a login session, from an address, and notes that it
/// was used.
/// Both are read from the store at every use, so that a revoke counts at once.
///
/// # Errors
/// [`Failure::Unauthenticated`] for whatever is no good credential, or none that may be used from there, without a look-up when it cannot be one;
/// [`domain::Refusal::NotAMember`] for an organization that is not the caller's.
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
    let secret = Secret::parse(credential).ok_or(Failure::Unauthenticated)?;
    authenticate_key(app, &secret.hash(), chosen, address).await
}

/// Looks up whose API key has this hash when it is used from an address, and notes that the key was used.
///
/// # Errors
/// As [`authenticate_from`].
pub async fn authenticate_key(
    app: &App,
    key: &SecretHash,
    chosen: OrganizationChoice,
    address: Option<IpAddr>,
) -> Result<Caller, Failure> {
    let now = app.now();
    let caller = app.store.authenticate_key(key, chosen, now).await?;
    check_network(&caller, address)?;
    let caller = policies::apply_second_factor_policy(app, caller).await?;
    if app.used.due(caller.credential().0, now) {
        record_use(app, caller.authentication());
    }
    Ok(caller)
}

/// Looks up who calls from an unknown address, where a key that is bound to networks opens nothing.
///
/// # Errors
/// As [`authenticate_from`].
pub async fn authenticate(
    app: &App,
    credential: Option<&str>,
    chosen: OrganizationChoice,
) -> Result<Caller, Failure> {
    authenticate_from(app, credential, chosen, None).await
}

/// Nobody is told that the key is good elsewhere.
fn check_network(caller: &Caller, address: Option<IpAddr>) -> Result<(), Failure> {
    if caller.accepts_address(address) { Ok(()) } else { Err(Failure::Unauthenticated) }
}

async fn authenticate_login(
    app: &App,
    token: &str,
    chosen: OrganizationChoice,
    address: Option<IpAddr>,
) -> Result<Caller, Failure> {
    let claims = tokens::read(app, Use::Session, token).await?;
    let session = claims.session().ok_or(Failure::Unauthenticated)?;
    let scopes = claims.scopes()?;
    let now = app.now();
    let (caller, seen) = app.store.authenticate_login(session, &claims.hash(), chosen, now).await?;
    if caller.principal().0 != claims.sub {
        return Err(Failure::Unauthenticated);
    }
    check_network(&caller, address)?;
    if renewal(seen, now).is_some() && app.used.due(session.uuid(), now) {
        record_use(app, caller.authentication());
    }
    let caller = policies::apply_second_factor_policy(app, caller).await?;
    Ok(match scopes {
        Some(scopes) => caller.narrow(scopes),
        None => caller,
    })
}

/// Notes that a credential was used. Nobody waits for it.
fn record_use(app: &App, means: Authentication) {
    let app = app.clone();
    let noting = async move {
        let (system, now) = (System::background_jobs(), app.now());
        let noted = match means {
            Authentication::Key(key) => app.store.record_credential_use(&system, key, now).await,
            Authentication::Login(session) => app.store.record_login_use(&system, session, now).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot note that a credential was used");
        }
    };
    tokio::spawn(noting.in_current_span());
}
