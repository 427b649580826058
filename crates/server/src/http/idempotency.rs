//! `Idempotency-Key` on every POST of every wire: a request that is repeated with its key runs once and gets the first
//! response again, for as long as the settings say.
//!
//! A repeated request is authenticated and counted like a new one. It gets the stored response when the caller has the
//! same permissions as then. Otherwise the handler runs again, as after a lost response: it creates nothing twice, and if it
//! refuses, the refusal is the response.

use super::middleware;
use super::route::BodyKind;
use super::wire::{Authorize, WireSpec};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::idempotency;
use crate::operations::idempotency::IdempotencyDecision;
use crate::operations::idempotency::IdempotencyScope;
use crate::operations::idempotency::IdempotencyToken;
use crate::operations::idempotency::StoredResponse;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::BTreeMap;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks a stored response.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The headers that are stored with a response.
const STORED_HEADERS: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::ETAG, header::LOCATION, header::WARNING];

/// The body to store in place of the response's own, which has a secret that is shown once. A handler adds it to the
/// extensions of its response.
#[derive(Clone)]
pub struct StoredBody(pub Vec<u8>);

/// Marks a response that must not be stored. A repeated request runs again.
#[derive(Clone)]
pub struct NotStored;

enum KeyedRequest {
    /// The caller is not authenticated, so the key means nothing.
    Unkeyed(Request),
    New(IdempotencyToken, Request),
    Replay(StoredResponse),
    /// There is a stored response, but the caller's permissions have changed since.
    Recheck(StoredResponse, Request),
}

/// Runs a request, or answers with the stored response.
pub async fn run(app: &App, wire: WireSpec, kind: BodyKind, request: Request, next: Next) -> Response {
    let keyed = request.method() == Method::POST && request.headers().contains_key(KEY);
    match wire.authorize.filter(|_| keyed) {
        // Boxed, so that requests without a key do not carry the room for it.
        Some(authorize) => Box::pin(run_keyed(app, wire, authorize, kind, request, next)).await,
        None => next.run(request).await,
    }
}

async fn run_keyed(
    app: &App,
    wire: WireSpec,
    authorize: Authorize,
    kind: BodyKind,
    request: Request,
    next: Next,
) -> Response {
    match begin(app, wire, authorize, kind, request).await {
        Ok(KeyedRequest::Unkeyed(request)) => next.run(request).await,
        Ok(KeyedRequest::New(token, request)) => {
            let response = next.run(request).await;
            finish(app, token, response).await.unwrap_or_else(wire.error_response)
        }
        Ok(KeyedRequest::Replay(answer)) => replay_response(answer).unwrap_or_else(wire.error_response),
        Ok(KeyedRequest::Recheck(answer, request)) => {
            let response = next.run(request).await;
            if response.status().is_success() {
                replay_response(answer).unwrap_or_else(wire.error_response)
            } else {
                response
            }
        }
        Err(failure) => (wire.error_response)(failure),
    }
}

async fn begin(
    app: &App,
    wire: WireSpec,
    authorize: Authorize,
    kind: BodyKind,
    request: Request,
) -> Result<KeyedRequest, Failure> {
    let (mut parts, body) = request.into_parts();
    // The handler reports why, in the words of its wire.
    let Some(caller) = authorize(app, &mut parts).await else {
        return Ok(KeyedRequest::Unkeyed(Request::from_parts(parts, body)));
    };
    let key = read_key(&parts.headers)?;
    // The organization is in the path or in a header, so both are part of the key's scope.
    let scope = IdempotencyScope::new_for_caller(&caller, wire.name, &request_target(wire, &parts), &key);
    let (digested, body) = match kind {
        // They are not held in memory.
        BodyKind::Form | BodyKind::File => (body_length(&parts.headers), body),
        BodyKind::Plain => {
            let bytes = middleware::read_body(app, &parts.extensions, body).await?;
            (bytes.to_vec(), Body::from(bytes))
        }
    };
    let begun = idempotency::begin_idempotent_request(app, scope, &digested, caller.authority()).await?;
    if let IdempotencyDecision::Replay(answer) = begun {
        return Ok(KeyedRequest::Replay(answer));
    }
    parts.extensions.insert(scope);
    let request = Request::from_parts(parts, body);
    Ok(match begun {
        IdempotencyDecision::New(token) => KeyedRequest::New(token, request),
        IdempotencyDecision::CheckFirst(answer) | IdempotencyDecision::Replay(answer) => {
            KeyedRequest::Recheck(answer, request)
        }
    })
}

fn read_key(headers: &HeaderMap) -> Result<String, Failure> {
    let mut values = headers.get_all(KEY).iter().map(|value| value.to_str().unwrap_or_default());
    let (key, more) = (values.next().unwrap_or_default(), values.next());
    let key = if more.is_some() { "" } else { key };
    idempotency::check_key(key)?;
    Ok(key.to_owned())
}

/// The target of a request: its path, its query and the chosen organization.
fn request_target(wire: WireSpec, parts: &Parts) -> String {
    let named = wire.organization_header.into_iter().flat_map(|name| parts.headers.get_all(name));
    let named = named.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    std::iter::once(path).chain(named).collect::<Vec<_>>().join("\n")
}

/// The declared length, which tells large bodies apart without reading them. Their bytes differ at each retry, because a
/// client chooses new boundaries for a form.
fn body_length(headers: &HeaderMap) -> Vec<u8> {
    middleware::content_length(headers).map_or_else(Vec::new, |length| length.to_be_bytes().to_vec())
}

/// Stores a final response. Failures, and refusals that depend on the caller or the moment, are not stored: a retry can
/// succeed.
async fn finish(app: &App, token: IdempotencyToken, response: Response) -> Result<Response, Failure> {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.map_err(Failure::internal)?;
    if is_final(parts.status) && parts.extensions.get::<NotStored>().is_none() {
        let instead = parts.extensions.get::<StoredBody>().map(|stored| stored.0.clone());
        let response = StoredResponse {
            status: parts.status.as_u16(),
            headers: headers_text(&parts.headers)?,
            body: instead.unwrap_or_else(|| bytes.to_vec()),
            authority: token.authority,
        };
        idempotency::finish_idempotent_request(app, token, &response).await?;
    } else {
        idempotency::abandon_idempotent_request(app, token).await?;
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn is_final(status: StatusCode) -> bool {
    let by_moment = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::CONFLICT,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_success()
        || status.is_redirection()
        || (status.is_client_error() && !by_moment.contains(&status))
}

fn headers_text(headers: &HeaderMap) -> Result<String, Failure> {
    let headers =
        STORED_HEADERS.iter().filter_map(|name| Some((name.as_str(), headers.get(name)?.to_str().ok()?)));
    serde_json::to_string(&headers.collect::<BTreeMap<_, _>>()).map_err(Failure::internal)
}

fn replay_response(stored: StoredResponse) -> Result<Response, Failure> {
    let mut response = Response::new(Body::from(stored.body));
    *response.status_mut() = StatusCode::from_u16(stored.status).map_err(Failure::internal)?;
    let headers: BTreeMap<String, String> =
        serde_json::from_str(&stored.headers).map_err(Failure::internal)?;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(Failure::internal)?;
        response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(Failure::internal)?);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
