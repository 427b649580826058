//! Files and folders that only the server's user can read.

use crate::settings::{FileStore, MailRoute, Settings};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The permission bits of the group and of others.
const OTHERS: u32 = 0o077;

/// Makes a folder and its missing parents, accessible by their owner only. An existing folder keeps its permissions.
///
/// # Errors
/// The folder cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes other users' permissions from what earlier versions made too open: the folders of files and mails, and the files
/// of an SQLite database. Logs each change and each failure.
pub fn close_to_others(settings: &Settings) {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let FileStore::Folder(folder) = &settings.files {
        paths.push(folder.clone());
    }
    if let MailRoute::Outbox(folder) = &settings.mail {
        paths.push(folder.clone());
    }
    if let Some(database) = store::database::dump::sqlite_path(settings.database.reveal()) {
        let file = |end: &str| PathBuf::from(format!("{}{end}", database.display()));
        paths.extend(["", "-wal", "-shm", ".replaced"].map(file));
    }
    for path in paths {
        let Ok(about) = path.metadata() else { continue };
        let mode = about.permissions().mode() & 0o7777;
        if mode & OTHERS == 0 {
            continue;
        }
        let name = path.display().to_string();
        match std::fs::set_permissions(&path, Permissions::from_mode(mode & !OTHERS)) {
            Ok(()) => tracing::warn!(path = name, "other users could read this file; they no longer can"),
            Err(error) => {
                tracing::error!(path = name, %error, "other users can read this file, and the server cannot change its permissions");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_left_open_by_an_earlier_version_are_closed() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let settings = Settings {
            files: FileStore::Folder(at("files")),
            mail: MailRoute::Outbox(at("outbox")),
            database: format!("sqlite:{}", at("tenure.db").display()).into(),
            ..Settings::default()
        };
        close_to_others(&settings);
        make_folder(&at("files/deep")).unwrap();
        assert_eq!([mode(&at("files")), mode(&at("files/deep"))], [0o700, 0o700]);
        std::fs::create_dir(at("outbox")).unwrap();
        std::fs::write(at("tenure.db"), "").unwrap();
        for (name, loose) in [("files", 0o755), ("outbox", 0o750), ("tenure.db", 0o644)] {
            std::fs::set_permissions(at(name), Permissions::from_mode(loose)).unwrap();
        }
        close_to_others(&settings);
        assert_eq!([mode(&at("files")), mode(&at("outbox")), mode(&at("tenure.db"))], [0o700, 0o700, 0o600]);
    }
}
