//! The connection to one server. The host keeps it open as long as it runs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::{CLOSE_REPLACED, FromHost, PROTOCOL_VERSION, ToHost};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;

use super::HostError;
use super::driver::DriverCall;
use super::fleet::{FencedCall, Fleet, FrameSender};
use super::server::ServerEndpoint;
use crate::backoff::Backoff;
use crate::clock::{jitter, now};

/// Time limit for connecting and for the server's welcome.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Time between two pings to the server.
const PING_EVERY: Duration = Duration::from_secs(10);

/// The connection counts as dead after this time without a frame.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Time limit for sending the last frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Largest frame, in bytes. A screenshot of a large tablet takes about 20 MB as base64.
const MAX_BYTES: usize = 64 << 20;

/// Maximum number of answers that wait for the connection. Beyond it the devices wait, so that screenshots do not fill
/// the memory.
const MAX_WAITING_ANSWERS: usize = 16;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection ended.
enum ConnectionEnd {
    /// The host is stopping.
    Stopped,
    /// The server refuses this host for good.
    Refused(HostError),
    /// Any other reason, in words. A retry may succeed.
    Lost(String),
}

/// Connects to the server, and reconnects whenever the connection is lost.
///
/// # Errors
/// [`HostError::Refused`] when the server refuses the key, [`HostError::Replaced`] when another host has taken over
/// the name.
pub(crate) async fn keep_connected(
    server: Arc<ServerEndpoint>,
    fleet: Arc<Fleet>,
    name: String,
    stop: CancellationToken,
) -> Result<(), HostError> {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        let connected = tokio::select! {
            connected = connect(&server, &name) => connected,
            () = stop.cancelled() => return Ok(()),
        };
        let end = match connected {
            Ok(socket) => {
                backoff.reset();
                tracing::info!(server = server.name(), "connected");
                run_connection(socket, &server, &fleet, &stop).await
            }
            Err(end) => end,
        };
        let delay = backoff.next(jitter());
        match end {
            ConnectionEnd::Stopped => return Ok(()),
            ConnectionEnd::Refused(error) => return Err(error),
            ConnectionEnd::Lost(reason) => {
                tracing::warn!(server = server.name(), reason, retry_in = ?delay, "not connected");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return Ok(());
        }
    }
}

/// Opens the WebSocket and introduces the host.
async fn connect(server: &ServerEndpoint, name: &str) -> Result<Socket, ConnectionEnd> {
    let opening = async {
        let mut socket = open_socket(server).await?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = FromHost::Hello { protocol: PROTOCOL_VERSION, name: name.to_owned(), version };
        socket.send(encode_frame(&hello)?).await.map_err(|error| connection_error(&error))?;
        wait_for_welcome(&mut socket, server).await?;
        Ok(socket)
    };
    let timed_out =
        || ConnectionEnd::Lost(format!("the server did not answer within {} s", CONNECT_LIMIT.as_secs()));
    timeout(CONNECT_LIMIT, opening).await.unwrap_or_else(|_| Err(timed_out()))
}

async fn open_socket(server: &ServerEndpoint) -> Result<Socket, ConnectionEnd> {
    let mut request = server.socket_url().into_client_request().map_err(|error| connection_error(&error))?;
    let mut key = HeaderValue::from_str(&server.authorization())
        .map_err(|error| ConnectionEnd::Lost(error.to_string()))?;
    key.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, key);
    request.headers_mut().extend(server.scope_headers());
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_BYTES)).max_frame_size(Some(MAX_BYTES));
    match connect_async_with_config(request, Some(limits), true).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(end_from_status(server, response.status())),
        Err(error) => Err(connection_error(&error)),
    }
}

/// What an HTTP response without an upgrade means. 401 and 403 are final: the same key gets the same response.
fn end_from_status(server: &ServerEndpoint, status: StatusCode) -> ConnectionEnd {
    let refused = |reason| {
        ConnectionEnd::Refused(HostError::Refused {
            server: server.name().to_owned(),
            status: status.as_u16(),
            reason,
        })
    };
    match status {
        StatusCode::UNAUTHORIZED => refused("the key is unknown, expired or revoked"),
        StatusCode::FORBIDDEN => {
            refused("its owner needs the role host; a key of one organization cannot serve the whole account")
        }
        StatusCode::NOT_FOUND => ConnectionEnd::Lost("there is no Tenure server at this address".to_owned()),
        other => ConnectionEnd::Lost(format!("the server answered {other}")),
    }
}

async fn wait_for_welcome(socket: &mut Socket, server: &ServerEndpoint) -> Result<(), ConnectionEnd> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(frame))) => {
                return match decode_frame(&frame)? {
                    ToHost::Welcome { protocol: PROTOCOL_VERSION, .. } => Ok(()),
                    ToHost::Welcome { protocol, .. } => Err(ConnectionEnd::Lost(format!(
                        "the server speaks version {protocol} of the host protocol and this host {PROTOCOL_VERSION}: \
                         upgrade the older one"
                    ))),
                    _ => Err(ConnectionEnd::Lost("the server did not send a welcome".to_owned())),
                };
            }
            Some(Ok(Message::Close(reason))) => return Err(end_from_close(reason, server)),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(connection_error(&error)),
            None => return Err(end_from_close(None, server)),
        }
    }
}

