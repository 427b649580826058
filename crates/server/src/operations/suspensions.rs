//! People who may not act for a while: an administrator of the account suspends them and lets them back in.

use crate::failure::{Failure, RequestFailure};
use crate::operations::second_factor::demand_fresh;
use crate::state::App;
use domain::Refusal;
use domain::principal::{Principal, PrincipalState};
use domain::refusal::Thing;
use store::access::ManageMembers;
use store::{Caller, System};

/// The person of a number, an address or an id, for an administrator of the account.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::NotFound`].
pub async fn find_person(app: &App, caller: &Caller, named: &str) -> Result<Principal, Failure> {
    caller.may_in_account::<ManageMembers>()?;
    caller.in_scope("read:sub-user")?;
    if named.contains('@') {
        let known = app.store.known(&System::for_administration(), named).await?;
        return Ok(known.ok_or(Refusal::NotFound(Thing::Principal))?.person.principal);
    }
    let id = domain::ids::parse_uuid(named);
    let people = app.store.people(caller).await?.into_iter().map(|person| person.principal);
    let found = people.into_iter().find(|one| Some(one.id.0) == id || one.number.to_string() == named);
    found.ok_or_else(|| Refusal::NotFound(Thing::Principal).into())
}

/// Suspends a person: their keys and login sessions are refused from now on, and what they hold is released. Whoever is
/// suspended already stays so.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::StaleAuthentication`]; [`Refusal::NotFound`]; [`RequestFailure::Conflict`] for the
/// caller itself, and for who has not shown yet that the address is theirs.
pub async fn suspend(app: &App, caller: &Caller, named: &str) -> Result<(), Failure> {
    let person = find_person(app, caller, named).await?;
    let conflict = |why: &str| Err(RequestFailure::Conflict(why.to_owned()).into());
    match person.state {
        _ if person.id == caller.principal() => {
            conflict("nobody can suspend themselves: ask another administrator")
        }
        PrincipalState::Pending => conflict("this person cannot act yet: their address is not confirmed"),
        PrincipalState::Suspended => Ok(()),
        _ => put(app, caller, &person, PrincipalState::Suspended).await,
    }
}

/// Lets a suspended person act again. Their keys are good again; they have to sign in anew.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::StaleAuthentication`]; [`Refusal::NotFound`].
pub async fn resume(app: &App, caller: &Caller, named: &str) -> Result<(), Failure> {
    let person = find_person(app, caller, named).await?;
    match person.state {
        PrincipalState::Suspended => put(app, caller, &person, PrincipalState::Active).await,
        _ => Ok(()),
    }
}

async fn put(app: &App, caller: &Caller, person: &Principal, state: PrincipalState) -> Result<(), Failure> {
    caller.in_scope("write:sub-user")?;
    demand_fresh(app, caller)?;
    let system = System::for_administration().on_behalf_of(caller.by());
    Ok(app.store.set_principal_state(&system, person.id, state, app.now()).await?)
}
