//! Memory, and the time of a start.

use super::output::{Aim, Figure, Row, Section, Spread};
use super::setup::Tenure;
use super::{Run, Server};
use crate::Outcome;
use std::time::Duration;
use store::testing::bulk::recreate_database;

/// How long an idle server runs before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// Shows how long the server took to become ready.
pub async fn measure_start(run: &Run<'_>) -> Outcome<Section> {
    let most = run.server.choose(60.0, 120.0);
    let ready = Figure::new("until /readyz answers 200, s", Spread::one(run.ready.as_secs_f64()));
    let row =
        Row::new(format!("{} sessions", run.manifest.sessions), vec![ready.aim(Some(Aim::AtMost(most)))]);
    Ok(Section::new("start", format!("Start on {}", run.server.kind()), "", vec![row]))
}

/// Measures an idle server without data, and the server with data after all other cases.
pub async fn measure(run: &Run<'_>) -> Outcome<Section> {
    let folder = run.tenure.folder.join("idle");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let database = match run.server {
        Server::Sqlite => format!("sqlite:{}", folder.join("tenure.db").display()),
        Server::Postgres(url) => recreate_database(url, "bench_idle").await?,
    };
    let empty = Tenure { program: &run.arguments.program, folder, database: &database };
    let (process, _) = empty.serve().await?;
    tokio::time::sleep(IDLE).await;
    let row = |name: String, private: u64, index: u64, most: f64| {
        let megabytes = |bytes: u64| Spread::one(bytes as f64 / 1e6);
        Row::new(
            name,
            vec![
                Figure::new("private memory, MB", megabytes(private)).aim(Some(Aim::AtMost(most))),
                Figure::new("session index, MB", megabytes(index)),
            ],
        )
    };
    let rows = vec![
        row("idle, without data".to_owned(), process.memory(), empty.index_bytes(), 45.0),
        row(
            format!("{} sessions, after the other cases", run.manifest.sessions),
            run.process.memory(),
            run.tenure.index_bytes(),
            1_200.0,
        ),
    ];
    let text =
        "Memory of the process alone (RssAnon). Mapped pages of the database belong to the system's cache.";
    Ok(Section::new("memory", format!("Memory on {}", run.server.kind()), text, rows))
}
