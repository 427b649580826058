//! Checks that the tables of callers agree with the declared callers of each route.

use domain::permission::{AccountRole, Role};
use server::wires::{Callers, Route};

/// The standing of a caller in the organization of the request.
#[derive(Debug, Clone, Copy)]
pub enum Standing {
    Outsider,
    Member(Role),
    /// A member who does not own the object of the path.
    Colleague(Role),
    OfAccount(AccountRole),
}

use Standing::{Colleague, Member, OfAccount};

/// Whether the route admits a caller with a valid key. `None` when the operation decides.
fn lets_in(callers: Callers, standing: Standing) -> Option<bool> {
    match (callers, standing) {
        (Callers::Permitted(permission), Member(role)) => Some(role.permissions().has(permission)),
        (Callers::Permitted(permission), Colleague(role)) => {
            (!role.permissions().has(permission)).then_some(false)
        }
        (Callers::Permitted(permission) | Callers::InAccount(permission), OfAccount(role)) => {
            Some(role.permissions().has(permission))
        }
        (Callers::Authenticated, Member(_) | Colleague(_) | OfAccount(_)) => None,
        _ => Some(false),
    }
}

/// Checks a row of a table: the status without a good key, and that of each caller.
pub fn check(route: &Route, without_key: u16, responses: impl Iterator<Item = (Standing, u16)>) {
    let what = format!("{} {} for {:?}", route.method, route.path, route.callers);
    let is_refusal = |status: u16| [303, 401, 403].contains(&status);
    if matches!(route.callers, Callers::Anyone | Callers::TokenHolder) {
        assert!(route.callers == Callers::Anyone || without_key >= 400, "{what}: {without_key}");
        for (standing, status) in responses {
            assert_eq!(status, without_key, "{what}: a key makes a difference for {standing:?}");
        }
        return;
    }
    assert!(is_refusal(without_key), "{what}: {without_key} without a key");
    for (standing, status) in responses {
        if let Some(expected) = lets_in(route.callers, standing) {
            assert_eq!(!is_refusal(status), expected, "{what}: {status} for {standing:?}");
        }
    }
}
