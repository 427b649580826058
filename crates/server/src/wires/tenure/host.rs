//! `GET /tenure/v1/host`: the WebSocket of a host. The frames are those of the `protocol` crate.

use super::errors::TenureError;
use super::extractors::{self, Known};
use crate::app::App;
use crate::clock::Stopwatch;
use crate::failure::{Failure, RequestFailure};
use crate::front::connections::Intake;
use crate::http::credential;
use crate::http::middleware;
use crate::operations::access::authenticate::authenticate_from;
use crate::operations::access::machine_grant::MachineGrant;
use crate::operations::access::machine_grant::ServeRequest;
use crate::operations::devices::hosts;
use crate::services::host_connections::HostConnection;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{Extensions, HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::json::ANSWERED;
use protocol::{CLOSE_REPLACED, CallError, FromHost, HOST_FAILED, PROTOCOL_VERSION, ToHost};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::OrganizationChoice;
use store::access::ConnectHosts;
use tokio::sync::mpsc;
use tracing::{Instrument, Span};

/// Room for a screenshot of a large tablet.
const MAX_FRAME_BYTES: usize = 64 << 20;
/// What is read from the connection at once.
const READ_BYTES: usize = 64 << 10;
const PING_EVERY: Duration = Duration::from_secs(10);
/// The host pings every 10 s and answers pings: this long without a word means that the line is dead.
const SILENT_FOR: Duration = Duration::from_secs(30);
const HELLO_WITHIN: Duration = Duration::from_secs(15);
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;

/// Opens a host's WebSocket. Unlike the clients' one it is refused with a status for a key that is no good: the
/// host's program then ends with that sentence instead of trying again.
pub async fn open(
    Known(caller): Known,
    State(app): State<App>,
    extensions: Extensions,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let serves = match extractors::serves(&headers) {
        Ok(serves) => serves,
        Err(refusal) => return TenureError::from(Failure::from(refusal)).into_response(),
    };
    if let Err(refusal) = MachineGrant::<ConnectHosts>::from_caller(&caller, serves) {
        return TenureError::from(Failure::from(refusal)).into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade
            .read_buffer_size(READ_BYTES)
            .max_message_size(MAX_FRAME_BYTES)
            .max_frame_size(MAX_FRAME_BYTES),
        Err(rejection) => {
            let sentence = format!("expected a WebSocket: {}", rejection.body_text());
            return TenureError::from(Failure::from(RequestFailure::Body(sentence))).into_response();
        }
    };
    let credential =
        match credential::only(&app, &Method::GET, &headers, middleware::bearer(&headers).map(str::to_owned))
        {
            Ok(credential) => credential.unwrap_or_default(),
            Err(failure) => return TenureError::from(failure).into_response(),
        };
    let chosen = middleware::chosen(&headers, "x-organization-id");
    let intake = extensions.get::<Intake>().cloned().unwrap_or_default();
    // Hosts have no share each: screenshots are large, and a host's key is the operator's own.
    intake.count(app.front.budget.hold(Vec::new()));
    let address = caller.attribution().address;
    let (span, tasks) = (Span::current(), app.tasks.clone());
    upgrade.on_upgrade(move |socket| async move {
        let link = Link { app, credential, chosen, serves, address, intake };
        let _ = tasks.spawn(link.run(socket).instrument(span)).await;
    })
}

struct Link {
    app: App,
    credential: String,
    chosen: OrganizationChoice,
    serves: ServeRequest,
    address: Option<IpAddr>,
    /// What counts the bytes of frames that are under way.
    intake: Intake,
}

impl Link {
    async fn run(self, mut socket: WebSocket) {
        let (connection, orders) = match self.hello(&mut socket).await {
            Ok(connected) => connected,
            Err(failure) => return close(&mut socket, POLICY, &failure.to_string()).await,
        };
        let _counted = self.app.metrics.host_connected();
        let (code, reason) = self.converse(&mut socket, &connection, orders).await;
        hosts::disconnect_host(&self.app, &connection).await;
        close(&mut socket, code, &reason).await;
    }

    async fn reach(&self) -> Result<MachineGrant<ConnectHosts>, Failure> {
        let caller = authenticate_from(&self.app, Some(&self.credential), self.chosen, self.address).await?;
        Ok(MachineGrant::from_caller(&caller, self.serves)?)
    }

    async fn hello(
        &self,
        socket: &mut WebSocket,
    ) -> Result<(Arc<HostConnection>, mpsc::Receiver<ToHost>), Failure> {
        let wrong = |expected: &str| Failure::from(Refusal::invalid("hello", expected));
        let frame = tokio::time::timeout(HELLO_WITHIN, socket.recv()).await;
        let Ok(Some(Ok(Message::Text(text)))) = frame else {
            return Err(wrong("a hello as the first frame, within 15 s"));
        };
        self.intake.release();
        match read(&text) {
            Ok(FromHost::Hello { protocol: PROTOCOL_VERSION, name, version }) => {
                hosts::connect_host(&self.app, &self.reach().await?, &name, &version).await
            }
            Ok(FromHost::Hello { protocol, .. }) => Err(wrong(&format!(
                "protocol {PROTOCOL_VERSION}, got {protocol}: use the same version of tenure on both sides"
            ))),
            _ => Err(wrong("a hello as the first frame")),
        }
    }

    /// Runs until the connection is over; says why.
    async fn converse(
        &self,
        socket: &mut WebSocket,
        connection: &Arc<HostConnection>,
        mut orders: mpsc::Receiver<ToHost>,
    ) -> (u16, String) {
        let mut pings = tokio::time::interval(PING_EVERY);
        let mut heard = Stopwatch::start();
        let mut over = std::pin::pin!(self.over(connection));
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(text) = order.and_then(|order| serde_json::to_string(&order).ok()) else {
                        return (GOING_AWAY, "no more orders".to_owned());
                    };
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        return (GOING_AWAY, "the line is dead".to_owned());
                    }
                }
                frame = socket.recv() => {
                    heard = Stopwatch::start();
                    match frame {
                        Some(Ok(Message::Text(text))) => if let Err(reason) = self.take(connection, &text).await {
                            return (POLICY, reason);
                        } else {
                            self.intake.release();
                        },
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Binary(_))) => return (POLICY, "expected text frames".to_owned()),
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return (GOING_AWAY, String::new()),
                    }
                }
                _ = pings.tick() => if let Err(reason) = self.still_there(socket, heard).await {
                    return reason;
                },
                () = connection.cut.cancelled() => return cut(connection),
                () = &mut over => return (GOING_AWAY, "the server is stopping".to_owned()),
            }
        }
    }

    /// Waits until the server stops and the calls that run have their answers, or no more time for them is left.
    async fn over(&self, connection: &HostConnection) {
        self.app.stop.cancelled().await;
        let _ = tokio::time::timeout(self.app.settings.time_to_finish(), connection.wait_until_idle()).await;
    }

    async fn take(&self, connection: &Arc<HostConnection>, text: &str) -> Result<(), String> {
        let frame = read(text).map_err(|error| format!("a frame that cannot be read: {error}"))?;
        match hosts::handle_frame(&self.app, connection, frame).await {
            Ok(()) => Ok(()),
            Err(failure) => {
                if let Failure::Internal { cause, .. } = &failure {
                    tracing::error!(cause, "a host's frame could not be taken");
                }
                Err(failure.to_string())
            }
        }
    }

    /// Pings, and looks whether the key is still good.
    async fn still_there(&self, socket: &mut WebSocket, heard: Stopwatch) -> Result<(), (u16, String)> {
        if heard.elapsed() > SILENT_FOR {
            return Err((GOING_AWAY, "no word for 30 s".to_owned()));
        }
        match self.reach().await {
            Ok(_) => {}
            // The database may be back at the next look.
            Err(Failure::Internal { cause, .. }) => tracing::warn!(cause, "cannot look up a host's key"),
            Err(failure) => return Err((POLICY, failure.to_string())),
        }
        let sent = socket.send(Message::Ping(Default::default())).await;
        sent.map_err(|_| (GOING_AWAY, "the line is dead".to_owned()))
    }
}

