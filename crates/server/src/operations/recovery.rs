//! Passwords that are changed or forgotten, and addresses that are shown to be somebody's.

use crate::failure::Failure;
use crate::mail;
use crate::operations::audit::{self, NewAuditLine};
use crate::operations::logins::ended;
use crate::operations::sign_in::TRIES;
use crate::operations::tokens::{self, Claims, Use};
use crate::state::App;
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::PrincipalId;
use domain::login::{Origin, Reach, Standing};
use domain::principal::{Person, PrincipalState};
use domain::refusal::Thing;
use domain::session::{EndReason, Ending};
use domain::time::Span;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{By, Caller, Error, GrantedPerson, Means, NewPassword, Proof, System};
use uuid::Uuid;

/// What a new password ends besides the person's other sessions.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlsoEnds {
    /// The session that the caller calls with.
    pub own_session: bool,
    /// All keys of the person, and what was made with them.
    pub keys: bool,
}

/// What became of a request to set a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// The password is set.
    Set,
    /// The person was sent a mail to set one by themselves.
    Mailed,
}

/// Sets the caller's own password, who shows that it knows the old one. All sessions end but the one it calls with.
///
/// # Errors
/// [`Refusal::Invalid`] for a wrong old password, and for a new one that is too short or too long;
/// [`Refusal::TooManyAttempts`].
pub async fn change_own(
    app: &App,
    caller: &Caller,
    old: &str,
    new: &str,
    ends: AlsoEnds,
) -> Result<(), Failure> {
    let own = caller.itself("write:user")?;
    change(app, caller, &own, old, new, ends).await
}

