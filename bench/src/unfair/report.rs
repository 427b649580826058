//! The table, and the bounds of its values.

use super::data::Data;
use super::measure::Measured;
use super::{Scenario, Unfair};

/// Bounds while the tenant is attacked: p99 in milliseconds, p99 as a multiple of the quiet one, and the health check
/// in milliseconds.
const SLOWEST: f64 = 250.0;
const TIMES: f64 = 10.0;
const HEALTH: f64 = 100.0;
/// Bound of the server's memory, in MB.
const MEMORY: u64 = 600;

/// Prints the head of the table.
pub fn print_head(unfair: &Unfair, data: &Data) {
    let database = data.database.split(':').next().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!(
        "{database}, {} sessions, {} s each; the server on cores 0 and 1 of {cores}, with tenant and attacker.\n",
        unfair.sessions, unfair.seconds
    );
    println!(
        "| attack | page of 20, quiet: median, p99 (ms) | attacked: median, p99 (ms) | failed | health, worst (ms) \
         | memory: peak, after (MB) | passed | sessions/s, quiet, attacked | the attacker |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
}

/// Prints the row of a scenario.
pub fn print_row(scenario: Scenario, measured: &Measured) {
    let Measured { quiet, attacked, peak, after, note } = measured;
    let pair =
        |seen: &super::measure::PeriodStats| format!("{:.1}, {:.1}", seen.quantile(0.5), seen.quantile(0.99));
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
    let failures = [
        ("the server is gone", *after == 0),
        ("pages failed", attacked.failed > 0),
        ("p99 over 250 ms", slowest >= SLOWEST),
        ("p99 over 10 times", slowest >= TIMES * quiet.quantile(0.99)),
        ("health over 100 ms", attacked.health >= HEALTH),
        ("memory over 600 MB", *peak >= MEMORY),
    ];
    let failures: Vec<&str> =
        failures.into_iter().filter(|(_, failed)| *failed).map(|(what, _)| what).collect();
    if failures.is_empty() { "yes".to_owned() } else { format!("**no**: {}", failures.join(", ")) }
}

/// Prints the bounds below the table.
pub fn print_foot() {
    println!(
        "\nRequired: an attacked p99 under {TIMES} times the quiet one and under {SLOWEST} ms, no page that fails, the \
         health check under {HEALTH} ms, memory under {MEMORY} MB."
    );
}
