//! Load programs: the cost of Tenure's operations, as ratios that hold on any machine. `bench/README.md` describes
//! each of them.
#![allow(clippy::disallowed_methods, reason = "a load program measures time")]

mod agents;
mod load;
mod pages;
mod report;
mod seed;
mod serve;
mod unfair;

use clap::{Parser, Subcommand};

/// As Tenure's, because this program is also the ceiling that Tenure is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load programs for Tenure.
#[derive(Debug, Parser)]
#[command(name = "bench")]
enum Bench {
    /// The cost of a page in organizations of two sizes, and of a late page
    Pages(pages::Pages),
    /// The cost of the account's list of agent sessions, of each filter and of the totals
    Agents(agents::Agents),
    /// An attacker beside a tenant on one server
    Unfair(unfair::Unfair),
    /// Every figure in one run, beside the fastest that is possible and beside other products
    Report(report::ReportArguments),
    /// The bare log that `report` compares creates with
    #[command(hide = true)]
    Log(report::Log),
    /// The attacker of `unfair`
    #[command(hide = true)]
    Attack(unfair::Attack),
    /// Serves the bytes of a file as a JSON response: the fastest that is possible
    #[command(hide = true)]
    Static(serve::Static),
    #[command(flatten)]
    More(More),
}

/// Parts that are also useful alone.
#[derive(Debug, Subcommand)]
enum More {
    /// Fills a database with an organization of many sessions and prints its key
    Seed(seed::Seed),
}

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    match Bench::parse() {
        Bench::Pages(pages) => pages::run(pages).await,
        Bench::Agents(agents) => agents::run(agents).await,
        Bench::Unfair(unfair) => unfair::run(unfair).await,
        Bench::Report(arguments) => report::run(arguments).await,
        Bench::Log(log) => log.run().await,
        Bench::Attack(attack) => attack.run().await,
        Bench::Static(fixed) => serve::serve_file(fixed).await,
        Bench::More(More::Seed(seed)) => {
            let place = seed::run(&seed).await?;
            println!(
                "organization {}\nkey {}\noldest cursor {}",
                place.organization, place.key, place.late_cursor
            );
            Ok(())
        }
    }
}
