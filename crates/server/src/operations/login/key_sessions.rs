//! Login sessions that API keys open. A key has one session for each set of scopes and uses it again. So frequent
//! requests for tokens create neither sessions nor audit entries.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::front::rates::{BucketKey, LOGINS_OF_KEYS};
use crate::operations::login::sign_in::IssuedToken;
use crate::operations::login::sign_in::lifetime;
use crate::operations::login::tokens;
use crate::operations::login::tokens::Claims;
use crate::operations::login::tokens::Use;
use domain::ids::{CredentialId, PrincipalId};
use domain::login::Login;
use domain::principal::Scopes;
use domain::time::{Micros, Span};
use sha2::{Digest, Sha256};
use store::{Caller, GrantedPerson, System};

/// The context that the secrets are derived in.
const PURPOSE: &str = "login sessions of keys";

/// The secret of a session that a key opens. It is derived from the session, so that another token of the session can
/// be made: the store has only its hash.
pub(crate) fn derive_secret(
    app: &App,
    key: CredentialId,
    scopes: Option<Scopes>,
    expires: Micros,
) -> [u8; 32] {
    let scopes = scopes.map(|scopes| scopes.names().collect::<Vec<_>>().join(" "));
    Sha256::new()
        .chain_update(app.keys.derive_key(PURPOSE))
        .chain_update(key.0.as_bytes())
        .chain_update(expires.0.to_be_bytes())
        .chain_update([u8::from(scopes.is_some())])
        .chain_update(scopes.unwrap_or_default())
        .finalize()
        .into()
}

/// A token of the session that the key has opened before with these scopes, if it is valid for at least half of the
/// lifetime of a new one.
pub(crate) async fn reuse_session(
    app: &App,
    caller: &Caller,
    own: &GrantedPerson,
    key: CredentialId,
    scopes: Option<Scopes>,
    long: bool,
) -> Result<Option<IssuedToken>, Failure> {
    let (now, life) = (app.now(), lifetime(app, long));
    let longest = caller.expires().map_or(now + life, |until| until.min(now + life));
    let enough = longest.min(now + Span(life.0 / 2));
    let fits = |login: &Login| {
        let used_lately = login.seen + Span(login.idle.0 / 2) >= now;
        // Tokens expire at full seconds.
        let lasts = login.expires + Span::seconds(1) > enough;
        login.credential == Some(key) && login.scopes == scopes && lasts && used_lately
    };
    let open = app.store.list_open_logins(&System::for_sign_in(), own.person()).await?;
    for login in open.into_iter().filter(|login| login.is_open(now) && fits(login)) {
        let until = longest.min(login.expires);
        let mut claims =
            Claims::new(login.owner.0, now, until, derive_secret(app, key, scopes, login.expires));
        // A session that an earlier version opened has another secret.
        if app.store.is_login_secret(&System::for_sign_in(), login.id, &claims.hash()).await? {
            claims.set_session(&login);
            let token = tokens::sign_token(app, Use::Session, &claims).await?;
            return Ok(Some(IssuedToken { token, expires: claims.expires() }));
        }
    }
    Ok(None)
}

/// Counts a session that a key opens.
///
/// # Errors
/// [`RequestFailure::TooManyRequests`] beyond [`LOGINS_OF_KEYS`].
pub(crate) fn count_session(app: &App, principal: PrincipalId) -> Result<(), Failure> {
    match app.front.rates.spend(BucketKey::Logins(principal.0), LOGINS_OF_KEYS, app.now()).wait {
        Some(seconds) => Err(RequestFailure::TooManyRequests { seconds }.into()),
        None => Ok(()),
    }
}
