//! `tenure audit …`.

use clap::{Args, Subcommand, ValueEnum};
use domain::time::Micros;
use serde::Serialize;
use serde_json::Value;
use server::operations::audit_seal;
use std::path::{Path, PathBuf};
use store::{AuditHead, BrokenLine, ChainedLine};

use crate::administration::{Administration, now, time};
use crate::commands::{Context, admin::audit_segments};
use crate::error::{Failure, Result};
use crate::values::moment;

/// Lines that are read at once.
const AT_ONCE: u32 = 1000;
/// The columns of a table, in the order of [`Shown`].
const HEADINGS: &str =
    "sequence,at,organization,principal,credential,login,address,action,thing,before,after,previous,hash";

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure audit verify
  tenure audit checkpoint >> /somewhere/else/audit-heads
  tenure audit verify --against tenure-audit-1:4711:…
  tenure audit verify --segments tenure-data/audit
  tenure audit export --since 2026-11-01 --format csv
  tenure audit seal --before 2026-01-01                  Export what is older, and drop it

A checkpoint that is kept where nobody who can write to the database can write proves later that nothing was changed, \
and nothing cut off, up to it.")]
pub enum Audit {
    /// Check that no line was changed, taken out or put in
    Verify {
        /// A checkpoint of earlier, which the log must go through
        #[arg(long, value_name = "HEAD")]
        against: Option<AuditHead>,
        /// A folder with sealed segments, to be checked before the log that follows them
        #[arg(long, value_name = "FOLDER")]
        segments: Option<PathBuf>,
    },
    /// Print the head of the chain, to be kept elsewhere
    Checkpoint,
    /// Print lines, the oldest first
    Export(Export),
    /// Move old lines into files: export them to `audit_archive`, check the files, then drop the lines
    Seal {
        /// Lines from before then: a day (2026-11-21, in UTC) or a moment (2026-11-21T12:00:00Z)
        #[arg(long, value_name = "TIME", value_parser = moment)]
        before: Micros,
    },
}

/// Arguments of `tenure audit export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Only from then on: a day (2026-11-21, in UTC) or a moment (2026-11-21T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Micros>,
    /// Only before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Micros>,
    /// How to write them
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON document on each line
    Jsonl,
    /// A table with commas between the columns (RFC 4180)
    Csv,
}

/// A line as it is shown.
#[derive(Serialize)]
struct Shown {
    sequence: i64,
    at: String,
    organization: Option<String>,
    principal: Option<String>,
    credential: Option<String>,
    login: Option<String>,
    address: Option<String>,
    action: String,
    thing: String,
    before: Option<Value>,
    after: Value,
    previous: Option<String>,
    hash: Option<String>,
}

impl From<ChainedLine> for Shown {
    fn from(chained: ChainedLine) -> Self {
        let line = chained.line.line;
        Self {
            sequence: chained.line.sequence,
            at: time(line.at),
            organization: line.organization.map(|id| id.to_string()),
            principal: line.by.principal.map(|id| id.to_string()),
            credential: line.by.credential.map(|id| id.to_string()),
            login: line.by.login.map(|id| id.uuid().to_string()),
            address: line.by.address.map(|address| address.to_string()),
            action: line.action,
            thing: line.thing,
            before: line.was,
            after: line.details,
            previous: chained.previous,
            hash: chained.hash,
        }
    }
}

/// Does one of them.
///
/// # Errors
/// The log is not whole, or cannot be read.
pub async fn run(context: &Context, command: Audit) -> Result<()> {
    let admin = context.administration().await?;
    let outcome = match command {
        Audit::Verify { against, segments } => verify(context, &admin, against, segments.as_deref()).await,
        Audit::Seal { before } => seal(context, &admin, before).await,
        Audit::Checkpoint => checkpoint(context, &admin).await,
        Audit::Export(arguments) => export(context, &admin, &arguments).await,
    };
    admin.close().await;
    outcome
}

async fn verify(
    context: &Context,
    admin: &Administration,
    against: Option<AuditHead>,
    segments: Option<&Path>,
) -> Result<()> {
    let broken = |broken: BrokenLine| {
        Failure::new(format!("line {} of the audit log {}", broken.sequence, broken.why))
            .hint("the lines before it are good; a backup has the others as they were")
    };
    let outcome = match segments {
        Some(folder) => {
            let walk = audit_segments::walk(folder, against, broken)?;
            admin.store.verify_audit_after(&admin.system, walk).await?
        }
        None => admin.store.verify_audit(&admin.system, None, against).await?,
    };
    let proof = outcome.map_err(broken)?;
    let head = proof.head.map(|head| head.to_string());
    let mut sentence = format!("The audit log is whole: {} lines.", proof.lines);
    if proof.unchained > 0 {
        sentence =
            format!("{sentence} Nothing proves the {} before them, of older versions.", proof.unchained);
    }
    let document = serde_json::json!({ "lines": proof.lines, "unchained": proof.unchained, "head": head });
    context.output.done(&sentence, &document)
}

async fn seal(context: &Context, admin: &Administration, before: Micros) -> Result<()> {
    let settings = context.settings(Vec::new())?.settings;
    let archive =
        server::open_files(&settings.audit_archive).map_err(|error| Failure::new(error.to_string()))?;
    let sealed = audit_seal::seal(&admin.store, &*archive, before, now())
        .await
        .map_err(|error| Failure::new(cause(error)))?;
    let head = sealed.head.map(|head| head.to_string());
    let sentence = match sealed.segments {
        0 => "There is nothing to seal.".to_owned(),
        segments => format!("Sealed {} lines in {segments} segments.", sealed.lines),
    };
    let document = serde_json::json!({ "segments": sealed.segments, "lines": sealed.lines, "head": head });
    context.output.done(&sentence, &document)
}

/// What went wrong, also where callers over HTTP are not told.
fn cause(failure: server::failure::Failure) -> String {
    match failure {
        server::failure::Failure::Internal { cause, .. } => cause,
        other => other.to_string(),
    }
}

async fn checkpoint(context: &Context, admin: &Administration) -> Result<()> {
    let head = admin.store.audit_head(&admin.system).await?;
    let head = head.ok_or_else(|| Failure::new("the audit log is empty"))?.to_string();
    context.output.done(&head, &serde_json::json!({ "head": head }))
}

async fn export(context: &Context, admin: &Administration, arguments: &Export) -> Result<()> {
    let (since, until) = (arguments.since.unwrap_or_default(), arguments.until.unwrap_or(Micros(i64::MAX)));
    if arguments.format == Format::Csv {
        context.output.line(HEADINGS)?;
    }
    let mut after = 0;
    loop {
        let lines = admin.store.audit_export(&admin.system, after, since, until, AT_ONCE).await?;
        let Some(last) = lines.last() else { return Ok(()) };
        after = last.line.sequence;
        for line in lines {
            let shown = Shown::from(line);
            context.output.line(&match arguments.format {
                Format::Jsonl => serde_json::to_string(&shown).map_err(std::io::Error::from)?,
                Format::Csv => csv(shown),
            })?;
        }
    }
}

fn csv(line: Shown) -> String {
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        line.sequence.to_string(),
        line.at,
        text(line.organization),
        text(line.principal),
        text(line.credential),
        text(line.login),
        text(line.address),
        line.action,
        line.thing,
        text(line.before.map(|value| value.to_string())),
        line.after.to_string(),
        text(line.previous),
        text(line.hash),
    ]
    .map(|cell| if cell.contains([',', '"', '\n', '\r']) { quoted(&cell) } else { cell })
    .join(",")
}

fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}
