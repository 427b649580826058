//! `tenure backup`: writes the database to one file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use server::settings::FileStore;
use store::database::dump;
use store::{Attribution, NewAuditEntry};

use crate::administration::now;
use crate::archive::{self, BackupFile, Manifest, TemporaryFile};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};

/// Arguments of `tenure backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tenure backup /backups/tenure-$(date +%F).backup
  tenure backup --with-master-key tenure.backup      For a place that only you can read

Servers can run meanwhile. The backup contains the database, with the hashes of credentials, and a list of uploads and \
recordings, but not these files: copy their folder afterwards. It does not contain the master key, which seals secrets, unless \
you add --with-master-key: store the key somewhere else. PostgreSQL needs pg_dump on this machine.")]
pub struct BackupArgs {
    /// File to write; it must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Include the master key: whoever has the file can then open every secret
    #[arg(long)]
    pub with_master_key: bool,
}

/// Writes the backup.
///
/// # Errors
/// The file exists or cannot be written, or the database or the master key cannot be read.
pub async fn run(context: &Context, arguments: BackupArgs) -> CommandResult<()> {
    let settings = context.settings(Vec::new())?.settings;
    let BackupArgs { file, with_master_key } = arguments;
    if file.exists() {
        return Err(CommandError::new(format!("{} exists already", file.display())));
    }
    let admin = context.administration().await?;
    // Written before the dump, so that a restored database has the entry.
    let created = now();
    let line = NewAuditEntry::new(
        Attribution::TENURE,
        "backup.create",
        "",
        json!({ "master_key": with_master_key }),
        created,
    );
    admin.store.record_audit_entry(&admin.system, &line).await?;
    let audit = admin.store.load_audit_head(&admin.system).await?.map(|head| head.to_string());
    admin.close().await;
    let copy = TemporaryFile::create_beside(&file, "dump")?;
    let dumped = dump::dump(settings.database.reveal(), copy.path()).await?;
    let files = list_files(&settings.files)?;
    let key = match with_master_key {
        true => std::fs::read(settings.master_key_path()).map_err(|error| {
            CommandError::new(format!(
                "cannot read the master key {}: {error}",
                settings.master_key_path().display()
            ))
        })?,
        false => Vec::new(),
    };
    let manifest = Manifest {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_us: created.0,
        database: dumped.kind,
        schema: dumped.schema,
        place: dumped.place,
        audit,
        dump_bytes: copy.path().metadata()?.len(),
        files_bytes: files.len() as u64,
        master_key_bytes: key.len() as u64,
    };
    archive::write_backup(&file, &manifest, copy.path(), &files, &key)?;
    let bytes = file.metadata()?.len();
    let secret = if with_master_key {
        "It contains the master key: store it where only you can read it."
    } else {
        "It does not contain the master key: back that up separately."
    };
    let sentence = format!("Wrote {} ({bytes} bytes, schema {}). {secret}", file.display(), manifest.schema);
    context
        .printer
        .print(&sentence, &json!({ "bytes": bytes, "schema": manifest.schema, "audit": manifest.audit }))
}

/// Lists the files of a folder, one JSON document per line. Empty for an object store, which has its own backups.
fn list_files(files: &FileStore) -> CommandResult<String> {
    let FileStore::Folder(folder) = files else { return Ok(String::new()) };
    let mut found = Vec::new();
    collect_files(folder, Path::new(""), &mut found)?;
    found.sort_by(|one, other| one.path.cmp(&other.path));
    let lines =
        found.iter().map(|file| Ok(serde_json::to_string(file).map_err(std::io::Error::from)? + "\n"));
    lines.collect()
}

fn collect_files(folder: &Path, within: &Path, found: &mut Vec<BackupFile>) -> CommandResult<()> {
    let entries = match std::fs::read_dir(folder.join(within)) {
        // No file has been uploaded yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = within.join(entry.file_name());
        let about = entry.metadata()?;
        if about.is_dir() {
            collect_files(folder, &path, found)?;
        } else {
            found.push(BackupFile { path: path.to_string_lossy().into_owned(), bytes: about.len() });
        }
    }
    Ok(())
}