/// Sets the password of the person of a number, who may be the caller. `old` is the password of the caller itself: it
/// shows that it is still the one who signed in. Somebody else's password is set only by who made them as a sub user,
/// until they have shown that their address is their own; everybody else who may ask for it has a mail sent to them.
///
/// # Errors
/// As [`change_own`], and [`Refusal::NotFound`] for whom the caller may not know.
pub async fn change_of(
    app: &App,
    caller: &Caller,
    number: i64,
    old: &str,
    new: &str,
    ends: AlsoEnds,
) -> Result<Changed, Failure> {
    let over = async |reach| app.store.over(caller, number, reach, "write:user", "write:sub-user").await;
    let seen = over(Reach::See).await?;
    match over(Reach::Change).await {
        Ok(granted) if granted.standing() != Standing::Administrator => {
            change(app, caller, &granted, old, new, ends).await?;
            Ok(Changed::Set)
        }
        Ok(_) | Err(Error::Refused(Refusal::Forbidden(_))) => {
            restore_for(app, caller, &seen, old).await?;
            Ok(Changed::Mailed)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends somebody what sets a forgotten password, for a caller who may ask for it.
async fn restore_for(app: &App, caller: &Caller, granted: &GrantedPerson, old: &str) -> Result<(), Failure> {
    shows_password(app, caller, "write:sub-user", old).await?;
    let person = app.store.person(granted).await?;
    let restorable = restorable(&person);
    let Some(email) = person.principal.email.filter(|_| restorable) else {
        return Err(Refusal::NotFound(Thing::Principal).into());
    };
    limit(app, &format!("restore {email}")).await?;
    let line =
        NewAuditLine::new(granted.by(), "password.send_restore", granted.person(), json!({}), app.now());
    audit::note(app, line).await;
    send(app, Use::Restore, granted.person(), &email).await
}

/// Checks the caller's own password. Gives its hash, and by what the try was counted.
async fn shows_password(
    app: &App,
    caller: &Caller,
    scope: &'static str,
    old: &str,
) -> Result<(Option<String>, SecretHash), Failure> {
    let own = caller.itself(scope)?;
    let what = format!("password {}", own.person());
    limit(app, &what).await?;
    let shown = app.store.password_hash(&own).await?;
    if !app.passwords.check(old, shown.as_deref()).await? {
        return Err(Refusal::invalid("old-password", "your own password").into());
    }
    Ok((shown, about(&what)))
}

async fn change(
    app: &App,
    caller: &Caller,
    granted: &GrantedPerson,
    old: &str,
    new: &str,
    ends: AlsoEnds,
) -> Result<(), Failure> {
    app.passwords.rule.check("new-password", new)?;
    let itself = granted.standing() == Standing::Itself;
    let scope = if itself { "write:user" } else { "write:sub-user" };
    let (shown, counted) = shows_password(app, caller, scope, old).await?;
    let hash = app.passwords.hash(new, app.random_bytes()).await?;
    let ending = ended(granted, EndReason::PasswordChanged, "the password was changed");
    let but = match caller.means() {
        Means::Login(session) if itself && !ends.own_session => Some(session),
        _ => None,
    };
    for _ in 0..TRIES {
        let seen = app.store.password_hash(granted).await?;
        if itself && seen != shown {
            return Err(Refusal::invalid("old-password", "your own password").into());
        }
        let new = NewPassword { seen: seen.as_deref(), hash: &hash, revokes_keys: ends.keys };
        match app.store.set_password(granted, &new, but, &ending, app.now()).await {
            Err(Error::Stale) => {}
            outcome => {
                app.store.forget_attempts(&System::for_sign_in(), &counted).await?;
                return Ok(outcome?);
            }
        }
    }
    Err(Failure::Busy)
}

/// Sends what a forgotten password can be set with. Whether somebody has the address is not told, not by time either:
/// what is different happens afterwards.
///
/// # Errors
/// [`Refusal::TooManyAttempts`]; [`Refusal::Invalid`] for what can be no address.
pub async fn forgot(app: &App, email: &str) -> Result<(), Failure> {
    let email = mail::address(email)?;
    limit(app, &format!("restore {email}")).await?;
    let sending = app.clone();
    app.spawn(async move {
        let known = sending.store.known(&System::for_sign_in(), &email).await;
        let sent = match known {
            Ok(Some(known)) if restorable(&known.person) => {
                send(&sending, Use::Restore, known.person.principal.id, &email).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = sent {
            tracing::error!(%error, "a mail about a forgotten password was not sent");
        }
    });
    Ok(())
}

fn restorable(person: &Person) -> bool {
    matches!(person.principal.state, PrincipalState::Active | PrincipalState::Pending)
}

/// Sets a forgotten password with what was sent. All sessions of the person end.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a token that is unknown, used or expired; [`Refusal::Invalid`] for the password.
pub async fn restore(app: &App, token: &str, new: &str, origin: &Origin) -> Result<(), Failure> {
    app.passwords.rule.check("new-password", new)?;
    let claims = tokens::read(app, Use::Restore, token).await?;
    let hash = app.passwords.hash(new, app.random_bytes()).await?;
    let evidence = "the password was forgotten and set anew".to_owned();
    let actor = Some(PrincipalId(claims.sub));
    let ending = Ending { reason: EndReason::PasswordChanged, actor, evidence };
    let system = System::for_sign_in().on_behalf_of(By::address(origin.remote_ip));
    app.store.restore_password(&system, &claims.hash(), &hash, &ending, app.now()).await?;
    Ok(())
}

/// Takes an address for its owner's, by what was sent there.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a token that is unknown, used or expired.
pub async fn verify(app: &App, token: &str, origin: &Origin) -> Result<Person, Failure> {
    let claims = tokens::read(app, Use::Verify, token).await?;
    let system = System::for_sign_in().on_behalf_of(By::address(origin.remote_ip));
    Ok(app.store.verify_address(&system, &claims.hash(), app.now()).await?)
}

/// Sends what shows that an address is its owner's, or what sets a forgotten password.
///
/// # Errors
/// When it cannot be kept or sent.
pub async fn send(app: &App, usage: Use, person: PrincipalId, email: &str) -> Result<(), Failure> {
    let (purpose, subject, sentence, page) = match usage {
        Use::Restore => (
            "restore",
            "Your password for Tenure",
            "Somebody, probably you, asked to set a new password. If it was not you, nothing has to be done.",
            "/restore/verify",
        ),
        _ => (
            "verify",
            "Your address for Tenure",
            "Somebody made you a user of Tenure with this address. If you expected that, confirm it.",
            "",
        ),
    };
    let now = app.now();
    let until = now + Span::from(app.settings.one_time_expires);
    let claims = Claims::new(person.0, now, until, app.random_bytes());
    app.store.keep_token(&System::for_sign_in(), person, purpose, &claims.hash(), until).await?;
    let token = tokens::sign(app, usage, &claims).await?;
    let minutes = Span::from(app.settings.one_time_expires).whole_minutes();
    let text = format!(
        "{sentence}\n\nThis can be used once, within {minutes} minutes, at {}{page}:\n\n{token}\n",
        app.base_url
    );
    let name = Uuid::from_bytes(app.random_bytes()).simple().to_string();
    app.mailer.send(&name, email, subject, text).await.map_err(Failure::internal)
}

/// Refuses what was tried too often.
pub(super) async fn limit(app: &App, what: &str) -> Result<(), Failure> {
    let (most, window, now) =
        (app.settings.sign_in_attempts, Span::from(app.settings.sign_in_window), app.now());
    let attempts = app.store.count_attempt(&System::for_sign_in(), &about(what), window, now).await?;
    match attempts.locked(most, window, now) {
        Some(wait) => Err(Refusal::TooManyAttempts { seconds: (wait.0 + 999_999) / 1_000_000 }.into()),
        None => Ok(()),
    }
}

pub(super) fn about(what: &str) -> SecretHash {
    SecretHash(Sha256::digest(what.as_bytes()).into())
}
