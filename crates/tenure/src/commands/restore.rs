//! `tenure restore`: makes a database from a backup.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use domain::time::Micros;
use serde::Serialize;
use server::private_files;
use server::settings::{FileStore, Settings};
use store::database::SCHEMA_VERSION;
use store::database::dump::{self, Dump};
use store::restore::{self, RestoreRevocations};

use crate::administration::{Administration, format_time, now, random_bytes};
use crate::archive::{Archive, BackupFile, TemporaryFile};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};

/// Arguments of `tenure restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tenure restore tenure.backup
  tenure restore tenure.backup --force               Replaces a database: stop the servers first

The backup does not know what was revoked after it was written. So a restore ends all login sessions, voids the links that were \
sent by mail, and revokes all API keys, those of hosts and workers too. With --keep-keys the keys stay: then revoke again those \
that were revoked since.")]
pub struct RestoreArgs {
    /// The file that `tenure backup` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace an existing database
    #[arg(long)]
    pub force: bool,
    /// Keep the API keys of the backup, also those that were revoked since
    #[arg(long)]
    pub keep_keys: bool,
}

/// The outcome of a restore.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreReport {
    made_at: String,
    schema: i64,
    logins_ended: i64,
    keys_ended: i64,
    keys_kept: bool,
    files_missing: usize,
    master_key: &'static str,
}

/// Restores the backup, as a whole or not at all.
///
/// # Errors
/// The backup is damaged or from a newer program, the target exists, or the database cannot be written.
pub async fn run(context: &Context, arguments: RestoreArgs) -> CommandResult<()> {
    let settings = context.settings(Vec::new())?.settings;
    let mut archive = Archive::open(&arguments.file)?;
    check_target(&settings, &archive, &arguments).await?;
    let manifest = archive.manifest.clone();
    let key = restore_master_key(&settings, &mut archive, arguments.force)?;
    // Tokens from before the restore must not verify. The server creates another key pair.
    remove_signing_key(&settings.signing_keys.join("signing-key.json"))?;
    let at = now();
    let copy = TemporaryFile::create(staging_path(&settings)?)?;
    archive.extract_dump(copy.path())?;
    let after = restore::statements(Micros(manifest.made_us), arguments.keep_keys, at)?;
    let dumped =
        Dump { kind: manifest.database.clone(), schema: manifest.schema, place: manifest.place.clone() };
    dump::restore(settings.database.reveal(), &dumped, copy.path(), after, at.0).await?;
    let ended = count_ended(&settings, at).await?;
    let missing = count_missing_files(&settings.files, &archive.read_files()?);
    let report = RestoreReport {
        made_at: format_time(Micros(manifest.made_us)),
        schema: SCHEMA_VERSION,
        logins_ended: ended.logins,
        keys_ended: ended.keys,
        keys_kept: arguments.keep_keys,
        files_missing: missing,
        master_key: key,
    };
    context.printer.print(&report_text(&settings, &report), &report)
}

/// Refuses a backup that does not fit the target, before anything is changed.
async fn check_target(settings: &Settings, archive: &Archive, arguments: &RestoreArgs) -> CommandResult<()> {
    let (manifest, url) = (&archive.manifest, settings.database.reveal());
    let kind = dump::kind(url)?;
    if manifest.database != kind {
        let text = format!(
            "the backup is of a {} database, but {} is not one",
            manifest.database, settings.database
        );
        return Err(CommandError::new(text).hint("name the database to restore to with --database"));
    }
    if manifest.schema > SCHEMA_VERSION {
        return Err(CommandError::new(format!(
            "the backup was made by a newer tenure (schema {}; this program knows {SCHEMA_VERSION})",
            manifest.schema
        ))
        .hint("use that version or a later one"));
    }
    if dump::is_occupied(url).await? && !arguments.force {
        return Err(CommandError::new(format!("there is already a database at {}", settings.database))
            .hint("restore to another place with --database, or replace it with --force"));
    }
    Ok(())
}

/// The path that the dump is copied to while it is restored.
fn staging_path(settings: &Settings) -> CommandResult<PathBuf> {
    if let Some(path) = dump::staging(settings.database.reveal())? {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_files::make_folder(folder)?;
        }
        return Ok(path);
    }
    let name = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(std::env::temp_dir().join(format!("tenure-restore-{name}.dump")))
}

/// Writes the master key of the backup, if there is one, to where the server reads it. Returns the key's state for
/// [`RestoreReport`].
fn restore_master_key(
    settings: &Settings,
    archive: &mut Archive,
    force: bool,
) -> CommandResult<&'static str> {
    let path = settings.master_key_path();
    let there = std::fs::read(&path).ok();
    let Some(key) = archive.read_master_key()? else {
        return Ok(if there.is_some() { "there" } else { "missing" });
    };
    match there {
        Some(there) if there == key => return Ok("there"),
        Some(_) if !force => {
            return Err(CommandError::new(format!(
                "there is already another master key at {}",
                path.display()
            ))
            .hint("move it away, or replace it with --force"));
        }
        Some(_) => std::fs::rename(&path, path.with_extension("key.replaced"))?,
        None => {}
    }
    if let Some(folder) = path.parent() {
        private_files::make_folder(folder)?;
    }
    let temporary = TemporaryFile::create_beside(&path, "restoring")?;
    let mut file = std::fs::OpenOptions::new().write(true).mode(0o600).open(temporary.path())?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(temporary.path(), &path)?;
    Ok("restored")
}

fn remove_signing_key(path: &Path) -> CommandResult<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CommandError::new(format!("cannot remove the old signing key {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

async fn count_ended(settings: &Settings, at: Micros) -> CommandResult<RestoreRevocations> {
    let admin = Administration::open(settings).await?;
    let ended = admin.store.count_restore_revocations(&admin.system, at).await;
    admin.close().await;
    Ok(ended?)
}

/// How many files of the backup's list are missing in their folder, or have another length.
fn count_missing_files(files: &FileStore, known: &[BackupFile]) -> usize {
    let FileStore::Folder(folder) = files else { return 0 };
    let same =
        |file: &BackupFile| folder.join(&file.path).metadata().is_ok_and(|about| about.len() == file.bytes);
    known.iter().filter(|file| !same(file)).count()
}

fn report_text(settings: &Settings, report: &RestoreReport) -> String {
    let mut lines = vec![format!("Restored {} as it was at {}.", settings.database, report.made_at)];
    lines.push(format!(
        "Ended {} login sessions and voided the links sent by mail: people have to sign in again.",
        report.logins_ended
    ));
    lines.push(if report.keys_kept {
        "Kept the API keys: revoke again those that were revoked since (`tenure admin key list`, `tenure admin key revoke ID`)."
            .to_owned()
    } else {
        format!(
            "Revoked {} API keys: create new ones for people, hosts and workers (`tenure admin key create`).",
            report.keys_ended
        )
    });
    lines.push(
        "The server creates a new signing key. On other servers, delete theirs before they start.".to_owned(),
    );
    if report.files_missing > 0 {
        lines.push(format!("{} files are missing: restore their folder too.", report.files_missing));
    }
    match report.master_key {
        "missing" => lines.push(format!(
            "The backup does not contain the master key: put it at {}, or sealed secrets cannot be opened.",
            settings.master_key_path().display()
        )),
        "restored" => {
            lines.push(format!("Restored the master key to {}.", settings.master_key_path().display()))
        }
        _ => {}
    }
    lines.push("Next: `tenure doctor`, then `tenure serve`.".to_owned());
    lines.join("\n")
}
