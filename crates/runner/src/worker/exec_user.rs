//! The user that commands run as, so that they can reach less than the worker.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::WorkerError;

/// The execute bits of a folder: permission to enter it.
const EXECUTE_BITS: u32 = 0o111;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecUser {
    /// The user's name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group. Commands are in no other group: one such as `docker` is as powerful as root.
    pub gid: u32,
    /// The home folder.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

impl ExecUser {
    /// Lets the user enter `directory`, which stays root's: a user who can write there could replace the folder of a
    /// session.
    ///
    /// # Errors
    /// The folder is not owned by root, others can write to it, or the user cannot reach it.
    pub(crate) fn allow_access(&self, directory: &Path) -> Result<(), WorkerError> {
        let unsafe_directory =
            |path: &Path, reason| WorkerError::UnsafeDirectory { path: path.to_owned(), reason };
        let cannot = |cause| WorkerError::Directory { path: directory.to_owned(), cause };
        let metadata = directory.symlink_metadata().map_err(cannot)?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Err(unsafe_directory(
                directory,
                "it must belong to root, and nobody else may write to it",
            ));
        }
        let mode = metadata.mode() & 0o7777 | EXECUTE_BITS;
        std::fs::set_permissions(directory, PermissionsExt::from_mode(mode)).map_err(cannot)?;
        for above in directory.ancestors().skip(1) {
            if !self.can_enter(&above.metadata().map_err(cannot)?) {
                return Err(unsafe_directory(
                    above,
                    "the user cannot enter this folder, which contains the sessions' folders",
                ));
            }
        }
        Ok(())
    }

    fn can_enter(&self, folder: &std::fs::Metadata) -> bool {
        let bit = match (folder.uid() == self.uid, folder.gid() == self.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        folder.mode() & bit != 0
    }

    /// Makes the user the owner of a session's folder.
    ///
    /// # Errors
    /// It is not a folder, or the system refuses.
    pub(crate) fn give_folder(&self, folder: &Path) -> io::Result<()> {
        if !folder.symlink_metadata()?.is_dir() {
            return Err(io::Error::other(format!("{} is not a folder", folder.display())));
        }
        lchown(folder, Some(self.uid), Some(self.gid))
    }

    /// Makes the command run as the user, without supplementary groups.
    pub(crate) fn apply_to(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
        command
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env("LOGNAME", &self.name)
            .env("SHELL", &self.shell);
    }
}
