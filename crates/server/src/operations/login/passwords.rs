//! Changing and restoring passwords, and confirming addresses.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::audit;
use crate::operations::audit::NewAuditEntry;
use crate::operations::directory::invitations;
use crate::operations::login::attempt_budgets;
use crate::operations::login::attempt_budgets::AttemptBudget;
use crate::operations::login::known_browsers;
use crate::operations::login::policies;
use crate::operations::login::second_factor::PASSWORD;
use crate::operations::login::sessions::build_ending;
use crate::operations::login::sign_in::TRIES;
use crate::operations::login::tokens;
use crate::operations::login::tokens::Claims;
use crate::operations::login::tokens::Use;
use crate::services::password_hasher::PasswordHasher;
use crate::services::{Services, mailer};
use domain::Refusal;
use domain::ids::PrincipalId;
use domain::login::{Origin, PersonAccess, PersonRelation};
use domain::principal::{Person, PrincipalState};
use domain::refusal::Thing;
use domain::session::{EndReason, Ending};
use domain::time::Span;
use serde_json::json;
use store::{Attribution, Authentication, Caller, Error, Grant, GrantedPerson, NewPassword, System};
use uuid::Uuid;

/// What a new password ends besides the user's other sessions.
#[derive(Debug, Clone, Copy, Default)]
pub struct RevocationScope {
    /// The caller's session.
    pub own_session: bool,
    /// All of the user's keys, and the sessions made with them.
    pub keys: bool,
}

/// The outcome of a request to set a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordChangeOutcome {
    /// The password is set.
    Set,
    /// The user was sent a mail to set one.
    Mailed,
}

/// Sets the caller's own password. All of the caller's other sessions end.
///
/// # Errors
/// [`Refusal::Invalid`] for a wrong old password, and for a new one that is too short or too long;
/// [`Refusal::TooManyAttempts`].
pub async fn change_own_password(
    app: &App,
    caller: &Caller,
    old: &str,
    new: &str,
    revoked: RevocationScope,
) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    change_password(app, caller, &own, old, new, revoked).await
}

