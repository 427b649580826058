//! `tenure clock …`.

use clap::Subcommand;
use domain::time::Micros;
use server::clock::{Clock as _, SystemClock};
use store::{Attribution, NewAuditEntry};

use crate::administration::format_time;
use crate::commands::Context;
use crate::error::CommandResult;

/// What can be said of the clock.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A server whose clock jumps ahead deletes nothing for its age until the clock is right again: otherwise seconds of a wrong \
clock would delete files, the feed and login sessions for good. When the jump was right (the clock was wrong before, or the \
machine slept where that cannot be seen), `tenure clock accept` says so; the servers go on within a sweep.")]
pub enum ClockCommand {
    /// Show this machine's time, the database's, and the time that a server last believed
    Show,
    /// Say that this machine's clock is right now
    Accept,
}

/// Does one of them.
///
/// # Errors
/// Those of the database.
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
            context.printer.print(&format!("{} is right.", format_time(now)), &document)
        }
    };
    admin.close().await;
    outcome
}
