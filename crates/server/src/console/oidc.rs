//! Signing in by an issuer: the redirect there, and the callback.

use super::sign_in::{finish_sign_in, return_path};
use super::views::{CodePage, render};
use crate::app::App;
use crate::http::client_address::RequestOrigin;
use crate::http::cookies;
use crate::http::cookies::OwnCookie;
use crate::http::credential::session_token;
use crate::http::query::Query;
use crate::operations::login::challenge::SignInContext;
use crate::operations::login::challenge::SignInOutcome;
use crate::operations::login::oidc;
use crate::operations::login::oidc::OidcCallback;
use crate::operations::login::oidc::OidcError;
use crate::operations::login::oidc::OidcRequest;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use domain::federation::SIGN_IN_LIFETIME;

/// Messages about failed sign-ins, by the word in the URL. `{}` is the issuer's name.
const FAILURE_SENTENCES: [(&str, &str); 12] = [
    ("nobody", "This way to sign in is not available here."),
    (
        "down",
        "{} cannot be reached at the moment. Try again in a while, or use your password if you have one.",
    ),
    ("denied", "{} refused the sign-in, or you cancelled it. Try again if that was a mistake."),
    ("late", "That took too long, or was used before. Please sign in again."),
    ("elsewhere", "That sign-in began in another browser. Please start again in this one."),
    (
        "untrusted",
        "The response of {} could not be verified, so you are not signed in. If it happens again, tell your administrator.",
    ),
    ("stale", "{} did not ask you to sign in again. Sign out there, then try again."),
    ("unknown", "{} knows you, but you have no account here yet. Ask your administrator for one."),
    ("suspended", "Your account here is suspended. Ask your administrator."),
    (
        "unverified",
        "{} has not verified your e-mail address, so your account here cannot be found by it. Confirm it there, or use your password.",
    ),
    ("taken", "Your e-mail address belongs to another account of {} here. Ask your administrator."),
    ("failed", "Something went wrong here. Please try again."),
];

/// The message of a word in the URL.
pub fn failure_sentence(app: &App, word: &str) -> Option<String> {
    let (_, sentence) = FAILURE_SENTENCES.iter().find(|(known, _)| *known == word)?;
    let sentence = sentence.replace("{}", &app.settings.oidc_name);
    let mut characters = sentence.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string())?;
    Some(format!("{first}{}", characters.as_str()))
}

fn failure_word(error: &OidcError) -> &'static str {
    match error {
        OidcError::NoIssuer => "nobody",
        OidcError::IssuerUnavailable(_) => "down",
        OidcError::Denied(_) => "denied",
        OidcError::Expired => "late",
        OidcError::OtherBrowser => "elsewhere",
        OidcError::Untrusted(_) => "untrusted",
        OidcError::NotFresh => "stale",
        OidcError::NotAdmitted { why, .. } => why.name(),
        OidcError::Failed(_) => "failed",
    }
}

/// `GET /sign-in/oidc?next=PATH`; `again=true` makes the issuer authenticate the user again.
pub async fn begin(State(app): State<App>, query: Query) -> Response {
    let value = |name| query.text(name).ok().flatten();
    let next = return_path(&app, value("next").unwrap_or_default());
    let again = value("again") == Some("true");
    let request = OidcRequest { next: &next, again };
    match oidc::begin_oidc(&app, request).await {
        Ok(sent) => set_state_cookie(
            &app,
            Redirect::to(&sent.url).into_response(),
            &sent.cookie,
            SIGN_IN_LIFETIME.0 / 1_000_000,
        ),
        Err(error) => redirect_with_failure(error),
    }
}

/// `GET /sign-in/oidc/callback`.
pub async fn callback(
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    headers: HeaderMap,
    query: Query,
) -> Response {
    let value = |name| query.text(name).ok().flatten();
    let [state, code, error, issuer] = ["state", "code", "error", "iss"].map(value);
    let (cookie, presented) =
        (cookies::own_cookie_value(&app, &headers, OwnCookie::OidcState), session_token(&app, &headers));
    let callback_request = OidcCallback { state, cookie: cookie.as_deref(), code, error, issuer };
    let context = SignInContext { origin, presented: presented.as_deref() };
    let response = match oidc::finish_oidc(&app, callback_request, context).await {
        Ok((SignInOutcome::Challenge(half), next)) => render(
            StatusCode::OK,
            &CodePage { error: None, back: return_path(&app, &next), challenge: half.challenge },
        ),
        Ok((entry, next)) => finish_sign_in(&app, entry, &return_path(&app, &next))
            .unwrap_or_else(|failure| redirect_with_failure(failure.into())),
        // Keeps the cookie: it can belong to another sign-in of this browser that is still under way.
        Err(error @ (OidcError::Expired | OidcError::OtherBrowser)) => return redirect_with_failure(error),
        Err(error) => redirect_with_failure(error),
    };
    set_state_cookie(&app, response, "", 0)
}

/// Redirects a failed sign-in to the sign-in page, and logs it without secrets.
fn redirect_with_failure(error: OidcError) -> Response {
    let word = failure_word(&error);
    match &error {
        OidcError::Failed(crate::failure::Failure::Internal { cause, .. }) => {
            tracing::error!(cause, "a sign-in by OpenID Connect failed");
        }
        error => tracing::warn!(why = %error, "a sign-in by OpenID Connect was refused"),
    }
    Redirect::to(&format!("/sign-in?failed={word}")).into_response()
}

/// Sets the cookie of a sign-in at the issuer. Zero seconds delete it.
fn set_state_cookie(app: &App, mut response: Response, value: &str, seconds: i64) -> Response {
    match cookies::set_cookie(app, &mut response, OwnCookie::OidcState.name(app), value, seconds) {
        Ok(()) => response,
        Err(failure) => redirect_with_failure(failure.into()),
    }
}
