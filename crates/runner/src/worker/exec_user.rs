//! Another user that commands run as, so that they reach less than the worker does.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::WorkerError;

/// Execution of a folder, which is the right to get to what is in it.
const EXECUTE_BITS: u32 = 0o111;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecUser {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// Its first group. Commands are in no other: a group such as `docker` is root by another name.
    pub gid: u32,
    /// Its home.
    pub home: PathBuf,
    /// Its shell.
    pub shell: PathBuf,
}

impl ExecUser {
    /// Lets the user get to the folders in `directory`, which stays root's: whoever could write there could put something
    /// else in the place of a session's folder.
    ///
    /// # Errors
    /// The folder is not root's alone, or the user cannot get to it.
    pub(crate) fn allow_access(&self, directory: &Path) -> Result<(), WorkerError> {
        let unsafe_directory =
            |path: &Path, reason| WorkerError::UnsafeDirectory { path: path.to_owned(), reason };
        let cannot = |cause| WorkerError::Directory { path: directory.to_owned(), cause };
        let about = directory.symlink_metadata().map_err(cannot)?;
        if about.uid() != 0 || about.mode() & 0o022 != 0 {
            return Err(unsafe_directory(
                directory,
                "it must belong to root, and nobody else may write to it",
            ));
        }
        let mode = about.mode() & 0o7777 | EXECUTE_BITS;
        std::fs::set_permissions(directory, PermissionsExt::from_mode(mode)).map_err(cannot)?;
        for above in directory.ancestors().skip(1) {
            if !self.can_enter(&above.metadata().map_err(cannot)?) {
                return Err(unsafe_directory(
                    above,
                    "the user cannot get through this folder, which the sessions' folders are below",
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

    /// Gives a session's folder to the user.
    ///
    /// # Errors
    /// It is no folder, or the system refuses.
    pub(crate) fn give_folder(&self, folder: &Path) -> io::Result<()> {
        if !folder.symlink_metadata()?.is_dir() {
            return Err(io::Error::other(format!("{} is no folder", folder.display())));
        }
        lchown(folder, Some(self.uid), Some(self.gid))
    }

    /// Lets a command run as the user. Its supplementary groups are none.
    pub(crate) fn apply_to(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
        command
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env("LOGNAME", &self.name)
            .env("SHELL", &self.shell);
    }
}
