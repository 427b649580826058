//! What is around every request of every wire: an id, a time limit, no panic, one line in the log.

pub use super::idempotency::{KeptInstead, NotKept};
use super::pacing::pace;
use super::unreadable_body::why;
use super::{client_address, idempotency, rate_limit};
use crate::app::App;
use crate::clock::Stopwatch;
use crate::failure::{Cause, Failure, REQUEST, RequestFailure};
use crate::front::budget::{self, HeldBytes, Holder};
use crate::front::connections::network;
use crate::front::rates::{BucketKey, RemainingQuota};
use crate::front::{Gate, HeadFailure};
use crate::logging::{self, RequestLine};
use crate::operations::idempotency::IdempotencyScope;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use domain::ids::OrganizationId;
use domain::json::{Bounds, SENT};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Caller, OrganizationChoice};
use tracing::{Instrument, Span};
use uuid::Uuid;

/// The header that carries a request's id, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 64;
/// The wire of what no wire owns.
pub const HOUSE: &str = "house";
/// The route of what is none.
const UNMATCHED: &str = "unmatched";
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";
/// For a year: RFC 6797.
const ONLY_TLS: &str = "max-age=31536000";
/// What is done to paths at all.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// The largest body that is read for somebody who has not shown a good credential, in bytes: a sign-in, say.
const STRANGERS_BODY: u64 = 16 << 10;
/// How long such a body may take to arrive.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(10);
/// Where a worker waits for work, for longer than requests take.
const CLAIM_PATH: &str = "/tenure/v1/work/claim";

/// What the layers must know of a wire.
#[derive(Clone, Copy)]
pub struct Wire {
    /// Its name, for logs and metrics.
    pub name: &'static str,
    /// How it words a failure.
    pub word: fn(Failure) -> Response,
    /// How its handlers find out who calls; `None` on a wire whose requests cannot be repeated.
    pub authorize: Option<Authorize>,
}

/// Finds out who calls as a wire's handlers do: by the same credential, in the same organization, out of the same quotas.
/// `None` for nobody; a handler says why.
pub type Authorize = for<'a> fn(&'a App, &'a mut Parts) -> BoxFuture<'a, Option<Caller>>;

