//! The middleware of every wire: a request id, limits, a timeout, panics caught, and one log entry for each request.
//! Also what handlers use to read requests.

pub use super::idempotency::{NotStored, StoredBody};
use super::pacing::pace;
use super::route::{BodyKind, RouteNeeds};
use super::unreadable_body::describe_error;
use super::wire::WireSpec;
use super::{client_address, idempotency, rate_limit};
use crate::app::App;
use crate::clock::Stopwatch;
use crate::failure::{Cause, Failure, RequestFailure};
use crate::front::budget::{self, HeldBytes, Holder};
use crate::front::connections::network;
use crate::front::rates::{BucketKey, RemainingQuota};
use crate::front::{Gate, HeadFailure};
use crate::logging::{self, CurrentRequest, RequestLine};
use crate::operations::idempotency::IdempotencyScope;
use crate::operations::sessions::ListedSession;
use crate::services::request_look;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use domain::ids::OrganizationId;
use domain::json::{JsonBounds, REQUEST_BOUNDS};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use store::{Caller, OrganizationChoice};
use uuid::Uuid;

/// The header that carries a request's id, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 64;
/// `Strict-Transport-Security` for a year (RFC 6797).
const TRANSPORT_SECURITY: &str = "max-age=31536000";
/// `Allow` of a method that no route has.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// Largest body of an anonymous caller, in bytes. A sign-in is one.
const ANONYMOUS_BODY_LIMIT: u64 = 16 << 10;
/// Longest time in which such a body must arrive.
const ANONYMOUS_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the extractors find out about a request's caller, shared with the middleware.
#[derive(Clone, Default)]
pub struct RequestCaller(Arc<Mutex<CallerState>>);

#[derive(Default)]
struct CallerState {
    caller: Option<CallerIds>,
    /// What is left of each quota that the request was counted in.
    left: Vec<(&'static str, RemainingQuota)>,
    /// The request's share of the memory for unfinished requests: its whole body, until the response.
    held: Vec<HeldBytes>,
}

#[derive(Clone, Copy)]
struct CallerIds {
    principal: Uuid,
    organization: Option<Uuid>,
}

impl RequestCaller {
    /// Records the caller and the organization.
    pub fn set_caller(&self, caller: &Caller) {
        let organization = caller.organization().map(|organization| organization.0);
        self.lock().caller = Some(CallerIds { principal: caller.principal().0, organization });
        logging::note_principal(caller.principal().0);
    }

    /// Counts the request in a quota. It is counted once, even when it is authenticated several times.
    ///
    /// # Errors
    /// [`RequestFailure::TooManyRequests`] when the quota is used up.
    pub fn spend(&self, app: &App, key: BucketKey) -> Result<(), RequestFailure> {
        let spent =
            self.lock().left.iter().find(|(policy, _)| *policy == key.policy()).map(|(_, left)| *left);
        let left = match spent {
            Some(left) => left,
            None => {
                let Some(left) = rate_limit::spend(app, key) else { return Ok(()) };
                self.lock().left.push((key.policy(), left));
                left
            }
        };
        left.wait.map_or(Ok(()), |seconds| Err(RequestFailure::TooManyRequests { seconds }))
    }

    fn lock(&self) -> MutexGuard<'_, CallerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds memory until the response.
    fn hold_memory(&self, held: HeldBytes) {
        self.lock().held.push(held);
    }

    fn caller(&self) -> Option<CallerIds> {
        self.lock().caller
    }
}

/// The client's address, in the extensions of every request.
#[derive(Clone, Copy)]
pub struct ClientAddress(pub Option<IpAddr>);

/// The client's address: the peer's, or the one that a trusted proxy names.
pub fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ClientAddress>().and_then(|ClientAddress(address)| *address)
}

/// Admits an authenticated caller: records them for the log, counts the request in their quotas, and adds the address and
/// the idempotency scope to the caller.
///
/// # Errors
/// [`RequestFailure::TooManyRequests`] when a quota is used up.
pub fn admit_caller(app: &App, parts: &Parts, caller: Caller) -> Result<Caller, Failure> {
    note_caller(&parts.extensions, &caller);
    if let Some(who) = parts.extensions.get::<RequestCaller>() {
        for key in rate_limit::caller_keys(&caller) {
            who.spend(app, key)?;
        }
    }
    Ok(caller
        .with_address(address(&parts.extensions))
        .with_idempotency(parts.extensions.get::<IdempotencyScope>().copied()))
}

/// Records the caller. From now on the limits of anonymous callers no longer apply to the request and its connection.
pub fn note_caller(extensions: &Extensions, caller: &Caller) {
    if let Some(who) = extensions.get::<RequestCaller>() {
        who.set_caller(caller);
    }
    if let Some(gate) = extensions.get::<Gate>() {
        gate.open();
    }
}

