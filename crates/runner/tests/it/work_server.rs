//! A fake server that hands out turns and records their reports, and a worker that runs in this process.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use protocol::work::{
    AgentBrief, Heartbeat, IncomingMessage, LeaseRenewal, ReportedItem, Secrets, TurnAssignment, TurnClaim,
    TurnCompletion, TurnOutcome, TurnRef, TurnReport, TurnTokenText, WORK_PATH,
};
use runner::worker::{Stop, WorkerError, WorkerOptions};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::fake_server::{EVENT_LIMIT, TOKEN};

/// The token of each turn.
pub const TURN_TOKEN: &str = "turn_of_this_claim";

/// What happens to a request instead of a normal response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This request is answered normally.
    None,
    /// The request is refused without being read.
    Unavailable,
    /// The request takes effect, and then the response is cut off. A response without a body is replaced by a gateway
    /// error.
    CutOff,
}

/// What the server knows about one session's turns.
#[derive(Debug, Default, Clone)]
pub struct TurnRecord {
    pub items: Vec<ReportedItem>,
    pub beats: usize,
    /// Every `done` request, repeated ones included.
    pub done: Vec<TurnOutcome>,
    /// The number of the first item of each report.
    pub firsts: Vec<u64>,
    /// How many items were sent again.
    pub repeated: usize,
}

impl TurnRecord {
    /// All output.
    pub fn output(&self) -> String {
        self.items
            .iter()
            .filter_map(
                |item| if let ReportedItem::Output { text } = item { Some(text.as_str()) } else { None },
            )
            .collect()
    }

    /// All log lines.
    pub fn log(&self) -> Vec<&str> {
        self.items
            .iter()
            .filter_map(|item| if let ReportedItem::Log { line } = item { Some(line.as_str()) } else { None })
            .collect()
    }
}

