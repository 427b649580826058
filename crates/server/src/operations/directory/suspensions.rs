//! Administrators of the account suspend people and resume them.

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::operations::directory::users;
use crate::operations::login::second_factor::demand_fresh;
use domain::principal::{Principal, PrincipalState};
use store::{Caller, System};

/// Suspends a person: their keys and login sessions stop working, and their devices are released. Repeating it
/// changes nothing.
///
/// # Errors
/// Those of [`users::find_person`]; [`domain::Refusal::StaleAuthentication`]; [`RequestFailure::Conflict`] for the
/// caller, and for a person who has not confirmed their address.
pub async fn suspend_person(app: &App, caller: &Caller, named: &str) -> Result<(), Failure> {
    let person = users::find_person(app, caller, named).await?;
    let conflict = |why: &str| Err(RequestFailure::Conflict(why.to_owned()).into());
    match person.state {
        _ if person.id == caller.principal() => {
            conflict("nobody can suspend themselves: ask another administrator")
        }
        PrincipalState::Suspended => Ok(()),
        state if state.can_be_suspended() => set_state(app, caller, &person, PrincipalState::Suspended).await,
        _ => conflict("this person cannot act yet: their address is not confirmed"),
    }
}

/// Lets a suspended person act again. Their keys work again; they have to sign in again.
///
/// # Errors
/// Those of [`users::find_person`]; [`domain::Refusal::StaleAuthentication`].
pub async fn resume_person(app: &App, caller: &Caller, named: &str) -> Result<(), Failure> {
    let person = users::find_person(app, caller, named).await?;
    match person.state {
        PrincipalState::Suspended => set_state(app, caller, &person, PrincipalState::Active).await,
        _ => Ok(()),
    }
}

async fn set_state(
    app: &App,
    caller: &Caller,
    person: &Principal,
    state: PrincipalState,
) -> Result<(), Failure> {
    caller.require_scope("write:sub-user")?;
    demand_fresh(app, caller)?;
    let system = System::administration().attribute_to(caller.attribution());
    Ok(app.store.set_principal_state(&system, person.id, state, app.now()).await?)
}
