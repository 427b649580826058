//! The host's state folder.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::HostError;

/// The folder, locked for this host as long as this value lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the folder (only its owner can read it), locks it, and removes temporary files of a killed host.
    pub(crate) fn open(path: &Path) -> Result<Self, HostError> {
        let failed = |cause| HostError::StateDir { path: path.to_owned(), cause };
        create_private_dir(path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(HostError::StateDirInUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // mobilecli may run in another working directory, so paths must be absolute.
        let state = Self { path: fs::canonicalize(path).map_err(failed)?, _lock: lock };
        state.recreate_dir("tmp").map_err(failed)?;
        Ok(state)
    }

    /// A subfolder, created if it is missing.
    pub(crate) fn create_dir(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        create_private_dir(&path)?;
        Ok(path)
    }

    /// A subfolder, emptied if it exists.
    pub(crate) fn recreate_dir(&self, name: &str) -> io::Result<PathBuf> {
        match fs::remove_dir_all(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.create_dir(name)
    }

    /// The folder for files that live as long as a call.
    pub(crate) fn tmp_dir(&self) -> PathBuf {
        self.path.join("tmp")
    }
}

/// Uploaded apps and recordings are private, so only the owner can read the folder.
fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hosts_do_not_share_a_folder_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::open(&path).unwrap();
        fs::write(first.tmp_dir().join("left.apk"), "x").unwrap();
        assert!(matches!(StateDir::open(&path), Err(HostError::StateDirInUse(_))));
        drop(first);
        let second = StateDir::open(&path).unwrap();
        assert_eq!(fs::read_dir(second.tmp_dir()).unwrap().count(), 0);
    }
}
