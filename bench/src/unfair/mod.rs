//! An attacker beside a tenant on one server: does the tenant notice?
//!
//! The server runs on two cores, and so do the tenant and the attacker: on a machine of two cores they share them. The
//! attacker is a process of its own with the lowest priority.

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

/// How long the attacker may take to get ready.
const READY: Duration = Duration::from_secs(60);
/// How long the server may rest before its memory is read for the last time.
const REST: Duration = Duration::from_secs(3);

/// What to measure.
#[derive(Debug, Args)]
pub struct Unfair {
    /// The program; build it with --release.
    #[arg(long, env = "TENURE_BIN", default_value = "target/release/tenure")]
    program: PathBuf,
    /// A folder for the database and everything else; what it has already is used again.
    #[arg(long, default_value = "/tmp/tenure-unfair")]
    data: PathBuf,
    /// An empty PostgreSQL database, or one that an earlier run filled from the same folder; SQLite when there is none.
    #[arg(long)]
    database: Option<String>,
    /// Agent sessions of the organization that is searched.
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only these scenarios.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
}

/// What the attacker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 8 searches and facets at once by a read-only key.
    Search,
    /// 4 anonymous WebSockets with the largest frames there may be.
    Frames,
    /// 800 silent subscribers of one organization, while another creates sessions.
    Subscribers,
    /// 100 bodies that are never sent to their end, over HTTP/1.1 and HTTP/2.
    Bodies,
    /// A JSON Schema whose work doubles with each line.
    Schema,
    /// 12 large messages, read again and again.
    Messages,
}

impl Scenario {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Measures each scenario on a server of its own and prints a table.
pub async fn run(unfair: Unfair) -> Outcome {
    let data = data::prepare(&unfair).await?;
    let all = Scenario::value_variants();
    let wanted = if unfair.only.is_empty() { all } else { &unfair.only[..] };
    report::head(&unfair, &data);
    for scenario in wanted {
        report::row(*scenario, &measure_one(&unfair, &data, *scenario).await?);
    }
    report::foot();
    Ok(())
}

async fn measure_one(unfair: &Unfair, data: &data::Data, scenario: Scenario) -> Outcome<Measured> {
    let server = server::start(unfair, data).await?;
    let memory = server.watch_memory();
    let target = client::Target::new(server.address, &data.certificate)?;
    let creates = scenario == Scenario::Subscribers;
    let time = Duration::from_secs(unfair.seconds);
    // The first requests fill caches and open connections.
    measure::tenant(&target, &data.tenant, creates, time / 4).await;
    let quiet = measure::tenant(&target, &data.tenant, creates, time).await;
    let mut attacker = Command::new("nice")
        .args(["-n", "19"])
        .arg(std::env::current_exe()?)
        .args(["attack", &scenario.name(), &server.address.to_string()])
        .arg(&unfair.data)
        .arg((unfair.seconds + 2).to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = BufReader::new(attacker.stdout.take().ok_or("the attacker has no output")?);
    let mut line = String::new();
    let ready = tokio::time::timeout(READY, said.read_line(&mut line)).await;
    if !matches!(ready, Ok(Ok(_))) {
        line = "the attacker did not get ready\n".to_owned();
    }
    let attacked = measure::tenant(&target, &data.tenant, creates, time).await;
    let mut rest = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), said.read_to_string(&mut rest)).await;
    drop(attacker);
    tokio::time::sleep(REST).await;
    let [peak, after] = memory.end();
    let note = [line.trim(), rest.trim()].map(|part| part.trim_start_matches("ready").trim()).join(" ");
    Ok(Measured { quiet, attacked, peak, after, note: note.trim().to_owned() })
}
