//! `GET /tenure/v1/host`: the WebSocket of a host. The frames are those of the `protocol` crate.

use super::errors::TenureError;
use super::extractors::{self, Authenticated};
use crate::app::App;
use crate::clock::Stopwatch;
use crate::failure::{Failure, RequestFailure};
use crate::front::connections::Intake;
use crate::http::credential;
use crate::http::middleware;
use crate::logging;
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
use domain::json::HOST_REPLY_BOUNDS;
use protocol::{CLOSE_REPLACED, CallError, FromHost, HOST_FAILED, PROTOCOL_VERSION, ToHost};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::OrganizationChoice;
use store::access::ConnectHosts;
use tokio::sync::mpsc;

/// Enough for a screenshot of a large tablet.
const MAX_FRAME_BYTES: usize = 64 << 20;
/// Size of the read buffer.
const READ_BYTES: usize = 64 << 10;
const PING_EVERY: Duration = Duration::from_secs(10);
/// The host pings every 10 s and answers pings. Silence of this length means that the connection is dead.
const SILENT_FOR: Duration = Duration::from_secs(30);
const HELLO_WITHIN: Duration = Duration::from_secs(15);
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;

/// Opens a host's WebSocket. Unlike the clients' WebSocket, an invalid key refuses the upgrade: the host's program then
/// ends with the error instead of retrying.
pub async fn open(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    extensions: Extensions,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let serves = match extractors::read_serves(&headers) {
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
    let credential = match credential::single_credential(
        &app,
        &Method::GET,
        &headers,
        middleware::bearer(&headers).map(str::to_owned),
    ) {
        Ok(credential) => credential.unwrap_or_default(),
        Err(failure) => return TenureError::from(failure).into_response(),
    };
    let chosen = middleware::organization_choice(&headers, extractors::ORGANIZATION_HEADER);
    let intake = extensions.get::<Intake>().cloned().unwrap_or_default();
    // Hosts have no memory limit each: screenshots are large, and a host's key is the operator's own.
    intake.count(app.front.budget.hold(Vec::new()));
    let address = caller.attribution().address;
    let (request, tasks) = (logging::current_request(), app.tasks.clone());
    upgrade.on_upgrade(move |socket| async move {
        let link = HostSocket { app, credential, chosen, serves, address, intake };
        let _ = tasks.spawn(logging::run_in(request, link.run(socket))).await;
    })
}

struct HostSocket {
    app: App,
    credential: String,
    chosen: OrganizationChoice,
    serves: ServeRequest,
    address: Option<IpAddr>,
    /// Counts the bytes of frames that are being read.
    intake: Intake,
}

impl HostSocket {
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
        match read_frame(&text) {
            Ok(FromHost::Hello { protocol: PROTOCOL_VERSION, name, version }) => {
                hosts::connect_host(&self.app, &self.reach().await?, &name, &version).await
            }
            Ok(FromHost::Hello { protocol, .. }) => Err(wrong(&format!(
                "protocol {PROTOCOL_VERSION}, got {protocol}: use the same version of tenure on both sides"
            ))),
            _ => Err(wrong("a hello as the first frame")),
        }
    }

    /// Runs until the connection is over. Returns the close code and the reason.
    async fn converse(
        &self,
        socket: &mut WebSocket,
        connection: &Arc<HostConnection>,
        mut orders: mpsc::Receiver<ToHost>,
    ) -> (u16, String) {
        let mut pings = tokio::time::interval(PING_EVERY);
        let mut heard = Stopwatch::start();
        let mut over = std::pin::pin!(self.wait_until_over(connection));
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(text) = order.and_then(|order| serde_json::to_string(&order).ok()) else {
                        return (GOING_AWAY, "no more orders".to_owned());
                    };
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        return (GOING_AWAY, "the connection is dead".to_owned());
                    }
                }
                frame = socket.recv() => {
                    heard = Stopwatch::start();
                    match frame {
                        Some(Ok(Message::Text(text))) => if let Err(reason) = self.handle_frame(connection, &text).await {
                            return (POLICY, reason);
                        } else {
                            self.intake.release();
                        },
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Binary(_))) => return (POLICY, "expected text frames".to_owned()),
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return (GOING_AWAY, String::new()),
                    }
                }
                _ = pings.tick() => if let Err(reason) = self.check_alive(socket, heard).await {
                    return reason;
                },
                () = connection.cut.cancelled() => return cut_reason(connection),
                () = &mut over => return (GOING_AWAY, "the server is stopping".to_owned()),
            }
        }
    }

    /// Waits until the server stops and the running calls have their answers, or their time is over.
    async fn wait_until_over(&self, connection: &HostConnection) {
        self.app.stop.cancelled().await;
        let _ = tokio::time::timeout(self.app.settings.time_to_finish(), connection.wait_until_idle()).await;
    }

    async fn handle_frame(&self, connection: &Arc<HostConnection>, text: &str) -> Result<(), String> {
        let frame = read_frame(text).map_err(|error| format!("a frame that cannot be read: {error}"))?;
        match hosts::handle_frame(&self.app, connection, frame).await {
            Ok(()) => Ok(()),
            Err(failure) => {
                if let Failure::Internal { cause, .. } = &failure {
                    tracing::error!(cause, "a host's frame could not be handled");
                }
                Err(failure.to_string())
            }
        }
    }

    /// Pings the host, and checks that its key is still valid.
    async fn check_alive(&self, socket: &mut WebSocket, heard: Stopwatch) -> Result<(), (u16, String)> {
        if heard.elapsed() > SILENT_FOR {
            return Err((GOING_AWAY, "no frame for 30 s".to_owned()));
        }
        match self.reach().await {
            Ok(_) => {}
            // The database can be back at the next check.
            Err(Failure::Internal { cause, .. }) => tracing::warn!(cause, "could not check a host's key"),
            Err(failure) => return Err((POLICY, failure.to_string())),
        }
        let sent = socket.send(Message::Ping(Default::default())).await;
        sent.map_err(|_| (GOING_AWAY, "the connection is dead".to_owned()))
    }
}

/// The part of an answer that is read when the whole is too large.
#[derive(Deserialize)]
struct Call {
    id: u64,
}

/// Parses a frame. An answer with too much JSON becomes a failure of its call, because a device can show anything and the
/// host must not lose its connection for that.
fn read_frame(text: &str) -> Result<FromHost, serde_json::Error> {
    let Err(excess) = HOST_REPLY_BOUNDS.check(text.as_bytes()) else { return serde_json::from_str(text) };
    let Call { id } = serde_json::from_str(text)?;
    let data = Some(format!("the device's answer is too large: {excess}"));
    let error = CallError { code: HOST_FAILED, message: "AnswerTooLarge".to_owned(), data };
    Ok(FromHost::Answer { id, result: None, error: Some(error) })
}

/// The close code and the reason of a connection that the server has cut.
fn cut_reason(connection: &HostConnection) -> (u16, String) {
    match connection.was_replaced() {
        true => (CLOSE_REPLACED, "another host has connected under this name".to_owned()),
        false => (POLICY, "orders piled up: the connection is too slow".to_owned()),
    }
}

/// Closes with a reason, shortened to the size of a close frame.
async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    let mut cut = reason.len().min(120);
    while !reason.is_char_boundary(cut) {
        cut -= 1;
    }
    let frame = CloseFrame { code, reason: reason[..cut].into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}