/// Runs a request in the middleware, for a route with these needs.
pub async fn handle_request(
    State((app, wire, needs)): State<(App, WireSpec, RouteNeeds)>,
    mut request: Request,
    next: Next,
) -> Response {
    let watch = Stopwatch::start();
    let current = Arc::new(CurrentRequest {
        id: request_id(&app, request.headers()),
        wire: wire.name,
        method: request.method().clone(),
        matched: request.extensions().get::<MatchedPath>().cloned(),
        principal: OnceLock::new(),
    });
    let request_caller = RequestCaller::default();
    let address = ClientAddress(client_address::address(&app, request.extensions(), request.headers()));
    request.extensions_mut().insert(address);
    request.extensions_mut().insert(request_caller.clone());
    let too_large = check_declared_length(&app, request.headers(), needs.body);
    let limited = match wire.rate_limited || current.matched.is_none() {
        true => rate_limit::spend_for_address(&app, &request_caller, &request),
        false => None,
    };
    let unfit = request.extensions_mut().remove::<HeadFailure>().map(|HeadFailure(failure)| failure);
    let refused = unfit.or(limited).or(too_large);
    let handling = async {
        match refused {
            Some(failure) => Ok(refuse_by_head(wire, failure)),
            None => {
                AssertUnwindSafe(idempotency::run(&app, wire, needs.body, request, next)).catch_unwind().await
            }
        }
    };
    let handling = request_look::share_in(current.method.is_safe(), handling);
    let handling = logging::run_in(Some(current.clone()), handling);
    let limit = match needs.body {
        BodyKind::Plain => app.settings.request_timeout + needs.wait,
        BodyKind::Form | BodyKind::File => app.settings.install_timeout,
    };
    let mut response = match tokio::time::timeout(limit, handling).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let text = format!("a panic in {} {}", current.method, current.route());
            (wire.error_response)(logging::call_in(&current, || Failure::internal(text)))
        }
        Err(_) => (wire.error_response)(RequestFailure::Timeout.into()),
    };
    set_common_headers(&app, wire, &mut response, &current.id);
    rate_limit::set_headers(&mut response, &request_caller.lock().left);
    let (status, duration) = (response.status().as_u16(), watch.elapsed());
    app.metrics.request(wire.name, current.method.as_str(), current.route().to_owned(), status, duration);
    let cause = response.extensions().get::<Cause>().map(|Cause(cause)| cause.as_str());
    let organization = request_caller.caller().and_then(|caller| caller.organization);
    RequestLine { request: &current, organization, status, duration, cause }.log();
    pace(response)
}

/// Refuses a request after its head alone. The connection cannot be used again, unless the client only has to wait.
fn refuse_by_head(wire: WireSpec, failure: RequestFailure) -> Response {
    let no_method = failure == RequestFailure::Method;
    let waits = matches!(failure, RequestFailure::TooManyRequests { .. });
    let mut response = (wire.error_response)(failure.into());
    let headers = response.headers_mut();
    if !waits {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if no_method {
        headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
    }
    response
}

/// Refuses a body whose declared length is above the limit of its kind. An announced file has its own limit.
fn check_declared_length(app: &App, headers: &HeaderMap, kind: BodyKind) -> Option<RequestFailure> {
    let limit = match kind {
        BodyKind::Plain => app.settings.body_limit,
        BodyKind::Form => app.settings.upload_limit,
        BodyKind::File => return None,
    };
    let is_larger = content_length(headers).is_some_and(|length| length > limit);
    is_larger.then_some(RequestFailure::BodyTooLarge { limit })
}

fn set_common_headers(app: &App, wire: WireSpec, response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    // Responses must not be cached by intermediaries.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let content_policy = HeaderValue::from_static(wire.content_policy);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(content_policy);
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static(wire.referrer_policy));
    if app.base_url.starts_with("https:") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TRANSPORT_SECURITY));
    }
}

/// The client's request id if it is a plain word, else a new one.
fn request_id(app: &App, headers: &HeaderMap) -> String {
    let plain = |text: &&str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::from_bytes(app.random_bytes()).simple().to_string(), str::to_owned)
}

/// The credential of `Authorization: Bearer …`. `None` without the header, for another scheme, and for repeated headers.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential)
}

/// The organization that a header names. A repeated header or a malformed id names an unknown organization.
pub fn organization_choice(headers: &HeaderMap, name: &str) -> OrganizationChoice {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => OrganizationChoice::ByDefault,
        (Some(value), None) => OrganizationChoice::Named(value.to_str().ok().and_then(OrganizationId::parse)),
        _ => OrganizationChoice::Named(None),
    }
}

