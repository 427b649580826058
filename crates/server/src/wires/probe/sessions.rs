//! `/auth/session`, and signing in and out.

use super::extractors::{Authenticated, SameSite};
use super::fields::{AcceptedBody, Fields, QueryFields};
use super::shapes::{HandlerResult, Session, Sessions, SignedIn, SignedOut, Token, json_line, respond};
use crate::app::App;
use crate::failure::Failure;
use crate::http::client_address::RequestOrigin;
use crate::http::cookies;
use crate::http::cookies::OwnCookie;
use crate::http::credential::session_token;
use crate::http::middleware::{NotStored, WholeRequest, encode_list};
use crate::operations::login;
use crate::operations::login::sessions::{ALL_OPEN, LoginSelection, PersonLogins};
use crate::operations::login::sign_in;
use crate::operations::login::sign_in::SignInRequest;
use crate::operations::login::sign_in::TokenRequest;
use crate::operations::sessions::{self, Encoding, ListedSession};
use crate::services::recaptcha;
use crate::services::session_bodies::BodyShape;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::ids::SessionId;
use domain::login::{Login, Origin, return_url};
use domain::refusal::Thing;
use domain::session::Filter;
use serde_json::value::to_raw_value;
use store::Caller;

/// `GET /auth/session`: the caller's sessions, newest first.
pub async fn list(known: Authenticated, State(app): State<App>) -> HandlerResult {
    let source = PersonLogins::new(&app, &known.caller).map_err(Failure::from)?;
    let found = sessions::list_sessions(&app, &source, Filter::EVERY, ALL_OPEN, ENCODING).await?;
    let mut sessions = found.items;
    mark_current(&known.caller, &mut sessions)?;
    let list = Sessions { sessions: (!sessions.is_empty()).then_some(&sessions) };
    Ok(json_line(encode_list(&list, &sessions)?))
}

/// `GET /auth/session/{session-id}`.
pub async fn get(known: Authenticated, State(app): State<App>, id: SessionPath) -> HandlerResult {
    let source = PersonLogins::new(&app, &known.caller).map_err(Failure::from)?;
    let mut session = [sessions::find_session(&app, &source, session_id(id)?, ENCODING).await?];
    mark_current(&known.caller, &mut session)?;
    respond(&session[0])
}

/// How sessions are written that are not the session of the request.
const ENCODING: Encoding<'static, Login> =
    Encoding { shape: BodyShape::Probe, encode: &|login, _| to_raw_value(&Session::new(login)) };

/// Marks the session of this request.
fn mark_current(caller: &Caller, sessions: &mut [ListedSession]) -> Result<(), Failure> {
    let current = login::sessions::current_login(caller);
    let is_current = |listed: &&mut ListedSession| Some(listed.session.key.id) == current;
    sessions.iter_mut().filter(is_current).try_for_each(|listed| listed.set_last_field("current"))
}

/// `DELETE /auth/session`: ends all of the caller's sessions. `?keep-current=true`, which is Tenure's own, keeps the one of
/// this request.
pub async fn end_all(
    known: Authenticated,
    State(app): State<App>,
    QueryFields(query): QueryFields,
) -> HandlerResult {
    let keep = query.flag("keep-current", false).map_err(Failure::from)?;
    let which = if keep { LoginSelection::Others } else { LoginSelection::All };
    login::sessions::revoke_all_logins(&app, &known.caller, which).await?;
    Ok(clear_cookies_if_ended(&app, StatusCode::NO_CONTENT.into_response(), !keep))
}

/// `DELETE /auth/session/{session-id}`: can be the session of this request.
pub async fn end(known: Authenticated, State(app): State<App>, id: SessionPath) -> HandlerResult {
    let id = session_id(id)?;
    login::sessions::revoke_login(&app, &known.caller, id).await?;
    let own = login::sessions::current_login(&known.caller) == Some(id);
    Ok(clear_cookies_if_ended(&app, StatusCode::NO_CONTENT.into_response(), own))
}

/// A session's id in a path, before it is parsed.
type SessionPath = Result<Path<String>, PathRejection>;

/// Parses a session's id in a path. A malformed id is reported as not found.
fn session_id(path: SessionPath) -> Result<SessionId, Failure> {
    let id = path.ok().and_then(|Path(text)| SessionId::parse(&text));
    id.ok_or_else(|| Refusal::NotFound(Thing::Session).into())
}