/// Who made a request, told by the extractor to the log.
#[derive(Clone, Default)]
pub struct Who(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    recognized: Option<Recognized>,
    /// What is left of each quota that the request took from.
    left: Vec<(&'static str, RemainingQuota)>,
    /// What the request takes of the memory for unfinished requests: all of its body, until it is answered.
    held: Vec<HeldBytes>,
}

#[derive(Clone, Copy)]
struct Recognized {
    principal: Uuid,
    organization: Option<Uuid>,
}

impl Who {
    /// Notes who is calling and in which organization.
    pub fn is(&self, caller: &Caller) {
        let organization = caller.organization().map(|organization| organization.0);
        self.seen().recognized = Some(Recognized { principal: caller.principal().0, organization });
        Span::current().record("principal", tracing::field::display(caller.principal()));
    }

    /// Takes the request out of a quota, once: who is calling may be found out more than once.
    ///
    /// # Errors
    /// [`RequestFailure::TooManyRequests`].
    pub fn spend(&self, app: &App, key: BucketKey) -> Result<(), RequestFailure> {
        let spent =
            self.seen().left.iter().find(|(policy, _)| *policy == key.policy()).map(|(_, left)| *left);
        let left = match spent {
            Some(left) => left,
            None => {
                let Some(left) = rate_limit::spend(app, key) else { return Ok(()) };
                self.seen().left.push((key.policy(), left));
                left
            }
        };
        left.wait.map_or(Ok(()), |seconds| Err(RequestFailure::TooManyRequests { seconds }))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what the request holds until it is answered.
    fn keep(&self, held: HeldBytes) {
        self.seen().held.push(held);
    }

    fn taken(&self) -> Option<Recognized> {
        self.seen().recognized
    }
}

/// From where a request comes, in the extensions of every request.
#[derive(Clone, Copy)]
pub struct Address(pub Option<IpAddr>);

/// The address that a request comes from: the peer's, or the one that a trusted proxy names.
pub fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Address>().and_then(|Address(address)| *address)
}

/// Notes who calls, for the log, takes the request out of the caller's quotas, and gives the caller what its request is
/// noted under if it may be repeated.
///
/// # Errors
/// [`RequestFailure::TooManyRequests`].
pub fn recognized(app: &App, parts: &Parts, caller: Caller) -> Result<Caller, Failure> {
    noted(&parts.extensions, &caller);
    if let Some(who) = parts.extensions.get::<Who>() {
        for key in rate_limit::of(&caller) {
            who.spend(app, key)?;
        }
    }
    Ok(caller
        .with_address(address(&parts.extensions))
        .with_idempotency(parts.extensions.get::<IdempotencyScope>().copied()))
}

/// Notes who calls: from now on the request may send as much as the settings allow, and its connection as many requests.
pub fn noted(extensions: &Extensions, caller: &Caller) {
    if let Some(who) = extensions.get::<Who>() {
        who.is(caller);
    }
    if let Some(gate) = extensions.get::<Gate>() {
        gate.open();
    }
}

/// Puts the layers around a wire's routes.
pub fn around(routes: Router<App>, app: &App, wire: Wire) -> Router<App> {
    routes.layer(from_fn_with_state((app.clone(), wire), guard))
}

async fn guard(State((app, wire)): State<(App, Wire)>, mut request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let id = request_id(&app, request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let who = Who::default();
    let address = Address(client_address::address(&app, request.extensions(), request.headers()));
    request.extensions_mut().insert(address);
    request.extensions_mut().insert(who.clone());
    let load = load(&request);
    let unhurried = load != Load::Plain;
    let most = match load {
        Load::Plain => app.settings.body_limit,
        Load::Form | Load::File => app.settings.upload_limit,
    };
    let too_large =
        load != Load::File && content_length(request.headers()).is_some_and(|length| length > most);
    // What asks whether the server is well is never too much.
    let limited = if wire.name == HOUSE && route != UNMATCHED {
        None
    } else {
        rate_limit::crowding(&app, &who, &request)
    };
    let waits = request.uri().path() == CLAIM_PATH;
    let unfit = request.extensions_mut().remove::<HeadFailure>().map(|HeadFailure(failure)| failure);
    let refused =
        unfit.or(limited).or_else(|| too_large.then_some(RequestFailure::BodyTooLarge { limit: most }));
    let span = logging::request_span(&id, wire.name, method.as_str(), route);
    let answer = async {
        match refused {
            Some(failure) => Ok(unread(wire, failure)),
            None => {
                AssertUnwindSafe(idempotency::run(&app, wire, request, next, unhurried)).catch_unwind().await
            }
        }
    };
    let answer = REQUEST.scope(id.clone(), answer).instrument(span);
    let limit = match waits {
        true => app.settings.request_timeout + Duration::from_secs(protocol::work::MOST_WAIT_SECONDS),
        false if unhurried => app.settings.install_timeout,
        false => app.settings.request_timeout,
    };
    let mut response = match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let panicked = || Failure::internal(format!("a panic in {method} {route}"));
            (wire.word)(REQUEST.sync_scope(id.clone(), panicked))
        }
        Err(_) => (wire.word)(RequestFailure::Timeout.into()),
    };
    finish(&app, &mut response, &id);
    rate_limit::tell(&mut response, &who.seen().left);
    let status = response.status().as_u16();
    let duration = watch.elapsed();
    app.metrics.request(wire.name, method.as_str(), route.to_owned(), status, duration);
    let who = who.taken();
    RequestLine {
        id: &id,
        wire: wire.name,
        method: method.as_str(),
        route,
        organization: who.and_then(|who| who.organization).map(|id| id.to_string()),
        principal: who.map(|who| who.principal.to_string()),
        status,
        duration,
        cause: response.extensions().get::<Cause>().map(|Cause(cause)| cause.as_str()),
    }
    .log();
    pace(response)
}

/// The answer to a request of which no more than the head is read. The connection cannot go on, unless its client has
/// only to wait.
fn unread(wire: Wire, failure: RequestFailure) -> Response {
    let no_method = failure == RequestFailure::Method;
    let waits = matches!(failure, RequestFailure::TooManyRequests { .. });
    let mut response = (wire.word)(failure.into());
    let headers = response.headers_mut();
    if !waits {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if no_method {
        headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
    }
    response
}

/// What a request may come with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// A body that is held in memory.
    Plain,
    /// A file in a form.
    Form,
    /// A file that was announced, which has a limit of its own.
    File,
}

fn load(request: &Request) -> Load {
    let path = request.uri().path();
    // Devin's upload; below a session the same word is a list.
    let form = path.starts_with("/v3") && path.ends_with("/attachments") && !path.contains("/sessions/");
    if path.starts_with(crate::operations::devices::files::FILES_PATH)
        || path.starts_with(protocol::HOST_FILES_PATH)
    {
        Load::File
    } else if form && request.method() == Method::POST {
        Load::Form
    } else {
        Load::Plain
    }
}

fn finish(app: &App, response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    // Whatever a session is about is nobody's to keep on the way.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // No answer is a page, and none belongs into one; what is a page says itself what it needs.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NO_PAGE));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    if app.base_url.starts_with("https:") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONLY_TLS));
    }
}

/// The caller's own id of the request if it is a plain word, else a new one.
fn request_id(app: &App, headers: &HeaderMap) -> String {
    let plain = |text: &&str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::from_bytes(app.random_bytes()).simple().to_string(), str::to_owned)
}

/// The credential of `Authorization: Bearer …`; nothing when there is none, another scheme, or more than one header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential)
}

