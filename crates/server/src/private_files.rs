//! Files and folders that only the user of the server may read.

use crate::settings::{FileStore, MailRoute, Settings};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Permissions of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// Makes a folder and its missing parents, each for its owner only. A folder that exists stays as it is.
///
/// # Errors
/// The folder cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes the permissions of others away from what an earlier version made too open: the folders of files and of mails,
/// and the files of an SQLite database. Logs what it changes, and what it cannot change.
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
        let shown = path.display().to_string();
        match std::fs::set_permissions(&path, Permissions::from_mode(mode & !OTHERS)) {
            Ok(()) => tracing::warn!(path = shown, "others could read this: it is the server's alone now"),
            Err(error) => {
                tracing::error!(path = shown, %error, "others can read this, and the server may not change it");
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
    fn what_an_earlier_version_left_open_is_closed() {
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
