//! What the settings demand of people: who signs in by a password, and who needs a second factor.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::second_factor;
use crate::settings::PasswordPolicy;
use domain::Refusal;
use domain::ids::PrincipalId;
use domain::login::Method;
use domain::principal::PrincipalKind;
use store::{Authentication, Caller, System};

/// That anybody signs in by a password at all.
///
/// # Errors
/// [`Refusal::PasswordsOff`].
pub(crate) fn demand_passwords(app: &App) -> Result<(), Refusal> {
    match app.settings.passwords {
        PasswordPolicy::Off => Err(Refusal::PasswordsOff),
        PasswordPolicy::On | PasswordPolicy::LocalOnly => Ok(()),
    }
}

/// That a person may have a password.
///
/// # Errors
/// [`Refusal::PasswordsOff`].
pub(crate) async fn demand_password_allowed(app: &App, person: PrincipalId) -> Result<(), Failure> {
    if may_have_password(app, person).await? { Ok(()) } else { Err(Refusal::PasswordsOff.into()) }
}

/// Whether a person may sign in by a password, and set or restore one.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn may_have_password(app: &App, person: PrincipalId) -> Result<bool, Failure> {
    Ok(match app.settings.passwords {
        PasswordPolicy::On => true,
        PasswordPolicy::LocalOnly => !is_federated(app, person).await?,
        PasswordPolicy::Off => false,
    })
}

/// Whether a person has an identity of the issuer.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn is_federated(app: &App, person: PrincipalId) -> Result<bool, Failure> {
    let Some(issuer) = &app.issuer else { return Ok(false) };
    Ok(app.store.has_identity(&System::sign_in(), person, issuer.name()).await?)
}

/// Takes all rights but those over itself from a caller whose role demands a second factor that the caller has not
/// shown. What is left is enough to set one up.
///
/// # Errors
/// Only those of the store.
pub(crate) async fn apply_second_factor_policy(app: &App, caller: Caller) -> Result<Caller, Failure> {
    let demanded = app.settings.second_factor_for.demand(caller.role(), caller.has_account_role());
    if !demanded || caller.kind() != PrincipalKind::User || has_shown_factor(app, &caller).await? {
        return Ok(caller);
    }
    Ok(caller.require_second_factor())
}

/// Whether a second factor stands behind a credential. A session says how it was opened. A key, and what a key opened,
/// is as good as its owner: one who has a second factor, or comes by the issuer, made it after showing that.
async fn has_shown_factor(app: &App, caller: &Caller) -> Result<bool, Failure> {
    let person = caller.principal();
    if let Authentication::Login(session) = caller.authentication() {
        let login = app.store.load_login(&System::sign_in().grant_person(person), session).await?;
        if !login.methods.contains(&Method::Key) {
            return Ok(login.methods.contains(&Method::MultiFactor));
        }
    }
    Ok(second_factor::has_second_factor(app, person).await? || is_federated(app, person).await?)
}
