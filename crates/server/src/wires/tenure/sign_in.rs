//! Signing in on Tenure's own wire, in one request or in two.

use super::errors::TenureError;
use crate::app::App;
use crate::http::client_address::RequestOrigin;
use crate::http::middleware;
use crate::http::middleware::NotStored;
use crate::http::middleware::WholeRequest;
use crate::operations::login::challenge;
use crate::operations::login::challenge::SignInContext;
use crate::operations::login::challenge::SignInOutcome;
use crate::operations::login::sign_in;
use crate::operations::login::sign_in::SignInRequest;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct SignIn {
    email: String,
    password: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    long: bool,
    #[serde(default)]
    alone: bool,
}

#[derive(Deserialize)]
struct Code {
    challenge: String,
    code: String,
}

#[derive(Serialize)]
struct SignedIn {
    token: String,
    expires_us: i64,
    user: i64,
}

#[derive(Serialize)]
struct Challenge {
    challenge: String,
    expires_us: i64,
}

/// `POST /tenure/v1/sign-in`: 200 with a token, or 202 with a challenge when the password was right and a second factor is
/// missing. The request can include its `code`.
pub async fn sign_in(
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, TenureError> {
    let body: SignIn = middleware::read_json(&app, request).await?;
    let attempt = SignInRequest {
        email: &body.email,
        password: &body.password,
        long: body.long,
        end_others: body.alone,
        origin,
        browser: None,
        code: body.code.as_deref(),
        presented: None,
    };
    Ok(entry_response(sign_in::sign_in(&app, attempt).await?))
}

/// `POST /tenure/v1/sign-in/code`: the second half, with a code of the authenticator app or a recovery code.
pub async fn code(
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, TenureError> {
    let body: Code = middleware::read_json(&app, request).await?;
    let visitor = SignInContext { origin, presented: None };
    Ok(entry_response(challenge::answer_challenge(&app, &body.challenge, &body.code, visitor).await?))
}

fn entry_response(entry: SignInOutcome) -> Response {
    let mut response = match entry {
        SignInOutcome::SignedIn(person, issued) => {
            let user = person.principal.number;
            Json(SignedIn { token: issued.token, expires_us: issued.expires.0, user }).into_response()
        }
        SignInOutcome::Challenge(half) => {
            let body = Challenge { challenge: half.challenge, expires_us: half.expires.0 };
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
    };
    response.extensions_mut().insert(NotStored);
    response
}
