//! `/login/device/code` and `/login/device/token`: how `mobilecli auth login` gets a key (RFC 8628). Seen of mobilecli
//! 1.0.9: it sends JSON, waits five seconds at least, and reads the error of a 400.

use super::errors::MobileError;
use super::sessions::answer;
use crate::app::App;
use crate::failure::{Failure, RequestFailure};
use crate::http::client_address::CameFrom;
use crate::http::middleware;
use crate::http::middleware::NotKept;
use crate::http::middleware::Whole;
use crate::operations::login::device_code;
use crate::operations::login::device_code::DeviceLoginReply;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use domain::Refusal;
use domain::device_login::Answer;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a program has to say that it wants (RFC 8628, section 3.4).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[derive(serde::Deserialize)]
#[serde(expecting = "an object with client_id")]
struct Begin {
    client_id: String,
}

#[derive(serde::Deserialize)]
#[serde(expecting = "an object with client_id, device_code and grant_type")]
struct Ask {
    client_id: String,
    device_code: String,
    grant_type: String,
}

#[derive(Serialize)]
struct Begun<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: i64,
    interval: i64,
}

#[derive(Serialize)]
struct Token<'a> {
    access_token: &'a str,
    token_type: &'static str,
}

/// A refusal in the words of RFC 6749 and RFC 8628, which is what programs read here.
#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// `POST /login/device/code`.
pub async fn begin(
    CameFrom(origin): CameFrom,
    State(app): State<App>,
    Whole(request): Whole,
) -> Result<Response, MobileError> {
    let ask: Begin = match read(&app, request).await {
        Ok(ask) => ask,
        Err(failure) => return unreadable(failure),
    };
    let begun = match device_code::begin_device_login(&app, &ask.client_id, origin).await {
        Ok(begun) => begun,
        Err(failure) => return unreadable(failure),
    };
    let page = format!("{}/login/device", app.base_url);
    let body = Begun {
        device_code: &begun.device_code,
        user_code: &begun.user_code,
        verification_uri_complete: format!("{page}?user_code={}", begun.user_code),
        verification_uri: page,
        expires_in: begun.expires.0 / 1_000_000,
        interval: begun.interval.0 / 1_000_000,
    };
    secret(answer(StatusCode::OK, &body))
}

/// An answer that is not kept for a request that is repeated.
fn secret(answer: Result<Response, MobileError>) -> Result<Response, MobileError> {
    let mut response = answer?;
    response.extensions_mut().insert(NotKept);
    Ok(response)
}

/// `POST /login/device/token`: the key is answered once.
pub async fn ask(State(app): State<App>, Whole(request): Whole) -> Result<Response, MobileError> {
    let ask: Ask = match read(&app, request).await {
        Ok(ask) => ask,
        Err(failure) => return unreadable(failure),
    };
    // What is answered now is answered otherwise in a moment.
    secret(told(&app, &ask).await)
}

async fn told(app: &App, ask: &Ask) -> Result<Response, MobileError> {
    if ask.grant_type != GRANT {
        return refused("unsupported_grant_type", &format!("grant_type: expected {GRANT}"));
    }
    match device_code::poll_device_login(app, &ask.client_id, &ask.device_code).await? {
        Some(DeviceLoginReply::Key(key)) => {
            answer(StatusCode::OK, &Token { access_token: key.reveal(), token_type: "Bearer" })
        }
        Some(DeviceLoginReply::Status(Answer::Pending)) => {
            refused("authorization_pending", "nobody has answered yet")
        }
        Some(DeviceLoginReply::Status(Answer::SlowDown(interval))) => {
            let wait = format!("ask every {} s from now on", interval.0 / 1_000_000);
            refused("slow_down", &wait)
        }
        Some(DeviceLoginReply::Status(Answer::Denied)) => refused("access_denied", "it was not let in"),
        Some(DeviceLoginReply::Status(Answer::Expired | Answer::Ready)) => {
            refused("expired_token", "the code has expired or was used: begin again")
        }
        None => refused("invalid_grant", "device_code: expected one that this client was given"),
    }
}

/// Reads a body, JSON as mobilecli sends it or a form as the RFC says.
async fn read<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Failure> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let form = kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !form {
        return middleware::json(app, request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes = middleware::body(app, &parts.extensions, body).await?;
    serde_urlencoded::from_bytes(&bytes).map_err(|error| RequestFailure::Body(error.to_string()).into())
}

fn unreadable(failure: Failure) -> Result<Response, MobileError> {
    match &failure {
        Failure::Request(RequestFailure::Body(_)) | Failure::Refused(Refusal::Invalid { .. }) => {
            refused("invalid_request", &failure.to_string())
        }
        _ => Err(failure.into()),
    }
}

fn refused(error: &str, description: &str) -> Result<Response, MobileError> {
    answer(StatusCode::BAD_REQUEST, &Refused { error, error_description: description })
}
