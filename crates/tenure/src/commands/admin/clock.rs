//! `tenure admin clock …`: the time that servers trust.

use clap::Subcommand;
use domain::time::Micros;
use server::clock::{Clock as _, SystemClock};
use store::{Attribution, NewAuditEntry};

use crate::administration::format_time;
use crate::commands::Context;
use crate::error::CommandResult;

/// Commands about the clock.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
When its clock jumps ahead, a server stops deleting old files, feed entries and login sessions until the clock is right \
again: a wrong clock would delete them for ever. If the new time is the right one (the clock was wrong before, or the machine \
slept unnoticed), run `tenure admin clock accept`; the servers continue within one sweep.")]
pub enum ClockCommand {
    /// Show the time of this machine, of the database, and the last time that a server trusted
    Show,
    /// Confirm that this machine's clock is right
    Accept,
}

/// Runs one of them.
///
/// # Errors
/// The database cannot be read or written.
pub async fn run(context: &Context, command: ClockCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    let (store, system) = (&admin.store, &admin.system);
    let believed = store.load_believed_time(system).await?;
    let now = SystemClock.now();
    let text = |at: Option<Micros>| at.map(format_time);
    let outcome = match command {
        ClockCommand::Show => {
            let database = store.load_database_time(system).await?;
            let document = serde_json::json!({
                "machine": format_time(now), "database": text(database), "believed": text(believed),
            });
            let line =
                |name, at: Option<Micros>| format!("{name} {}", text(at).unwrap_or_else(|| "-".to_owned()));
            let lines = [line("machine ", Some(now)), line("database", database), line("believed", believed)];
            context.printer.print(&lines.join("\n"), &document)
        }
        ClockCommand::Accept => {
            store.store_believed_time(system, now).await?;
            let details = serde_json::json!({ "now_us": now.0 });
            let was = serde_json::json!({ "now_us": believed.map(|at| at.0) });
            let line =
                NewAuditEntry::new(Attribution::TENURE, "clock.accept", "", details, now).with_previous(was);
            store.record_audit_entry(system, &line).await?;
            let document = serde_json::json!({ "believed": format_time(now) });
            context.printer.print(&format!("Accepted {} as the right time.", format_time(now)), &document)
        }
    };
    admin.close().await;
    outcome
}
