//! Load programs: what Tenure costs, as ratios that hold on any machine.
//!
//! `bench pages` answers two questions of the list of sessions: does a page cost more in a large organization than in
//! a small one, and does a late page cost more than the first. The server is pinned to one core, the load to
//! another, and the same bytes are served from one buffer in between, so that the figures can be compared.
#![allow(clippy::disallowed_methods, reason = "a load program measures time")]

mod agents;
mod load;
mod pages;
mod seed;
mod serve;
mod unfair;

use clap::{Parser, Subcommand};

/// Load programs for Tenure.
#[derive(Debug, Parser)]
#[command(name = "bench")]
enum Bench {
    /// Cost of a page in organizations of two sizes, and of a late page.
    Pages(pages::Pages),
    /// Cost of the account's list of agent sessions, of each filter and of the totals.
    Agents(agents::Agents),
    /// An attacker beside a tenant on one server.
    Unfair(unfair::Unfair),
    /// What the attacker of `unfair` does.
    #[command(hide = true)]
    Attack(unfair::Attack),
    /// Serves the bytes of a file as a JSON answer: the ceiling.
    #[command(hide = true)]
    Static(serve::Static),
    #[command(flatten)]
    More(More),
}

/// Parts that are of use alone.
#[derive(Debug, Subcommand)]
enum More {
    /// Fills a database with an organization of many sessions and prints its key.
    Seed(seed::Seed),
}

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    match Bench::parse() {
        Bench::Pages(pages) => pages::run(pages).await,
        Bench::Agents(agents) => agents::run(agents).await,
        Bench::Unfair(unfair) => unfair::run(unfair).await,
        Bench::Attack(attack) => attack.run().await,
        Bench::Static(fixed) => serve::fixed(fixed).await,
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
