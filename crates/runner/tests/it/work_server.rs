//! A server that gives out turns and remembers what became of them; and a worker that runs in this process.

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
    AgentBrief, Assignment, Beat, Claim, Claimed, Done, Heartbeat, IncomingMessage, Item, Outcome, Report,
    Secrets, TurnToken, WORK_PATH,
};
use runner::worker::{Stop, WorkerError, WorkerOptions};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::fake_server::{PATIENCE, TOKEN};

/// The token of each turn.
pub const TURN_TOKEN: &str = "turn_of_this_claim";

/// What a request gets instead of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This one is answered.
    None,
    /// The request is not even looked at.
    Away,
    /// It does what it should, and the answer is cut off, or lost at a proxy if there is nothing to cut.
    CutOff,
}

/// What the server knows of one session's turn.
#[derive(Debug, Default, Clone)]
pub struct Told {
    pub items: Vec<Item>,
    pub beats: usize,
    /// Every `done` that came, also repeated ones.
    pub done: Vec<Outcome>,
    /// Where each report began.
    pub firsts: Vec<u64>,
    /// How many items came again.
    pub repeated: usize,
}

impl Told {
    /// All the output.
    pub fn output(&self) -> String {
        self.items
            .iter()
            .filter_map(|item| if let Item::Output { text } = item { Some(text.as_str()) } else { None })
            .collect()
    }

    /// All lines of the log.
    pub fn log(&self) -> Vec<&str> {
        self.items
            .iter()
            .filter_map(|item| if let Item::Log { line } = item { Some(line.as_str()) } else { None })
            .collect()
    }
}

