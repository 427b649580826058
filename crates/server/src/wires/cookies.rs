//! The cookie of a login session: how it is given to a browser and taken back. How it is read is `credential.rs`.

use super::credential::COOKIE;
use crate::failure::Failure;
use crate::operations::sign_in::Issued;
use crate::state::App;
use axum::http::{HeaderValue, header};
use axum::response::Response;

/// The cookie of a session: no script may read it, and no other site makes a browser send it with what changes
/// something.
///
/// # Errors
/// Only internal ones.
pub fn given(app: &App, issued: &Issued) -> Result<HeaderValue, Failure> {
    let seconds = issued.expires.since(app.now()).0 / 1_000_000;
    let text = format!("{COOKIE}={}; {}; Max-Age={seconds}", issued.token, attributes(app));
    HeaderValue::from_str(&text).map_err(Failure::internal)
}

/// Takes the cookie back, with the attributes it was given with.
pub fn taken_back(app: &App, mut response: Response) -> Response {
    let text = format!("{COOKIE}=; {}; Max-Age=0", attributes(app));
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

fn attributes(app: &App) -> &'static str {
    if app.base_url.starts_with("https:") {
        "Path=/; HttpOnly; SameSite=Lax; Secure"
    } else {
        "Path=/; HttpOnly; SameSite=Lax"
    }
}