/// The state of the fake server.
#[derive(Debug, Default)]
pub struct WorkDesk {
    pub waiting: VecDeque<TurnAssignment>,
    pub taken: Vec<Uuid>,
    pub turns: HashMap<Uuid, TurnRecord>,
    pub claims: Vec<TurnClaim>,
    /// The organization that each request names.
    pub organizations: Vec<Option<Uuid>>,
    pub cancelled: bool,
    /// Whether the turns now belong to another worker.
    pub lost: bool,
    /// Faults for the next requests whose path has this end.
    pub faults: VecDeque<(&'static str, Fault)>,
    /// Whether the server refuses all requests.
    pub away: bool,
}

pub struct WorkServer {
    pub address: SocketAddr,
    desk: watch::Sender<WorkDesk>,
    serving: JoinHandle<()>,
}

impl WorkServer {
    pub async fn start() -> Self {
        let desk = watch::Sender::new(WorkDesk::default());
        let router = Router::new()
            .route("/claim", post(claim))
            .route("/{session}/heartbeat", post(heartbeat))
            .route("/{session}/report", post(report))
            .route("/{session}/done", post(done))
            .layer(from_fn_with_state(desk.clone(), check_request));
        let router = Router::new().nest(WORK_PATH, router).with_state(desk.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a message in a new session.
    pub fn add_message(&self, text: &str) -> Uuid {
        self.add_turn(assignment(text))
    }

    pub fn add_turn(&self, assignment: TurnAssignment) -> Uuid {
        let session = assignment.session;
        self.change(|desk| desk.waiting.push_back(assignment));
        session
    }

    pub fn change(&self, change: impl FnOnce(&mut WorkDesk)) {
        self.desk.send_modify(change);
    }

    pub fn look<T>(&self, look: impl FnOnce(&WorkDesk) -> T) -> T {
        look(&self.desk.borrow())
    }

    /// Waits until `look` returns a value.
    pub async fn wait<T>(&self, look: impl Fn(&WorkDesk) -> Option<T>) -> T {
        let mut changes = self.desk.subscribe();
        let seen = tokio::time::timeout(EVENT_LIMIT, changes.wait_for(|desk| look(desk).is_some())).await;
        let Ok(seen) = seen else { panic!("no such event in time: {:?}", *self.desk.borrow()) };
        look(&seen.unwrap()).unwrap()
    }

    /// Waits until `look` returns a value for the session's turns.
    pub async fn wait_for_turn<T>(&self, session: Uuid, look: impl Fn(&TurnRecord) -> Option<T>) -> T {
        self.wait(|desk| desk.turns.get(&session).and_then(&look)).await
    }

    /// Waits until the session has this output.
    pub async fn wait_for_output(&self, session: Uuid, expected: &str) {
        self.wait_for_turn(session, |record| (record.output() == expected).then_some(())).await;
    }

    /// Waits for the end of the session's turn. Returns its outcome and its record.
    pub async fn wait_until_done(&self, session: Uuid) -> (TurnOutcome, TurnRecord) {
        self.wait_for_turn(session, |record| {
            record.done.first().map(|outcome| (outcome.clone(), record.clone()))
        })
        .await
    }
}

impl Drop for WorkServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A turn of a new session.
pub fn assignment(text: &str) -> TurnAssignment {
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    TurnAssignment {
        organization: Uuid::from_u128(1),
        session: Uuid::from_u64_pair(SESSIONS.fetch_add(1, Ordering::Relaxed), 0),
        title: "A title".to_owned(),
        agent: AgentBrief {
            name: "default".to_owned(),
            system_prompt: Some("Be brief.".to_owned()),
            model: None,
        },
        turn: Uuid::from_u128(3),
        number: 3,
        fence: 7,
        attempt: 1,
        token: TurnTokenText(TURN_TOKEN.to_owned()),
        lease_seconds: 30,
        message: IncomingMessage {
            id: Uuid::from_u128(2),
            text: text.to_owned(),
            parts: Vec::new(),
            attachments: Vec::new(),
        },
        secrets: Secrets::default(),
        output_schema: None,
        repos: Vec::new(),
        capabilities: serde_json::Value::Null,
    }
}

type Shared = watch::Sender<WorkDesk>;

/// Checks the credential and applies faults.
async fn check_request(
    State(desk): State<Shared>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    // The key is for claims only; everything else uses the token of the turn.
    let expected = if path.ends_with("/claim") { TOKEN } else { TURN_TOKEN };
    if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {expected}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let named = headers.get("x-organization-id").map(|value| value.to_str().unwrap().parse().unwrap());
    let mut fault = None;
    desk.send_modify(|desk| {
        desk.organizations.push(named);
        let at = desk.faults.iter().position(|(end, _)| path.ends_with(end));
        fault = at.and_then(|at| desk.faults.remove(at)).map(|(_, fault)| fault);
        fault = if desk.away { Some(Fault::Unavailable) } else { fault };
    });
    match fault {
        Some(Fault::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Fault::CutOff) => {
            let (parts, _) = next.run(request).await.into_parts();
            if parts.status == StatusCode::NO_CONTENT {
                return StatusCode::BAD_GATEWAY.into_response();
            }
            let broken =
                futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("cut off")) });
            Response::from_parts(parts, Body::from_stream(broken))
        }
        Some(Fault::None) | None => next.run(request).await,
    }
}

async fn claim(State(desk): State<Shared>, Json(claim): Json<TurnClaim>) -> Response {
    desk.send_modify(|desk| desk.claims.push(claim.clone()));
    let mut changes = desk.subscribe();
    let wait = Duration::from_secs(claim.wait_seconds);
    let _ = tokio::time::timeout(wait, changes.wait_for(|desk| !desk.waiting.is_empty())).await;
    let mut assignment = None;
    desk.send_modify(|desk| {
        assignment = desk.waiting.pop_front();
        desk.taken.extend(assignment.as_ref().map(|assignment| assignment.session));
    });
    assignment
        .map_or_else(|| StatusCode::NO_CONTENT.into_response(), |assignment| Json(assignment).into_response())
}