/// Exchanges frames with the server until the connection ends. Reading never waits for writing, or two large frames
/// that cross could block each other.
async fn run_connection(
    socket: Socket,
    server: &ServerEndpoint,
    fleet: &Arc<Fleet>,
    stop: &CancellationToken,
) -> ConnectionEnd {
    let (sink, stream) = socket.split();
    let (outbox, answers) = mpsc::channel(MAX_WAITING_ANSWERS);
    let (control, urgent) = mpsc::unbounded_channel();
    let mut writing = Box::pin(write_frames(sink, urgent, answers, fleet));
    let end = tokio::select! {
        end = &mut writing => return end,
        end = read_frames(stream, server, fleet, &outbox, &control) => end,
        () = stop.cancelled() => ConnectionEnd::Stopped,
    };
    let (code, reason) = match &end {
        ConnectionEnd::Stopped => (CloseCode::Away, "the host is stopping"),
        ConnectionEnd::Lost(reason) => (CloseCode::Policy, reason.as_str()),
        ConnectionEnd::Refused(_) => (CloseCode::Policy, "refused"),
    };
    // A close frame carries at most 123 bytes of reason.
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    let _ = control.send(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
    let _ = timeout(CLOSE_LIMIT, writing).await;
    end
}

/// Writes the most urgent frame first: close and ping, then the devices if they have changed, then answers.
async fn write_frames(
    mut sink: SplitSink<Socket, Message>,
    mut urgent: mpsc::UnboundedReceiver<Message>,
    mut answers: mpsc::Receiver<FromHost>,
    fleet: &Fleet,
) -> ConnectionEnd {
    let mut devices = fleet.reports();
    devices.mark_changed(); // sends all devices first
    loop {
        let message = tokio::select! {
            biased;
            Some(message) = urgent.recv() => message,
            Ok(()) = devices.changed() => {
                let devices = devices.borrow_and_update().clone();
                match encode_frame(&FromHost::Devices { devices }) {
                    Ok(message) => message,
                    Err(end) => return end,
                }
            }
            Some(frame) = answers.recv() => match encode_frame(&frame) {
                Ok(message) => message,
                Err(end) => return end,
            },
        };
        let last = message.is_close();
        if let Err(error) = sink.send(message).await {
            return connection_error(&error);
        }
        if last {
            return ConnectionEnd::Stopped;
        }
    }
}

async fn read_frames(
    mut stream: SplitStream<Socket>,
    server: &ServerEndpoint,
    fleet: &Arc<Fleet>,
    outbox: &FrameSender,
    control: &mpsc::UnboundedSender<Message>,
) -> ConnectionEnd {
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_frame = now();
    loop {
        let frame = tokio::select! {
            frame = stream.next() => frame,
            _ = pings.tick() => {
                let _ = control.send(Message::Ping(Vec::new().into()));
                continue;
            }
            () = tokio::time::sleep_until(last_frame + SILENCE_LIMIT) => {
                return ConnectionEnd::Lost(format!("the server was silent for {} s", SILENCE_LIMIT.as_secs()));
            }
        };
        last_frame = now();
        match frame {
            Some(Ok(Message::Text(frame))) => match decode_frame(&frame) {
                Ok(order) => dispatch_order(order, server, fleet, outbox),
                Err(end) => return end,
            },
            Some(Ok(Message::Close(reason))) => return end_from_close(reason, server),
            Some(Ok(_)) => {}
            Some(Err(error)) => return connection_error(&error),
            None => return end_from_close(None, server),
        }
    }
}

/// Passes an order to the fleet, without waiting for the result.
fn dispatch_order(order: ToHost, server: &ServerEndpoint, fleet: &Arc<Fleet>, outbox: &FrameSender) {
    match order {
        ToHost::Welcome { .. } => {}
        ToHost::Holds { holds } => fleet.observe_holds(holds),
        ToHost::Clean { serial, fence } => fleet.end_hold(serial, fence, outbox.clone()),
        ToHost::Call { id, serial, fence, method, params, file, timeout_ms } => {
            let params = match params {
                Value::Object(params) => params,
                _ => serde_json::Map::new(),
            };
            let file = file.map(|file| server.remote_file(file));
            let call = DriverCall { serial, method, params, file };
            let timeout = Duration::from_millis(timeout_ms);
            fleet.queue_call(FencedCall { id, fence, timeout, call }, outbox.clone());
        }
    }
}

fn encode_frame(frame: &FromHost) -> Result<Message, ConnectionEnd> {
    match serde_json::to_string(frame) {
        Ok(json) => Ok(Message::text(json)),
        Err(error) => Err(ConnectionEnd::Lost(format!("cannot write a frame: {error}"))),
    }
}

/// Parses a frame. An unknown order ends the connection: skipping it would be worse than reconnecting.
fn decode_frame(frame: &str) -> Result<ToHost, ConnectionEnd> {
    serde_json::from_str(frame).map_err(|error| {
        ConnectionEnd::Lost(format!(
            "this host does not understand the server; upgrade the older one: {error}"
        ))
    })
}

fn connection_error(error: &Error) -> ConnectionEnd {
    ConnectionEnd::Lost(error.to_string())
}

fn end_from_close(reason: Option<CloseFrame>, server: &ServerEndpoint) -> ConnectionEnd {
    match reason {
        Some(frame) if u16::from(frame.code) == CLOSE_REPLACED => {
            ConnectionEnd::Refused(HostError::Replaced { server: server.name().to_owned() })
        }
        Some(frame) if !frame.reason.is_empty() => {
            ConnectionEnd::Lost(format!("the server closed the connection: {}", frame.reason))
        }
        _ => ConnectionEnd::Lost("the server closed the connection".to_owned()),
    }
}
