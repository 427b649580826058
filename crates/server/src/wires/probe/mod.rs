//! Probe.dev's wire: login sessions, API tokens and sub users.
//!
//! Sources: the vendor's OpenAPI documents of 2025-06-24 and 2025-07-30. No public client of this part is known. Where the
//! documents are silent, the behaviour is Tenure's own choice, and the code says so.

pub mod errors;
mod extractors;
mod fields;
mod passwords;
mod sessions;
mod shapes;
mod tokens;
mod users;

use crate::http::route::{Callers, Route, delete, get, post, put};
use crate::http::wire::{WireSpec, authorize_by};
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use domain::permission::Permission::ManageMembers;
use errors::ProbeError;

/// This wire.
pub const WIRE: WireSpec = WireSpec {
    bases: &["/frontend"],
    organization_header: Some(extractors::ORGANIZATION_HEADER),
    authorize: Some(authorize_by::<extractors::Authenticated>),
    own_middleware: |handler| handler.layer(from_fn(extractors::deprecate)),
    ..WireSpec::new("probe", routes, |failure| ProbeError::from(failure).into_response())
};

fn routes() -> Vec<Route> {
    use Callers::{Anyone, Authenticated, Permitted, SignedIn};
    vec![
        get("/frontend/api/v1/auth/session", Authenticated, sessions::list),
        delete("/frontend/api/v1/auth/session", Authenticated, sessions::end_all),
        get("/frontend/api/v1/auth/session/{session}", Authenticated, sessions::get),
        delete("/frontend/api/v1/auth/session/{session}", Authenticated, sessions::end),
        post("/frontend/api/v1/auth/sign-in", Anyone, sessions::sign_in),
        delete("/frontend/api/v1/auth/sign-out", Authenticated, sessions::sign_out),
        post("/frontend/api/v1/auth/jwt", Authenticated, sessions::jwt),
        get("/frontend/api/v1/auth/api-token", Authenticated, tokens::list),
        post("/frontend/api/v1/auth/api-token", SignedIn, tokens::create),
        get("/frontend/api/v1/auth/api-token/{token}", Authenticated, tokens::get),
        put("/frontend/api/v1/auth/api-token/{token}", Authenticated, tokens::change),
        delete("/frontend/api/v1/auth/api-token/{token}", Authenticated, tokens::revoke),
        put("/frontend/api/v1/auth/current/password", Authenticated, passwords::change_own),
        put("/frontend/api/v1/auth/{user}/password", Authenticated, passwords::change_of),
        post("/frontend/api/v1/auth/password-restore", Anyone, passwords::forgot),
        post("/frontend/api/v1/auth/password-restore-verify", Anyone, passwords::restore),
        post("/frontend/api/v1/auth/verify", Anyone, passwords::verify),
        get("/frontend/api/v1/user", Authenticated, users::list),
        // An invalid credential is refused.
        get("/frontend/api/v1/user/current", Anyone, users::current),
        put("/frontend/api/v1/user/current", Authenticated, users::change_own),
        post("/frontend/api/v1/user/current", Permitted(ManageMembers), users::create),
        get("/frontend/api/v1/user/{user}", Authenticated, users::get),
        put("/frontend/api/v1/user/{user}", Authenticated, users::change_of),
    ]
}
