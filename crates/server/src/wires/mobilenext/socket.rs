//! `/ws`: the WebSocket through which clients drive devices.
//!
//! Every frame of a client is one JSON-RPC request. The server sends no frame before the reply to the first one, because
//! mobilecli takes the first frame for its reply.

use super::errors::MobileError;
use super::extractors;
use super::rpc::{self, Reply};
use super::shapes::RemoteDevice;
use crate::app::App;
use crate::clock::Stopwatch;
use crate::failure::{Failure, RequestFailure};
use crate::front::budget::{self, HeldBytes, Holder};
use crate::front::connections::{Intake, network};
use crate::http::client_address;
use crate::http::credential;
use crate::http::middleware;
use crate::http::query::Query;
use crate::http::rate_limit;
use crate::logging;
use crate::operations::access::authenticate::authenticate_from;
use crate::operations::devices::fleet;
use crate::services::metrics::WokenReader;
use crate::services::throttle::OpenSocket;
use crate::services::throttle::SocketsOf;
use crate::signals::{self, Looks};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{Extensions, HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use domain::ids::OrganizationId;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use store::access::ViewSessions;
use store::{Caller, OrganizationChoice, Topic};
use tokio::sync::mpsc;

/// Larger than any client's request. Apps and recordings are transferred over HTTP.
const MAX_FRAME_BYTES: usize = 8 << 20;
/// Largest frame of an anonymous caller.
const ANONYMOUS_FRAME_BYTES: usize = 16 << 10;
/// Time in which an anonymous caller must send its first frame.
const ANONYMOUS_TIMEOUT: Duration = Duration::from_secs(15);
/// Most WebSockets of anonymous callers, per address and in total.
const ANONYMOUS_PER_ADDRESS: u32 = 16;
const MAX_ANONYMOUS: u32 = 1_000;
/// Size of the read buffer.
const READ_BYTES: usize = 16 << 10;
/// Most running requests and replies that wait to be written. At this number, the next request is not read.
const ANSWERS_WAITING: usize = 64;
const PING_EVERY: Duration = Duration::from_secs(30);
/// A client that sends nothing, not even a pong, for this long is disconnected.
const SILENT_FOR: Duration = Duration::from_secs(90);
/// RFC 6455: the endpoint is going away.
const GOING_AWAY: u16 = 1001;
/// RFC 6455: a message that violates the endpoint's policy.
const POLICY: u16 = 1008;

/// A client's credential. It is authenticated for each request, so that a revoked one stops working at once.
#[derive(Clone)]
pub struct ClientCredential {
    credential: Option<String>,
    chosen: OrganizationChoice,
    address: Option<IpAddr>,
}

impl ClientCredential {
    /// Authenticates the caller.
    ///
    /// # Errors
    /// As [`authenticate_from`].
    pub async fn authenticate(&self, app: &App) -> Result<Caller, Failure> {
        authenticate_from(app, self.credential.as_deref(), self.chosen, self.address).await
    }

    /// Authenticates the caller of a request and counts the request in their quotas.
    ///
    /// # Errors
    /// As [`ClientCredential::authenticate`]; [`RequestFailure::TooManyRequests`] when a quota is used up.
    pub async fn authenticate_request(&self, app: &App) -> Result<Caller, Failure> {
        let caller = self.authenticate(app).await?;
        rate_limit::spend_for_message(app, &caller)?;
        Ok(caller)
    }
}

/// `GET /ws`. The upgrade is never refused for its credential, because mobilecli would print "bad handshake". The first
/// request gets a readable error instead. All clients send their credential with the upgrade, so it is checked before any
/// frame is read.
pub async fn open(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    State(app): State<App>,
    extensions: Extensions,
    headers: HeaderMap,
    query: Query,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let sentence = format!("expected a WebSocket: {}", rejection.body_text());
            return MobileError::from(Failure::from(RequestFailure::Body(sentence))).into_response();
        }
    };
    let credential = read_credential(&app, &headers, &query);
    let address = middleware::address(&extensions);
    let client =
        ClientCredential { credential, chosen: extractors::read_organization_choice(&headers), address };
    let upgrade = upgrade.read_buffer_size(READ_BYTES);
    let (request, tasks) = (logging::current_request(), app.tasks.clone());
    match admit(&app, &extensions, &client).await {
        Ok(admitted) => {
            let upgrade = upgrade.max_message_size(MAX_FRAME_BYTES).max_frame_size(MAX_FRAME_BYTES);
            upgrade.on_upgrade(move |socket| async move {
                // Tracked, so that a graceful stop waits for the conversation.
                let conversation = converse(app, socket, client, admitted);
                let _ = tasks.spawn(logging::run_in(request, conversation)).await;
            })
        }
        Err(failure) => {
            let counted = match count_anonymous(&app, &extensions, &headers) {
                Ok(counted) => counted,
                Err(failure) => return MobileError::from(failure).into_response(),
            };
            let upgrade = upgrade.max_message_size(ANONYMOUS_FRAME_BYTES);
            upgrade.max_frame_size(ANONYMOUS_FRAME_BYTES).on_upgrade(move |socket| async move {
                let refusal = refuse_anonymous(app, socket, failure, counted);
                let _ = tasks.spawn(logging::run_in(request, refusal)).await;
            })
        }
    }
}

