//! What stands in front of the wires: connections are accepted and counted, made safe by TLS, and their requests
//! looked at before any wire sees them.

pub mod budget;
pub mod connections;
mod gate;
mod head;
mod memory;
pub mod rates;
pub mod tls;

pub use gate::Gate;
pub use head::Unfit;

use crate::app::App;
use crate::clock::Stopwatch;
use crate::settings::Settings;
use crate::wires;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use budget::Budget;
use connections::{Connections, Intake, Line};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rates::Rates;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;
use tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// What hyper keeps of a head beyond our own limits, so that what is a little too large is refused in words.
const HEAD_ROOM: u64 = 64 << 10;
/// What hyper takes for the number of headers without being told.
const USUAL_HEADERS: u32 = 100;
/// Requests under way on one HTTP/2 connection; [`Gate`] lets fewer begin until one has shown a good credential.
const STREAMS: u32 = 100;
/// How much a client may send of one body before it is read, and of all on one HTTP/2 connection, in bytes.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Open files that uploads, mail, logs and the runtime need.
const OTHER_FILES: u32 = 32;
/// Open files of one connection to a SQLite database: itself, its log and its shared memory.
const FILES_PER_READER: u32 = 3;
/// How long nothing is accepted when the system has no more connections to give.
const BREATHER: Duration = Duration::from_millis(200);
/// How often it is said that connections are turned away.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What the front has at hand.
pub struct Front {
    /// The certificate; without one, plain HTTP is served.
    pub tls: Option<Tls>,
    /// The connections that are open.
    pub connections: Connections,
    /// How many requests callers and addresses may send.
    pub rates: Rates,
    /// The bytes of unfinished requests.
    pub budget: Budget,
    told: Mutex<Option<Stopwatch>>,
}

impl Front {
    /// A front with this certificate, or without TLS.
    #[must_use]
    pub fn new(tls: Option<Tls>, settings: &Settings) -> Front {
        Front {
            tls,
            connections: Connections::default(),
            rates: Rates::default(),
            budget: Budget::new(settings.request_memory),
            told: Mutex::default(),
        }
    }

    /// Reads the certificate again if it changed. A pair that cannot be used is logged, and the old one stays.
    pub fn refresh(&self) {
        match self.tls.as_ref().map(Tls::refresh) {
            Some(Ok(true)) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
            Some(Ok(false)) | None => {}
        }
    }

    /// Logs that a connection was turned away, not for each of them.
    fn turned_away(&self, peer: SocketAddr) {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.as_ref().is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Stopwatch::start());
            let open = self.connections.count();
            tracing::warn!(%peer, open, "a connection was turned away: there are too many");
        }
    }
}

/// Accepts connections and serves them until the server is told to stop; then until those that run have ended.
pub async fn accept(app: App, listener: TcpListener) {
    let router = wires::router(app.clone());
    let running = TaskTracker::new();
    let settings = &app.settings;
    let most = settings.connections.min(files_to_spare(settings));
    // Others always get in, whatever one address does.
    let of_one = settings.connections_per_address.min((most / 2).max(1));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let proxies = &settings.trusted_proxies;
                let opened = app.front.connections.open(peer.ip(), most, of_one, proxies);
                match opened {
                    Some(open) => {
                        let line = line(stream, open, settings.write_timeout);
                        running.spawn(connection(app.clone(), router.clone(), line, peer));
                    }
                    None => app.front.turned_away(peer),
                }
            }
            // One that was given up before it was taken is nobody's trouble; the system's own limits pass by.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                tokio::time::sleep(BREATHER).await;
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

/// How many connections this process may have. A fifth of the open files is for everything else, and at least what
/// the database, uploads and logs need.
fn files_to_spare(settings: &Settings) -> u32 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = OTHER_FILES + settings.postgres_connections + FILES_PER_READER * settings.sqlite_readers;
    let spare = files.saturating_sub((files / 5).max(needed.into()));
    u32::try_from(spare).unwrap_or(u32::MAX).max(1)
}

fn line(stream: TcpStream, open: connections::Open, patience: Duration) -> Line {
    // An answer is one write: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    Line::new(stream, patience, open)
}

async fn connection(app: App, router: Router, line: Line, peer: SocketAddr) {
    let peer = Peer { address: peer, intake: line.intake() };
    let Some(tls) = &app.front.tls else { return over_http1(&app, router, line, peer).await };
    let shaken = tokio::time::timeout(app.settings.head_timeout, tls.acceptor().accept(line));
    let shaken = tokio::select! {
        shaken = shaken => shaken,
        () = app.stop.cancelled() => return,
    };
    let Ok(Ok(line)) = shaken else { return };
    match line.get_ref().1.alpn_protocol() {
        Some(b"h2") => over_http2(&app, router, line, peer).await,
        _ => over_http1(&app, router, line, peer).await,
    }
}

async fn over_http1(app: &App, router: Router, line: impl Io, peer: Peer) {
    let settings = &app.settings;
    let mut builder = http1::Builder::new();
    let room = settings.line_limit + settings.header_limit + HEAD_ROOM;
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(usize::try_from(room).unwrap_or(usize::MAX));
    if settings.header_count != USUAL_HEADERS {
        builder.max_headers(settings.header_count as usize);
    }
    let serving = builder.serve_connection(TokioIo::new(line), to_wires(app.clone(), router, peer));
    let mut serving = pin!(serving.with_upgrades());
    tokio::select! {
        _ = serving.as_mut() => return,
        () = app.stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

async fn over_http2(app: &App, router: Router, line: impl Io, peer: Peer) {
    let settings = &app.settings;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(settings.header_limit).unwrap_or(u32::MAX))
        // A connection that is silent is asked whether it is there; HTTP/1 closes it.
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.head_timeout);
    let serving = builder.serve_connection(TokioIo::new(line), to_wires(app.clone(), router, peer));
    let mut serving = pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = app.stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// Who is at the other end of a connection.
struct Peer {
    address: SocketAddr,
    intake: Intake,
}

/// What hyper calls for each request of a connection.
fn to_wires(
    app: App,
    router: Router,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    let gate = Gate::new(STREAMS);
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let unfit = head::unfit(&request, &app.settings);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer.address));
        extensions.insert(peer.intake.clone());
        extensions.insert(gate.clone());
        if let Some(unfit) = unfit {
            // The wire of its path says so in its own words.
            extensions.insert(Unfit(unfit));
        }
        let (gate, router) = (gate.clone(), router.clone());
        async move {
            let _place = gate.pass().await;
            router.oneshot(request).await
        }
    })
}

/// What bytes are read from and written to.
trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}