#[derive(Debug, Default)]
pub struct Desk {
    pub waiting: VecDeque<Assignment>,
    pub taken: Vec<Uuid>,
    pub told: HashMap<Uuid, Told>,
    pub claims: Vec<Claim>,
    /// Of each request, the one that it names.
    pub organizations: Vec<Option<Uuid>>,
    pub cancelled: bool,
    /// Whether turns were given to somebody else.
    pub lost: bool,
    /// For the requests to come whose path ends so.
    pub faults: VecDeque<(&'static str, Fault)>,
    /// Nothing is answered.
    pub away: bool,
}

pub struct WorkServer {
    pub address: SocketAddr,
    desk: watch::Sender<Desk>,
    serving: JoinHandle<()>,
}

impl WorkServer {
    pub async fn start() -> Self {
        let desk = watch::Sender::new(Desk::default());
        let router = Router::new()
            .route("/claim", post(claim))
            .route("/{session}/heartbeat", post(heartbeat))
            .route("/{session}/report", post(report))
            .route("/{session}/done", post(done))
            .layer(from_fn_with_state(desk.clone(), around));
        let router = Router::new().nest(WORK_PATH, router).with_state(desk.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts a message into a session of its own.
    pub fn say(&self, text: &str) -> Uuid {
        self.put(assignment(text))
    }

    pub fn put(&self, assignment: Assignment) -> Uuid {
        let session = assignment.session;
        self.change(|desk| desk.waiting.push_back(assignment));
        session
    }

    pub fn change(&self, change: impl FnOnce(&mut Desk)) {
        self.desk.send_modify(change);
    }

    pub fn look<T>(&self, look: impl FnOnce(&Desk) -> T) -> T {
        look(&self.desk.borrow())
    }

    /// Waits until there is something to see.
    pub async fn wait<T>(&self, look: impl Fn(&Desk) -> Option<T>) -> T {
        let mut changes = self.desk.subscribe();
        let seen = tokio::time::timeout(PATIENCE, changes.wait_for(|desk| look(desk).is_some())).await;
        let Ok(seen) = seen else { panic!("waited in vain: {:?}", *self.desk.borrow()) };
        look(&seen.unwrap()).unwrap()
    }

    /// Waits for the first thing of a session's turn.
    pub async fn told<T>(&self, session: Uuid, look: impl Fn(&Told) -> Option<T>) -> T {
        self.wait(|desk| desk.told.get(&session).and_then(&look)).await
    }

    /// Waits until the session's output is so.
    pub async fn output(&self, session: Uuid, expected: &str) {
        self.told(session, |told| (told.output() == expected).then_some(())).await;
    }

    /// Waits for the end of the session's turn, and says all of it.
    pub async fn done(&self, session: Uuid) -> (Outcome, Told) {
        self.told(session, |told| told.done.first().map(|outcome| (outcome.clone(), told.clone()))).await
    }
}

impl Drop for WorkServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A turn of a session that nobody else has.
pub fn assignment(text: &str) -> Assignment {
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    Assignment {
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
        token: TurnToken(TURN_TOKEN.to_owned()),
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

type Shared = watch::Sender<Desk>;

/// Keys and faults.
async fn around(State(desk): State<Shared>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    // The key claims, and nothing else; the turn's token does the rest.
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
        fault = if desk.away { Some(Fault::Away) } else { fault };
    });
    match fault {
        Some(Fault::Away) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
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

async fn claim(State(desk): State<Shared>, Json(claim): Json<Claim>) -> Response {
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

/// Does it for the turn that [`assignment`] gives out, unless it was lost.
fn with<T>(
    desk: &Shared,
    session: Uuid,
    claimed: Claimed,
    act: impl FnOnce(&mut Told) -> T,
) -> Result<(T, bool), StatusCode> {
    let mut answer = Err(StatusCode::CONFLICT);
    desk.send_modify(|desk| {
        let ours = Claimed { organization: Uuid::from_u128(1), turn: Uuid::from_u128(3), fence: 7 };
        if claimed == ours && !desk.lost {
            answer = Ok((act(desk.told.entry(session).or_default()), desk.cancelled));
        }
    });
    answer
}

async fn heartbeat(
    State(desk): State<Shared>,
    Path(session): Path<Uuid>,
    Json(Heartbeat { claimed }): Json<Heartbeat>,
) -> Result<Json<Beat>, StatusCode> {
    let ((), cancelled) = with(&desk, session, claimed, |told| told.beats += 1)?;
    Ok(Json(Beat { lease_seconds: 30, cancelled }))
}

async fn report(
    State(desk): State<Shared>,
    Path(session): Path<Uuid>,
    Json(report): Json<Report>,
) -> Result<Json<Beat>, StatusCode> {
    let ((), cancelled) = with(&desk, session, report.claimed, |told| {
        told.firsts.push(report.first);
        let have = told.items.len() as u64;
        assert!(report.first <= have, "items {have} to {} are missing", report.first);
        let known = usize::try_from(have - report.first).unwrap();
        told.repeated += known;
        let new = report.items.into_iter().skip(known);
        told.items.extend(new);
    })?;
    Ok(Json(Beat { lease_seconds: 30, cancelled }))
}

async fn done(
    State(desk): State<Shared>,
    Path(session): Path<Uuid>,
    Json(done): Json<Done>,
) -> Result<StatusCode, StatusCode> {
    with(&desk, session, done.claimed, |told| told.done.push(done.outcome))?;
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
    pub async fn ended(&mut self) -> Result<(), WorkerError> {
        let running = self.running.take().expect("it ends once");
        tokio::time::timeout(PATIENCE, running).await.expect("the worker ends").unwrap()
    }
}

/// Not to leave its processes to the next test.
impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// A named pipe that commands and the test meet at.
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

    /// A piece of shell that waits until the gate is opened once more.
    pub fn wait(&self) -> String {
        format!("read _ < '{}'", self.path.display())
    }

    /// Lets one through.
    pub fn open(&self) {
        assert_eq!(self.inside.try_write(b"\n").unwrap(), 1);
    }
}

/// Whether there is no such process.
pub fn is_gone(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    status.is_empty() || status.contains(") Z ")
}

/// Waits until a process that was killed has ended.
pub async fn gone(id: &str) {
    let ended = async {
        while !is_gone(id) {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, ended).await.is_ok(), "{id} is still there");
}