/// A client that can send requests.
struct AdmittedClient {
    _counted: OpenSocket,
    /// Counts the bytes of frames that are being read.
    intake: Intake,
}

/// Authenticates the caller and counts the WebSocket.
async fn admit(
    app: &App,
    extensions: &Extensions,
    client: &ClientCredential,
) -> Result<AdmittedClient, Failure> {
    let caller = client.authenticate(app).await?;
    logging::note_principal(caller.principal().0);
    let counted = app.sockets.open_for(&caller, &app.settings)?;
    let intake = extensions.get::<Intake>().cloned().unwrap_or_default();
    intake.count(app.front.budget.hold(vec![Holder::Principal(caller.principal().0)]));
    Ok(AdmittedClient { _counted: counted, intake })
}

/// Counts the WebSocket of an anonymous caller.
fn count_anonymous(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Result<OpenSocket, Failure> {
    let address = client_address::address(app, extensions, headers).map(network);
    let address = address.map(|address| (SocketsOf::Address(address), ANONYMOUS_PER_ADDRESS));
    let of = address.into_iter().chain([(SocketsOf::Anonymous, MAX_ANONYMOUS)]).collect::<Vec<_>>();
    app.sockets.open(&of).map_err(|limit| RequestFailure::TooManyConnections { limit }.into())
}

/// Answers the first frame of an anonymous caller with the failure, and closes the WebSocket.
async fn refuse_anonymous(app: App, mut socket: WebSocket, failure: Failure, _counted: OpenSocket) {
    let patience = ANONYMOUS_TIMEOUT.min(app.settings.head_timeout);
    let first = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(text))) => return Some(text),
                _ => return None,
            }
        }
    };
    let first = tokio::select! {
        first = tokio::time::timeout(patience, first) => first.ok().flatten(),
        () = app.stop.cancelled() => None,
    };
    if let Some(text) = first {
        let reply = match rpc::read_request(&text) {
            Ok(request) => Reply::with_error(request.id, failure.into()),
            Err(reply) => reply,
        };
        if let Some(text) = reply.text() {
            let _ = socket.send(Message::Text(text.into())).await;
        }
    }
    let reason = "no valid credential, or too many connections".into();
    let _ = socket.send(Message::Close(Some(CloseFrame { code: POLICY, reason }))).await;
}

/// Reads the credential: the header (mobilecli), `?token=` (mobilewright, which cannot set headers in a browser) or the
/// cookie. `None` for a header together with a query, and for a cookie that differs from them.
fn read_credential(app: &App, headers: &HeaderMap, query: &Query) -> Option<String> {
    let presented = match (credential::bearer(headers).ok()?, query.text("token").ok()?.map(str::to_owned)) {
        (Some(_), Some(_)) => return None,
        (by_header, by_query) => by_header.or(by_query),
    };
    credential::single_credential(app, &Method::GET, headers, presented).ok()?
}

