//! `/login/device/code` and `/login/device/token`: how `mobilecli auth login` gets a key (RFC 8628). Observed in mobilecli
//! 1.0.9: it sends JSON, polls at most every five seconds, and reads the error of a 400.

use super::errors::MobileError;
use super::sessions::respond;
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::client_address::RequestOrigin;
use crate::http::middleware;
use crate::http::middleware::NotStored;
use crate::http::middleware::WholeRequest;
use crate::operations::login::device_code;
use crate::operations::login::device_code::DeviceLoginReply;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use domain::Refusal;
use domain::device_login::PollReply;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The grant type that a program must send (RFC 8628, section 3.4).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[derive(serde::Deserialize)]
#[serde(expecting = "an object with client_id")]
struct CodeRequest {
    client_id: String,
}

#[derive(serde::Deserialize)]
#[serde(expecting = "an object with client_id, device_code and grant_type")]
struct TokenRequest {
    client_id: String,
    device_code: String,
    grant_type: String,
}

#[derive(Serialize)]
struct CodeResponse<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: i64,
    interval: i64,
}

#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
}

/// An error of RFC 6749 and RFC 8628, which programs read here.
#[derive(Serialize)]
struct ErrorResponse<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// `POST /login/device/code`.
pub async fn begin(
    RequestOrigin(origin): RequestOrigin,
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, MobileError> {
    let ask: CodeRequest = match read_body(&app, request).await {
        Ok(ask) => ask,
        Err(failure) => return body_error(failure),
    };
    let begun = match device_code::begin_device_login(&app, &ask.client_id, origin).await {
        Ok(begun) => begun,
        Err(failure) => return body_error(failure),
    };
    let page = format!("{}/login/device", app.base_url);
    let body = CodeResponse {
        device_code: &begun.device_code,
        user_code: &begun.user_code,
        verification_uri_complete: format!("{page}?user_code={}", begun.user_code),
        verification_uri: page,
        expires_in: begun.expires.0 / 1_000_000,
        interval: begun.interval.0 / 1_000_000,
    };
    not_stored(respond(StatusCode::OK, &body))
}

/// Marks a response that must not be stored for a repeated request.
fn not_stored(response: Result<Response, MobileError>) -> Result<Response, MobileError> {
    let mut response = response?;
    response.extensions_mut().insert(NotStored);
    Ok(response)
}

/// `POST /login/device/token`: answers with the key once.
pub async fn ask(
    State(app): State<App>,
    WholeRequest(request): WholeRequest,
) -> Result<Response, MobileError> {
    let ask: TokenRequest = match read_body(&app, request).await {
        Ok(ask) => ask,
        Err(failure) => return body_error(failure),
    };
    // The answer to the same request changes over time.
    not_stored(token_response(&app, &ask).await)
}

async fn token_response(app: &App, ask: &TokenRequest) -> Result<Response, MobileError> {
    if ask.grant_type != GRANT {
        return oauth_error("unsupported_grant_type", &format!("grant_type: expected {GRANT}"));
    }
    match device_code::poll_device_login(app, &ask.client_id, &ask.device_code).await? {
        Some(DeviceLoginReply::Key(key)) => {
            respond(StatusCode::OK, &TokenResponse { access_token: key.reveal(), token_type: "Bearer" })
        }
        Some(DeviceLoginReply::Status(PollReply::Pending)) => {
            oauth_error("authorization_pending", "the user has not decided yet")
        }
        Some(DeviceLoginReply::Status(PollReply::SlowDown(interval))) => {
            let wait = format!("ask every {} s from now on", interval.0 / 1_000_000);
            oauth_error("slow_down", &wait)
        }
        Some(DeviceLoginReply::Status(PollReply::Denied)) => {
            oauth_error("access_denied", "the user denied the login")
        }
        Some(DeviceLoginReply::Status(PollReply::Expired | PollReply::Ready)) => {
            oauth_error("expired_token", "the code has expired or was used: begin again")
        }
        None => oauth_error("invalid_grant", "device_code: expected one that this client was given"),
    }
}

/// Reads a body: JSON as mobilecli sends it, or a form as the RFC says.
async fn read_body<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Failure> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !form {
        return middleware::read_json(app, request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes = middleware::read_body(app, &parts.extensions, body).await?;
    serde_urlencoded::from_bytes(&bytes).map_err(|error| RequestFailure::Body(error.to_string()).into())
}

fn body_error(failure: Failure) -> Result<Response, MobileError> {
    match &failure {
        Failure::Request(RequestFailure::Body(_)) | Failure::Refused(Refusal::Invalid { .. }) => {
            oauth_error("invalid_request", &failure.to_string())
        }
        _ => Err(failure.into()),
    }
}

fn oauth_error(error: &str, description: &str) -> Result<Response, MobileError> {
    respond(StatusCode::BAD_REQUEST, &ErrorResponse { error, error_description: description })
}
