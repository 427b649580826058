//! `Idempotency-Key` on every POST of every wire: a request that is repeated with its key is done once and answered
//! alike, for as long as the settings say.
//!
//! A repeated request is judged like a new one. Who calls is found out as the wire's handlers do, and counted; an answer
//! is given again to whoever may do just what they might when they were answered. For whoever may do anything else by
//! now, the handler runs again as after a lost answer: it makes nothing twice, and when it refuses, that is the answer.

use super::middleware::{self, Authorize, Wire};
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
/// Says of an answer that it was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The headers that choose an organization, on whatever wire.
const ORGANIZATIONS: [&str; 2] = ["x-organization-id", "x-org-id"];
/// The headers of an answer that are kept.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::WARNING];

/// What is kept of an answer in place of its body, because that has a secret in it which is shown once. A handler puts
/// it into the extensions of its answer.
#[derive(Clone)]
pub struct KeptInstead(pub Vec<u8>);

/// Says of an answer that nothing of it is kept: it is a secret and nothing else. Who asks again is answered anew.
#[derive(Clone)]
pub struct NotKept;

enum Going {
    /// No key, or nobody who could have one.
    Plain(Request),
    First(IdempotencyToken, Request),
    Again(StoredResponse),
    /// It was answered so, to somebody who might do something else.
    Judged(StoredResponse, Request),
}

/// Runs a request, or answers it as it was answered before. `large` says that its body is not one to be held in
/// memory.
pub async fn run(app: &App, wire: Wire, request: Request, next: Next, large: bool) -> Response {
    let keyed = request.method() == Method::POST && request.headers().contains_key(KEY);
    let Some(authorize) = wire.authorize.filter(|_| keyed) else { return next.run(request).await };
    match begin(app, wire.name, authorize, request, large).await {
        Ok(Going::Plain(request)) => next.run(request).await,
        Ok(Going::First(token, request)) => {
            let response = next.run(request).await;
            finish(app, token, response).await.unwrap_or_else(wire.word)
        }
        Ok(Going::Again(answer)) => again(answer).unwrap_or_else(wire.word),
        Ok(Going::Judged(answer, request)) => {
            let response = next.run(request).await;
            if response.status().is_success() { again(answer).unwrap_or_else(wire.word) } else { response }
        }
        Err(failure) => (wire.word)(failure),
    }
}

async fn begin(
    app: &App,
    wire: &str,
    authorize: Authorize,
    request: Request,
    large: bool,
) -> Result<Going, Failure> {
    let (mut parts, body) = request.into_parts();
    // The handler says why, in the words of its wire.
    let Some(caller) = authorize(app, &mut parts).await else {
        return Ok(Going::Plain(Request::from_parts(parts, body)));
    };
    let key = key(&parts.headers)?;
    // The organization stands in the path or in a header: both are part of what the key belongs to.
    let scope = IdempotencyScope::new_for_caller(&caller, wire, &place(&parts), &key);
    let (digested, body) = match large {
        true => (outline(&parts.headers), body),
        false => {
            let bytes = middleware::body(app, &parts.extensions, body).await?;
            (bytes.to_vec(), Body::from(bytes))
        }
    };
    let begun = idempotency::begin_idempotent_request(app, scope, &digested, caller.authority()).await?;
    if let IdempotencyDecision::Replay(answer) = begun {
        return Ok(Going::Again(answer));
    }
    parts.extensions.insert(scope);
    let request = Request::from_parts(parts, body);
    Ok(match begun {
        IdempotencyDecision::New(token) => Going::First(token, request),
        IdempotencyDecision::CheckFirst(answer) | IdempotencyDecision::Replay(answer) => {
            Going::Judged(answer, request)
        }
    })
}

fn key(headers: &HeaderMap) -> Result<String, Failure> {
    let mut values = headers.get_all(KEY).iter().map(|value| value.to_str().unwrap_or_default());
    let (key, more) = (values.next().unwrap_or_default(), values.next());
    let key = if more.is_some() { "" } else { key };
    idempotency::check_key(key)?;
    Ok(key.to_owned())
}

/// What a request is addressed to.
fn place(parts: &Parts) -> String {
    let named = ORGANIZATIONS.into_iter().flat_map(|name| parts.headers.get_all(name));
    let named = named.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    std::iter::once(path).chain(named).collect::<Vec<_>>().join("\n")
}

/// What there is to tell large bodies apart by without reading them: a client that sends a form again gives it other
/// boundaries.
fn outline(headers: &HeaderMap) -> Vec<u8> {
    middleware::content_length(headers).map_or_else(Vec::new, |length| length.to_be_bytes().to_vec())
}

/// Keeps an answer that would be the same again. What was refused because of who asked or when may go otherwise the
/// next time, and so may what failed.
async fn finish(app: &App, token: IdempotencyToken, response: Response) -> Result<Response, Failure> {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.map_err(Failure::internal)?;
    if is_final(parts.status) && parts.extensions.get::<NotKept>().is_none() {
        let instead = parts.extensions.get::<KeptInstead>().map(|kept| kept.0.clone());
        let answer = StoredResponse {
            status: parts.status.as_u16(),
            headers: headers_text(&parts.headers)?,
            body: instead.unwrap_or_else(|| bytes.to_vec()),
            authority: token.authority,
        };
        idempotency::finish_idempotent_request(app, token, &answer).await?;
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
    let kept = KEPT.iter().filter_map(|name| Some((name.as_str(), headers.get(name)?.to_str().ok()?)));
    serde_json::to_string(&kept.collect::<BTreeMap<_, _>>()).map_err(Failure::internal)
}

fn again(answer: StoredResponse) -> Result<Response, Failure> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(Failure::internal)?;
    let kept: BTreeMap<String, String> = serde_json::from_str(&answer.headers).map_err(Failure::internal)?;
    for (name, value) in kept {
        let name = HeaderName::try_from(name).map_err(Failure::internal)?;
        response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(Failure::internal)?);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
