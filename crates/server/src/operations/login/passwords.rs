//! Passwords that are changed or forgotten, and addresses that are shown to be somebody's.

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
use crate::services::mailer;
use domain::Refusal;
use domain::ids::PrincipalId;
use domain::login::{Origin, Reach, Standing};
use domain::principal::{Person, PrincipalState};
use domain::refusal::Thing;
use domain::session::{EndReason, Ending};
use domain::time::Span;
use serde_json::json;
use store::{Attribution, Authentication, Caller, Error, Grant, GrantedPerson, NewPassword, System};
use uuid::Uuid;

/// What a new password ends besides the person's other sessions.
#[derive(Debug, Clone, Copy, Default)]
pub struct RevocationScope {
    /// The session that the caller calls with.
    pub own_session: bool,
    /// All keys of the person, and what was made with them.
    pub keys: bool,
}

/// What became of a request to set a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordChangeOutcome {
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
pub async fn change_own_password(
    app: &App,
    caller: &Caller,
    old: &str,
    new: &str,
    ends: RevocationScope,
) -> Result<(), Failure> {
    let own = caller.authorize_self("write:user")?;
    change_password(app, caller, &own, old, new, ends).await
}

/// Sets the password of the person of a number, who may be the caller. `old` is the password of the caller itself: it
/// shows that it is still the one who signed in. Somebody else's password is set only by who made them as a sub user,
/// until they have shown that their address is their own; everybody else who may ask for it has a mail sent to them.
///
/// # Errors
/// As [`change_own_password`], and [`Refusal::NotFound`] for whom the caller may not know.
pub async fn change_user_password(
    app: &App,
    caller: &Caller,
    number: i64,
    old: &str,
    new: &str,
    ends: RevocationScope,
) -> Result<PasswordChangeOutcome, Failure> {
    let over = async |reach| {
        app.store.authorize_over_person(caller, number, reach, "write:user", "write:sub-user").await
    };
    let seen = over(Reach::See).await?;
    match over(Reach::Change).await {
        Ok(granted) if granted.standing() != Standing::Administrator => {
            change_password(app, caller, &granted, old, new, ends).await?;
            Ok(PasswordChangeOutcome::Set)
        }
        Ok(_) | Err(Error::Refused(Refusal::Forbidden(_))) => {
            send_restore_mail(app, caller, &seen, old).await?;
            Ok(PasswordChangeOutcome::Mailed)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends somebody what sets a forgotten password, for a caller who may ask for it.
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
    // Who asks is told that a mail is on its way already; the person may ask by themselves at any time.
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

/// Checks the caller's own password. Gives its hash, and the budget that the attempt was taken out of.
async fn check_own_password(
    app: &App,
    caller: &Caller,
    scope: &'static str,
    old: &str,
) -> Result<(Option<String>, AttemptBudget), Failure> {
    let own = caller.authorize_self(scope)?;
    let passwords_tried = AttemptBudget::per_person(app, PASSWORD, own.person());
    attempt_budgets::reserve_attempts(app, [passwords_tried]).await?;
    let shown = app.store.load_password_hash(&own).await?;
    if !app.passwords.check(old, shown.as_deref()).await? {
        return Err(Refusal::invalid("old-password", "your own password").into());
    }
    Ok((shown, passwords_tried))
}

async fn change_password(
    app: &App,
    caller: &Caller,
    granted: &GrantedPerson,
    old: &str,
    new: &str,
    ends: RevocationScope,
) -> Result<(), Failure> {
    app.passwords.rule.check("new-password", new)?;
    policies::demand_password_allowed(app, granted.person()).await?;
    let itself = granted.standing() == Standing::Itself;
    let scope = if itself { "write:user" } else { "write:sub-user" };
    let (mut shown, passwords_tried) = check_own_password(app, caller, scope, old).await?;
    let hash = app.passwords.hash(new, app.random_bytes()).await?;
    let ending = build_ending(granted, EndReason::PasswordChanged, "the password was changed");
    let but = match caller.authentication() {
        Authentication::Login(session) if itself && !ends.own_session => Some(session),
        _ => None,
    };
    for _ in 0..TRIES {
        let seen = app.store.load_password_hash(granted).await?;
        // Another hash may be of the same password: a sign-in renews it.
        if itself && seen != shown {
            if !app.passwords.check(old, seen.as_deref()).await? {
                return Err(Refusal::invalid("old-password", "your own password").into());
            }
            shown.clone_from(&seen);
        }
        let new = NewPassword { seen: seen.as_deref(), hash: &hash, revokes_keys: ends.keys };
        match app.store.set_password(granted, &new, but, &ending, app.now()).await {
            Err(Error::Stale) => {}
            outcome => {
                attempt_budgets::forget_attempts(app, passwords_tried).await?;
                return Ok(outcome?);
            }
        }
    }
    Err(Failure::Busy)
}

/// What is counted of a network that asks for mails about forgotten passwords.
const RESTORE: &str = "restore";

/// Sends what a forgotten password can be set with. Whether somebody has the address is not told, not by time either:
/// what is different happens afterwards. Nothing is written for an address that nobody has.
///
/// Only a network has a budget that refuses; a user never has. So nobody can keep a person from their own mail, and who
/// has one already gets no second one for some minutes, in silence.
///
/// # Errors
/// [`Refusal::TooManyAttempts`] for a network that asked too often, unless the browser is known to be the person's;
/// [`Refusal::Invalid`] for what can be no address; [`Refusal::PasswordsOff`].
pub async fn request_password_restore(
    app: &App,
    email: &str,
    origin: &Origin,
    browser: Option<&str>,
) -> Result<(), Failure> {
    policies::demand_passwords(app)?;
    let email = mailer::address(email)?;
    if !is_own_browser(app, &email, browser).await? {
        attempt_budgets::reserve_attempts(app, AttemptBudget::per_network(app, RESTORE, origin)).await?;
    }
    let sending = app.clone();
    app.spawn(async move {
        if let Err(error) = send_restore_mail_once(&sending, &email).await {
            tracing::error!(error = error.for_log(), "a mail about a forgotten password was not sent");
        }
    });
    Ok(())
}

async fn is_own_browser(app: &App, email: &str, browser: Option<&str>) -> Result<bool, Failure> {
    let Some(known) = known_browsers::read_browser_cookie(app, browser) else { return Ok(false) };
    let person = app.store.load_person(&System::sign_in().grant_person(known.person)).await?;
    Ok(person.principal.email.as_deref() == Some(email))
}

/// Sends a mail about a forgotten password, unless its owner has one that is nearly new.
async fn send_restore_mail_once(app: &App, email: &str) -> Result<(), Failure> {
    let mut known = app.store.find_person_by_email(&System::sign_in(), email).await?;
    if known.is_none() {
        invitations::make_invited_user(app, email).await?;
        known = app.store.find_person_by_email(&System::sign_in(), email).await?;
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

/// One mail in ten minutes, or in half the time that its token is good: so the one that came is good for a while.
fn restore_mail_budget(app: &App, person: PrincipalId) -> AttemptBudget {
    let expires = Span::from(app.settings.one_time_expires);
    AttemptBudget::new(&format!("restore mail to {person}"), 1, Span::minutes(10).min(Span(expires.0 / 2)))
}

fn can_restore(person: &Person) -> bool {
    matches!(person.principal.state, PrincipalState::Active | PrincipalState::Pending)
}

/// Sets a forgotten password with what was sent. All sessions of the person end.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a token that is unknown, used or expired; [`Refusal::Invalid`] for the password.
pub async fn restore_password(app: &App, token: &str, new: &str, origin: &Origin) -> Result<(), Failure> {
    app.passwords.rule.check("new-password", new)?;
    let claims = tokens::read(app, Use::Restore, token).await?;
    let system = System::sign_in().attribute_to(Attribution::anonymous(origin.remote_ip));
    // Before the password is hashed, which takes long: a token that was used is signed well, too.
    let person = app.store.find_restore_token_owner(&system, &claims.hash(), app.now()).await?;
    policies::demand_password_allowed(app, person).await?;
    let hash = app.passwords.hash(new, app.random_bytes()).await?;
    let evidence = "the password was forgotten and set anew".to_owned();
    let actor = Some(person);
    let ending = Ending { reason: EndReason::PasswordChanged, actor, evidence };
    app.store.restore_password(&system, &claims.hash(), &hash, &ending, app.now()).await?;
    attempt_budgets::forget_attempts(app, restore_mail_budget(app, person)).await?;
    attempt_budgets::return_attempts(app, AttemptBudget::per_network(app, RESTORE, origin)).await
}

/// Takes an address for its owner's, by what was sent there.
///
/// # Errors
/// [`Failure::Unauthenticated`] for a token that is unknown, used or expired.
pub async fn verify_address(app: &App, token: &str, origin: &Origin) -> Result<Person, Failure> {
    let claims = tokens::read(app, Use::Verify, token).await?;
    let system = System::sign_in().attribute_to(Attribution::anonymous(origin.remote_ip));
    Ok(app.store.verify_address(&system, &claims.hash(), app.now()).await?)
}

/// What somebody is written about their address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressMail {
    /// How to set a forgotten password.
    Restore,
    /// How to show that the address is theirs.
    Verify,
    /// That somebody made another user of their address. Its token is not told: nothing opens that user.
    AlreadyKnown,
}

/// Sends a mail about an address. Whichever it is, the same is written to the database.
///
/// # Errors
/// When it cannot be kept or sent.
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
    app.store.store_one_time_token(&System::sign_in(), person, purpose, &claims.hash(), until).await?;
    let token = tokens::sign(app, usage, &claims).await?;
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