/// The call that a host answers, of an answer that is not read whole.
#[derive(Deserialize)]
struct Call {
    id: u64,
}

/// Reads a frame. An answer with more JSON than is read becomes the failure of its call: a device may show anything,
/// and its host must not lose its line for that.
fn read(text: &str) -> Result<FromHost, serde_json::Error> {
    let Err(excess) = ANSWERED.check(text.as_bytes()) else { return serde_json::from_str(text) };
    let Call { id } = serde_json::from_str(text)?;
    let data = Some(format!("the device's answer is too large: {excess}"));
    let error = CallError { code: HOST_FAILED, message: "AnswerTooLarge".to_owned(), data };
    Ok(FromHost::Answer { id, result: None, error: Some(error) })
}

/// Why a connection that was cut is closed.
fn cut(connection: &HostConnection) -> (u16, String) {
    match connection.was_replaced() {
        true => (CLOSE_REPLACED, "another host has connected under this name".to_owned()),
        false => (POLICY, "orders piled up: the line is too slow".to_owned()),
    }
}

/// Closes with a reason, cut to what a close frame can carry.
async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    let mut cut = reason.len().min(120);
    while !reason.is_char_boundary(cut) {
        cut -= 1;
    }
    let frame = CloseFrame { code, reason: reason[..cut].into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}
