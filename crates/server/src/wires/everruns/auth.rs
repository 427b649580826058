//! `/v1/auth/me`: the owner of the credential.

use super::extractors::Authenticated;
use super::ids::{self, Prefixed};
use super::output::{HandlerResult, Output};
use crate::app::App;
use crate::operations::access::whoami;
use crate::operations::directory::organizations;
use axum::extract::State;
use axum::http::StatusCode;
use domain::permission::Role;
use serde::Serialize;
use store::access::UseSessions;

#[derive(Debug, Serialize)]
struct Me<'a> {
    id: Prefixed,
    email: &'a str,
    name: &'a str,
    /// `*` for a credential that can use sessions, `read` for one that can only view them.
    token_scope: &'static str,
    organizations: Vec<Entry<'a>>,
}

/// An organization. The command line reads its id as `public_id`.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    public_id: Prefixed,
    name: &'a str,
    role: &'static str,
}

/// `GET /auth/me`.
pub async fn me(Authenticated(caller): Authenticated, State(app): State<App>) -> HandlerResult {
    let account =
        if caller.authorize_in_account::<UseSessions>().is_ok() { Role::Admin } else { Role::Readonly };
    let principal = whoami::load_caller_principal(&app, &caller).await?;
    let found = organizations::list_visible_organizations(&app, &caller).await?;
    let organizations = found.iter().map(|known| Entry {
        public_id: ids::organization(known.0.id),
        name: &known.0.name,
        role: known.1.unwrap_or(account).name(),
    });
    let uses = caller.authorize::<UseSessions>().is_ok();
    let me = Me {
        id: ids::principal(principal.id),
        // Service users have no address, but clients require the field.
        email: principal.email.as_deref().unwrap_or_default(),
        name: &principal.name,
        token_scope: if uses { "*" } else { "read" },
        organizations: organizations.collect(),
    };
    Ok(Output::json(StatusCode::OK, &me)?)
}
