//! Passwords that are changed or forgotten, and addresses that are shown to be somebody's.

use crate::failure::Failure;
use crate::mail;
use crate::operations::logins::ended;
use crate::operations::sign_in::TRIES;
use crate::operations::tokens::{self, Claims, Use};
use crate::state::App;
use domain::Refusal;
use domain::credential::SecretHash;
use domain::ids::PrincipalId;
use domain::login::{Origin, Standing};
use domain::principal::{Person, PrincipalState};
use domain::session::{EndReason, Ending};
use domain::time::Span;
use sha2::{Digest, Sha256};
use store::{By, Caller, Error, GrantedPerson, Means, System};
use uuid::Uuid;

/// Sets the caller's own password, who shows that it knows the old one. All sessions end but the one it calls with,
/// which ends too when all are to.
///
/// # Errors
/// [`Refusal::Invalid`] for a wrong old password, and for a new one that is too short or too long;
/// [`Refusal::TooManyAttempts`].
pub async fn change_own(app: &App, caller: &Caller, old: &str, new: &str, all: bool) -> Result<(), Failure> {
    let own = caller.itself("write:user")?;
    change(app, caller, &own, old, new, all).await
}

/// Sets the password of the person of a number, who may be the caller. For a sub user, `old` is the password of the
/// caller itself: it shows that it is still the one who signed in.
///
/// # Errors
/// As [`change_own`], and [`Refusal::NotFound`] for whom the caller may not know.
pub async fn change_of(
    app: &App,
    caller: &Caller,
    number: i64,
    old: &str,
    new: &str,
    all: bool,
) -> Result<(), Failure> {
    let granted = app.store.over(caller, number, "write:user", "write:sub-user").await?;
    change(app, caller, &granted, old, new, all).await
}

async fn change(
    app: &App,
    caller: &Caller,
    granted: &GrantedPerson,
    old: &str,
    new: &str,
    all: bool,
) -> Result<(), Failure> {
    app.passwords.rule.check("new-password", new)?;
    let own = caller.itself(if granted.standing() == Standing::Itself {
        "write:user"
    } else {
        "write:sub-user"
    })?;
    limit(app, &format!("password {}", own.person())).await?;
    let shown = app.store.password_hash(&own).await?;
    if !app.passwords.check(old, shown.as_deref()).await? {
        return Err(Refusal::invalid("old-password", "your own password").into());
    }
    let hash = app.passwords.hash(new, app.random_bytes()).await?;
    let ending = ended(granted, EndReason::PasswordChanged, "the password was changed");
    let but = match (granted.standing(), caller.means()) {
        (Standing::Itself, Means::Login(session)) if !all => Some(session),
        _ => None,
    };
    for _ in 0..TRIES {
        let seen = app.store.password_hash(granted).await?;
        if granted.standing() == Standing::Itself && seen != shown {
            return Err(Refusal::invalid("old-password", "your own password").into());
        }
        match app.store.set_password(granted, seen.as_deref(), &hash, but, &ending, app.now()).await {
            Err(Error::Stale) => {}
            outcome => {
                app.store
                    .forget_attempts(&System::for_sign_in(), &about(&format!("password {}", own.person())))
                    .await?;
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
