//! `/tenure/v1/me`: the caller, their sessions, password and second factor.

use super::errors::TenureError;
use super::extractors::Authenticated;
use crate::app::App;
use crate::failure::Failure;
use crate::http::middleware;
use crate::http::middleware::StoredBody;
use crate::http::middleware::WholeRequest;
use crate::http::query::Query;
use crate::operations::access::own_keys;
use crate::operations::directory::users;
use crate::operations::login;
use crate::operations::login::passwords::RevocationScope;
use crate::operations::login::second_factor;
use crate::operations::login::sessions::LoginSelection;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
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
    /// The last authentication in the session of this request; `None` for a key.
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
    /// When and how the user last authenticated (RFC 8176).
    authenticated_us: i64,
    amr: Vec<&'static str>,
    remote_ip: Option<String>,
    user_agent: String,
    user_agent_type: String,
}

impl Session {
    /// The shape of a session. `current` is the session of this request.
    pub fn new(login: &Login, current: Option<SessionId>) -> Session {
        Session {
            id: login.id.uuid(),
            user: login.owner.0,
            current: current == Some(login.id),
            created_us: login.id.creation_time().0,
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

type HandlerResult = Result<Response, TenureError>;

/// `GET /tenure/v1/me`.
pub async fn get(Authenticated(caller): Authenticated, State(app): State<App>) -> HandlerResult {
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
pub async fn sessions(Authenticated(caller): Authenticated, State(app): State<App>) -> HandlerResult {
    let current = login::sessions::current_login(&caller);
    let found = login::sessions::list_logins(&app, &caller).await?;
    let sessions = found.iter().map(|login| Session::new(login, current)).collect::<Vec<_>>();
    Ok(Json(json!({ "sessions": sessions })).into_response())
}

/// `DELETE /tenure/v1/me/sessions`: ends all other sessions; with `?all=true` also the session of this request.
pub async fn end_sessions(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    query: Query,
) -> HandlerResult {
    let which = if query.flag("all")? { LoginSelection::All } else { LoginSelection::Others };
    login::sessions::revoke_all_logins(&app, &caller, which).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /tenure/v1/me/sessions/{session}`.
pub async fn end_session(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> HandlerResult {
    // A malformed id is reported as not found.
    let id = path.ok().and_then(|Path(text)| SessionId::parse(&text));
    let id = id.ok_or_else(|| Failure::from(Refusal::NotFound(Thing::Session)))?;
    login::sessions::revoke_login(&app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct PasswordRequest {
    old: String,
    new: String,
    #[serde(default)]
    revoke_keys: bool,
}

/// `PUT /tenure/v1/me/password`: changes the password and ends all other sessions. `revoke_keys` also revokes all of the
/// caller's keys.
pub async fn password(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body: PasswordRequest = middleware::read_json(&app, request).await?;
    let ends = RevocationScope { keys: body.revoke_keys, own_session: false };
    login::passwords::change_own_password(&app, &caller, &body.old, &body.new, ends).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /tenure/v1/me/keys`: revokes all of the caller's keys and what was created with them.
pub async fn revoke_keys(Authenticated(caller): Authenticated, State(app): State<App>) -> HandlerResult {
    own_keys::revoke_all_own_keys(&app, &caller).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct AuthenticateRequest {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

/// `POST /tenure/v1/me/authenticate`: authenticates the caller again, for actions that require a recent sign-in.
pub async fn authenticate(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body: AuthenticateRequest = middleware::read_json(&app, request).await?;
    let (password, code) = (body.password.as_deref(), body.code.as_deref());
    let login = second_factor::reauthenticate(&app, &caller, password, code).await?;
    Ok(Json(Session::new(&login, Some(login.id))).into_response())
}

/// `POST /tenure/v1/me/totp`: proposes a second factor. It takes effect when it is confirmed.
pub async fn propose(Authenticated(caller): Authenticated, State(app): State<App>) -> HandlerResult {
    let proposal = second_factor::propose_second_factor(&app, &caller).await?;
    Ok(respond_once(
        json!({ "secret": proposal.secret, "uri": proposal.uri }),
        json!({ "secret": null, "uri": null }),
    ))
}

#[derive(Deserialize)]
struct CodeRequest {
    code: String,
}

/// `POST /tenure/v1/me/totp/confirm`: turns the second factor on and answers with the recovery codes.
pub async fn confirm(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body: CodeRequest = middleware::read_json(&app, request).await?;
    Ok(respond_with_codes(second_factor::confirm_second_factor(&app, &caller, &body.code).await?))
}

#[derive(Deserialize)]
struct RemoveRequest {
    #[serde(default)]
    code: Option<String>,
}

/// `POST /tenure/v1/me/totp/remove`: requires a code, unless the second factor was never confirmed.
pub async fn remove(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body: RemoveRequest = middleware::read_json(&app, request).await?;
    second_factor::remove_second_factor(&app, &caller, body.code.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /tenure/v1/me/recovery-codes`: replaces all recovery codes.
pub async fn recovery_codes(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let body: CodeRequest = middleware::read_json(&app, request).await?;
    Ok(respond_with_codes(second_factor::create_recovery_codes(&app, &caller, &body.code).await?))
}

fn respond_with_codes(codes: Vec<String>) -> Response {
    respond_once(json!({ "recovery_codes": codes }), json!({ "recovery_codes": [] }))
}

/// A response with a secret that is shown once. A repeated request with its idempotency key gets `again` instead.
fn respond_once(body: Value, again: Value) -> Response {
    let mut response = Json(body).into_response();
    response.extensions_mut().insert(StoredBody(again.to_string().into_bytes()));
    response
}
