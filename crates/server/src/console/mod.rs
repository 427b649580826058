//! The pages by which people get in and see to their own account. They need no script, and are this server's own words:
//! no product's client knows them.

mod account;
mod failures;
mod oidc;
mod sign_in;
mod views;

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::credential::{own_cookie, same_site};
use crate::http::middleware::{self, Wire};
use crate::operations::access::authenticate::authenticate_from;
use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use failures::failed;
use store::{Caller, OrganizationChoice};

/// The routes, for the table of callers.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/door.css"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-in/code"),
    ("GET", "/sign-in/oidc"),
    ("GET", "/sign-in/oidc/callback"),
    ("GET", "/sign-out"),
    ("POST", "/sign-out"),
    ("GET", "/restore"),
    ("POST", "/restore"),
    ("GET", "/restore/verify"),
    ("POST", "/restore/verify"),
    ("GET", "/account"),
    ("POST", "/account/end"),
    ("POST", "/account/end-others"),
    ("POST", "/account/end-all"),
    ("POST", "/account/revoke-keys"),
    ("POST", "/account/password"),
    ("POST", "/account/authenticate"),
    ("POST", "/account/totp"),
    ("POST", "/account/totp/confirm"),
    ("POST", "/account/totp/remove"),
    ("POST", "/account/recovery-codes"),
];

const WIRE: Wire = Wire { name: "pages", word: failed, authorize: None };
const STYLE: &str = include_str!("style.css");
/// Nothing but our own style: no script, no frame, no form that goes elsewhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The routes.
pub fn routes(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/door.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-in/code", post(sign_in::code))
        .route("/sign-in/oidc", get(oidc::away))
        .route("/sign-in/oidc/callback", get(oidc::callback))
        .route("/sign-out", get(sign_in::sign_out_page).post(sign_in::sign_out))
        .route("/restore", get(sign_in::restore_page).post(sign_in::restore))
        .route("/restore/verify", get(sign_in::verify_page).post(sign_in::verify))
        .route("/account", get(account::page))
        .route("/account/end", post(account::end))
        .route("/account/end-others", post(account::end_others))
        .route("/account/end-all", post(account::end_all))
        .route("/account/revoke-keys", post(account::revoke_keys))
        .route("/account/password", post(account::password))
        .route("/account/authenticate", post(account::authenticate))
        .route("/account/totp", post(account::propose))
        .route("/account/totp/confirm", post(account::confirm))
        .route("/account/totp/remove", post(account::remove))
        .route("/account/recovery-codes", post(account::recovery_codes))
        .method_not_allowed_fallback(|| async { failed(RequestFailure::Method.into()) });
    middleware::around(routes, app, WIRE).layer(from_fn(guarded))
}

/// What browsers are told to do with all pages.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Not `no-referrer`: forms would come from nowhere, and be refused as another site's.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY"));
    response
}

/// Whoever is signed in by the cookie. Others are sent to the sign-in.
pub struct SignedIn(pub Caller);

impl FromRequestParts<App> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<SignedIn, Response> {
        let away = || Redirect::to("/sign-in?back=/account").into_response();
        let Some(token) = own_cookie(app, &parts.headers) else { return Err(away()) };
        same_site(app, &parts.method, &parts.headers).map_err(failed)?;
        match authenticate_from(
            app,
            Some(&token),
            OrganizationChoice::ByDefault,
            middleware::address(&parts.extensions),
        )
        .await
        {
            Ok(caller) => middleware::recognized(app, parts, caller).map(SignedIn).map_err(failed),
            Err(Failure::Unauthenticated) => Err(away()),
            Err(failure) => Err(failed(failure)),
        }
    }
}

/// A form that was sent by a page of this server.
pub struct OwnSite;

impl FromRequestParts<App> for OwnSite {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<OwnSite, Response> {
        same_site(app, &parts.method, &parts.headers).map_err(failed)?;
        Ok(OwnSite)
    }
}
