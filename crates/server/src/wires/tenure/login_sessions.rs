//! `/tenure/v1/login-sessions`: the login sessions of all users, for administrators of the account.

use super::errors::TenureError;
use super::extractors::Authenticated;
use super::me::Session;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::WholeRequest;
use crate::operations::directory::users;
use crate::operations::login;
use crate::operations::login::revoke_by_query;
use axum::Json;
use axum::extract::State;
use domain::Refusal;
use domain::login::{LoginQuery, Method};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Most sessions in a response.
const SHOWN: usize = 100;

/// A query for login sessions. A missing field matches all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeRequest {
    /// Whether to list the sessions without ending them.
    #[serde(default)]
    dry_run: bool,
    /// The token of a dry run, which ending sessions requires.
    token: Option<String>,
    /// A user's number, address or id.
    user: Option<String>,
    remote_ip: Option<String>,
    user_agent_type: Option<String>,
    opened_before_us: Option<i64>,
    amr: Option<String>,
}

/// The sessions that were found, or ended.
#[derive(Serialize)]
pub struct RevokeResponse {
    count: usize,
    /// The newest ones, newest first.
    sessions: Vec<Session>,
    /// The token that ends them.
    token: Option<String>,
}

/// `POST /tenure/v1/login-sessions/revoke`: with `dry_run`, counts the sessions, lists the newest and gives a token. With the
/// same query and that token, ends them. The caller's own session is never among them.
pub async fn revoke(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Json<RevokeResponse>, TenureError> {
    caller.authorize_in_account::<store::access::ManageMembers>().map_err(Failure::from)?;
    let body: RevokeRequest = middleware::read_json(&app, request).await?;
    let mut query = read_query(&body).map_err(Failure::from)?;
    if let Some(user) = &body.user {
        query.owner = Some(users::find_person(&app, &caller, user).await?.id.0);
    }
    let found = match (body.dry_run, &body.token) {
        (true, _) => revoke_by_query::preview_logins(&app, &caller, query).await?,
        (false, Some(token)) => revoke_by_query::revoke_logins(&app, &caller, query, token).await?,
        (false, None) => {
            let refusal = Refusal::invalid("token", "what the same query answers with \"dry_run\": true");
            return Err(Failure::from(refusal).into());
        }
    };
    let current = login::sessions::current_login(&caller);
    let sessions = found.logins.iter().take(SHOWN).map(|login| Session::new(login, current)).collect();
    Ok(Json(RevokeResponse { count: found.logins.len(), sessions, token: found.token }))
}

fn read_query(body: &RevokeRequest) -> Result<LoginQuery, Refusal> {
    let address =
        |text: &String| text.parse::<IpAddr>().map_err(|_| Refusal::invalid("remote_ip", "an IP address"));
    let method = |text: &String| match Method::parse(text) {
        Some(method) => Ok(method.name().to_owned()),
        None => Err(Refusal::invalid("amr", "pwd, otp, mfa, fed or key")),
    };
    Ok(LoginQuery {
        owner: None,
        remote_ip: body.remote_ip.as_ref().map(address).transpose()?,
        agent_type: body.user_agent_type.clone(),
        opened_before_us: body.opened_before_us,
        method: body.amr.as_ref().map(method).transpose()?,
    })
}