/// Sets the password of the user with this number, who may be the caller. `old` is the caller's own password. The
/// creator of a sub user sets their password directly, until the sub user has confirmed the address. Any other caller
/// who may see the user has a mail sent to them.
///
/// # Errors
/// Those of [`change_own_password`]; [`Refusal::NotFound`], also for a user whom the caller may not see.
pub async fn change_user_password(
    app: &App,
    caller: &Caller,
    number: i64,
    old: &str,
    new: &str,
    revoked: RevocationScope,
) -> Result<PasswordChangeOutcome, Failure> {
    let authorize = async |reach| {
        app.store.authorize_over_person(caller, number, reach, "write:user", "write:sub-user").await
    };
    let visible = authorize(PersonAccess::See).await?;
    match authorize(PersonAccess::Change).await {
        Ok(granted) if granted.relation() != PersonRelation::Administrator => {
            change_password(app, caller, &granted, old, new, revoked).await?;
            Ok(PasswordChangeOutcome::Set)
        }
        Ok(_) | Err(Error::Refused(Refusal::Forbidden(_))) => {
            send_restore_mail(app, caller, &visible, old).await?;
            Ok(PasswordChangeOutcome::Mailed)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends a user a mail to restore the password, for a caller who may ask for it.
async fn send_restore_mail(
    app: &App,
    caller: &Caller,
    granted: &GrantedPerson,
    old: &str,
) -> Result<(), Failure> {
    let (_, passwords_tried) = check_own_password(app, caller, "write:sub-user", old).await?;
    attempt_budgets::forget_attempts(app, passwords_tried).await?;
    policies::demand_password_allowed(app, granted.person()).await?;
    let person = app.store.load_person(granted).await?;
    let restorable = can_restore(&person);
    let Some(email) = person.principal.email.filter(|_| restorable) else {
        return Err(Refusal::NotFound(Thing::Principal).into());
    };
    // The refusal tells the caller that a mail is on its way. Users can still ask for themselves.
    attempt_budgets::reserve_attempts(app, [restore_mail_budget(app, granted.person())]).await?;
    let line = NewAuditEntry::new(
        granted.attribution(),
        "password.send_restore",
        granted.person(),
        json!({}),
        app.now(),
    );
    audit::record_audit_entry(app, line).await;
    let mail = if app.store.has_own_address(granted).await? {
        AddressMail::Restore
    } else {
        AddressMail::AlreadyKnown
    };
    send_address_mail(app, mail, granted.person(), &email).await
}

/// Checks the caller's own password. Returns its hash, and the budget of the attempt.
async fn check_own_password(
    app: &App,
    caller: &Caller,
    scope: &'static str,
    old: &str,
) -> Result<(Option<String>, AttemptBudget), Failure> {
    let own = caller.authorize_self(scope)?;
    let passwords_tried = AttemptBudget::per_person(app, PASSWORD, own.person());
    attempt_budgets::reserve_attempts(app, [passwords_tried]).await?;
    let hash = app.store.load_password_hash(&own).await?;
    if !app.passwords.check(old, hash.as_deref()).await? {
        return Err(Refusal::invalid("old-password", "your own password").into());
    }
    Ok((hash, passwords_tried))
}

async fn change_password(
    app: &App,
    caller: &Caller,
    granted: &GrantedPerson,
    old: &str,
    new: &str,
    revoked: RevocationScope,
) -> Result<(), Failure> {
    app.passwords.rule.check("new-password", new)?;
    policies::demand_password_allowed(app, granted.person()).await?;
    let is_own = granted.relation() == PersonRelation::Same;
    let scope = if is_own { "write:user" } else { "write:sub-user" };
    let (mut checked, passwords_tried) = check_own_password(app, caller, scope, old).await?;
    let hash = app.passwords.hash(new, app.random_bytes()).await?;
    let ending = build_ending(granted, EndReason::PasswordChanged, "the password was changed");
    let except = match caller.authentication() {
        Authentication::Login(session) if is_own && !revoked.own_session => Some(session),
        _ => None,
    };
    for _ in 0..TRIES {
        let stored = app.store.load_password_hash(granted).await?;
        // The hash may differ though the password is the same: a sign-in may have renewed it.
        if is_own && stored != checked {
            if !app.passwords.check(old, stored.as_deref()).await? {
                return Err(Refusal::invalid("old-password", "your own password").into());
            }
            checked.clone_from(&stored);
        }
        let new = NewPassword { decided_on: stored.as_deref(), hash: &hash, revokes_keys: revoked.keys };
        match app.store.set_password(granted, &new, except, &ending, app.now()).await {
            Err(Error::Stale) => {}
            outcome => {
                attempt_budgets::forget_attempts(app, passwords_tried).await?;
                return Ok(outcome?);
            }
        }
    }
    Err(Failure::Busy)
}

/// Sets a person's password for an operator on the command line, who need not know the old one. All of the person's
/// sessions end, and their keys if `revokes_keys` is set.
///
/// # Errors
/// [`Refusal::Invalid`] for a password that is too short or too long; [`Refusal::PasswordsOff`] for a person who may not
/// have one; [`Failure::Busy`].
pub async fn set_password(
    services: &Services,
    passwords: &PasswordHasher,
    granted: &GrantedPerson,
    new: &str,
    revokes_keys: bool,
) -> Result<(), Failure> {
    passwords.rule.check("password", new)?;
    policies::demand_password_allowed(services, granted.person()).await?;
    let hash = passwords.hash(new, services.random_bytes()).await?;
    let ending = build_ending(granted, EndReason::PasswordChanged, "an administrator set the password");
    for _ in 0..TRIES {
        let stored = services.store.load_password_hash(granted).await?;
        let new = NewPassword { decided_on: stored.as_deref(), hash: &hash, revokes_keys };
        match services.store.set_password(granted, &new, None, &ending, services.now()).await {
            Err(Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy)
}

/// Hashes the first password of a new person.
///
/// # Errors
/// [`Refusal::PasswordsOff`]; [`Refusal::Invalid`] for a password that is too short or too long.
pub async fn hash_first_password(
    services: &Services,
    passwords: &PasswordHasher,
    password: &str,
) -> Result<String, Failure> {
    policies::demand_passwords(services)?;
    passwords.rule.check("password", password)?;
    passwords.hash(password, services.random_bytes()).await
}

/// The purpose of a network's budget for mails about forgotten passwords.
const RESTORE: &str = "restore";

/// Sends a mail to restore a forgotten password. Neither the answer nor its timing reveals whether a user has the
/// address: the mail is sent in the background. For an unknown address nothing is written.
///
/// Only the network's budget refuses. A user's budget never does, so nobody can keep users from their mail; a user
/// who has a recent mail silently gets no second one for some minutes.
///
/// # Errors
/// [`Refusal::TooManyAttempts`] for a network that asked too often, unless the browser is known to be the user's;
/// [`Refusal::Invalid`] for an invalid address; [`Refusal::PasswordsOff`].
pub async fn request_password_restore(
    app: &App,
    email: &str,
    origin: &Origin,
    browser: Option<&str>,
) -> Result<(), Failure> {
    policies::demand_passwords(app)?;
    let email = mailer::parse_address(email)?;
    if !is_own_browser(app, &email, browser).await? {
        attempt_budgets::reserve_attempts(app, AttemptBudget::per_network(app, RESTORE, origin)).await?;
    }
    let sending = app.clone();
    app.spawn(async move {
        if let Err(error) = send_restore_mail_once(&sending, &email).await {
            tracing::error!(error = error.log_text(), "cannot send a mail about a forgotten password");
        }
    });
    Ok(())
}

async fn is_own_browser(app: &App, email: &str, browser: Option<&str>) -> Result<bool, Failure> {
    let Some(known) = known_browsers::read_browser_cookie(app, browser) else { return Ok(false) };
    let person = app.store.load_person(&System::for_sign_in().grant_person(known.person)).await?;
    Ok(person.principal.email.as_deref() == Some(email))
}

/// Sends a mail about a forgotten password, unless the user has a recent one.
async fn send_restore_mail_once(app: &App, email: &str) -> Result<(), Failure> {
    let mut known = app.store.find_person_by_email(&System::for_sign_in(), email).await?;
    if known.is_none() {
        invitations::make_invited_user(app, email).await?;
        known = app.store.find_person_by_email(&System::for_sign_in(), email).await?;
    }
    let Some(person) = known.map(|known| known.person).filter(can_restore) else { return Ok(()) };
    if !policies::may_have_password(app, person.principal.id).await? {
        return Ok(());
    }
    let mailed = restore_mail_budget(app, person.principal.id);
    if attempt_budgets::try_reserve(app, &[mailed]).await?.is_err() {
        return Ok(());
    }
    let sent = send_address_mail(app, AddressMail::Restore, person.principal.id, email).await;
    if sent.is_err() {
        attempt_budgets::forget_attempts(app, mailed).await?;
    }
    sent
}

/// One mail in ten minutes or half the lifetime of its token, whichever is shorter. So the token of the last mail
/// stays valid for a while.
fn restore_mail_budget(app: &App, person: PrincipalId) -> AttemptBudget {
    let expires = Span::from(app.settings.one_time_expires);
    AttemptBudget::new(&format!("restore mail to {person}"), 1, Span::minutes(10).min(Span(expires.0 / 2)))
}

fn can_restore(person: &Person) -> bool {
    matches!(person.principal.state, PrincipalState::Active | PrincipalState::Pending)
}

/// Sets a forgotten password with the token of a mail. All of the user's sessions end.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a token that is unknown, used or expired; [`Refusal::Invalid`] for the password.
pub async fn restore_password(app: &App, token: &str, new: &str, origin: &Origin) -> Result<(), Failure> {
    app.passwords.rule.check("new-password", new)?;
    let claims = tokens::read_token(app, Use::Restore, token).await?;
    let system = System::for_sign_in().attribute_to(Attribution::anonymous(origin.remote_ip));
    // Checked before the slow hashing: the signature of a used token is still valid.
    let person = app.store.find_restore_token_owner(&system, &claims.hash(), app.now()).await?;
    policies::demand_password_allowed(app, person).await?;
    let hash = app.passwords.hash(new, app.random_bytes()).await?;
    let evidence = "the password was restored".to_owned();
    let actor = Some(person);
    let ending = Ending { reason: EndReason::PasswordChanged, actor, evidence };
    app.store.restore_password(&system, &claims.hash(), &hash, &ending, app.now()).await?;
    attempt_budgets::forget_attempts(app, restore_mail_budget(app, person)).await?;
    attempt_budgets::return_attempts(app, AttemptBudget::per_network(app, RESTORE, origin)).await
}

/// Confirms an address with the token of a mail.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a token that is unknown, used or expired.
pub async fn verify_address(app: &App, token: &str, origin: &Origin) -> Result<Person, Failure> {
    let claims = tokens::read_token(app, Use::Verify, token).await?;
    let system = System::for_sign_in().attribute_to(Attribution::anonymous(origin.remote_ip));
    Ok(app.store.verify_address(&system, &claims.hash(), app.now()).await?)
}

/// A mail about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressMail {
    /// How to restore a forgotten password.
    Restore,
    /// How to confirm the address.
    Verify,
    /// Somebody wanted to create another user with the address. The mail has no token.
    AlreadyKnown,
}

/// Sends a mail about an address. All kinds write the same to the database.
///
/// # Errors
/// The token cannot be stored or signed, or the mail cannot be sent.
pub async fn send_address_mail(
    app: &App,
    mail: AddressMail,
    person: PrincipalId,
    email: &str,
) -> Result<(), Failure> {
    let (usage, purpose, subject, sentence, page) = match mail {
        AddressMail::Restore => (
            Use::Restore,
            "restore",
            "Your password for Tenure",
            "Somebody, probably you, asked to set a new password. If it was not you, nothing has to be done.",
            "/restore/verify",
        ),
        AddressMail::Verify => (
            Use::Verify,
            "verify",
            "Your address for Tenure",
            "Somebody made you a user of Tenure with this address. If you expected that, confirm it.",
            "",
        ),
        AddressMail::AlreadyKnown => (
            Use::Verify,
            "verify",
            "Your address for Tenure",
            "Somebody wanted to make you a user of Tenure with this address, but you are one already. If you expected \
             that, ask them to delete that user and to invite you. If not, nothing has to be done.",
            "",
        ),
    };
    let now = app.now();
    let until = now + Span::from(app.settings.one_time_expires);
    let claims = Claims::new(person.0, now, until, app.random_bytes());
    app.store.store_one_time_token(&System::for_sign_in(), person, purpose, &claims.hash(), until).await?;
    let token = tokens::sign_token(app, usage, &claims).await?;
    let minutes = Span::from(app.settings.one_time_expires).whole_minutes();
    let text = match mail {
        AddressMail::AlreadyKnown => format!("{sentence}\n"),
        _ => format!(
            "{sentence}\n\nThis can be used once, within {minutes} minutes, at {}{page}:\n\n{token}\n",
            app.base_url
        ),
    };
    let name = Uuid::from_bytes(app.random_bytes()).simple().to_string();
    app.mailer.send(&name, email, subject, text).await.map_err(Failure::internal)
}
