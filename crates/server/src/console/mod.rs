//! The console: pages where people sign in and manage their own account. They need no scripts.

mod account;
pub(crate) mod failures;
mod oidc;
mod sign_in;
mod views;

use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::credential::{demand_same_site, own_session_token};
use crate::http::middleware::{self, WireSpec};
use crate::operations::access::authenticate::authenticate_from;
use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use failures::failure_page;
use store::{Caller, OrganizationChoice};

/// The routes, for the tests' table of callers.
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

const WIRE: WireSpec = WireSpec { name: "pages", error_response: failure_page, authorize: None };
const STYLE: &str = include_str!("style.css");
/// Allows only our own style: no scripts, no frames, and no forms to other sites.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Builds the routes of the console.
pub fn routes(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/door.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-in/code", post(sign_in::code))
        .route("/sign-in/oidc", get(oidc::begin))
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
        .method_not_allowed_fallback(|| async { failure_page(RequestFailure::Method.into()) });
    middleware::wrap_routes(routes, app, WIRE).layer(from_fn(set_page_headers))
}

/// Sets the security headers of all pages.
async fn set_page_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Not `no-referrer`: forms would have no origin, and would be refused as cross-site.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY"));
    response
}

/// Extractor: the user who is signed in by the cookie. Redirects others to the sign-in page.
pub struct SignedIn(pub Caller);

impl FromRequestParts<App> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<SignedIn, Response> {
        let away = || Redirect::to("/sign-in?back=/account").into_response();
        let Some(token) = own_session_token(app, &parts.headers) else { return Err(away()) };
        demand_same_site(app, &parts.method, &parts.headers).map_err(failure_page)?;
        match authenticate_from(
            app,
            Some(&token),
            OrganizationChoice::ByDefault,
            middleware::address(&parts.extensions),
        )
        .await
        {
            Ok(caller) => middleware::admit_caller(app, parts, caller).map(SignedIn).map_err(failure_page),
            Err(Failure::Unauthenticated) => Err(away()),
            Err(failure) => Err(failure_page(failure)),
        }
    }
}

/// Extractor: refuses a form that was sent by a page of another site.
pub struct OwnSite;

impl FromRequestParts<App> for OwnSite {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<OwnSite, Response> {
        demand_same_site(app, &parts.method, &parts.headers).map_err(failure_page)?;
        Ok(OwnSite)
    }
}