/// The organization that a header names. Named twice, or by what cannot be an organization, is named wrongly.
pub fn chosen(headers: &HeaderMap, name: &str) -> OrganizationChoice {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => OrganizationChoice::ByDefault,
        (Some(value), None) => OrganizationChoice::Named(value.to_str().ok().and_then(OrganizationId::parse)),
        _ => OrganizationChoice::Named(None),
    }
}

/// Reads a body of JSON, at most as large as the settings allow. A body that says that it is larger is refused
/// before it is read, and one with too many values or levels before anything is built from it.
///
/// # Errors
/// As [`body`]; [`RequestFailure::Body`] naming the field and what was expected.
pub async fn json<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Failure> {
    json_within(app, request, SENT).await
}

/// Reads a body of JSON with bounds of its own.
///
/// # Errors
/// As [`json`].
pub async fn json_within<T: DeserializeOwned>(
    app: &App,
    request: Request,
    bounds: Bounds,
) -> Result<T, Failure> {
    let (parts, body) = request.into_parts();
    let bytes = self::body(app, &parts.extensions, body).await?;
    if bytes.is_empty() {
        return Err(RequestFailure::Body("expected a JSON object, got nothing".to_owned()).into());
    }
    // Serde takes a list for the fields of a struct in their order, which nobody here has promised to keep.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(RequestFailure::Body("expected a JSON object, got a list".to_owned()).into());
    }
    measure(&bytes, bounds)?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        RequestFailure::Body(format!("{place}{}", why(error.inner())))
    })?;
    reader.end().map_err(|error| RequestFailure::Body(error.to_string()))?;
    Ok(value)
}

/// Checks how much JSON a body has, before anything is built from it.
///
/// # Errors
/// [`RequestFailure::Body`] naming the field in which there is too much.
pub fn measure(bytes: &[u8], bounds: Bounds) -> Result<(), Failure> {
    bounds.check(bytes).map_err(|excess| RequestFailure::Body(excess.to_string()).into())
}

/// Reads a whole body: at most as large as the settings allow, and at most 16 KiB for somebody who has not shown a good
/// credential. Its bytes count in the memory for unfinished requests until the request is answered.
///
/// # Errors
/// [`RequestFailure::BodyTooLarge`]; [`RequestFailure::Body`] when it ends early; [`RequestFailure::Timeout`] when a
/// stranger's takes too long; [`Failure::Away`] when there is no memory for it.
pub async fn body(app: &App, extensions: &Extensions, body: Body) -> Result<Bytes, Failure> {
    let who = extensions.get::<Who>().cloned().unwrap_or_default();
    let principal = who.taken().map(|known| known.principal);
    let address = extensions.get::<Address>().and_then(|Address(address)| *address);
    let holders = address.map(|address| Holder::Address(network(address)));
    let held = app.front.budget.hold(holders.into_iter().chain(principal.map(Holder::Principal)).collect());
    // What says that it is larger than any body was refused before it came here: see `guard`.
    let (bytes, held) = match principal {
        Some(_) => gather(body, held, app.settings.body_limit).await?,
        None => {
            let limit = app.settings.body_limit.min(STRANGERS_BODY);
            let gathered = tokio::time::timeout(STRANGERS_PATIENCE, gather(body, held, limit)).await;
            gathered.map_err(|_| RequestFailure::Timeout)??
        }
    };
    who.keep(held);
    Ok(bytes)
}

async fn gather(mut body: Body, mut held: HeldBytes, limit: u64) -> Result<(Bytes, HeldBytes), Failure> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| RequestFailure::Body("it ended early".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > limit {
            return Err(RequestFailure::BodyTooLarge { limit }.into());
        }
        if !held.take(data.len() as u64) {
            return Err(budget::exhausted());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.into(), held))
}

/// The length that a request says its body has, in bytes.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// One value of a query string by its name.
///
/// # Errors
/// [`domain::Refusal::Invalid`] when it is there more than once: which one would count is a guess.
pub fn query_value(query: Option<&str>, name: &str) -> Result<Option<String>, Failure> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(domain::Refusal::invalid(name, "at most once").into()),
    }
}

/// A whole number of a query string between two bounds.
///
/// # Errors
/// [`domain::Refusal::Invalid`].
pub fn query_number(
    query: Option<&str>,
    name: &str,
    bounds: std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>, Failure> {
    let Some(text) = query_value(query, name)? else { return Ok(None) };
    let digits = !text.is_empty() && text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok().filter(|number| bounds.contains(number)) } else { None };
    let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
    number.map(Some).ok_or_else(|| domain::Refusal::invalid(name, expected()).into())
}

/// The one shape of a body that is JSON bytes already.
pub fn json_response(status: axum::http::StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body reader for handlers: hands the whole request on, so that who is calling is judged first.
pub struct Whole(pub Request);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = std::convert::Infallible;
    async fn from_request(request: Request, _: &S) -> Result<Whole, Self::Rejection> {
        Ok(Whole(request))
    }
}
