//! `tenure doctor`: checks an installation.

mod checks;
mod keys;
mod places;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use server::settings::Settings;
use store::{Database, OpenMode};

use crate::administration::{Administration, now};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};

/// Arguments of `tenure doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Checks files, clock, keys, database, audit log, disks and settings. It prints what is wrong and how to fix it, and changes \
nothing. The exit code is 1 if something is wrong. Servers can run meanwhile. Run it as the server's user, with the same \
settings.")]
pub struct DoctorArgs {
    /// Also check this backup
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
}

/// The outcome of a check.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The name of the check.
    check: &'static str,
    /// What is wrong; `None` if nothing is.
    wrong: Option<String>,
    /// How to fix it.
    todo: Option<String>,
    /// Whether it works and could be better.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    advice: bool,
}

/// The outcomes of all checks so far.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Records that something is wrong.
    pub fn add_problem(&mut self, check: &'static str, wrong: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Finding { check, wrong: Some(wrong.into()), todo: Some(todo.into()), advice: false });
    }

    /// Records that something works and could be better.
    pub fn add_advice(&mut self, check: &'static str, what: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Finding { check, wrong: Some(what.into()), todo: Some(todo.into()), advice: true });
    }

    /// Ends a check: records that all is well if it recorded nothing else.
    pub fn finish_check(&mut self, check: &'static str) {
        if !self.0.iter().any(|finding| finding.check == check) {
            self.0.push(Finding { check, wrong: None, todo: None, advice: false });
        }
    }

    fn count_problems(&self) -> usize {
        self.0.iter().filter(|finding| finding.wrong.is_some() && !finding.advice).count()
    }

    fn format_outcomes(&self) -> String {
        let lines = self.0.iter().map(|finding| match (&finding.wrong, &finding.todo) {
            (Some(wrong), Some(todo)) => {
                let word = if finding.advice { "ADVICE" } else { "WRONG " };
                format!("{word} {}: {wrong}\n       do: {todo}", finding.check)
            }
            _ => format!("ok     {}", finding.check),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Runs every check and prints the outcomes.
///
/// # Errors
/// The settings cannot be read, or a check found something wrong.
pub async fn run(context: &Context, arguments: DoctorArgs) -> CommandResult<()> {
    let settings = context.settings(Vec::new())?.settings;
    let mut findings = Findings::default();
    checks::check_settings(&settings, &mut findings);
    places::check_permissions(&settings, &mut findings);
    places::check_room(&settings, &mut findings);
    if let Some(backup) = &arguments.backup {
        places::check_backup(backup, &mut findings);
    }
    check_database(&settings, &mut findings).await;
    context.printer.print(&findings.format_outcomes(), &findings.0)?;
    match findings.count_problems() {
        0 => Ok(()),
        1 => Err(CommandError::new("one thing is wrong")),
        many => Err(CommandError::new(format!("{many} things are wrong"))),
    }
}

async fn check_database(settings: &Settings, findings: &mut Findings) {
    let opened = Database::open(settings.database.reveal(), OpenMode::Existing, now().0).await;
    let admin = match opened {
        Ok(database) => Administration::from_database(database, settings),
        Err(error) => {
            let todo = "fix what it says, or restore a backup; the other checks need an open database";
            return findings.add_problem("database", error.to_string(), todo);
        }
    };
    if let Err(error) = admin.store.database().check().await {
        let todo = "stop the server, keep a copy of the database, and restore the last backup: `tenure restore FILE --force`";
        findings.add_problem("database", error.to_string(), todo);
    }
    findings.finish_check("database");
    if let Err(error) = check_contents(settings, &admin, findings).await {
        findings.add_problem(
            "database",
            error.to_string(),
            "read the log of the database; restore a backup if it is damaged",
        );
    }
    admin.close().await;
}

async fn check_contents(
    settings: &Settings,
    admin: &Administration,
    findings: &mut Findings,
) -> store::Result<()> {
    checks::check_clock(admin, findings).await?;
    keys::check_master_key(settings, admin, findings).await?;
    keys::check_signing_keys(settings, admin, findings).await?;
    checks::check_orphans(settings, admin, findings).await?;
    checks::check_memory(admin, findings).await?;
    keys::check_machine_keys(admin, findings).await?;
    checks::check_audit(admin, findings).await
}
