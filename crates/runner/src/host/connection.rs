//! The connection to one server, kept for as long as the host runs.

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
use super::driver::DeviceCall;
use super::fleet::{FencedCall, Fleet, Outbox};
use super::server::Server;
use crate::backoff::Backoff;
use crate::clock::{jitter, now};

/// How long connecting, and the welcome, may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// How often the server is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);

/// After this long without a frame the connection is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// How long the last frame may take to go out.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Largest frame, in bytes. A screenshot of a large tablet as base64 has some 20 MB.
const MOST_BYTES: usize = 64 << 20;

/// Answers that wait for the connection. Devices wait when it is full, so that screenshots do not fill the memory.
const OUTBOX: usize = 16;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection ended.
enum End {
    /// We were told to stop.
    Stopped,
    /// The server will not have us, ever.
    Refused(HostError),
    /// Anything that may be better next time, in words.
    Lost(String),
}

/// Connects to the server, and again whenever the connection is lost.
///
/// # Errors
/// When the server refuses the key.
pub(crate) async fn keep(
    server: Arc<Server>,
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
                serve(socket, &server, &fleet, &stop).await
            }
            Err(end) => end,
        };
        let delay = backoff.next(jitter());
        match end {
            End::Stopped => return Ok(()),
            End::Refused(error) => return Err(error),
            End::Lost(reason) => {
                tracing::warn!(server = server.name(), reason, retry_in = ?delay, "not connected");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return Ok(());
        }
    }
}

/// Opens the socket and introduces the host.
async fn connect(server: &Server, name: &str) -> Result<Socket, End> {
    let opening = async {
        let mut socket = open(server).await?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = FromHost::Hello { protocol: PROTOCOL_VERSION, name: name.to_owned(), version };
        socket.send(text(&hello)?).await.map_err(|error| lost(&error))?;
        welcome(&mut socket, server).await?;
        Ok(socket)
    };
    let late = || End::Lost(format!("the server did not answer within {} s", CONNECT_LIMIT.as_secs()));
    timeout(CONNECT_LIMIT, opening).await.unwrap_or_else(|_| Err(late()))
}

async fn open(server: &Server) -> Result<Socket, End> {
    let mut request = server.socket().into_client_request().map_err(|error| lost(&error))?;
    let mut key =
        HeaderValue::from_str(&server.authorization()).map_err(|error| End::Lost(error.to_string()))?;
    key.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, key);
    request.headers_mut().extend(server.serving());
    let limits =
        WebSocketConfig::default().max_message_size(Some(MOST_BYTES)).max_frame_size(Some(MOST_BYTES));
    match connect_async_with_config(request, Some(limits), true).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(not_upgraded(server, response.status())),
        Err(error) => Err(lost(&error)),
    }
}

/// What a plain HTTP answer means: some are final, since the same key will get the same answer.
fn not_upgraded(server: &Server, status: StatusCode) -> End {
    let refused = |reason| {
        End::Refused(HostError::Refused { server: server.name().to_owned(), status: status.as_u16(), reason })
    };
    match status {
        StatusCode::UNAUTHORIZED => refused("it does not know it, or the key has expired or was revoked"),
        StatusCode::FORBIDDEN => refused(
            "its owner may not connect hosts there, which takes the role host; a key of one organization does not serve the \
             account",
        ),
        StatusCode::NOT_FOUND => End::Lost("there is no Tenure server at this address".to_owned()),
        other => End::Lost(format!("the server answered {other}")),
    }
}

async fn welcome(socket: &mut Socket, server: &Server) -> Result<(), End> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(frame))) => {
                return match parse(&frame)? {
                    ToHost::Welcome { protocol: PROTOCOL_VERSION, .. } => Ok(()),
                    ToHost::Welcome { protocol, .. } => Err(End::Lost(format!(
                        "the server speaks version {protocol} of the host protocol and this host {PROTOCOL_VERSION}: \
                         upgrade the older one"
                    ))),
                    _ => Err(End::Lost("the server did not say welcome".to_owned())),
                };
            }
            Some(Ok(Message::Close(reason))) => return Err(closed(reason, server)),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(lost(&error)),
            None => return Err(closed(None, server)),
        }
    }
}

