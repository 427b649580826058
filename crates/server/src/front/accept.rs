//! Accepts connections and serves HTTP/1 and HTTP/2 on them.

use super::Front;
use super::connections::{self, ClientConnection, Intake};
use super::gate::Gate;
use super::head::{self, HeadFailure};
use crate::settings::Settings;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Room for a head beyond our own limits, in bytes: a head that is a little too large gets an error in words.
const HEAD_ROOM: u64 = 64 << 10;
/// How many headers hyper takes by default.
const DEFAULT_HEADERS: u32 = 100;
/// Requests at once on one HTTP/2 connection. [`Gate`] lets fewer begin until one has shown a valid credential.
const STREAMS: u32 = 100;
/// How many bytes a client may send of one body before it is read, and of all bodies of one HTTP/2 connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Open files that uploads, mail, logs and the runtime need.
const OTHER_FILES: u32 = 32;
/// Open files of one connection to an SQLite database: the database, its log and its shared memory.
const FILES_PER_READER: u32 = 3;
/// How long nothing is accepted when the system has no more connections to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections and serves them with `router` until the server stops, then waits for the open ones to finish.
pub async fn accept(front: Arc<Front>, router: Router, listener: TcpListener) {
    let running = TaskTracker::new();
    let settings = &front.settings;
    let most = settings.connections.min(max_connections(settings));
    // One address never takes more than half, so that others always get in.
    let per_address = settings.connections_per_address.min((most / 2).max(1));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = front.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                match front.connections.open(peer.ip(), most, per_address, &settings.trusted_proxies) {
                    Some(open) => {
                        let line = limit_writes(stream, open, settings.write_timeout);
                        running.spawn(serve_connection(front.clone(), router.clone(), line, peer));
                    }
                    None => front.log_rejected(peer),
                }
            }
            // The client closed the connection before it was accepted.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    running.close();
    running.wait().await;
}

/// Raises the limit of open files to the most that this process may set: each connection is an open file.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many connections the limit of open files allows. A fifth of the files is kept for everything else, and at least as
/// many as the database, uploads and logs need.
fn max_connections(settings: &Settings) -> u32 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = OTHER_FILES + settings.postgres_connections + FILES_PER_READER * settings.sqlite_readers;
    let spare = files.saturating_sub((files / 5).max(needed.into()));
    u32::try_from(spare).unwrap_or(u32::MAX).max(1)
}

fn limit_writes(stream: TcpStream, open: connections::ConnectionSlot, timeout: Duration) -> ClientConnection {
    // A response is one write, so waiting for more data gains nothing.
    let _ = stream.set_nodelay(true);
    ClientConnection::new(stream, timeout, open)
}

async fn serve_connection(front: Arc<Front>, router: Router, line: ClientConnection, peer: SocketAddr) {
    let peer = Peer { address: peer, intake: line.intake() };
    let Some(tls) = &front.tls else { return serve_http1(&front, router, line, peer).await };
    let handshake = tokio::time::timeout(front.settings.head_timeout, tls.acceptor().accept(line));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        () = front.stop.cancelled() => return,
    };
    let Ok(Ok(line)) = handshake else { return };
    match line.get_ref().1.alpn_protocol() {
        Some(b"h2") => serve_http2(&front, router, line, peer).await,
        _ => serve_http1(&front, router, line, peer).await,
    }
}

async fn serve_http1(front: &Arc<Front>, router: Router, line: impl Io, peer: Peer) {
    let settings = &front.settings;
    let mut builder = http1::Builder::new();
    let room = settings.line_limit + settings.header_limit + HEAD_ROOM;
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(usize::try_from(room).unwrap_or(usize::MAX));
    if settings.header_count != DEFAULT_HEADERS {
        builder.max_headers(settings.header_count as usize);
    }
    let serving = builder.serve_connection(TokioIo::new(line), handle_requests(front.clone(), router, peer));
    let mut serving = pin!(serving.with_upgrades());
    tokio::select! {
        _ = serving.as_mut() => return,
        () = front.stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

async fn serve_http2(front: &Arc<Front>, router: Router, line: impl Io, peer: Peer) {
    let settings = &front.settings;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(settings.header_limit).unwrap_or(u32::MAX))
        // An idle HTTP/2 connection is pinged; HTTP/1 closes it.
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.head_timeout);
    let serving = builder.serve_connection(TokioIo::new(line), handle_requests(front.clone(), router, peer));
    let mut serving = pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = front.stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// The client of a connection.
struct Peer {
    address: SocketAddr,
    intake: Intake,
}

/// The service that hyper calls for each request of a connection.
fn handle_requests(
    front: Arc<Front>,
    router: Router,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    let gate = Gate::new(STREAMS);
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let unfit = head::check_head(&request, &front.settings);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer.address));
        extensions.insert(peer.intake.clone());
        extensions.insert(gate.clone());
        if let Some(unfit) = unfit {
            // The wire of the path words the error.
            extensions.insert(HeadFailure(unfit));
        }
        let (gate, router) = (gate.clone(), router.clone());
        async move {
            let _place = gate.pass().await;
            router.oneshot(request).await
        }
    })
}

/// A connection, with or without TLS.
trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}
