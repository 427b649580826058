//! Passwords that are changed or forgotten, and addresses that are shown to be somebody's.

use super::extractors::Known;
use super::fields::{Fields, Reads};
use super::sessions::check_recaptcha;
use super::shapes::{Answer, Success, Verified, answer};
use super::users::{UserPath, user_number};
use crate::app::App;
use crate::failure::Failure;
use crate::http::client_address::CameFrom;
use crate::http::cookies;
use crate::http::cookies::Own;
use crate::http::middleware::Whole;
use crate::operations::login;
use crate::operations::login::passwords::PasswordChangeOutcome;
use crate::operations::login::passwords::RevocationScope;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

/// `PUT /auth/current/password`. All other sessions end; with `logout-all` the caller's own as well.
pub async fn change_own(
    known: Known,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    Whole(request): Whole,
) -> Answer {
    let ends = also_ends(query.as_deref())?;
    let fields = Fields::read(&app, request, Reads::Form).await?;
    let (old, new) = both(&fields)?;
    login::passwords::change_own_password(&app, &known.caller, old, new, ends).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PUT /auth/{user-id}/password`: of a sub user who has not shown yet that the address is their own. `old-password` is
/// the caller's own. Whose password is theirs alone to set is sent a mail instead, and the answer is 202.
pub async fn change_of(
    known: Known,
    State(app): State<App>,
    user: UserPath,
    RawQuery(query): RawQuery,
    Whole(request): Whole,
) -> Answer {
    let number = user_number(user)?;
    let ends = also_ends(query.as_deref())?;
    let fields = Fields::read(&app, request, Reads::Form).await?;
    let (old, new) = both(&fields)?;
    let status =
        match login::passwords::change_user_password(&app, &known.caller, number, old, new, ends).await? {
            PasswordChangeOutcome::Set => StatusCode::NO_CONTENT,
            PasswordChangeOutcome::Mailed => StatusCode::ACCEPTED,
        };
    Ok(status.into_response())
}

/// `logout-all` is the vendor's; `revoke-keys` is Tenure's.
fn also_ends(query: Option<&str>) -> Result<RevocationScope, Failure> {
    let fields = Fields::query(query);
    Ok(RevocationScope {
        own_session: fields.flag("logout-all", false)?,
        keys: fields.flag("revoke-keys", false)?,
    })
}

fn both(fields: &Fields) -> Result<(&str, &str), Failure> {
    Ok((fields.needed("old-password")?, fields.needed("new-password")?))
}

/// `POST /auth/password-restore`: the same answer for an address that nobody has.
pub async fn forgot(
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    headers: HeaderMap,
    Whole(request): Whole,
) -> Answer {
    let fields = Fields::read(&app, request, Reads::Both).await?;
    let email = fields.needed("email").map_err(Failure::from)?;
    check_recaptcha(&app, &headers, &origin).await?;
    let browser = cookies::own(&app, &headers, Own::Browser);
    login::passwords::request_password_restore(&app, email, &origin, browser.as_deref()).await?;
    answer(&Success { success: true })
}

/// `POST /auth/password-restore-verify`: sets a new password with the token of the mail. The vendor's fields are not
/// known; these are named like those of its neighbours.
pub async fn restore(CameFrom(origin): CameFrom, State(app): State<App>, Whole(request): Whole) -> Answer {
    let fields = Fields::read(&app, request, Reads::Json).await?;
    let token = fields.needed("verify-token").map_err(Failure::from)?;
    let new = fields.needed("new-password").map_err(Failure::from)?;
    login::passwords::restore_password(&app, token, new, &origin).await?;
    answer(&Success { success: true })
}

/// `POST /auth/verify`.
pub async fn verify(CameFrom(origin): CameFrom, State(app): State<App>, Whole(request): Whole) -> Answer {
    let fields = Fields::read(&app, request, Reads::Json).await?;
    let token = fields.needed("verify-token").map_err(Failure::from)?;
    let person = login::passwords::verify_address(&app, token, &origin).await?;
    answer(&Verified {
        email: person.principal.email.unwrap_or_default(),
        status: person.principal.state.name(),
        success: true,
    })
}
