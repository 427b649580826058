//! `/auth/session`, and signing in and out.

use super::extractors::{Known, SameSite};
use super::fields::{Fields, Reads};
use super::shapes::{Answer, Session, Sessions, SignedIn, SignedOut, Token, answer};
use crate::app::App;
use crate::failure::Failure;
use crate::http::client_address::CameFrom;
use crate::http::cookies;
use crate::http::cookies::Own;
use crate::http::credential::presented;
use crate::http::middleware::NotKept;
use crate::http::middleware::Whole;
use crate::operations::login;
use crate::operations::login::sessions::LoginSelection;
use crate::operations::login::sign_in;
use crate::operations::login::sign_in::SignInRequest;
use crate::operations::login::sign_in::TokenRequest;
use crate::services::recaptcha;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::ids::SessionId;
use domain::login::Origin;
use domain::login::return_url;
use domain::refusal::Thing;

/// `GET /auth/session`: the caller's, newest first.
pub async fn list(known: Known, State(app): State<App>) -> Answer {
    let found = login::sessions::list_logins(&app, &known.caller).await?;
    let current = login::sessions::current_login(&known.caller);
    let sessions = found.iter().map(|login| Session::new(login, current)).collect::<Vec<_>>();
    answer(&Sessions { sessions: (!sessions.is_empty()).then_some(sessions) })
}

/// `GET /auth/session/{session-id}`.
pub async fn get(known: Known, State(app): State<App>, id: SessionPath) -> Answer {
    let login = login::sessions::load_login(&app, &known.caller, session_id(id)?).await?;
    answer(&Session::new(&login, login::sessions::current_login(&known.caller)))
}

/// `DELETE /auth/session`: ends all of the caller's, also the one it calls with; `?keep-current=true`, which the vendor
/// has not, leaves that one.
pub async fn end_all(known: Known, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let keep = Fields::query(query.as_deref()).flag("keep-current", false).map_err(Failure::from)?;
    let which = if keep { LoginSelection::Others } else { LoginSelection::All };
    login::sessions::revoke_all_logins(&app, &known.caller, which).await?;
    Ok(signed_out(&app, StatusCode::NO_CONTENT.into_response(), !keep))
}

/// `DELETE /auth/session/{session-id}`: also the one that the caller calls with.
pub async fn end(known: Known, State(app): State<App>, id: SessionPath) -> Answer {
    let id = session_id(id)?;
    login::sessions::revoke_login(&app, &known.caller, id).await?;
    let own = login::sessions::current_login(&known.caller) == Some(id);
    Ok(signed_out(&app, StatusCode::NO_CONTENT.into_response(), own))
}

/// The session's id as it stands in a path.
type SessionPath = Result<Path<String>, PathRejection>;

/// Reads it. What can be no id is an id that nothing has.
fn session_id(path: SessionPath) -> Result<SessionId, Failure> {
    let id = path.ok().and_then(|Path(text)| SessionId::parse(&text));
    id.ok_or_else(|| Refusal::NotFound(Thing::Session).into())
}

/// `POST /auth/sign-in`. `totp` is ours: a code of the second factor, for those who have one. `current-user` is taken and means nothing,
/// and so does `X-Recaptcha-Token` unless the settings name who is asked about it.
pub async fn sign_in(
    _: SameSite,
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    headers: HeaderMap,
    Whole(request): Whole,
) -> Answer {
    let fields = Fields::read(&app, request, Reads::Both).await?;
    let attempt = read_attempt(&fields).map_err(Failure::from)?;
    check_recaptcha(&app, &headers, &origin).await?;
    let back = fields.text("ret-url").map_err(Failure::from)?;
    let back = back.and_then(|url| return_url(url, &app.base_url));
    let presented = presented(&app, &headers);
    let browser = cookies::own(&app, &headers, Own::Browser);
    let attempt =
        SignInRequest { origin, presented: presented.as_deref(), browser: browser.as_deref(), ..attempt };
    let (person, issued) = sign_in::sign_in(&app, attempt).await?.into_complete().map_err(Failure::from)?;
    let email = person.principal.email.clone().unwrap_or_default();
    let mut response = answer(&SignedIn {
        api_token: None,
        current_user: person.principal.email,
        email,
        jwt_token: Token::from(issued.clone()),
        oauth_provider_tokens: [],
        ret_url: back,
        status: person.principal.state.name(),
        user_id: person.principal.number,
    })?;
    cookies::give_vendors(&app, &mut response, &issued)?;
    cookies::give_session(&app, &mut response, &issued, person.principal.id)?;
    response.extensions_mut().insert(NotKept);
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
        email: fields.needed("email")?,
        password: fields.needed("password")?,
        long: fields.flag("long-term-token", true)?,
        end_others: fields.flag("logout-other", false)?,
        code: fields.text("totp")?,
        origin: Default::default(),
        browser: None,
        presented: None,
    })
}

/// `DELETE /auth/sign-out`: ends the session that the caller calls with, or all of its sessions. A key has no session:
/// then nothing is done unless all are to end, and `success` says so.
pub async fn sign_out(known: Known, State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let fields = Fields::query(query.as_deref());
    let everywhere = fields.flag("logout-all", false).map_err(Failure::from)?;
    let back = fields.text("ret-url").map_err(Failure::from)?;
    let ret_url = back.and_then(|url| return_url(url, &app.base_url));
    let success = sign_in::sign_out(&app, &known.caller, everywhere).await?;
    Ok(signed_out(&app, answer(&SignedOut { ret_url, success })?, true))
}

/// `POST /auth/jwt`: a token of the caller's session, or of a new session that its key opens.
pub async fn jwt(
    known: Known,
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    Whole(request): Whole,
) -> Answer {
    let fields = Fields::read(&app, request, Reads::Both).await?;
    let wanted = wanted(&fields, origin).map_err(Failure::from)?;
    let issued = sign_in::issue_token(&app, &known.caller, &known.credential, wanted).await?;
    let mut response = answer(&Token::from(issued))?;
    response.extensions_mut().insert(NotKept);
    Ok(response)
}

/// Bytes of a caller's own claims.
const MAX_CLAIMS: usize = 1024;

fn wanted(fields: &Fields, origin: domain::login::Origin) -> Result<TokenRequest, Refusal> {
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

/// Takes the cookie back where the session that it is of has ended.
fn signed_out(app: &App, response: Response, ended: bool) -> Response {
    if ended { cookies::take_back(app, response) } else { response }
}
