//! One report about Tenure: every figure that it promises, measured in one run, beside the fastest that is possible on the
//! same machine at the same time.

mod creates;
mod dataset;
mod facets;
mod filters;
mod lists;
mod load;
mod log_server;
mod measure;
mod memory;
mod output;
mod pages;
mod peers;
mod process;
mod random;
mod sessions;
mod setup;
mod sizes;
mod watchers;

pub use log_server::Log;

use crate::Outcome;
use clap::Args;
use dataset::Manifest;
use measure::Rounds;
use output::{Report, Section};
use process::Process;
use setup::{Keys, Tenure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The core that the load runs on. Servers run on core 0.
const LOAD_CORES: &str = "1-1023";
/// The cases, in the order of a run.
const CASES: [&str; 11] = [
    "start", "lists", "kinds", "filters", "facets", "pages", "sizes", "creates", "memory", "watchers",
    "peers",
];

/// What to measure.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// `sqlite:` for a file in the data folder, or the URL of a PostgreSQL server; repeat for both
    #[arg(long, default_value = "sqlite:")]
    database: Vec<String>,
    /// Sessions of the data set
    #[arg(long, default_value_t = 10_000_000)]
    sessions: u64,
    /// Sessions of the small data set
    #[arg(long, default_value_t = 10_000)]
    small: u64,
    /// The folder that keeps the data sets
    #[arg(long, default_value = "bench-data")]
    data: PathBuf,
    /// The folder for the report
    #[arg(long, default_value = "bench-report")]
    out: PathBuf,
    /// The server program, built with --release
    #[arg(long, default_value = "target/dist/tenure")]
    program: PathBuf,
    /// Rounds of each candidate
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Only these cases: start, lists, kinds, filters, facets, pages, sizes, creates, memory, watchers, peers
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// The folder with the scripts of other products
    #[arg(long, default_value_os_t = peers::default_folder())]
    peers: PathBuf,
    /// Measure no other products
    #[arg(long)]
    skip_peers: bool,
    /// Only make the data sets
    #[arg(long)]
    load_only: bool,
}

/// Where a data set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// In a file of its folder.
    Sqlite,
    /// In a database of the PostgreSQL server with this URL.
    Postgres(String),
}

impl Server {
    fn parse(url: &str) -> Outcome<Server> {
        match url {
            "sqlite:" => Ok(Server::Sqlite),
            url if url.starts_with("postgres") => Ok(Server::Postgres(url.to_owned())),
            other => Err(format!("expected sqlite: or postgres://…, got {other}").into()),
        }
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self {
            Server::Sqlite => "sqlite",
            Server::Postgres(_) => "postgres",
        }
    }

    /// The first of two figures for SQLite, the second for PostgreSQL.
    pub fn choose<T>(&self, sqlite: T, postgres: T) -> T {
        match self {
            Server::Sqlite => sqlite,
            Server::Postgres(_) => postgres,
        }
    }
}

/// A run on one data set, with its server.
pub struct Run<'a> {
    arguments: &'a ReportArguments,
    server: &'a Server,
    manifest: &'a Manifest,
    small: &'a Manifest,
    tenure: Tenure<'a>,
    keys: Keys,
    process: Process,
    ready: Duration,
    rounds: Rounds,
}

/// Measures everything and writes the report.
pub async fn run(mut arguments: ReportArguments) -> Outcome {
    if let Some(unknown) = arguments.cases.iter().find(|case| !CASES.contains(&case.as_str())) {
        return Err(format!("unknown case {unknown}: expected some of {}", CASES.join(", ")).into());
    }
    arguments.program = arguments.program.canonicalize()?;
    std::fs::create_dir_all(&arguments.data)?;
    arguments.data = arguments.data.canonicalize()?;
    std::fs::create_dir_all(&arguments.out)?;
    let mut report = Report { facts: facts(&arguments), sections: Vec::new() };
    for url in &arguments.database {
        let server = Server::parse(url)?;
        let manifest = dataset::prepare(&server, &arguments.data, arguments.sessions).await?;
        let small = dataset::prepare(&server, &arguments.data, arguments.small).await?;
        if arguments.load_only {
            continue;
        }
        // After loading, which needs all cores. The servers' core has nothing else to do.
        keep_to_load_cores()?;
        report.facts.push(("loading", format!("{}: {:.0} s", server.kind(), manifest.load_seconds)));
        measure_all(&arguments, &server, [&manifest, &small], &mut report).await?;
    }
    if !arguments.load_only && wants(&arguments, "peers") && !arguments.skip_peers {
        add(&mut report, &arguments, peers::measure(&arguments).await?)?;
    }
    if !arguments.load_only {
        print!("{}", report.markdown());
    }
    Ok(())
}

