//! A fake server that accepts hosts; the test sends and receives the frames.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use protocol::{
    CallError, CallFile, DeviceReport, FromHost, HOST_FILES_PATH, HOST_PATH, PROTOCOL_VERSION, ToHost,
};
use runner::host::{HostError, HostOptions};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const TOKEN: &str = "mob_test";

/// Longest that any single event of a test may take; only a failing test waits this long.
pub const EVENT_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Shared {
    connections: mpsc::UnboundedSender<WebSocket>,
    files: Arc<Mutex<HashMap<Uuid, Vec<u8>>>>,
}

pub struct FakeServer {
    pub address: SocketAddr,
    connections: mpsc::UnboundedReceiver<WebSocket>,
    pub files: Arc<Mutex<HashMap<Uuid, Vec<u8>>>>,
    serving: JoinHandle<()>,
}

impl FakeServer {
    pub async fn start() -> Self {
        let (sender, connections) = mpsc::unbounded_channel();
        let files = Arc::default();
        let shared = Shared { connections: sender, files: Arc::clone(&files) };
        let router = Router::new()
            .route(HOST_PATH, get(upgrade))
            .route(&format!("{HOST_FILES_PATH}/{{id}}"), get(fetch).put(store))
            .with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, connections, files, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts the next connection of a host, before any frame.
    pub async fn accept_raw(&mut self) -> Connection {
        let socket = tokio::time::timeout(EVENT_LIMIT, self.connections.recv()).await.unwrap().unwrap();
        Connection { socket, next: 1, early: Vec::new() }
    }

    /// Accepts the next connection of a host, and exchanges hello and welcome.
    pub async fn accept(&mut self) -> Connection {
        let mut connection = self.accept_raw().await;
        assert!(matches!(connection.frame().await, FromHost::Hello { protocol: PROTOCOL_VERSION, .. }));
        connection.send(&ToHost::Welcome { protocol: PROTOCOL_VERSION, host: Uuid::nil() }).await;
        connection
    }

    pub fn add_file(&self, content: &[u8], name: &str) -> CallFile {
        let id = Uuid::from_u128(self.files.lock().unwrap().len() as u128 + 1);
        self.files.lock().unwrap().insert(id, content.to_vec());
        CallFile { id, name: name.to_owned() }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn is_authorized(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"))
}

async fn upgrade(State(shared): State<Shared>, headers: HeaderMap, socket: WebSocketUpgrade) -> Response {
    if !is_authorized(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    socket.max_message_size(64 << 20).max_frame_size(64 << 20).on_upgrade(async move |socket| {
        let _ = shared.connections.send(socket);
    })
}

async fn fetch(State(shared): State<Shared>, headers: HeaderMap, Path(id): Path<Uuid>) -> Response {
    let file = shared.files.lock().unwrap().get(&id).cloned();
    match file {
        Some(file) if is_authorized(&headers) => file.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn store(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<Uuid>,
    body: Bytes,
) -> StatusCode {
    let length = headers.get("content-length").map(|length| length.to_str().unwrap().to_owned());
    if !is_authorized(&headers) || length != Some(body.len().to_string()) {
        return StatusCode::BAD_REQUEST;
    }
    shared.files.lock().unwrap().insert(id, body.to_vec());
    StatusCode::NO_CONTENT
}

/// The server's end of one connection.
pub struct Connection {
    pub socket: WebSocket,
    next: u64,
    early: Vec<FromHost>,
}

impl Connection {
    pub async fn send(&mut self, frame: &ToHost) {
        self.socket.send(Message::text(serde_json::to_string(frame).unwrap())).await.unwrap();
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn try_frame(&mut self) -> Option<FromHost> {
        loop {
            match tokio::time::timeout(EVENT_LIMIT, self.socket.recv()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn frame(&mut self) -> FromHost {
        self.try_frame().await.expect("the connection stands")
    }

    /// The first frame that `pick` accepts, among the frames that have arrived and those to come.
    pub async fn wait<T>(&mut self, pick: impl Fn(&FromHost) -> Option<T>) -> T {
        if let Some(at) = self.early.iter().position(|frame| pick(frame).is_some()) {
            return pick(&self.early.remove(at)).unwrap();
        }
        loop {
            let frame = self.frame().await;
            match pick(&frame) {
                Some(found) => return found,
                None => self.early.push(frame),
            }
        }
    }

    /// The first report for which `wanted` is true.
    pub async fn devices(&mut self, wanted: impl Fn(&[DeviceReport]) -> bool) -> Vec<DeviceReport> {
        self.wait(|frame| match frame {
            FromHost::Devices { devices } if wanted(devices) => Some(devices.clone()),
            _ => None,
        })
        .await
    }

    pub async fn call(&mut self, serial: &str, fence: i64, method: &str, params: Value) -> u64 {
        self.call_with(serial, fence, method, params, None, 10_000).await
    }

    pub async fn call_with(
        &mut self,
        serial: &str,
        fence: i64,
        method: &str,
        params: Value,
        file: Option<CallFile>,
        timeout_ms: u64,
    ) -> u64 {
        let id = self.next;
        self.next += 1;
        let (serial, method) = (serial.to_owned(), method.to_owned());
        self.send(&ToHost::Call { id, serial, fence, method, params, file, timeout_ms }).await;
        id
    }

    pub async fn answer(&mut self, wanted: u64) -> Result<Value, CallError> {
        self.wait(|frame| match frame {
            FromHost::Answer { id, result, error } if *id == wanted => {
                assert!(result.is_some() != error.is_some(), "exactly one of result and error");
                Some(error.clone().map_or_else(|| Ok(result.clone().unwrap()), Err))
            }
            _ => None,
        })
        .await
    }

    pub async fn ask(
        &mut self,
        serial: &str,
        fence: i64,
        method: &str,
        params: Value,
    ) -> Result<Value, CallError> {
        let id = self.call(serial, fence, method, params).await;
        self.answer(id).await
    }

    /// Calls without parameters, and expects a result.
    pub async fn get(&mut self, serial: &str, fence: i64, method: &str) -> Value {
        self.ask(serial, fence, method, json!({})).await.unwrap()
    }

    pub async fn clean(&mut self, serial: &str, fence: i64) -> Option<String> {
        self.send(&ToHost::Clean { serial: serial.to_owned(), fence }).await;
        self.wait_until_cleaned(serial, fence).await
    }

    pub async fn wait_until_cleaned(&mut self, of: &str, hold: i64) -> Option<String> {
        self.wait(|frame| match frame {
            FromHost::Cleaned { serial, fence, problem } if serial == of && *fence == hold => {
                Some(problem.clone())
            }
            _ => None,
        })
        .await
    }
}

/// A host that runs in this process.
pub struct Host {
    pub stop: CancellationToken,
    running: Option<JoinHandle<Result<(), HostError>>>,
    pub state: PathBuf,
    _dir: tempfile::TempDir,
}

impl Host {
    /// A host named `box`, with two simulated devices unless `change` says otherwise.
    pub fn start(servers: &[&FakeServer], change: impl FnOnce(&mut HostOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let servers = servers.iter().map(|server| server.url()).collect();
        let mut options = HostOptions::new(servers, TOKEN, &state);
        options.name = "box".to_owned();
        options.simulate = vec!["android=1,ios=1".parse().unwrap()];
        options.reboot_delay = Duration::from_millis(50);
        options.poll_interval = Duration::from_millis(20);
        change(&mut options);
        let state = options.state_dir.clone();
        let stop = CancellationToken::new();
        let running = Some(tokio::spawn(runner::host::run(options, stop.clone())));
        Self { stop, running, state, _dir: dir }
    }

    /// Waits until the host has ended by itself.
    pub async fn wait_for_end(&mut self) -> Result<(), HostError> {
        let running = self.running.take().expect("it ends once");
        tokio::time::timeout(EVENT_LIMIT, running).await.expect("the host ends").unwrap()
    }

    /// Stops the host gracefully.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.wait_for_end().await.unwrap();
    }

    /// Number of temporary files.
    pub fn temporary_files(&self) -> usize {
        std::fs::read_dir(self.state.join("tmp")).unwrap().count()
    }
}
