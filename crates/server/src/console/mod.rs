//! The console: pages where people sign in and manage their own account. They need no scripts.

mod account;
pub(crate) mod failures;
mod oidc;
mod sign_in;
mod views;

use crate::app::App;
use crate::failure::Failure;
use crate::http::credential::{demand_same_site, own_session_token};
use crate::http::middleware;
use crate::http::route::{Callers, Route, get, post};
use crate::http::wire::WireSpec;
use crate::operations::access::authenticate::authenticate_from;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use failures::failure_page;
use store::{Caller, OrganizationChoice};

/// The pages.
pub const WIRE: WireSpec = WireSpec {
    // Only our own style: no scripts, no frames, and no forms to other sites.
    content_policy: "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    // Not `no-referrer`: forms would have no origin, and would be refused as cross-site.
    referrer_policy: "same-origin",
    ..WireSpec::new("pages", routes, failure_page)
};
const STYLE: &str = include_str!("style.css");

fn routes() -> Vec<Route> {
    use Callers::{Anyone, SignedIn};
    vec![
        get("/door.css", Anyone, async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)),
        get("/sign-in", Anyone, sign_in::page),
        post("/sign-in", Anyone, sign_in::sign_in),
        post("/sign-in/code", Anyone, sign_in::code),
        get("/sign-in/oidc", Anyone, oidc::begin),
        get("/sign-in/oidc/callback", Anyone, oidc::callback),
        get("/sign-out", Anyone, sign_in::sign_out_page),
        post("/sign-out", SignedIn, sign_in::sign_out),
        get("/restore", Anyone, sign_in::restore_page),
        post("/restore", Anyone, sign_in::restore),
        get("/restore/verify", Anyone, sign_in::verify_page),
        post("/restore/verify", Anyone, sign_in::verify),
        get("/account", SignedIn, account::page),
        post("/account/end", SignedIn, account::end),
        post("/account/end-others", SignedIn, account::end_others),
        post("/account/end-all", SignedIn, account::end_all),
        post("/account/revoke-keys", SignedIn, account::revoke_keys),
        post("/account/password", SignedIn, account::password),
        post("/account/authenticate", SignedIn, account::authenticate),
        post("/account/totp", SignedIn, account::propose),
        post("/account/totp/confirm", SignedIn, account::confirm),
        post("/account/totp/remove", SignedIn, account::remove),
        post("/account/recovery-codes", SignedIn, account::recovery_codes),
    ]
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
