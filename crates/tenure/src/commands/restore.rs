//! `tenure restore`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use domain::time::Micros;
use serde::Serialize;
use server::private;
use server::settings::{FileStore, Settings};
use store::database::SCHEMA_VERSION;
use store::database::dump::{self, Dump};
use store::restore::{self, Ended};

use crate::administration::{Administration, now, random, time};
use crate::archive::{Archive, KeptFile, Scratch};
use crate::commands::Context;
use crate::error::{Failure, Result};

/// Arguments of `tenure restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tenure restore tenure.backup
  tenure restore tenure.backup --force               Where there is a database: stop the servers first

Somebody may have revoked anything since the backup was made, and the backup does not know. So everybody is signed out, \
what was sent by mail is void, and all API keys end, those of hosts and workers, too. With --keep-keys keys stay: then \
revoke again what was revoked since.")]
pub struct Restore {
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
struct Shown {
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
pub async fn run(context: &Context, arguments: Restore) -> Result<()> {
    let settings = context.settings(Vec::new())?.settings;
    let mut archive = Archive::open(&arguments.file)?;
    check(&settings, &archive, &arguments).await?;
    let contents = archive.contents.clone();
    let key = keep_master_key(&settings, &mut archive, arguments.force)?;
    // The pair that signed what was signed before. The server makes another one.
    forget(&settings.signing_keys.join("signing-key.json"))?;
    let at = now();
    let copy = Scratch::new(staging(&settings)?)?;
    archive.extract(copy.path())?;
    let after = restore::statements(Micros(contents.made_us), arguments.keep_keys, at)?;
    let dumped =
        Dump { kind: contents.database.clone(), schema: contents.schema, place: contents.place.clone() };
    dump::restore(settings.database.reveal(), &dumped, copy.path(), after, at.0).await?;
    let ended = ended(&settings, at).await?;
    let missing = missing(&settings.files, &archive.files()?);
    let shown = Shown {
        made_at: time(Micros(contents.made_us)),
        schema: SCHEMA_VERSION,
        logins_ended: ended.logins,
        keys_ended: ended.keys,
        keys_kept: arguments.keep_keys,
        files_missing: missing,
        master_key: key,
    };
    context.output.done(&sentences(&settings, &shown), &shown)
}

/// Refuses before anything is changed.
async fn check(settings: &Settings, archive: &Archive, arguments: &Restore) -> Result<()> {
    let (contents, url) = (&archive.contents, settings.database.reveal());
    let kind = dump::kind(url)?;
    if contents.database != kind {
        let text = format!(
            "the backup is of a {} database, and {} is not one",
            contents.database, settings.database
        );
        return Err(Failure::new(text).hint("name the database to restore to with --database"));
    }
    if contents.schema > SCHEMA_VERSION {
        return Err(Failure::new(format!(
            "the backup was made by a newer tenure (schema {}; this program knows {SCHEMA_VERSION})",
            contents.schema
        ))
        .hint("use that version or a later one"));
    }
    if dump::occupied(url).await? && !arguments.force {
        return Err(Failure::new(format!("there is a database at {} already", settings.database))
            .hint("restore to another place with --database, or replace it with --force"));
    }
    Ok(())
}

/// Where the dump is put that is being restored.
fn staging(settings: &Settings) -> Result<PathBuf> {
    if let Some(path) = dump::staging(settings.database.reveal())? {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private::make_folder(folder)?;
        }
        return Ok(path);
    }
    let name = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(std::env::temp_dir().join(format!("tenure-restore-{name}.dump")))
}

/// Puts the master key where the server looks for it, if it is in the backup.
fn keep_master_key(settings: &Settings, archive: &mut Archive, force: bool) -> Result<&'static str> {
    let path = settings.master_key_path();
    let there = std::fs::read(&path).ok();
    let Some(key) = archive.master_key()? else {
        return Ok(if there.is_some() { "there" } else { "missing" });
    };
    match there {
        Some(there) if there == key => return Ok("there"),
        Some(_) if !force => {
            return Err(Failure::new(format!("there is another master key at {} already", path.display()))
                .hint("move it away, or replace it with --force"));
        }
        Some(_) => std::fs::rename(&path, path.with_extension("key.replaced"))?,
        None => {}
    }
    if let Some(folder) = path.parent() {
        private::make_folder(folder)?;
    }
    let making = Scratch::beside(&path, "restoring")?;
    let mut file = std::fs::OpenOptions::new().write(true).mode(0o600).open(making.path())?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(making.path(), &path)?;
    Ok("restored")
}

fn forget(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("cannot remove the old signing key {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

async fn ended(settings: &Settings, at: Micros) -> Result<Ended> {
    let admin = Administration::open(settings).await?;
    let ended = admin.store.ended_by_restore(&admin.system, at).await;
    admin.close().await;
    Ok(ended?)
}

/// How many files of the backup are not in their folder, or not as long.
fn missing(files: &FileStore, known: &[KeptFile]) -> usize {
    let FileStore::Folder(folder) = files else { return 0 };
    let same =
        |file: &KeptFile| folder.join(&file.path).metadata().is_ok_and(|about| about.len() == file.bytes);
    known.iter().filter(|file| !same(file)).count()
}

fn sentences(settings: &Settings, shown: &Shown) -> String {
    let mut lines = vec![format!("Restored {} as it was at {}.", settings.database, shown.made_at)];
    lines.push(format!(
        "Ended {} login sessions and all that was sent by mail: people sign in again.",
        shown.logins_ended
    ));
    lines.push(if shown.keys_kept {
        "Kept the API keys: revoke again what was revoked since (`tenure key list`, `tenure key revoke ID`)."
            .to_owned()
    } else {
        format!(
            "Ended {} API keys: make new ones for people, hosts and workers (`tenure key create`).",
            shown.keys_ended
        )
    });
    lines.push(
        "The server makes a new signing key. On other servers, delete theirs before they start.".to_owned(),
    );
    if shown.files_missing > 0 {
        lines.push(format!("{} files are not there: copy their folder back, too.", shown.files_missing));
    }
    match shown.master_key {
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
