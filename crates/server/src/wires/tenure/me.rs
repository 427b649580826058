//! `/tenure/v1/me`: who the caller is, its sessions, its password and its second factor.

use super::errors::TenureError;
use super::extractors::Known;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::KeptInstead;
use crate::http::middleware::Whole;
use crate::operations::access::own_keys;
use crate::operations::directory::users;
use crate::operations::login;
use crate::operations::login::passwords::RevocationScope;
use crate::operations::login::second_factor;
use crate::operations::login::sessions::LoginSelection;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::ids::SessionId;
use domain::login::Login;
use domain::refusal::Thing;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

#[derive(Serialize)]
struct Me {
    id: Uuid,
    number: i64,
    email: Option<String>,
    name: String,
    second_factor: Factor,
    /// When the session that the caller calls with last showed who it is; none for a key.
    authenticated_us: Option<i64>,
}

#[derive(Serialize)]
struct Factor {
    since_us: Option<i64>,
    recovery_codes: i64,
}

/// A login session.
#[derive(Debug, Serialize)]
pub struct Session {
    id: Uuid,
    user: Uuid,
    current: bool,
    created_us: i64,
    seen_us: i64,
    expires_us: i64,
    /// When and how it was last shown whose it is (RFC 8176).
    authenticated_us: i64,
    amr: Vec<&'static str>,
    remote_ip: Option<String>,
    user_agent: String,
    user_agent_type: String,
}

impl Session {
    /// As its owner and administrators see it.
    pub fn new(login: &Login, current: Option<SessionId>) -> Session {
        Session {
            id: login.id.uuid(),
            user: login.owner.0,
            current: current == Some(login.id),
            created_us: login.id.created().0,
            seen_us: login.seen.0,
            expires_us: login.expires.min(login.idle_until()).0,
            authenticated_us: login.authenticated.0,
            amr: login.methods.iter().map(|method| method.name()).collect(),
            remote_ip: login.origin.remote_ip.map(|ip| ip.to_string()),
            user_agent: login.origin.agent.clone(),
            user_agent_type: login.origin.agent_type.clone(),
        }
    }
}

type Answer = Result<Response, TenureError>;

/// `GET /tenure/v1/me`.
pub async fn get(Known(caller): Known, State(app): State<App>) -> Answer {
    let profile = users::load_own_profile(&app, &caller).await?;
    let status = second_factor::load_status(&app, &caller).await?;
    let principal = profile.person.principal;
    Ok(Json(Me {
        id: principal.id.0,
        number: principal.number,
        email: principal.email,
        name: principal.name,
        second_factor: Factor {
            since_us: status.since.map(|since| since.0),
            recovery_codes: status.recovery_codes,
        },
        authenticated_us: caller.last_authentication().map(|at| at.0),
    })
    .into_response())
}

/// `GET /tenure/v1/me/sessions`, newest first.
pub async fn sessions(Known(caller): Known, State(app): State<App>) -> Answer {
    let current = login::sessions::current_login(&caller);
    let found = login::sessions::list_logins(&app, &caller).await?;
    let sessions = found.iter().map(|login| Session::new(login, current)).collect::<Vec<_>>();
    Ok(Json(json!({ "sessions": sessions })).into_response())
}

/// `DELETE /tenure/v1/me/sessions`: ends all others, and with `?all=true` the one that the caller calls with too.
pub async fn end_sessions(Known(caller): Known, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let which = match middleware::query_value(query.as_deref(), "all")?.as_deref() {
        None | Some("false") => LoginSelection::Others,
        Some("true") => LoginSelection::All,
        Some(_) => return Err(Failure::from(Refusal::invalid("all", "true or false")).into()),
    };
    login::sessions::revoke_all_logins(&app, &caller, which).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /tenure/v1/me/sessions/{session}`.
pub async fn end_session(
    Known(caller): Known,
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    // What can be no id is an id that nothing has.
    let id = path.ok().and_then(|Path(text)| SessionId::parse(&text));
    let id = id.ok_or_else(|| Failure::from(Refusal::NotFound(Thing::Session)))?;
    login::sessions::revoke_login(&app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct Passwords {
    old: String,
    new: String,
    #[serde(default)]
    revoke_keys: bool,
}

/// `PUT /tenure/v1/me/password`: ends all other sessions, and revokes all the caller's keys if it says so.
pub async fn password(Known(caller): Known, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body: Passwords = middleware::json(&app, request).await?;
    let ends = RevocationScope { keys: body.revoke_keys, own_session: false };
    login::passwords::change_own_password(&app, &caller, &body.old, &body.new, ends).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /tenure/v1/me/keys`: revokes all the caller's keys, and what was made with them.
pub async fn revoke_keys(Known(caller): Known, State(app): State<App>) -> Answer {
    own_keys::revoke_all_own_keys(&app, &caller).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct Again {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

/// `POST /tenure/v1/me/authenticate`: shows again who the caller is, for what needs a fresh sign-in.
pub async fn authenticate(Known(caller): Known, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body: Again = middleware::json(&app, request).await?;
    let (password, code) = (body.password.as_deref(), body.code.as_deref());
    let login = second_factor::reauthenticate(&app, &caller, password, code).await?;
    Ok(Json(Session::new(&login, Some(login.id))).into_response())
}

/// `POST /tenure/v1/me/totp`: proposes a second factor, which is asked for once it is confirmed.
pub async fn propose(Known(caller): Known, State(app): State<App>) -> Answer {
    let proposal = second_factor::propose_second_factor(&app, &caller).await?;
    Ok(once(
        json!({ "secret": proposal.secret, "uri": proposal.uri }),
        json!({ "secret": null, "uri": null }),
    ))
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// `POST /tenure/v1/me/totp/confirm`: gives the recovery codes.
pub async fn confirm(Known(caller): Known, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body: Code = middleware::json(&app, request).await?;
    Ok(codes(second_factor::confirm_second_factor(&app, &caller, &body.code).await?))
}

#[derive(Deserialize)]
struct MaybeCode {
    #[serde(default)]
    code: Option<String>,
}

/// `POST /tenure/v1/me/totp/remove`: with a code, unless it never was confirmed.
pub async fn remove(Known(caller): Known, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body: MaybeCode = middleware::json(&app, request).await?;
    second_factor::remove_second_factor(&app, &caller, body.code.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /tenure/v1/me/recovery-codes`: new ones, in place of all before.
pub async fn recovery_codes(Known(caller): Known, State(app): State<App>, Whole(request): Whole) -> Answer {
    let body: Code = middleware::json(&app, request).await?;
    Ok(codes(second_factor::create_recovery_codes(&app, &caller, &body.code).await?))
}

fn codes(codes: Vec<String>) -> Response {
    once(json!({ "recovery_codes": codes }), json!({ "recovery_codes": [] }))
}

/// An answer with what is shown once: repeated with its idempotency key, it says `again`.
fn once(body: Value, again: Value) -> Response {
    let mut response = Json(body).into_response();
    response.extensions_mut().insert(KeptInstead(again.to_string().into_bytes()));
    response
}