fn wants(arguments: &ReportArguments, case: &str) -> bool {
    arguments.cases.is_empty() || arguments.cases.iter().any(|wanted| wanted == case)
}

async fn measure_all(
    arguments: &ReportArguments,
    server: &Server,
    [manifest, small]: [&Manifest; 2],
    report: &mut Report,
) -> Outcome {
    let folder = setup::folder_of(&arguments.data, server, manifest.sessions);
    let tenure = Tenure::new(&arguments.program, folder, manifest);
    eprintln!("starting the server on {} sessions in {}", manifest.sessions, server.kind());
    let keys = tenure.make_keys(manifest)?;
    let (process, ready) = tenure.serve().await?;
    eprintln!("ready after {:.0} s; waiting until it has checked its database", ready.as_secs_f64());
    process.wait_until_idle().await;
    let backend = match server {
        Server::Sqlite => None,
        Server::Postgres(url) => Some(store::testing::bulk::postgres_backend(url).await?),
    };
    let backend_id = backend.as_ref().map(|(id, _)| *id);
    let rounds = Rounds {
        rounds: arguments.rounds,
        duration: Duration::from_secs_f64(arguments.seconds),
        connections: arguments.connections,
        backend: backend_id,
    };
    let run = Run { arguments, server, manifest, small, tenure, keys, process, ready, rounds };
    for case in CASES.into_iter().filter(|case| *case != "peers" && wants(arguments, case)) {
        eprintln!("measuring {case}");
        let began = Instant::now();
        let mut section = match case {
            "start" => memory::measure_start(&run).await?,
            "lists" => lists::measure(&run).await?,
            "kinds" => lists::measure_kinds(&run).await?,
            "filters" => filters::measure(&run).await?,
            "facets" => facets::measure(&run).await?,
            "pages" => pages::measure(&run).await?,
            "sizes" => sizes::measure(&run).await?,
            "creates" => creates::measure(&run).await?,
            "watchers" => watchers::measure(&run).await?,
            _ => memory::measure(&run).await?,
        };
        section.seconds = began.elapsed().as_secs_f64();
        eprintln!("{case} took {:.0} s", section.seconds);
        add(report, arguments, section)?;
    }
    Ok(())
}

/// Adds a section and writes the report as it is now: a run that is interrupted leaves what it has measured.
fn add(report: &mut Report, arguments: &ReportArguments, section: Section) -> Outcome {
    report.sections.push(section);
    std::fs::write(arguments.out.join("report.md"), report.markdown())?;
    std::fs::write(arguments.out.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    Ok(())
}

fn facts(arguments: &ReportArguments) -> Vec<(&'static str, String)> {
    let said = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name\t: "));
    vec![
        ("date", said(Path::new("date"), "-uIs")),
        ("program", said(&arguments.program, "version").replace('\n', ", ")),
        ("machine", format!("{} × {}", said(Path::new("nproc"), "--all"), processor.unwrap_or("processor"))),
        ("kernel", said(Path::new("uname"), "-r")),
        ("sessions", format!("{}, and {} in the small data set", arguments.sessions, arguments.small)),
        (
            "rounds",
            format!("{} of {} s, {} connections", arguments.rounds, arguments.seconds, arguments.connections),
        ),
    ]
}

/// Keeps this process, with the load, away from the servers' core.
fn keep_to_load_cores() -> Outcome {
    let id = std::process::id().to_string();
    let mut taskset = Command::new("taskset");
    taskset.args(["-apc", LOAD_CORES, &id]).stdout(std::process::Stdio::null());
    match taskset.status()?.success() {
        true => Ok(()),
        false => Err("taskset cannot keep the load to its cores".into()),
    }
}
