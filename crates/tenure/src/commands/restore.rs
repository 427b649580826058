//! `tenure restore`.

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
  tenure restore tenure.backup --force               Where there is a database: stop the servers first

Somebody may have revoked anything since the backup was made, and the backup does not know. So everybody is signed out, \
what was sent by mail is void, and all API keys end, those of hosts and workers, too. With --keep-keys keys stay: then \
revoke again what was revoked since.")]
pub struct RestoreArgs {
    /// The file that `tenure backup` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace the database that is there
    #[arg(long)]
    pub force: bool,
    /// Let the API keys of the backup open again what they opened then, also those that were revoked since
    #[arg(long)]
    pub keep_keys: bool,
}

/// What was done.
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

/// Does it, as a whole or not at all.
///
/// # Errors
/// The backup is damaged or of a newer program; something is where it should go; the database cannot be written.
pub async fn run(context: &Context, arguments: RestoreArgs) -> CommandResult<()> {
    let settings = context.settings(Vec::new())?.settings;
    let mut archive = Archive::open(&arguments.file)?;
    check_target(&settings, &archive, &arguments).await?;
    let manifest = archive.manifest.clone();
    let key = restore_master_key(&settings, &mut archive, arguments.force)?;
    // The pair that signed what was signed before. The server makes another one.
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

/// Refuses before anything is changed.
async fn check_target(settings: &Settings, archive: &Archive, arguments: &RestoreArgs) -> CommandResult<()> {
    let (manifest, url) = (&archive.manifest, settings.database.reveal());
    let kind = dump::kind(url)?;
    if manifest.database != kind {
        let text = format!(
            "the backup is of a {} database, and {} is not one",
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
        return Err(CommandError::new(format!("there is a database at {} already", settings.database))
            .hint("restore to another place with --database, or replace it with --force"));
    }
    Ok(())
}

/// Where the dump is put that is being restored.
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

/// Puts the master key where the server looks for it, if it is in the backup.
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
                "there is another master key at {} already",
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
    let making = TemporaryFile::create_beside(&path, "restoring")?;
    let mut file = std::fs::OpenOptions::new().write(true).mode(0o600).open(making.path())?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(making.path(), &path)?;
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

/// How many files of the backup are not in their folder, or not as long.
fn count_missing_files(files: &FileStore, known: &[BackupFile]) -> usize {
    let FileStore::Folder(folder) = files else { return 0 };
    let same =
        |file: &BackupFile| folder.join(&file.path).metadata().is_ok_and(|about| about.len() == file.bytes);
    known.iter().filter(|file| !same(file)).count()
}

fn report_text(settings: &Settings, report: &RestoreReport) -> String {
    let mut lines = vec![format!("Restored {} as it was at {}.", settings.database, report.made_at)];
    lines.push(format!(
        "Ended {} login sessions and all that was sent by mail: people sign in again.",
        report.logins_ended
    ));
    lines.push(if report.keys_kept {
        "Kept the API keys: revoke again what was revoked since (`tenure key list`, `tenure key revoke ID`)."
            .to_owned()
    } else {
        format!(
            "Ended {} API keys: make new ones for people, hosts and workers (`tenure key create`).",
            report.keys_ended
        )
    });
    lines.push(
        "The server makes a new signing key. On other servers, delete theirs before they start.".to_owned(),
    );
    if report.files_missing > 0 {
        lines.push(format!("{} files are not there: copy their folder back, too.", report.files_missing));
    }
    match report.master_key {
        "missing" => lines.push(format!(
            "The master key is not in the backup: put it at {}, or sealed secrets cannot be opened.",
            settings.master_key_path().display()
        )),
        "restored" => {
            lines.push(format!("The master key is at {} again.", settings.master_key_path().display()))
        }
        _ => {}
    }
    lines.push("Then: `tenure doctor`, and `tenure serve`.".to_owned());
    lines.join("\n")
}
