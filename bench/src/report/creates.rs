//! Durable creates against the least that a durable create can cost: a log, or a table, with the same groups.

use super::load::{Requests, post};
use super::measure::Candidate;
use super::output::{Aim, Figure, Row, Section};
use super::process::{Process, Start, free_address};
use super::setup::Tenure;
use super::{Run, Server, dataset, lists};
use crate::Outcome;
use std::time::Instant;

/// Measures creates in a data set of its own, which is made for this run.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let manifest =
        dataset::prepare_anew(run.server, &run.arguments.data, "creates", run.small.sessions).await?;
    let folder = run.arguments.data.join(format!("{}-creates", run.server.kind()));
    let tenure = Tenure::new(&run.arguments.program, folder, &manifest);
    let keys = tenure.make_keys(&manifest)?;
    let (process, _) = tenure.serve().await?;
    let bare = start_bare(&tenure, run.server, &manifest.database).await?;
    let everruns = r#"{"title":"Fix the build","tags":["tag-3","team-1"],"agent_name":"builder"}"#;
    let cases = [
        ("Mobile Next, device session", post("/api/v1/sessions", &keys.mobilenext, "")),
        ("Everruns, agent session", post("/v1/sessions", &keys.everruns, everruns)),
    ];
    let mut rows = Vec::new();
    for (name, request) in cases {
        let requests: Requests = vec![request].into();
        let candidates = [
            Candidate { process: &process, requests },
            Candidate::one(&bare, post("/", &keys.mobilenext, everruns)),
        ];
        let all = run.rounds.alternate(&candidates).await?;
        rows.push(Row::new(
            name,
            vec![
                Figure::new("ratio", all[0].ratio(&all[1])).aim(Some(Aim::AtLeast(0.5))),
                Figure::new("creates/s", lists::rate(&all[0])),
                Figure::new("bare, creates/s", lists::rate(&all[1])),
                Figure::new("server, µs", lists::processor(&all[0])),
                Figure::new("bare, µs", lists::processor(&all[1])),
            ],
        ));
    }
    let text = run.server.choose(
        "Against a server that appends 256 bytes for each request to a file, with one fdatasync for all that wait.",
        "Against a server that inserts the rows of a session and of its feed entry, in one pipelined transaction for all that \
         wait.",
    );
    Ok(Section::new("creates", format!("Durable creates on {}", run.server.kind()), text, rows))
}

async fn start_bare(tenure: &Tenure<'_>, server: &Server, database: &str) -> Outcome<Process> {
    let address = free_address().await?;
    let target = match server {
        Server::Sqlite => "bare.log",
        Server::Postgres(_) => database,
    };
    let start = Start {
        program: &std::env::current_exe()?,
        arguments: vec!["log".into(), target.into(), address.to_string()],
        environment: Vec::new(),
        folder: &tenure.folder,
        log: "bare.txt",
        address,
    };
    let began = Instant::now();
    let mut process = start.spawn()?;
    process.wait_until_ready("/", began).await?;
    Ok(process)
}
