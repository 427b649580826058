//! `tenure admin audit …`: the audit log.

use clap::{Args, Subcommand, ValueEnum};
use domain::time::Micros;
use serde::Serialize;
use serde_json::Value;
use server::operations::audit_sealing;
use std::path::{Path, PathBuf};
use store::{AuditHead, BrokenEntry, ChainedEntry};

use crate::administration::{Administration, format_time, now};
use crate::commands::{Context, admin::audit_segments};
use crate::error::{CommandError, CommandResult};
use crate::values::parse_moment;

/// How many entries an export reads at once.
const PAGE: u32 = 1000;
/// The columns of CSV, in the order of the fields of [`AuditRow`].
const HEADINGS: &str =
    "sequence,at,organization,principal,credential,login,address,action,thing,before,after,previous,hash";

/// Commands about the audit log.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin audit verify
  tenure admin audit checkpoint >> /somewhere/else/audit-heads
  tenure admin audit verify --against tenure-audit-1:4711:…
  tenure admin audit verify --segments tenure-data/audit
  tenure admin audit export --since 2026-11-01 --format csv
  tenure admin audit seal --before 2026-01-01                  Export older entries to files and drop them

Store a checkpoint where people with write access to the database cannot change it. It proves later that nothing before it \
was changed or cut off.")]
pub enum AuditCommand {
    /// Check that no entry was changed, removed or inserted
    Verify {
        /// An earlier checkpoint, which the log must contain
        #[arg(long, value_name = "HEAD")]
        against: Option<AuditHead>,
        /// Folder of sealed segments to check before the log, which continues them
        #[arg(long, value_name = "FOLDER")]
        segments: Option<PathBuf>,
    },
    /// Print the head of the chain, to store elsewhere
    Checkpoint,
    /// Print entries, the oldest first
    Export(ExportArgs),
    /// Move old entries to files: write them to `audit_archive`, verify the files, then delete the entries
    Seal {
        /// Entries before this time: a day (2026-11-21, in UTC) or a moment (2026-11-21T12:00:00Z)
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        before: Micros,
    },
}

/// Arguments of `tenure admin audit export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Only entries from this time: a day (2026-11-21, in UTC) or a moment (2026-11-21T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub since: Option<Micros>,
    /// Only entries before this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub until: Option<Micros>,
    /// Format of the entries
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
}

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON document per line
    Jsonl,
    /// Comma-separated values with a heading (RFC 4180)
    Csv,
}

/// An entry, as printed.
#[derive(Serialize)]
struct AuditRow {
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

impl From<ChainedEntry> for AuditRow {
    fn from(chained: ChainedEntry) -> Self {
        let content = chained.entry.content;
        Self {
            sequence: chained.entry.sequence,
            at: format_time(content.at),
            organization: content.organization.map(|id| id.to_string()),
            principal: content.attribution.principal.map(|id| id.to_string()),
            credential: content.attribution.credential.map(|id| id.to_string()),
            login: content.attribution.login.map(|id| id.uuid().to_string()),
            address: content.attribution.address.map(|address| address.to_string()),
            action: content.action,
            thing: content.thing,
            before: content.was,
            after: content.details,
            previous: chained.previous,
            hash: chained.hash,
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// The log is not intact, or cannot be read or written.
pub async fn run(context: &Context, command: AuditCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    let outcome = match command {
        AuditCommand::Verify { against, segments } => {
            verify(context, &admin, against, segments.as_deref()).await
        }
        AuditCommand::Seal { before } => seal(context, &admin, before).await,
        AuditCommand::Checkpoint => checkpoint(context, &admin).await,
        AuditCommand::Export(arguments) => export(context, &admin, &arguments).await,
    };
    admin.close().await;
    outcome
}

async fn verify(
    context: &Context,
    admin: &Administration,
    against: Option<AuditHead>,
    segments: Option<&Path>,
) -> CommandResult<()> {
    let broken = |broken: BrokenEntry| {
        CommandError::new(format!("entry {} of the audit log {}", broken.sequence, broken.problem))
            .hint("the entries before it are intact; restore the others from a backup")
    };
    let outcome = match segments {
        Some(folder) => {
            let walk = audit_segments::verify_segments(folder, against, broken)?;
            admin.store.verify_audit_after(&admin.system, walk).await?
        }
        None => admin.store.verify_audit(&admin.system, None, against).await?,
    };
    let proof = outcome.map_err(broken)?;
    let head = proof.head.map(|head| head.to_string());
    let mut sentence = format!("The audit log is intact: {} entries.", proof.entries);
    if proof.unchained > 0 {
        sentence = format!(
            "{sentence} The {} before them, from older versions, have no hash to check.",
            proof.unchained
        );
    }
    let document = serde_json::json!({ "lines": proof.entries, "unchained": proof.unchained, "head": head });
    context.printer.print(&sentence, &document)
}

async fn seal(context: &Context, admin: &Administration, before: Micros) -> CommandResult<()> {
    let settings = context.settings(Vec::new())?.settings;
    let archive =
        server::open_files(&settings.audit_archive).map_err(|error| CommandError::new(error.to_string()))?;
    let sealed = audit_sealing::seal_audit_log(&admin.store, &*archive, before, now()).await?;
    let head = sealed.head.map(|head| head.to_string());
    let sentence = match sealed.segments {
        0 => "There is nothing to seal.".to_owned(),
        segments => format!("Sealed {} entries in {segments} segments.", sealed.entries),
    };
    let document = serde_json::json!({ "segments": sealed.segments, "lines": sealed.entries, "head": head });
    context.printer.print(&sentence, &document)
}

async fn checkpoint(context: &Context, admin: &Administration) -> CommandResult<()> {
    let head = admin.store.load_audit_head(&admin.system).await?;
    let head = head.ok_or_else(|| CommandError::new("the audit log is empty"))?.to_string();
    context.printer.print(&head, &serde_json::json!({ "head": head }))
}

async fn export(context: &Context, admin: &Administration, arguments: &ExportArgs) -> CommandResult<()> {
    let (since, until) = (arguments.since.unwrap_or_default(), arguments.until.unwrap_or(Micros(i64::MAX)));
    if arguments.format == Format::Csv {
        context.printer.print_line(HEADINGS)?;
    }
    let mut after = 0;
    loop {
        let lines = admin.store.export_audit(&admin.system, after, since, until, PAGE).await?;
        let Some(last) = lines.last() else { return Ok(()) };
        after = last.entry.sequence;
        for line in lines {
            let row = AuditRow::from(line);
            context.printer.print_line(&match arguments.format {
                Format::Jsonl => serde_json::to_string(&row).map_err(std::io::Error::from)?,
                Format::Csv => csv_row(row),
            })?;
        }
    }
}

fn csv_row(line: AuditRow) -> String {
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
    .map(|cell| if cell.contains([',', '"', '\n', '\r']) { quote_cell(&cell) } else { cell })
    .join(",")
}

fn quote_cell(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}
