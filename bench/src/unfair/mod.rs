//! An attacker beside a tenant on one server: does the tenant notice?
//!
//! The server, the tenant and the attacker run on two cores; a machine with two cores shares them. The attacker is a
//! separate process with the lowest priority.

mod attack;
mod client;
mod data;
mod half;
mod measure;
mod report;
mod server;

pub use attack::Attack;

use crate::Outcome;
use clap::{Args, ValueEnum};
use measure::Measured;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

/// Time limit for the attacker to get ready.
const READY: Duration = Duration::from_secs(60);
/// How long the server rests before its memory is read for the last time.
const REST: Duration = Duration::from_secs(3);

/// What to measure.
#[derive(Debug, Args)]
pub struct Unfair {
    /// The server program, built with --release
    #[arg(long, env = "TENURE_BIN", default_value = "target/release/tenure")]
    program: PathBuf,
    /// A folder for the database and all other files; existing ones are reused
    #[arg(long, default_value = "/tmp/tenure-unfair")]
    data: PathBuf,
    /// An empty PostgreSQL database, or one that an earlier run filled from the same folder [default: SQLite]
    #[arg(long)]
    database: Option<String>,
    /// Agent sessions of the organization that the attacker searches
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Run only these scenarios
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
}

/// What the attacker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 8 concurrent searches and facets with a read-only key
    Search,
    /// 4 anonymous WebSockets with the largest frames that are allowed
    Frames,
    /// 800 silent subscribers of one organization, while the tenant creates sessions
    Subscribers,
    /// 100 bodies that are never completed, over HTTP/1.1 and HTTP/2
    Bodies,
    /// A JSON Schema whose work doubles with each line
    Schema,
    /// 12 large messages, read again and again
    Messages,
}

impl Scenario {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Measures each scenario on its own server, and prints a table.
pub async fn run(unfair: Unfair) -> Outcome {
    let data = data::prepare(&unfair).await?;
    let all = Scenario::value_variants();
    let scenarios = if unfair.only.is_empty() { all } else { &unfair.only[..] };
    report::print_head(&unfair, &data);
    for scenario in scenarios {
        report::print_row(*scenario, &measure_one(&unfair, &data, *scenario).await?);
    }
    report::print_foot();
    Ok(())
}

async fn measure_one(unfair: &Unfair, data: &data::Data, scenario: Scenario) -> Outcome<Measured> {
    let server = server::start(unfair, data).await?;
    let memory = server.watch_memory();
    let target = client::Target::new(server.address, &data.certificate)?;
    let creates = scenario == Scenario::Subscribers;
    let time = Duration::from_secs(unfair.seconds);
    // The first requests fill caches and open connections.
    measure::run_tenant(&target, &data.tenant, creates, time / 4).await;
    let quiet = measure::run_tenant(&target, &data.tenant, creates, time).await;
    let mut attacker = Command::new("nice")
        .args(["-n", "19"])
        .arg(std::env::current_exe()?)
        .args(["attack", &scenario.name(), &server.address.to_string()])
        .arg(&unfair.data)
        .arg((unfair.seconds + 2).to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut output = BufReader::new(attacker.stdout.take().ok_or("the attacker has no output")?);
    let mut line = String::new();
    let ready = tokio::time::timeout(READY, output.read_line(&mut line)).await;
    if !matches!(ready, Ok(Ok(_))) {
        line = "the attacker did not get ready\n".to_owned();
    }
    let attacked = measure::run_tenant(&target, &data.tenant, creates, time).await;
    let mut rest = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), output.read_to_string(&mut rest)).await;
    drop(attacker);
    tokio::time::sleep(REST).await;
    let [peak, after] = memory.end();
    let note = [line.trim(), rest.trim()].map(|part| part.trim_start_matches("ready").trim()).join(" ");
    Ok(Measured { quiet, attacked, peak, after, note: note.trim().to_owned() })
}