/// `POST /auth/sign-in`. `totp`, a code of the second factor, is Tenure's own field. `current-user` is ignored, and so is
/// `X-Recaptcha-Token` unless the settings name a service that checks it.
pub async fn sign_in(
    _: SameSite,
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    headers: HeaderMap,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Both).await?;
    let attempt = read_attempt(&fields).map_err(Failure::from)?;
    check_recaptcha(&app, &headers, &origin).await?;
    let back = fields.text("ret-url").map_err(Failure::from)?;
    let back = back.and_then(|url| return_url(url, &app.base_url));
    let presented = session_token(&app, &headers);
    let browser = cookies::own_cookie_value(&app, &headers, OwnCookie::Browser);
    let attempt =
        SignInRequest { origin, presented: presented.as_deref(), browser: browser.as_deref(), ..attempt };
    let (person, issued) = sign_in::sign_in(&app, attempt).await?.into_complete().map_err(Failure::from)?;
    let email = person.principal.email.clone().unwrap_or_default();
    let mut response = respond(&SignedIn {
        api_token: None,
        current_user: person.principal.email,
        email,
        jwt_token: Token::from(issued.clone()),
        oauth_provider_tokens: [],
        ret_url: back,
        status: person.principal.state.name(),
        user_id: person.principal.number,
    })?;
    cookies::set_vendor_cookie(&app, &mut response, &issued)?;
    cookies::set_session_cookie(&app, &mut response, &issued, person.principal.id)?;
    response.extensions_mut().insert(NotStored);
    Ok(response)
}

/// Checks the reCAPTCHA token of a request where the settings name a service; without one no token is read.
///
/// # Errors
/// Those of [`Recaptcha::check_token`](recaptcha::Recaptcha::check_token).
pub async fn check_recaptcha(app: &App, headers: &HeaderMap, origin: &Origin) -> Result<(), Failure> {
    let Some(recaptcha) = &app.recaptcha else { return Ok(()) };
    let token = headers.get(recaptcha::HEADER).and_then(|token| token.to_str().ok());
    recaptcha.check_token(token, origin).await
}

fn read_attempt(fields: &Fields) -> Result<SignInRequest<'_>, Refusal> {
    Ok(SignInRequest {
        email: fields.require_text("email")?,
        password: fields.require_text("password")?,
        long: fields.flag("long-term-token", true)?,
        end_others: fields.flag("logout-other", false)?,
        code: fields.text("totp")?,
        origin: Default::default(),
        browser: None,
        presented: None,
    })
}

/// `DELETE /auth/sign-out`: ends the session of this request, or all of the caller's sessions. A key has no session of its
/// own; then only `logout-all` ends sessions, and `success` says whether any ended.
pub async fn sign_out(
    known: Authenticated,
    State(app): State<App>,
    QueryFields(query): QueryFields,
) -> HandlerResult {
    let everywhere = query.flag("logout-all", false).map_err(Failure::from)?;
    let back = query.text("ret-url").map_err(Failure::from)?;
    let ret_url = back.and_then(|url| return_url(url, &app.base_url));
    let success = sign_in::sign_out(&app, &known.caller, everywhere).await?;
    Ok(clear_cookies_if_ended(&app, respond(&SignedOut { ret_url, success })?, true))
}

/// `POST /auth/jwt`: a token of the caller's session, or of a new session when the caller uses a key.
pub async fn jwt(
    known: Authenticated,
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Both).await?;
    let token_request = read_token_request(&fields, origin).map_err(Failure::from)?;
    let issued = sign_in::issue_token(&app, &known.caller, &known.credential, token_request).await?;
    let mut response = respond(&Token::from(issued))?;
    response.extensions_mut().insert(NotStored);
    Ok(response)
}

/// Most bytes of a caller's own claims.
const MAX_CLAIMS: usize = 1024;

fn read_token_request(fields: &Fields, origin: domain::login::Origin) -> Result<TokenRequest, Refusal> {
    let claims = fields.object("claims")?;
    let bytes =
        claims.as_ref().and_then(|claims| serde_json::to_vec(claims).ok()).map_or(0, |json| json.len());
    if bytes > MAX_CLAIMS {
        return Err(fields.invalid("claims", format!("at most {MAX_CLAIMS} bytes")));
    }
    Ok(TokenRequest {
        long: fields.flag("long-term-token", true)?,
        scopes: fields.scopes("permissions")?,
        claims: claims.filter(|claims| !claims.is_empty()),
        origin,
    })
}

/// Deletes the cookies when the session of this request has ended.
fn clear_cookies_if_ended(app: &App, response: Response, ended: bool) -> Response {
    if ended { cookies::clear_session_cookies(app, response) } else { response }
}