/// The conversation with one client.
struct Conversation {
    app: App,
    client: ClientCredential,
    out: mpsc::Sender<Message>,
    subscription: Option<Subscription>,
}

/// A client's subscription to changes of its devices.
struct Subscription {
    organization: OrganizationId,
    looks: Looks,
    /// The devices that the client was sent last.
    last_sent: Vec<Value>,
}

async fn converse(app: App, socket: WebSocket, client: ClientCredential, admitted: AdmittedClient) {
    let _counted = app.metrics.websocket_opened("mobilenext");
    let (mut sink, mut frames) = socket.split();
    let (out, mut waiting) = mpsc::channel::<Message>(ANSWERS_WAITING);
    let writer = tokio::spawn(async move {
        while let Some(message) = waiting.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
        let _ = sink.close().await;
    });
    let stop = app.stop.clone();
    let mut talk = Conversation { app, client, out, subscription: None };
    let mut pings = tokio::time::interval(PING_EVERY);
    // No ping at once: no frame is sent before the first reply.
    pings.reset();
    let mut heard = Stopwatch::start();
    loop {
        tokio::select! {
            frame = frames.next() => {
                let Some(Ok(frame)) = frame else { break };
                heard = Stopwatch::start();
                // From here on the request's own memory is counted, until its reply.
                admitted.intake.release();
                if !talk.frame(frame).await {
                    break;
                }
            }
            open = next_look(&mut talk.subscription) => talk.send_changes(open).await,
            _ = pings.tick() => {
                if heard.elapsed() > SILENT_FOR || talk.out.try_send(Message::Ping(Default::default())).is_err() {
                    break;
                }
            }
            () = stop.cancelled() => {
                let time = talk.app.settings.time_to_finish();
                let _ = tokio::time::timeout(time, talk.finish_requests()).await;
                talk.close(GOING_AWAY, "the server is stopping").await;
                break;
            }
        }
    }
    drop(talk);
    let _ = tokio::time::timeout(Duration::from_secs(5), writer).await;
}

async fn next_look(subscription: &mut Option<Subscription>) -> bool {
    match subscription {
        Some(subscription) => subscription.looks.due().await,
        None => std::future::pending().await,
    }
}

impl Conversation {
    /// Handles a frame. Returns whether the conversation goes on.
    async fn frame(&mut self, frame: Message) -> bool {
        let text = match &frame {
            Message::Text(text) => text.as_str(),
            Message::Close(_) => return false,
            Message::Ping(_) | Message::Pong(_) => return true,
            Message::Binary(_) => {
                self.close(POLICY, "expected text frames of JSON").await;
                return false;
            }
        };
        let request = match rpc::read_request(text) {
            Ok(request) => request,
            Err(reply) => return self.send(reply).await,
        };
        let caller = match self.client.authenticate_request(&self.app).await {
            Ok(caller) => caller,
            Err(failure) => return self.send(Reply::with_error(request.id, failure.into())).await,
        };
        match request.method.as_str() {
            "devices.subscribe" => self.subscribe(&caller, request.id).await,
            "devices.unsubscribe" => {
                self.subscription = None;
                self.send(Reply::with_result(request.id, json!({ "status": "ok" }))).await
            }
            _ => self.run(&caller, request, text.len()).await,
        }
    }

    /// Runs a request. Commands reach a device in the order they arrive; replies are sent when they are ready. The request's
    /// bytes count as used memory until then, because a device can be slow.
    async fn run(&mut self, caller: &Caller, request: rpc::Request, bytes: usize) -> bool {
        let id = request.id.clone();
        let (underway, held) = match self.start(caller, request, bytes).await {
            Ok(started) => started,
            Err(failure) => return self.send(Reply::with_error(id, failure.into())).await,
        };
        // The reply's place in the queue is taken first, so that a client that does not read cannot start more work.
        let Ok(place) = self.out.clone().reserve_owned().await else { return false };
        self.app.spawn(async move {
            let reply = match underway.await {
                Ok(result) => Reply::with_result(id, result),
                Err(failure) => Reply::with_error(id, failure.into()),
            };
            if let Some(text) = reply.text() {
                place.send(Message::Text(text.into()));
            }
            drop(held);
        });
        true
    }

