//! Signing in by an issuer: the way there and the way back.

use super::sign_in::{back, entered};
use super::views::{Code, html};
use crate::app::App;
use crate::http::client_address::CameFrom;
use crate::http::cookies;
use crate::http::cookies::Own;
use crate::http::credential::presented;
use crate::http::middleware;
use crate::operations::login::challenge::SignInContext;
use crate::operations::login::challenge::SignInOutcome;
use crate::operations::login::oidc;
use crate::operations::login::oidc::OidcCallback;
use crate::operations::login::oidc::OidcError;
use crate::operations::login::oidc::OidcRequest;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use domain::federation::JOURNEY;

/// What somebody is told who did not get in, by the word in the address.
const SAID: [(&str, &str); 12] = [
    ("nobody", "Nobody signs in that way here."),
    (
        "down",
        "{} cannot be reached at the moment. Try again in a while, or use your password if you have one.",
    ),
    ("denied", "{} did not let you in, or you turned back. Try again if that was a mistake."),
    ("late", "That took too long, or was used before. Please sign in again."),
    ("elsewhere", "That sign-in began in another browser. Please start again in this one."),
    (
        "untrusted",
        "What {} said could not be verified, so you are not signed in. If it happens again, tell your administrator.",
    ),
    ("stale", "{} did not ask again who you are. Sign out there, then try again."),
    ("unknown", "{} knows you, and nobody here does yet. Ask your administrator to let you in."),
    ("suspended", "Your account here is suspended. Ask your administrator."),
    (
        "unverified",
        "{} does not say that your e-mail address is yours, so nobody here can be known by it. Confirm it there, or use your password.",
    ),
    ("taken", "Your e-mail address belongs to another account of {} here. Ask your administrator."),
    ("failed", "Something went wrong here. Please try again."),
];

/// The sentence of a word.
pub fn said(app: &App, word: &str) -> Option<String> {
    let (_, sentence) = SAID.iter().find(|(known, _)| *known == word)?;
    let sentence = sentence.replace("{}", &app.settings.oidc_name);
    let mut characters = sentence.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string())?;
    Some(format!("{first}{}", characters.as_str()))
}

fn word(turned: &OidcError) -> &'static str {
    match turned {
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

/// `GET /sign-in/oidc?next=PATH`, with `again=true` for who is to show again who they are.
pub async fn away(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let value = |name| middleware::query_value(query.as_deref(), name).ok().flatten();
    let next = back(&app, value("next").as_deref().unwrap_or_default());
    let again = value("again").as_deref() == Some("true");
    let wish = OidcRequest { next: &next, again };
    match oidc::begin_oidc(&app, wish).await {
        Ok(sent) => {
            keeping(&app, Redirect::to(&sent.url).into_response(), &sent.cookie, JOURNEY.0 / 1_000_000)
        }
        Err(turned) => refused(turned),
    }
}

/// `GET /sign-in/oidc/callback`.
pub async fn callback(
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let value = |name| middleware::query_value(query.as_deref(), name).ok().flatten();
    let [state, code, error, issuer] = ["state", "code", "error", "iss"].map(value);
    let (kept, presented) = (cookies::own(&app, &headers, Own::Journey), presented(&app, &headers));
    let returned = OidcCallback {
        state: state.as_deref(),
        cookie: kept.as_deref(),
        code: code.as_deref(),
        error: error.as_deref(),
        issuer: issuer.as_deref(),
    };
    let visitor = SignInContext { origin, presented: presented.as_deref() };
    let response = match oidc::finish_oidc(&app, returned, visitor).await {
        Ok((SignInOutcome::Challenge(half), next)) => {
            html(StatusCode::OK, &Code { said: None, back: back(&app, &next), challenge: half.challenge })
        }
        Ok((entry, next)) => {
            entered(&app, entry, &back(&app, &next)).unwrap_or_else(|failure| refused(failure.into()))
        }
        // The right browser may still be on its way, with what this one kept for another journey.
        Err(turned @ (OidcError::Expired | OidcError::OtherBrowser)) => return refused(turned),
        Err(turned) => refused(turned),
    };
    keeping(&app, response, "", 0)
}

/// Everything that fails ends on the sign-in page, with a line in the log that has no secret.
fn refused(turned: OidcError) -> Response {
    let word = word(&turned);
    match &turned {
        OidcError::Failed(crate::failure::Failure::Internal { cause, .. }) => {
            tracing::error!(cause, "a sign-in by OpenID Connect failed");
        }
        turned => tracing::warn!(why = %turned, "nobody was signed in by OpenID Connect"),
    }
    Redirect::to(&format!("/sign-in?failed={word}")).into_response()
}

/// Gives a browser something to keep; nothing for no time takes it back.
fn keeping(app: &App, mut response: Response, kept: &str, seconds: i64) -> Response {
    match cookies::set(app, &mut response, Own::Journey.name(app), kept, seconds) {
        Ok(()) => response,
        Err(failure) => refused(failure.into()),
    }
}