/// Speaks with the server until the connection ends. Reading never waits for writing, or two large frames
/// that cross could wait for each other.
async fn serve(socket: Socket, server: &Server, fleet: &Arc<Fleet>, stop: &CancellationToken) -> End {
    let (sink, stream) = socket.split();
    let (outbox, answers) = mpsc::channel(OUTBOX);
    let (control, urgent) = mpsc::unbounded_channel();
    let mut writing = Box::pin(write(sink, urgent, answers, fleet));
    let end = tokio::select! {
        end = &mut writing => return end,
        end = read(stream, server, fleet, &outbox, &control) => end,
        () = stop.cancelled() => End::Stopped,
    };
    let (code, reason) = match &end {
        End::Stopped => (CloseCode::Away, "the host is stopping"),
        End::Lost(reason) => (CloseCode::Policy, reason.as_str()),
        End::Refused(_) => (CloseCode::Policy, "refused"),
    };
    // A close frame carries at most 123 bytes of reason.
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    let _ = control.send(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
    let _ = timeout(CLOSE_LIMIT, writing).await;
    end
}

/// Writes what is due: close and ping first, then the devices if they have changed, then answers.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut urgent: mpsc::UnboundedReceiver<Message>,
    mut answers: mpsc::Receiver<FromHost>,
    fleet: &Fleet,
) -> End {
    let mut devices = fleet.reports();
    devices.mark_changed(); // all of them at the beginning
    loop {
        let message = tokio::select! {
            biased;
            Some(message) = urgent.recv() => message,
            Ok(()) = devices.changed() => {
                let devices = devices.borrow_and_update().clone();
                match text(&FromHost::Devices { devices }) {
                    Ok(message) => message,
                    Err(end) => return end,
                }
            }
            Some(frame) = answers.recv() => match text(&frame) {
                Ok(message) => message,
                Err(end) => return end,
            },
        };
        let last = message.is_close();
        if let Err(error) = sink.send(message).await {
            return lost(&error);
        }
        if last {
            return End::Stopped;
        }
    }
}

async fn read(
    mut stream: SplitStream<Socket>,
    server: &Server,
    fleet: &Arc<Fleet>,
    outbox: &Outbox,
    control: &mpsc::UnboundedSender<Message>,
) -> End {
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = now();
    loop {
        let frame = tokio::select! {
            frame = stream.next() => frame,
            _ = pings.tick() => {
                let _ = control.send(Message::Ping(Vec::new().into()));
                continue;
            }
            () = tokio::time::sleep_until(heard + SILENCE_LIMIT) => {
                return End::Lost(format!("the server was silent for {} s", SILENCE_LIMIT.as_secs()));
            }
        };
        heard = now();
        match frame {
            Some(Ok(Message::Text(frame))) => match parse(&frame) {
                Ok(order) => obey(order, server, fleet, outbox),
                Err(end) => return end,
            },
            Some(Ok(Message::Close(reason))) => return closed(reason, server),
            Some(Ok(_)) => {}
            Some(Err(error)) => return lost(&error),
            None => return closed(None, server),
        }
    }
}

/// Hands an order to the fleet, without waiting for it to be done.
fn obey(order: ToHost, server: &Server, fleet: &Arc<Fleet>, outbox: &Outbox) {
    match order {
        ToHost::Welcome { .. } => {}
        ToHost::Holds { holds } => fleet.holds(holds),
        ToHost::Clean { serial, fence } => fleet.clean(serial, fence, outbox.clone()),
        ToHost::Call { id, serial, fence, method, params, file, timeout_ms } => {
            let params = match params {
                Value::Object(params) => params,
                _ => serde_json::Map::new(),
            };
            let file = file.map(|file| server.file(file));
            let call = DeviceCall { serial, method, params, file };
            let timeout = Duration::from_millis(timeout_ms);
            fleet.call(FencedCall { id, fence, timeout, call }, outbox.clone());
        }
    }
}

fn text(frame: &FromHost) -> Result<Message, End> {
    match serde_json::to_string(frame) {
        Ok(json) => Ok(Message::text(json)),
        Err(error) => Err(End::Lost(format!("cannot write a frame: {error}"))),
    }
}

/// Skipping an order would be worse than reconnecting, so one that is not understood ends the connection.
fn parse(frame: &str) -> Result<ToHost, End> {
    serde_json::from_str(frame).map_err(|error| {
        End::Lost(format!("this host does not understand the server, upgrade the older: {error}"))
    })
}

fn lost(error: &Error) -> End {
    End::Lost(error.to_string())
}

fn closed(reason: Option<CloseFrame>, server: &Server) -> End {
    match reason {
        Some(frame) if u16::from(frame.code) == CLOSE_REPLACED => {
            End::Refused(HostError::Replaced { server: server.name().to_owned() })
        }
        Some(frame) if !frame.reason.is_empty() => End::Lost(format!("the server closed: {}", frame.reason)),
        _ => End::Lost("the server closed the connection".to_owned()),
    }
}
