//! Changing and restoring passwords, and verifying addresses.

use super::extractors::Authenticated;
use super::fields::{AcceptedBody, Fields, QueryFields};
use super::sessions::check_recaptcha;
use super::shapes::{HandlerResult, Success, Verified, respond};
use super::users::{UserPath, user_number};
use crate::app::App;
use crate::failure::Failure;
use crate::http::client_address::RequestOrigin;
use crate::http::cookies;
use crate::http::cookies::OwnCookie;
use crate::http::middleware::WholeRequest;
use crate::operations::login;
use crate::operations::login::passwords::PasswordChangeOutcome;
use crate::operations::login::passwords::RevocationScope;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

/// `PUT /auth/current/password`. Ends all other sessions; with `logout-all` also the caller's own.
pub async fn change_own(
    known: Authenticated,
    State(app): State<App>,
    QueryFields(query): QueryFields,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let ends = read_revocation_scope(&query)?;
    let fields = Fields::read(&app, request, AcceptedBody::Form).await?;
    let (old, new) = read_passwords(&fields)?;
    login::passwords::change_own_password(&app, &known.caller, old, new, ends).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PUT /auth/{user-id}/password`: sets the password of a sub user who has not verified their address yet. `old-password`
/// is the caller's own. Other users set their password themselves: they get a mail, and the answer is 202.
pub async fn change_of(
    known: Authenticated,
    State(app): State<App>,
    user: UserPath,
    QueryFields(query): QueryFields,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let number = user_number(user)?;
    let ends = read_revocation_scope(&query)?;
    let fields = Fields::read(&app, request, AcceptedBody::Form).await?;
    let (old, new) = read_passwords(&fields)?;
    let status =
        match login::passwords::change_user_password(&app, &known.caller, number, old, new, ends).await? {
            PasswordChangeOutcome::Set => StatusCode::NO_CONTENT,
            PasswordChangeOutcome::Mailed => StatusCode::ACCEPTED,
        };
    Ok(status.into_response())
}

/// `logout-all` is the vendor's; `revoke-keys` is Tenure's.
fn read_revocation_scope(query: &Fields) -> Result<RevocationScope, Failure> {
    Ok(RevocationScope {
        own_session: query.flag("logout-all", false)?,
        keys: query.flag("revoke-keys", false)?,
    })
}

fn read_passwords(fields: &Fields) -> Result<(&str, &str), Failure> {
    Ok((fields.require_text("old-password")?, fields.require_text("new-password")?))
}

/// `POST /auth/password-restore`: answers the same for an unknown address.
pub async fn forgot(
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    headers: HeaderMap,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Both).await?;
    let email = fields.require_text("email").map_err(Failure::from)?;
    check_recaptcha(&app, &headers, &origin).await?;
    let browser = cookies::own_cookie_value(&app, &headers, OwnCookie::Browser);
    login::passwords::request_password_restore(&app, email, &origin, browser.as_deref()).await?;
    respond(&Success { success: true })
}

/// `POST /auth/password-restore-verify`: sets a new password with the token of the mail. The vendor's field names are
/// unknown; these follow the neighbouring endpoints.
pub async fn restore(
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Json).await?;
    let token = fields.require_text("verify-token").map_err(Failure::from)?;
    let new = fields.require_text("new-password").map_err(Failure::from)?;
    login::passwords::restore_password(&app, token, new, &origin).await?;
    respond(&Success { success: true })
}

/// `POST /auth/verify`.
pub async fn verify(
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> HandlerResult {
    let fields = Fields::read(&app, request, AcceptedBody::Json).await?;
    let token = fields.require_text("verify-token").map_err(Failure::from)?;
    let person = login::passwords::verify_address(&app, token, &origin).await?;
    respond(&Verified {
        email: person.principal.email.unwrap_or_default(),
        status: person.principal.state.name(),
        success: true,
    })
}
