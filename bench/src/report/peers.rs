//! Other products, in the same harness: each from its published package, with authentication, on the servers' core.
//!
//! `bench/peers/NAME/peer` installs, fills and serves one. It says which requests list, get and create sessions.

use super::load::{self, Requests, fetch};
use super::measure::{Candidate, Figures, Rounds};
use super::output::{Aim, Figure, Row, Section, Spread};
use super::process::{Process, Start, free_address};
use super::setup::{Keys, Tenure};
use super::{ReportArguments, Server, dataset};
use crate::Outcome;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::testing::bulk::{database_url, postgres_backend, recreate_database};

/// The products, the kind of their sessions, whether they need PostgreSQL, and the aims for list, get and create: their
/// processor time is at least this many times Tenure's.
const PEERS: [Peer; 5] = [
    Peer { name: "aegra", kind: Kind::Agent, needs_postgres: true, keeps: true, aims: [20.0; 3] },
    Peer { name: "agno", kind: Kind::Agent, needs_postgres: false, keeps: true, aims: [20.0; 3] },
    Peer {
        name: "agentsview",
        kind: Kind::Agent,
        needs_postgres: false,
        keeps: true,
        aims: [20.0, 5.0, 20.0],
    },
    Peer { name: "better-auth", kind: Kind::Login, needs_postgres: true, keeps: false, aims: [20.0; 3] },
    Peer { name: "parse-server", kind: Kind::Login, needs_postgres: true, keeps: false, aims: [20.0; 3] },
];
/// What is measured, in the order of the aims.
const ACTIONS: [&str; 3] = ["list", "get", "create"];
/// The most rounds.
const ROUNDS: usize = 3;
/// How long a peer may take until it listens.
const PATIENCE: Duration = Duration::from_secs(120);
/// The password of the people who sign in.
const PASSWORD: &str = "correct horse battery";

struct Peer {
    name: &'static str,
    kind: Kind,
    needs_postgres: bool,
    /// Whether its data are kept for later runs: measuring changes little, and filling takes a minute or more.
    keeps: bool,
    aims: [f64; 3],
}

/// The kind of a product's sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Agent sessions, as on Everruns' wire.
    Agent,
    /// Login sessions, as on Probe.dev's wire.
    Login,
}

/// What a peer says after it was filled.
#[derive(Deserialize)]
struct Filled {
    version: String,
    start: String,
    /// By action.
    requests: BTreeMap<String, PeerRequest>,
}

#[derive(Deserialize)]
struct PeerRequest {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
}

