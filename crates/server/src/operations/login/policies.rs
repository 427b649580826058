//! What the settings demand of users: who may have a password, and who needs a second factor.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::login::second_factor;
use crate::services::Services;
use crate::settings::PasswordPolicy;
use domain::Refusal;
use domain::ids::PrincipalId;
use domain::login::Method;
use domain::permission::Role;
use domain::principal::PrincipalKind;
use store::{Authentication, Caller, System};

/// Checks that sign-in by password is allowed at all.
///
/// # Errors
/// [`Refusal::PasswordsOff`].
pub(crate) fn demand_passwords(services: &Services) -> Result<(), Refusal> {
    match services.settings.passwords {
        PasswordPolicy::Off => Err(Refusal::PasswordsOff),
        PasswordPolicy::On | PasswordPolicy::LocalOnly => Ok(()),
    }
}

/// Checks that a user may have a password.
///
/// # Errors
/// [`Refusal::PasswordsOff`].
pub(crate) async fn demand_password_allowed(services: &Services, person: PrincipalId) -> Result<(), Failure> {
    if may_have_password(services, person).await? { Ok(()) } else { Err(Refusal::PasswordsOff.into()) }
}

/// Whether a user may sign in by password, and set or restore one.
pub(crate) async fn may_have_password(services: &Services, person: PrincipalId) -> Result<bool, Failure> {
    Ok(match services.settings.passwords {
        PasswordPolicy::On => true,
        PasswordPolicy::LocalOnly => !is_federated(services, person).await?,
        PasswordPolicy::Off => false,
    })
}

/// Whether a user has an identity at the issuer.
pub(crate) async fn is_federated(services: &Services, person: PrincipalId) -> Result<bool, Failure> {
    let Some(issuer) = &services.settings.oidc_issuer else { return Ok(false) };
    Ok(services.store.has_identity(&System::for_sign_in(), person, issuer).await?)
}

/// Removes all permissions, except over the caller's own account, from a caller whose role demands a second factor
/// that they have not shown. What is left is enough to set one up.
pub(crate) async fn apply_second_factor_policy(app: &App, caller: Caller) -> Result<Caller, Failure> {
    let demanded = app.settings.second_factor_for.require(caller.role(), caller.has_account_role());
    if !demanded || caller.kind() != PrincipalKind::User || has_shown_factor(app, &caller).await? {
        return Ok(caller);
    }
    Ok(caller.require_second_factor())
}

/// Whether a role demands a second factor of a caller.
pub(crate) fn demands_second_factor(app: &App, caller: &Caller, role: Role) -> bool {
    caller.kind() == PrincipalKind::User
        && app.settings.second_factor_for.require(Some(role), caller.has_account_role())
}

/// Whether a credential is backed by a second factor. A session records how it was opened. A key, or a session that a
/// key opened, counts when its owner has a second factor or signs in by the issuer.
pub(crate) async fn has_shown_factor(app: &App, caller: &Caller) -> Result<bool, Failure> {
    let person = caller.principal();
    if let Authentication::Login(session) = caller.authentication() {
        let login = app.store.load_login(&System::for_sign_in().grant_person(person), session).await?;
        if !login.methods.contains(&Method::Key) {
            return Ok(login.methods.contains(&Method::MultiFactor));
        }
    }
    Ok(second_factor::has_second_factor(app, person).await? || is_federated(app, person).await?)
}