/// Reads a JSON body, at most as large as the settings allow. A larger `Content-Length` is refused before the body is read.
/// A body with too many values or levels is refused before it is parsed.
///
/// # Errors
/// As [`read_body`]; [`RequestFailure::Body`] naming the field and what was expected.
pub async fn read_json<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Failure> {
    read_json_within(app, request, REQUEST_BOUNDS).await
}

/// Reads a JSON body with other bounds on its values and levels.
///
/// # Errors
/// As [`read_json`].
pub async fn read_json_within<T: DeserializeOwned>(
    app: &App,
    request: Request,
    bounds: JsonBounds,
) -> Result<T, Failure> {
    let (parts, body) = request.into_parts();
    let bytes = self::read_body(app, &parts.extensions, body).await?;
    if bytes.is_empty() {
        return Err(RequestFailure::Body("expected a JSON object, got nothing".to_owned()).into());
    }
    // Serde would accept a list for the fields of a struct, in their order. That order is no part of an API.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(RequestFailure::Body("expected a JSON object, got a list".to_owned()).into());
    }
    check_json_size(&bytes, bounds)?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        RequestFailure::Body(format!("{place}{}", describe_error(error.inner())))
    })?;
    reader.end().map_err(|error| RequestFailure::Body(error.to_string()))?;
    Ok(value)
}

/// Checks the number of values and levels of a JSON body, before it is parsed.
///
/// # Errors
/// [`RequestFailure::Body`] naming the field that has too many.
pub fn check_json_size(bytes: &[u8], bounds: JsonBounds) -> Result<(), Failure> {
    bounds.check(bytes).map_err(|excess| RequestFailure::Body(excess.to_string()).into())
}

/// Reads a whole body: at most as large as the settings allow, and at most 16 KiB for an anonymous caller. Its bytes count
/// in the memory for unfinished requests until the response.
///
/// # Errors
/// [`RequestFailure::BodyTooLarge`]; [`RequestFailure::Body`] when it ends early; [`RequestFailure::Timeout`] when an
/// anonymous caller's body takes too long; [`Failure::Away`] when no memory is left for it.
pub async fn read_body(app: &App, extensions: &Extensions, body: Body) -> Result<Bytes, Failure> {
    let request_caller = extensions.get::<RequestCaller>().cloned().unwrap_or_default();
    let principal = request_caller.caller().map(|known| known.principal);
    let address = extensions.get::<ClientAddress>().and_then(|ClientAddress(address)| *address);
    let holders = address.map(|address| Holder::Address(network(address)));
    let held = app.front.budget.hold(holders.into_iter().chain(principal.map(Holder::Principal)).collect());
    // `handle_request` has already refused a larger `Content-Length`.
    let (bytes, held) = match principal {
        Some(_) => collect_body(body, held, app.settings.body_limit).await?,
        None => {
            let limit = app.settings.body_limit.min(ANONYMOUS_BODY_LIMIT);
            let gathered =
                tokio::time::timeout(ANONYMOUS_BODY_TIMEOUT, collect_body(body, held, limit)).await;
            gathered.map_err(|_| RequestFailure::Timeout)??
        }
    };
    request_caller.hold_memory(held);
    Ok(bytes)
}

async fn collect_body(
    mut body: Body,
    mut held: HeldBytes,
    limit: u64,
) -> Result<(Bytes, HeldBytes), Failure> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| RequestFailure::Body("it ended early".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > limit {
            return Err(RequestFailure::BodyTooLarge { limit }.into());
        }
        if !held.take(data.len() as u64) {
            return Err(budget::exhausted_failure());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.into(), held))
}

/// The declared length of a body, in bytes.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A response whose body is already serialized as JSON.
pub fn json_response(status: axum::http::StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The JSON of a list of sessions, in one buffer.
///
/// # Errors
/// [`Failure::Internal`] when it cannot be serialized.
pub fn encode_list(list: &impl serde::Serialize, sessions: &[ListedSession]) -> Result<Vec<u8>, Failure> {
    let size = sessions.iter().map(|session| session.body.text().len() + 1).sum::<usize>();
    let mut bytes = Vec::with_capacity(size + 256);
    serde_json::to_writer(&mut bytes, list).map_err(Failure::internal)?;
    Ok(bytes)
}

/// Extractor: the whole request, so that a handler reads the body after the caller is authorized.
pub struct WholeRequest(pub Request);

impl<S: Send + Sync> FromRequest<S> for WholeRequest {
    type Rejection = std::convert::Infallible;
    async fn from_request(request: Request, _: &S) -> Result<WholeRequest, Self::Rejection> {
        Ok(WholeRequest(request))
    }
}
