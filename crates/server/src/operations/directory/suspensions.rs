//! Administrators of the account, and operators on the command line, suspend people and resume them.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::directory::users;
use crate::operations::login::second_factor::demand_fresh;
use crate::services::Services;
use domain::Refusal;
use domain::principal::{Principal, PrincipalState};
use store::{Caller, System};

/// Suspends a person for a caller, as [`suspend`] does.
///
/// # Errors
/// Those of [`users::find_person`] and [`suspend`]; [`Refusal::StaleAuthentication`]; [`RequestFailure::Conflict`] for
/// the caller.
pub async fn suspend_person(app: &App, caller: &Caller, named: &str) -> Result<(), Failure> {
    let person = users::find_person(app, caller, named).await?;
    if person.id == caller.principal() {
        let why = "nobody can suspend themselves: ask another administrator".to_owned();
        return Err(RequestFailure::Conflict(why).into());
    }
    suspend(app, &person, authorize(app, caller)).await.map(drop)
}

/// Lets a suspended person act again for a caller, as [`resume`] does.
///
/// # Errors
/// Those of [`users::find_person`]; [`Refusal::StaleAuthentication`].
pub async fn resume_person(app: &App, caller: &Caller, named: &str) -> Result<(), Failure> {
    let person = users::find_person(app, caller, named).await?;
    resume(app, &person, authorize(app, caller)).await.map(drop)
}

/// Suspends a person: their keys and login sessions stop working, and their devices are released. Returns whether this
/// changed anything; only a change needs the grant.
///
/// # Errors
/// [`RequestFailure::Conflict`] for a person who has not confirmed their address; the refusal of the grant.
pub async fn suspend(
    services: &Services,
    person: &Principal,
    system: Result<System, Refusal>,
) -> Result<bool, Failure> {
    match person.state {
        PrincipalState::Suspended => Ok(false),
        state if state.can_be_suspended() => {
            set_state(services, person, system?, PrincipalState::Suspended).await
        }
        _ => {
            let why = "this person cannot act yet: their address is not confirmed".to_owned();
            Err(RequestFailure::Conflict(why).into())
        }
    }
}

/// Lets a suspended person act again. Their keys work again; they have to sign in again. Returns whether this changed
/// anything; only a change needs the grant.
///
/// # Errors
/// The refusal of the grant.
pub async fn resume(
    services: &Services,
    person: &Principal,
    system: Result<System, Refusal>,
) -> Result<bool, Failure> {
    match person.state {
        PrincipalState::Suspended => set_state(services, person, system?, PrincipalState::Active).await,
        _ => Ok(false),
    }
}

fn authorize(app: &App, caller: &Caller) -> Result<System, Refusal> {
    caller.require_scope("write:sub-user")?;
    demand_fresh(app, caller)?;
    Ok(System::for_administration().attribute_to(caller.attribution()))
}

async fn set_state(
    services: &Services,
    person: &Principal,
    system: System,
    state: PrincipalState,
) -> Result<bool, Failure> {
    services.store.set_principal_state(&system, person.id, state, services.now()).await?;
    Ok(true)
}
