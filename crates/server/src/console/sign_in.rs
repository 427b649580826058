//! Signing in and out, and restoring forgotten passwords.

use super::failures::{Form, failure_page, status_and_sentence};
use super::views::{CodePage, RestorePage, SignInPage, SignOutPage, VerifyPage, render};
use super::{OwnSite, SignedIn, oidc};
use crate::app::App;
use crate::failure::Failure;
use crate::http::client_address::RequestOrigin;
use crate::http::cookies;
use crate::http::cookies::OwnCookie;
use crate::http::credential::session_token;
use crate::http::middleware::WholeRequest;
use crate::http::query::Query;
use crate::operations::login;
use crate::operations::login::challenge;
use crate::operations::login::challenge::SignInContext;
use crate::operations::login::challenge::SignInOutcome;
use crate::operations::login::sign_in as sign_in_operation;
use crate::operations::login::sign_in::SignInRequest;
use crate::settings::PasswordPolicy;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use domain::login::return_url;

/// Where a sign-in leads without a path to return to.
const HOME: &str = "/account";

/// `GET /sign-in?back=PATH`.
pub async fn page(State(app): State<App>, query: Query) -> Response {
    let value = |name| query.text(name).ok().flatten();
    let back = return_path(&app, value("back").unwrap_or_default());
    let notice = match value("done") {
        Some("out") => Some("You are signed out.".to_owned()),
        Some("password") => Some("Your password is set. Sign in with it.".to_owned()),
        _ => None,
    };
    let error = value("failed").and_then(|word| oidc::failure_sentence(&app, word));
    render(StatusCode::OK, &SignInPage { error, notice, ..empty_page(&app, back) })
}

/// The sign-in page without messages.
fn empty_page(app: &App, back: String) -> SignInPage {
    let issuer = app.issuer.as_ref().map(|_| app.settings.oidc_name.clone());
    let next = form_urlencoded::byte_serialize(back.as_bytes()).collect();
    let passwords_off = app.settings.passwords == PasswordPolicy::Off;
    SignInPage { back, issuer, next, passwords_off, ..SignInPage::default() }
}

/// The path to return to. A URL of another site becomes `/account`.
pub fn return_path(app: &App, given: &str) -> String {
    return_url(given, &app.base_url).unwrap_or_else(|| HOME.to_owned())
}

/// `POST /sign-in`.
pub async fn sign_in(
    _: OwnSite,
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    headers: HeaderMap,
    WholeRequest(request): WholeRequest,
) -> Response {
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return failure_page(failure),
    };
    let back = return_path(&app, form.get("back"));
    let presented = session_token(&app, &headers);
    let browser = cookies::own_cookie_value(&app, &headers, OwnCookie::Browser);
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
    match sign_in_operation::sign_in(&app, attempt).await.and_then(|entry| finish_sign_in(&app, entry, &back))
    {
        Ok(response) => response,
        Err(failure) => {
            let (status, error) = status_and_sentence(failure);
            let email = form.get("email").to_owned();
            render(status, &SignInPage { error: Some(error), email, ..empty_page(&app, back) })
        }
    }
}

/// Answers with a redirect and the session's cookies, or with the page of the second factor.
///
/// # Errors
/// [`Failure::Internal`] for a cookie that is not valid in a header.
pub fn finish_sign_in(app: &App, entry: SignInOutcome, back: &str) -> Result<Response, Failure> {
    match entry {
        SignInOutcome::SignedIn(person, issued) => {
            let mut response = Redirect::to(back).into_response();
            cookies::set_session_cookie(app, &mut response, &issued, person.principal.id)?;
            Ok(response)
        }
        SignInOutcome::Challenge(half) => {
            let page = CodePage { error: None, back: back.to_owned(), challenge: half.challenge };
            Ok(render(StatusCode::OK, &page))
        }
    }
}

/// `POST /sign-in/code`.
pub async fn code(
    _: OwnSite,
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    headers: HeaderMap,
    WholeRequest(request): WholeRequest,
) -> Response {
    let form = match Form::read(&app, request).await {
        Ok(form) => form,
        Err(failure) => return failure_page(failure),
    };
    let back = return_path(&app, form.get("back"));
    let presented = session_token(&app, &headers);
    let context = SignInContext { origin, presented: presented.as_deref() };
    let entry = challenge::answer_challenge(&app, form.get("challenge"), form.get("code"), context).await;
    match entry.and_then(|entry| finish_sign_in(&app, entry, &back)) {
        Ok(response) => response,
        Err(Failure::Unauthenticated) => {
            let error = Some("That took too long. Please sign in again.".to_owned());
            render(StatusCode::UNAUTHORIZED, &SignInPage { error, ..empty_page(&app, back) })
        }
        Err(failure) => {
            let (status, error) = status_and_sentence(failure);
            let challenge = form.get("challenge").to_owned();
            render(status, &CodePage { error: Some(error), back, challenge })
        }
    }
}

/// `GET /sign-out`: asks first, because anybody can link here.
pub async fn sign_out_page() -> Response {
    render(StatusCode::OK, &SignOutPage)
}

/// `POST /sign-out`.
pub async fn sign_out(SignedIn(caller): SignedIn, State(app): State<App>) -> Response {
    match sign_in_operation::sign_out(&app, &caller, false).await {
        Ok(_) => cookies::clear_session_cookies(&app, Redirect::to("/sign-in?done=out").into_response()),
        Err(failure) => failure_page(failure),
    }
}

/// `GET /restore`.
pub async fn restore_page() -> Response {
    render(StatusCode::OK, &RestorePage { error: None, sent: false })
}

/// `POST /restore`: answers the same for an unknown address.
pub async fn restore(
    _: OwnSite,
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    headers: HeaderMap,
    WholeRequest(request): WholeRequest,
) -> Response {
    let browser = cookies::own_cookie_value(&app, &headers, OwnCookie::Browser);
    let requested = async {
        let form = Form::read(&app, request).await?;
        login::passwords::request_password_restore(&app, form.get("email"), &origin, browser.as_deref()).await
    };
    match requested.await {
        Ok(()) => render(StatusCode::OK, &RestorePage { error: None, sent: true }),
        Err(failure) => {
            let (status, error) = status_and_sentence(failure);
            render(status, &RestorePage { error: Some(error), sent: false })
        }
    }
}

/// `GET /restore/verify`. The user types the token; it is not in the URL, which others can see.
pub async fn verify_page(State(app): State<App>) -> Response {
    render(StatusCode::OK, &VerifyPage { error: None, min: app.settings.password_min })
}

/// `POST /restore/verify`.
pub async fn verify(
    _: OwnSite,
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Response {
    let restored = async {
        let form = Form::read(&app, request).await?;
        login::passwords::restore_password(&app, form.get("token").trim(), form.get("new"), &origin).await
    };
    match restored.await {
        Ok(()) => Redirect::to("/sign-in?done=password").into_response(),
        Err(failure) => {
            let (status, error) = match failure {
                Failure::Unauthenticated => {
                    (StatusCode::UNAUTHORIZED, "This token is not valid, or was used before.".to_owned())
                }
                other => status_and_sentence(other),
            };
            render(status, &VerifyPage { error: Some(error), min: app.settings.password_min })
        }
    }
}