    async fn start(
        &self,
        caller: &Caller,
        request: rpc::Request,
        bytes: usize,
    ) -> Result<(rpc::PendingReply, HeldBytes), Failure> {
        let mut held = self.app.front.budget.hold(vec![Holder::Principal(caller.principal().0)]);
        if !held.take(bytes as u64) {
            return Err(budget::exhausted_failure());
        }
        Ok((rpc::start(&self.app, caller, request).await?, held))
    }

    /// Waits until every running request has its reply in the queue: then all places are free again.
    async fn finish_requests(&self) {
        let _ = self.out.reserve_many(ANSWERS_WAITING.min(self.out.max_capacity())).await;
    }

    async fn subscribe(&mut self, caller: &Caller, id: Option<Value>) -> bool {
        match self.subscription(caller).await {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.send(Reply::with_result(id, json!({ "status": "ok" }))).await
            }
            Err(failure) => self.send(Reply::with_error(id, failure.into())).await,
        }
    }

    async fn subscription(&self, caller: &Caller) -> Result<Subscription, Failure> {
        let organization = caller.authorize::<ViewSessions>()?.organization();
        let topics = signals::access(caller).chain([Topic::Holds(organization.0)]);
        // Before the first read, so that no change is missed in between.
        let looks = Looks::follow(&self.app, WokenReader::Subscriber, topics);
        Ok(Subscription { organization, looks, last_sent: self.devices(caller).await? })
    }

    async fn devices(&self, caller: &Caller) -> Result<Vec<Value>, Failure> {
        let held = fleet::list_caller_holds(&self.app, &caller.authorize::<ViewSessions>()?).await?;
        RemoteDevice::all(&held)
            .iter()
            .map(|device| serde_json::to_value(device).map_err(Failure::internal))
            .collect()
    }

    /// Sends a subscriber the changes since the last time. Ends the subscription of a caller who has lost the permission.
    async fn send_changes(&mut self, open: bool) {
        let subscription = self.subscription.take().filter(|_| open);
        let Some(mut subscription) = subscription else { return };
        let Ok(caller) = self.client.authenticate(&self.app).await else { return };
        let sent = std::mem::take(&mut subscription.last_sent);
        if caller.organization() == Some(subscription.organization) {
            let now = self.devices(&caller).await;
            subscription.last_sent = now.unwrap_or_else(|_| sent.clone());
        } else {
            let Ok(elsewhere) = self.subscription(&caller).await else { return };
            subscription = elsewhere;
        }
        if let Some(params) = difference(&sent, &subscription.last_sent) {
            let note = json!({ "jsonrpc": "2.0", "method": "devices.changed", "params": params });
            let _ = self.out.send(Message::Text(note.to_string().into())).await;
        }
        self.subscription = Some(subscription);
    }

    async fn send(&self, reply: Reply) -> bool {
        match reply.text() {
            Some(text) => self.out.send(Message::Text(text.into())).await.is_ok(),
            None => true,
        }
    }

    async fn close(&self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = self.out.send(Message::Close(Some(frame))).await;
    }
}

/// The devices that were added, removed and updated, compared by allocation. `None` without a change.
fn difference(before: &[Value], after: &[Value]) -> Option<Value> {
    let key = |device: &Value| device["provider"]["allocationId"].clone();
    let missing_in =
        |others: &[Value], device: &&Value| !others.iter().any(|other| key(other) == key(device));
    let added = after.iter().filter(|device| missing_in(before, device)).collect::<Vec<_>>();
    let removed = before.iter().filter(|device| missing_in(after, device)).collect::<Vec<_>>();
    let updated = after
        .iter()
        .filter(|device| before.iter().any(|other| key(other) == key(device) && other != *device))
        .collect::<Vec<_>>();
    let none = added.is_empty() && removed.is_empty() && updated.is_empty();
    (!none).then(|| json!({ "added": added, "removed": removed, "updated": updated }))
}
