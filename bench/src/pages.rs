//! The cost of a page of device sessions.

use crate::seed::{Place, Seed};
use crate::serve::{self, Process};
use crate::{Outcome, load, seed};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// What to measure.
#[derive(Debug, Args)]
pub struct Pages {
    /// Database URL as in `tenure serve`; a new database
    #[arg(long)]
    database: String,
    /// The server program, built with --release
    #[arg(long, default_value = "target/release/tenure")]
    program: PathBuf,
    /// Sessions of the large organization
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u32,
    /// Rounds in which all cases alternate. The median counts
    #[arg(long, default_value_t = 5)]
    alternations: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

struct Case {
    name: &'static str,
    process: usize,
    request: String,
    rates: Vec<f64>,
}

/// Measures all cases, and prints a table of medians and three ratios.
pub async fn run(pages: Pages) -> Outcome {
    let small = fill(&pages, "small", 1_000).await?;
    let large = fill(&pages, "large", pages.sessions).await?;
    let database = pages.database.clone();
    let server = serve::start(&pages.program, |listen| {
        ["serve", "--database", &database, "--listen", &listen.to_string()].map(str::to_owned).to_vec()
    })
    .await?;
    let first_large = request(&large, "/api/v1/sessions?limit=100");
    let late = format!("/api/v1/sessions?limit=100&before={}", large.late_cursor);
    let bytes = load::fetch_body(server.address, &first_large).await?;
    let ceiling = start_ceiling(&bytes).await?;
    let mut cases = [
        case("page of 100 of 1,000", 0, request(&small, "/api/v1/sessions?limit=100")),
        case("page of 100 of the large one", 0, first_large),
        case("its thousandth page", 0, request(&large, &late)),
        case("the same bytes from a buffer", 1, request(&large, "/")),
    ];
    let processes = [server, ceiling];
    measure(&mut cases, &processes, &pages).await?;
    report(&cases, &pages, bytes.len());
    Ok(())
}

async fn fill(pages: &Pages, name: &str, sessions: u32) -> Outcome<Place> {
    eprintln!("filling {name} with {sessions} sessions");
    seed::run(&Seed { database: pages.database.clone(), sessions, name: name.to_owned() }).await
}

async fn start_ceiling(bytes: &[u8]) -> Outcome<Process> {
    let file = std::env::temp_dir().join(format!("tenure-bench-{}", std::process::id()));
    std::fs::write(&file, bytes)?;
    let program = std::env::current_exe()?;
    serve::start(&program, |listen| vec!["static".into(), file.display().to_string(), listen.to_string()])
        .await
}

fn case(name: &'static str, process: usize, request: String) -> Case {
    Case { name, process, request, rates: Vec::new() }
}

fn request(place: &Place, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\r\n", place.key)
}

async fn measure(cases: &mut [Case], processes: &[Process], pages: &Pages) -> Outcome {
    let duration = Duration::from_secs(pages.seconds);
    for case in cases.iter() {
        load::measure_rate(processes[case.process].address, &case.request, duration / 3).await?;
    }
    for _ in 0..pages.alternations {
        for case in cases.iter_mut() {
            case.rates
                .push(load::measure_rate(processes[case.process].address, &case.request, duration).await?);
        }
    }
    Ok(())
}

fn report(cases: &[Case], pages: &Pages, bytes: usize) {
    let median = |case: &Case| {
        let mut rates = case.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let [small, large, late, ceiling] = [0, 1, 2, 3].map(|at| median(&cases[at]));
    println!("{} sessions, pages of {bytes} bytes, medians of {}:\n", pages.sessions, pages.alternations);
    println!("| what | responses/s (median) | lowest | highest |\n|---|---|---|---|");
    for case in cases {
        let (low, high) =
            case.rates.iter().fold((f64::MAX, 0f64), |(low, high), rate| (low.min(*rate), high.max(*rate)));
        println!("| {} | {:.0} | {low:.0} | {high:.0} |", case.name, median(case));
    }
    println!("\ncost of a page, large to small organization: {:.2} (at most 1.2)", small / large);
    println!("cost of the thousandth page to the first: {:.2} (at most 1.1)", large / late);
    println!("rate to the same bytes from a buffer: {:.2}", large / ceiling);
}
