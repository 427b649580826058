//! `tenure doctor`.

mod checks;
mod keys;
mod places;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use server::settings::Settings;
use store::{Database, OpenMode, Store};

use crate::administration::{Administration, now};
use crate::commands::Context;
use crate::error::{Failure, Result};

/// Arguments of `tenure doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at files, clock, keys, database, audit log, disks and settings, says what is wrong and what to do, and changes \
nothing. The exit code is 1 when something is wrong. A server may run. Run it as the user that the server runs as, with \
the same settings.")]
pub struct Doctor {
    /// Also look at this backup
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
}

/// Something that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What.
    check: &'static str,
    /// What is wrong with it; nothing when it is well.
    wrong: Option<String>,
    /// What to do then.
    todo: Option<String>,
    /// Whether it could be better, and is not wrong.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    advice: bool,
}

/// All that was looked at.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Something is wrong.
    pub fn wrong(&mut self, check: &'static str, wrong: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Finding { check, wrong: Some(wrong.into()), todo: Some(todo.into()), advice: false });
    }

    /// Something works and could be better.
    pub fn advise(&mut self, check: &'static str, what: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Finding { check, wrong: Some(what.into()), todo: Some(todo.into()), advice: true });
    }

    /// Something was looked at: it is well unless something was found wrong with it.
    pub fn looked_at(&mut self, check: &'static str) {
        if !self.0.iter().any(|finding| finding.check == check) {
            self.0.push(Finding { check, wrong: None, todo: None, advice: false });
        }
    }

    fn count(&self) -> usize {
        self.0.iter().filter(|finding| finding.wrong.is_some() && !finding.advice).count()
    }

    fn text(&self) -> String {
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

/// Looks at everything.
///
/// # Errors
/// Something is wrong.
pub async fn run(context: &Context, arguments: Doctor) -> Result<()> {
    let settings = context.settings(Vec::new())?.settings;
    let mut found = Findings::default();
    checks::settings(&settings, &mut found);
    places::permissions(&settings, &mut found);
    places::room(&settings, &mut found);
    if let Some(backup) = &arguments.backup {
        places::backup(backup, &mut found);
    }
    database(&settings, &mut found).await;
    context.output.done(&found.text(), &found.0)?;
    match found.count() {
        0 => Ok(()),
        1 => Err(Failure::new("one thing is wrong")),
        many => Err(Failure::new(format!("{many} things are wrong"))),
    }
}

async fn database(settings: &Settings, found: &mut Findings) {
    let opened = Database::open(settings.database.reveal(), OpenMode::Existing, now().0).await;
    let admin = match opened {
        Ok(database) => Administration::of(&Store::new(database)),
        Err(error) => {
            let todo = "until it opens, nothing in it can be looked at: do what it says, or restore a backup";
            return found.wrong("database", error.to_string(), todo);
        }
    };
    if let Err(error) = admin.store.database().check().await {
        let todo = "stop the server, keep a copy of the database, and restore the last backup: `tenure restore FILE --force`";
        found.wrong("database", error.to_string(), todo);
    }
    found.looked_at("database");
    if let Err(error) = contents(settings, &admin, found).await {
        found.wrong(
            "database",
            error.to_string(),
            "look at the database's own log; restore a backup if it is damaged",
        );
    }
    admin.close().await;
}

async fn contents(settings: &Settings, admin: &Administration, found: &mut Findings) -> store::Result<()> {
    checks::clock(admin, found).await?;
    keys::master_key(settings, admin, found).await?;
    keys::signing_keys(settings, admin, found).await?;
    checks::orphans(settings, admin, found).await?;
    keys::of_machines(admin, found).await?;
    checks::audit(admin, found).await
}
