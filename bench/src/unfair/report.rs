//! The table, and what is demanded of it.

use super::data::Data;
use super::measure::Measured;
use super::{Scenario, Unfair};

/// Bounds of an attacked tenant, in milliseconds and as a multiple of the quiet one.
const SLOWEST: f64 = 250.0;
const TIMES: f64 = 10.0;
const HEALTH: f64 = 100.0;
/// Bound of the server's memory, in MB.
const MEMORY: u64 = 600;

/// Prints what stands above the rows.
pub fn head(unfair: &Unfair, data: &Data) {
    let database = data.database.split(':').next().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!(
        "{database}, {} sessions, {} s each; the server on cores 0 and 1 of {cores}, with tenant and attacker.\n",
        unfair.sessions, unfair.seconds
    );
    println!(
        "| attack | page of 20, quiet: median, p99 (ms) | attacked: median, p99 (ms) | failed | health, worst (ms) \
         | memory: peak, after (MB) | holds | sessions/s, quiet, attacked | the attacker |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
}

/// Prints a scenario.
pub fn row(scenario: Scenario, measured: &Measured) {
    let Measured { quiet, attacked, peak, after, note } = measured;
    let pair = |seen: &super::measure::Seen| format!("{:.1}, {:.1}", seen.quantile(0.5), seen.quantile(0.99));
    let created = match quiet.created > 0.0 {
        true => format!("{:.0}, {:.0}", quiet.created, attacked.created),
        false => String::new(),
    };
    println!(
        "| {} | {} | {} | {} | {:.0} | {peak}, {after} | {} | {created} | {note} |",
        scenario.name(),
        pair(quiet),
        pair(attacked),
        attacked.failed,
        attacked.health,
        verdict(measured),
    );
}

fn verdict(measured: &Measured) -> String {
    let Measured { quiet, attacked, peak, after, .. } = measured;
    let slowest = attacked.quantile(0.99);
    let broken = [
        ("the server is gone", *after == 0),
        ("pages failed", attacked.failed > 0),
        ("p99 over 250 ms", slowest >= SLOWEST),
        ("p99 over 10 times", slowest >= TIMES * quiet.quantile(0.99)),
        ("health over 100 ms", attacked.health >= HEALTH),
        ("memory over 600 MB", *peak >= MEMORY),
    ];
    let broken: Vec<&str> = broken.into_iter().filter(|(_, broken)| *broken).map(|(what, _)| what).collect();
    if broken.is_empty() { "yes".to_owned() } else { format!("**no**: {}", broken.join(", ")) }
}

/// Prints what stands below the rows.
pub fn foot() {
    println!(
        "\nDemanded: an attacked p99 under {TIMES} times the quiet one and under {SLOWEST} ms, no page that fails, the \
         health check under {HEALTH} ms, memory under {MEMORY} MB."
    );
}
