//! Signing in and out, and passwords that were forgotten.

use super::failures::{Form, failed, words};
use super::views::{Code, Restore, SignIn, SignOut, Verify, html};
use super::{OwnSite, SignedIn, oidc};
use crate::app::App;
use crate::failure::Failure;
use crate::http::client_address::CameFrom;
use crate::http::cookies;
use crate::http::cookies::Own;
use crate::http::credential::presented;
use crate::http::middleware;
use crate::http::middleware::Whole;
use crate::operations::login;
use crate::operations::login::challenge;
use crate::operations::login::challenge::SignInContext;
use crate::operations::login::challenge::SignInOutcome;
use crate::operations::login::sign_in as entering;
use crate::operations::login::sign_in::SignInRequest;
use crate::settings::PasswordPolicy;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use domain::login::return_url;

/// Where one goes who came from nowhere.
const HOME: &str = "/account";

/// `GET /sign-in?back=PATH`.
pub async fn page(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let value = |name| middleware::query_value(query.as_deref(), name).ok().flatten();
    let back = back(&app, value("back").as_deref().unwrap_or_default());
    let done = match value("done").as_deref() {
        Some("out") => Some("You are signed out.".to_owned()),
        Some("password") => Some("Your password is set. Sign in with it.".to_owned()),
        _ => None,
    };
    let said = value("failed").and_then(|word| oidc::said(&app, &word));
    html(StatusCode::OK, &SignIn { said, done, ..empty(&app, back) })
}

/// The page without anything in it.
fn empty(app: &App, back: String) -> SignIn {
    let issuer = app.issuer.as_ref().map(|_| app.settings.oidc_name.clone());
    let next = form_urlencoded::byte_serialize(back.as_bytes()).collect();
    let passwords_off = app.settings.passwords == PasswordPolicy::Off;
    SignIn { back, issuer, next, passwords_off, ..SignIn::default() }
}

/// A path of this server; what would lead elsewhere leads home.
pub fn back(app: &App, given: &str) -> String {
    return_url(given, &app.base_url).unwrap_or_else(|| HOME.to_owned())
}

/// `POST /sign-in`.
pub async fn sign_in(
    _: OwnSite,
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    headers: HeaderMap,
    Whole(request): Whole,
) -> Response {
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return failed(failure),
    };
    let back = back(&app, form.get("back"));
    let presented = presented(&app, &headers);
    let browser = cookies::own(&app, &headers, Own::Browser);
    let attempt = SignInRequest {
        email: form.get("email"),
        password: form.get("password"),
        long: form.get("long") == "true",
        end_others: false,
        origin,
        browser: browser.as_deref(),
        code: None,
        presented: presented.as_deref(),
    };
    match entering::sign_in(&app, attempt).await.and_then(|entry| entered(&app, entry, &back)) {
        Ok(response) => response,
        Err(failure) => {
            let (status, said) = words(failure);
            let email = form.get("email").to_owned();
            html(status, &SignIn { said: Some(said), email, ..empty(&app, back) })
        }
    }
}

pub fn entered(app: &App, entry: SignInOutcome, back: &str) -> Result<Response, Failure> {
    match entry {
        SignInOutcome::SignedIn(person, issued) => {
            let mut response = Redirect::to(back).into_response();
            cookies::give_session(app, &mut response, &issued, person.principal.id)?;
            Ok(response)
        }
        SignInOutcome::Challenge(half) => {
            let page = Code { said: None, back: back.to_owned(), challenge: half.challenge };
            Ok(html(StatusCode::OK, &page))
        }
    }
}

/// `POST /sign-in/code`.
pub async fn code(
    _: OwnSite,
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    headers: HeaderMap,
    Whole(request): Whole,
) -> Response {
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return failed(failure),
    };
    let back = back(&app, form.get("back"));
    let presented = presented(&app, &headers);
    let visitor = SignInContext { origin, presented: presented.as_deref() };
    let entry = challenge::answer_challenge(&app, form.get("challenge"), form.get("code"), visitor).await;
    match entry.and_then(|entry| entered(&app, entry, &back)) {
        Ok(response) => response,
        Err(Failure::Unauthenticated) => {
            let said = Some("That took too long. Please sign in again.".to_owned());
            html(StatusCode::UNAUTHORIZED, &SignIn { said, ..empty(&app, back) })
        }
        Err(failure) => {
            let (status, said) = words(failure);
            let challenge = form.get("challenge").to_owned();
            html(status, &Code { said: Some(said), back, challenge })
        }
    }
}

/// `GET /sign-out`: asks first, since a link of anybody may lead here.
pub async fn sign_out_page() -> Response {
    html(StatusCode::OK, &SignOut)
}

/// `POST /sign-out`.
pub async fn sign_out(SignedIn(caller): SignedIn, State(app): State<App>) -> Response {
    match entering::sign_out(&app, &caller, false).await {
        Ok(_) => cookies::take_back(&app, Redirect::to("/sign-in?done=out").into_response()),
        Err(failure) => failed(failure),
    }
}

/// `GET /restore`.
pub async fn restore_page() -> Response {
    html(StatusCode::OK, &Restore { said: None, sent: false })
}

/// `POST /restore`: says the same of an address that nobody has.
pub async fn restore(
    _: OwnSite,
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    headers: HeaderMap,
    Whole(request): Whole,
) -> Response {
    let browser = cookies::own(&app, &headers, Own::Browser);
    let asked = async {
        let form = Form::read(&app, request).await?;
        login::passwords::request_password_restore(&app, form.get("email"), &origin, browser.as_deref()).await
    };
    match asked.await {
        Ok(()) => html(StatusCode::OK, &Restore { said: None, sent: true }),
        Err(failure) => {
            let (status, said) = words(failure);
            html(status, &Restore { said: Some(said), sent: false })
        }
    }
}

/// `GET /restore/verify`. The token is typed and does not stand in the address, which others get to see.
pub async fn verify_page(State(app): State<App>) -> Response {
    html(StatusCode::OK, &Verify { said: None, min: app.settings.password_min })
}

/// `POST /restore/verify`.
pub async fn verify(
    _: OwnSite,
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    Whole(request): Whole,
) -> Response {
    let set = async {
        let form = Form::read(&app, request).await?;
        login::passwords::restore_password(&app, form.get("token").trim(), form.get("new"), &origin).await
    };
    match set.await {
        Ok(()) => Redirect::to("/sign-in?done=password").into_response(),
        Err(failure) => {
            let (status, said) = match failure {
                Failure::Unauthenticated => {
                    (StatusCode::UNAUTHORIZED, "This token is not good, or was used before.".to_owned())
                }
                other => words(other),
            };
            html(status, &Verify { said: Some(said), min: app.settings.password_min })
        }
    }
}