impl PeerRequest {
    fn bytes(&self) -> Vec<u8> {
        let body = self.body.as_ref().map(Value::to_string);
        let mut head = format!("{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &body {
            head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        format!("{head}\r\n{}", body.unwrap_or_default()).into_bytes()
    }
}

/// A running Tenure to compare with, on the same kind of database as a peer.
struct Own {
    process: Process,
    requests: BTreeMap<(&'static str, bool), Requests>,
    backend: Option<u32>,
    // Keeps its process on the database's server.
    _connection: Option<Box<dyn Send + Sync>>,
}

/// Measures all peers.
pub async fn measure(arguments: &ReportArguments) -> Outcome<Section> {
    let began = Instant::now();
    let url = arguments.database.iter().find(|url| url.starts_with("postgres"));
    let mut rows = Vec::new();
    let mut text = String::from(
        "Processor time of a request in microseconds, of the server and its database, as median of the rounds. Lists have 20 \
         of 10,000 sessions.\n\n",
    );
    for peer in PEERS {
        let database = match (peer.needs_postgres, url) {
            (false, _) => Server::Sqlite,
            (true, Some(url)) => Server::Postgres(url.clone()),
            (true, None) => {
                text.push_str(&format!("* {}: not measured: needs --database postgres://…\n", peer.name));
                continue;
            }
        };
        eprintln!("measuring {}", peer.name);
        match measure_peer(arguments, &peer, &database).await {
            Ok((about, measured)) => {
                text.push_str(&format!("* {about}\n"));
                rows.extend(measured);
            }
            Err(error) => text.push_str(&format!("* {}: not measured: {error}\n", peer.name)),
        }
    }
    let mut section = Section::new("peers", "Other products", text, rows);
    section.seconds = began.elapsed().as_secs_f64();
    Ok(section)
}

async fn measure_peer(
    arguments: &ReportArguments,
    peer: &Peer,
    database: &Server,
) -> Outcome<(String, Vec<Row>)> {
    let script = arguments.peers.canonicalize()?.join(peer.name).join("peer");
    let folder = arguments.data.join("peers").join(peer.name);
    std::fs::create_dir_all(&folder)?;
    run_script(&script, "install", &folder, 0, "")?;
    let kept = folder.join("filled.json");
    let is_filled = peer.keeps && kept.exists();
    let target = match database {
        Server::Sqlite => String::new(),
        Server::Postgres(url) => {
            let name = format!("bench_{}", peer.name.replace('-', "_"));
            if is_filled { database_url(url, &name) } else { recreate_database(url, &name).await? }
        }
    };
    let address = free_address().await?;
    let process = serve(&script, &folder, address, &target).await?;
    if !is_filled {
        let said = run_script(&script, "fill", &folder, address.port(), &target)?;
        std::fs::write(&kept, said.lines().last().unwrap_or_default())?;
    }
    let filled: Filled = serde_json::from_slice(&std::fs::read(&kept)?)
        .map_err(|error| format!("its script says something else: {error}"))?;
    let own = start_own(arguments, database).await?;
    let rounds = Rounds {
        rounds: arguments.rounds.min(ROUNDS),
        duration: Duration::from_secs_f64(arguments.seconds),
        connections: arguments.connections,
        backend: own.backend,
    };
    let mut rows = Vec::new();
    for (action, aim) in ACTIONS.into_iter().zip(peer.aims) {
        let Some(request) = filled.requests.get(action) else { continue };
        let bytes = request.bytes();
        let (status, body) = fetch(process.address, &bytes).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{status} for {action}: {}", String::from_utf8_lossy(&body)).into());
        }
        let requests = own.requests[&(action, peer.kind == Kind::Login)].clone();
        let candidates = [Candidate::one(&process, bytes), Candidate { process: &own.process, requests }];
        let all = rounds.alternate(&candidates).await?;
        rows.push(row(format!("{}, {action}", peer.name), &all, aim));
    }
    Ok((format!("{} {}: `{}`", peer.name, filled.version, filled.start), rows))
}

fn row(name: String, all: &[Figures], aim: f64) -> Row {
    let total = |figures: &Figures| {
        let both = figures.processor.iter().zip(&figures.database).map(|(own, database)| own + database);
        both.collect::<Vec<_>>()
    };
    let (theirs, own) = (total(&all[0]), total(&all[1]));
    let ratio = Spread::new(theirs.iter().zip(&own).map(|(theirs, own)| theirs / own));
    let rate = |figures: &Figures| Spread::new(figures.rates.iter().copied());
    Row::new(
        name,
        vec![
            Figure::new("times Tenure's", ratio).aim(Some(Aim::AtLeast(aim))),
            Figure::new("theirs, µs", Spread::new(theirs)),
            Figure::new("Tenure, µs", Spread::new(own)),
            Figure::new("theirs, responses/s", rate(&all[0])),
            Figure::new("Tenure, responses/s", rate(&all[1])),
        ],
    )
}

/// Runs a command of a peer's script to its end. Returns what it printed.
fn run_script(script: &Path, command: &str, folder: &Path, port: u16, database: &str) -> Outcome<String> {
    let log = folder.join(format!("{command}.log"));
    let output = Command::new(script)
        .args([command, &folder.display().to_string(), &port.to_string(), database])
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .output()?;
    if !output.status.success() {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        return Err(format!("`peer {command}` failed: {last}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

async fn serve(
    script: &Path,
    folder: &Path,
    address: std::net::SocketAddr,
    database: &str,
) -> Outcome<Process> {
    let start = Start {
        program: script,
        arguments: vec![
            "serve".into(),
            folder.display().to_string(),
            address.port().to_string(),
            database.to_owned(),
        ],
        environment: Vec::new(),
        folder,
        log: "serve.log",
        address,
    };
    let began = Instant::now();
    let mut process = start.spawn()?;
    process.wait_until_listening(began, PATIENCE).await?;
    Ok(process)
}

/// Starts Tenure on a small data set of its own.
async fn start_own(arguments: &ReportArguments, database: &Server) -> Outcome<Own> {
    let manifest = dataset::prepare_anew(database, &arguments.data, "beside-peers", arguments.small).await?;
    let folder = arguments.data.join(format!("{}-beside-peers", database.kind()));
    let tenure = Tenure::new(&arguments.program, folder, &manifest);
    let keys = tenure.make_keys(&manifest)?;
    let email = "signs-in@bench.example";
    let organization = manifest.largest.0.to_string();
    let create =
        ["admin", "user", "create", email, "--org", &organization, "--role", "readwrite", "--password-stdin"];
    tenure.command_with_input(&create, PASSWORD)?;
    let (process, _) = tenure.serve().await?;
    let (backend, connection): (_, Option<Box<dyn Send + Sync>>) = match database {
        Server::Sqlite => (None, None),
        Server::Postgres(url) => {
            let (id, connection) = postgres_backend(url).await?;
            (Some(id), Some(Box::new(connection)))
        }
    };
    let requests = own_requests(&process, &keys, email).await?;
    Ok(Own { process, requests, backend, _connection: connection })
}

/// The requests to Tenure by action, and whether they are about login sessions.
async fn own_requests(
    process: &Process,
    keys: &Keys,
    email: &str,
) -> Outcome<BTreeMap<(&'static str, bool), Requests>> {
    let list = load::get("/v1/sessions?limit=20", Some(&keys.everruns));
    let logins = load::get("/frontend/api/v1/auth/session", Some(&keys.probe));
    let id = async |request: &[u8], pointer: &str| -> Outcome<String> {
        let (_, body) = fetch(process.address, request).await?;
        let body: Value = serde_json::from_slice(&body)?;
        let id = body.pointer(pointer).ok_or_else(|| format!("a list without {pointer}"))?;
        Ok(id.as_str().map_or_else(|| id.to_string(), str::to_owned))
    };
    let session = format!("/v1/sessions/{}", id(&list, "/data/0/id").await?);
    let login = format!("/frontend/api/v1/auth/session/{}", id(&logins, "/sessions/0/id").await?);
    let new = r#"{"title":"Fix the build","tags":["tag-3","team-1"],"agent_name":"builder"}"#;
    let sign_in = serde_json::json!({ "email": email, "password": PASSWORD }).to_string();
    let one = |request: Vec<u8>| -> Requests { vec![request].into() };
    Ok(BTreeMap::from([
        (("list", false), one(list)),
        (("get", false), one(load::get(&session, Some(&keys.everruns)))),
        (("create", false), one(load::post("/v1/sessions", &keys.everruns, new))),
        (("list", true), one(logins)),
        (("get", true), one(load::get(&login, Some(&keys.probe)))),
        (("create", true), one(load::post_without_key("/frontend/api/v1/auth/sign-in", &sign_in))),
    ]))
}

/// The folder of the peers' scripts.
pub fn default_folder() -> PathBuf {
    PathBuf::from("bench/peers")
}
