//! Checks of files and folders: who can read them, and how much space is free.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use server::settings::{FileStore, MailRoute, Settings};

use super::Findings;
use crate::archive::Archive;

/// The mode bits that give the group or others any right.
const OTHERS: u32 = 0o077;
/// The mode bits that let the group or others write.
const OTHERS_WRITE: u32 = 0o022;
/// Free space in bytes below which a database and its write-ahead log may run full.
const MIN_FREE: u64 = 512 << 20;

/// Finds files with secrets, hashes or mails that others can read.
pub fn check_permissions(settings: &Settings, findings: &mut Findings) {
    let check = "permissions";
    let mut files = vec![settings.master_key_path(), settings.signing_keys.join("signing-key.json")];
    let mut folders = vec![settings.signing_keys.clone()];
    if let Some(database) = sqlite_path(settings) {
        for end in ["", "-wal", "-shm", ".replaced"] {
            files.push(format!("{}{end}", database.display()).into());
        }
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let about = folder.metadata().ok();
            if about.is_some_and(|about| about.mode() & OTHERS_WRITE != 0 && about.mode() & 0o1000 == 0) {
                let wrong = format!("others can create files in {}", folder.display());
                findings.add_problem(check, wrong, format!("chmod go-w {}", folder.display()));
            }
        }
    }
    if let MailRoute::Outbox(folder) = &settings.mail {
        folders.push(folder.clone());
    }
    if let FileStore::Folder(folder) = &settings.files {
        folders.push(folder.clone());
    }
    for (paths, mode) in [(files, "600"), (folders, "700")] {
        for path in paths {
            check_private(check, &path, mode, findings);
        }
    }
    findings.finish_check(check);
}

fn check_private(check: &'static str, path: &Path, mode: &str, findings: &mut Findings) {
    let Ok(about) = path.metadata() else { return };
    if about.mode() & OTHERS != 0 && !is_in_private_folder(path) {
        let wrong = format!("others can read {} (mode {:o})", path.display(), about.mode() & 0o777);
        findings.add_problem(check, wrong, format!("chmod {mode} {}", path.display()));
    }
}

/// Whether only the owner can enter its folder. Then its own mode does not matter.
fn is_in_private_folder(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let about = folder.unwrap_or(Path::new(".")).metadata();
    about.is_ok_and(|about| about.mode() & OTHERS == 0)
}

/// Finds disks that are almost full.
pub fn check_room(settings: &Settings, findings: &mut Findings) {
    let check = "disk room";
    let mut places = vec![settings.signing_keys.clone()];
    places.extend(sqlite_path(settings).and_then(|path| path.parent().map(Path::to_owned)));
    if let FileStore::Folder(folder) = &settings.files {
        places.push(folder.clone());
    }
    for place in places {
        let Ok(about) = rustix::fs::statvfs(place.as_path()) else { continue };
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        if free < MIN_FREE {
            let wrong = format!("only {} MiB are free at {}", free >> 20, place.display());
            findings.add_problem(check, wrong, "free some space: on a full disk, every write fails");
        }
        if about.f_files > 0 && about.f_favail < 1000 {
            let wrong = format!("only {} more files fit at {}", about.f_favail, place.display());
            findings.add_problem(check, wrong, "delete files: the file system has almost no inodes left");
        }
    }
    findings.finish_check(check);
}

/// Checks that a backup is intact and that others cannot read it.
pub fn check_backup(path: &Path, findings: &mut Findings) {
    let check = "backup";
    check_private(check, path, "600", findings);
    if let Err(failure) = Archive::open(path) {
        let wrong =
            failure.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        findings.add_problem(check, wrong, "make another backup: `tenure backup FILE`");
    }
    findings.finish_check(check);
}

fn sqlite_path(settings: &Settings) -> Option<PathBuf> {
    store::database::dump::sqlite_path(settings.database.reveal())
}