/// Updates the record of a turn that [`assignment`] created, unless the turn was lost.
fn update_turn<T>(
    desk: &Shared,
    session: Uuid,
    claimed: TurnRef,
    act: impl FnOnce(&mut TurnRecord) -> T,
) -> Result<(T, bool), StatusCode> {
    let mut answer = Err(StatusCode::CONFLICT);
    desk.send_modify(|desk| {
        let ours = TurnRef { organization: Uuid::from_u128(1), turn: Uuid::from_u128(3), fence: 7 };
        if claimed == ours && !desk.lost {
            answer = Ok((act(desk.turns.entry(session).or_default()), desk.cancelled));
        }
    });
    answer
}

async fn heartbeat(
    State(desk): State<Shared>,
    Path(session): Path<Uuid>,
    Json(Heartbeat { turn_ref: claimed }): Json<Heartbeat>,
) -> Result<Json<LeaseRenewal>, StatusCode> {
    let ((), cancelled) = update_turn(&desk, session, claimed, |record| record.beats += 1)?;
    Ok(Json(LeaseRenewal { lease_seconds: 30, cancelled }))
}

async fn report(
    State(desk): State<Shared>,
    Path(session): Path<Uuid>,
    Json(report): Json<TurnReport>,
) -> Result<Json<LeaseRenewal>, StatusCode> {
    let ((), cancelled) = update_turn(&desk, session, report.turn_ref, |record| {
        record.firsts.push(report.first);
        let have = record.items.len() as u64;
        assert!(report.first <= have, "items {have} to {} are missing", report.first);
        let known = usize::try_from(have - report.first).unwrap();
        record.repeated += known;
        let new = report.items.into_iter().skip(known);
        record.items.extend(new);
    })?;
    Ok(Json(LeaseRenewal { lease_seconds: 30, cancelled }))
}

async fn done(
    State(desk): State<Shared>,
    Path(session): Path<Uuid>,
    Json(done): Json<TurnCompletion>,
) -> Result<StatusCode, StatusCode> {
    update_turn(&desk, session, done.turn_ref, |record| record.done.push(done.outcome))?;
    Ok(StatusCode::NO_CONTENT)
}

/// A worker that runs in this process.
pub struct Worker {
    pub stop: Stop,
    pub directory: PathBuf,
    running: Option<JoinHandle<Result<(), WorkerError>>>,
    _dir: tempfile::TempDir,
}

impl Worker {
    /// A worker named `box` that runs one turn at once, unless `change` says otherwise.
    pub fn start(servers: &[&WorkServer], command: &str, change: impl FnOnce(&mut WorkerOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let servers = servers.iter().map(|server| server.url()).collect();
        let mut options = WorkerOptions::new(servers, TOKEN, command);
        options.name = "box".to_owned();
        options.directory = dir.path().join("work");
        change(&mut options);
        let (stop, directory) = (Stop::default(), options.directory.clone());
        let running = Some(tokio::spawn(runner::worker::run(options, stop.clone())));
        Self { stop, directory, running, _dir: dir }
    }

    /// Waits until the worker has ended.
    pub async fn wait_for_end(&mut self) -> Result<(), WorkerError> {
        let running = self.running.take().expect("it ends once");
        tokio::time::timeout(EVENT_LIMIT, running).await.expect("the worker ends").unwrap()
    }
}

/// Ends the worker, so that its processes do not disturb the next test.
impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// A named pipe where a command waits for the test.
pub struct Gate {
    path: PathBuf,
    inside: pipe::Sender,
    _kept: pipe::Receiver,
}

impl Gate {
    pub fn new(dir: &std::path::Path) -> Self {
        let path = dir.join("gate");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let kept = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let inside = pipe::OpenOptions::new().open_sender(&path).unwrap();
        Self { path, inside, _kept: kept }
    }

    /// A shell command that waits until the gate is opened once more.
    pub fn wait_command(&self) -> String {
        format!("read _ < '{}'", self.path.display())
    }

    /// Lets one command continue.
    pub fn open(&self) {
        assert_eq!(self.inside.try_write(b"\n").unwrap(), 1);
    }
}

/// Whether the process no longer exists.
pub fn is_gone(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    status.is_empty() || status.contains(") Z ")
}

/// Waits until a killed process has ended.
pub async fn wait_until_gone(id: &str) {
    let ended = async {
        while !is_gone(id) {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(EVENT_LIMIT, ended).await.is_ok(), "{id} is still there");
}
