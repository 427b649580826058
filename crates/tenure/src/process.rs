//! Limits of this process: no copies of its memory, no inherited open files, and as many open files as the system allows.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::error::{CommandError, CommandResult};

/// Keeps the keys in this process's memory private: it writes no core dump, and on Linux no other process of the same user
/// can read its memory (`ptrace`, `/proc/<pid>/mem`) or its first environment (`/proc/<pid>/environ`).
///
/// # Errors
/// The system refuses.
pub fn keep_memory_private() -> CommandResult<()> {
    let cannot =
        |error| CommandError::new(format!("cannot keep this process's memory out of core dumps: {error}"));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(cannot)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(cannot)?;
    Ok(())
}

/// Makes all new files and folders readable by this user only, also those that a library creates.
pub fn keep_files_private() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// Closes inherited files except standard input, output and error, so that child processes do not inherit them either.
/// Call it before this process opens a file.
pub fn close_inherited_files() {
    let listed = std::fs::read_dir("/dev/fd").map(|files| {
        let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
        numbers.collect::<Vec<i32>>()
    });
    // Without /dev/fd: all numbers under the usual limit.
    for file in listed.unwrap_or_else(|_| (0..1024).collect()) {
        if file > 2 {
            let _ = nix::unistd::close(file);
        }
    }
}

/// A user of this machine.
#[derive(Debug, Clone)]
pub struct SystemUser(nix::unistd::User);

impl SystemUser {
    /// Looks a user up by name.
    ///
    /// # Errors
    /// The user does not exist, or cannot be looked up.
    pub fn find(name: &str) -> CommandResult<SystemUser> {
        match nix::unistd::User::from_name(name) {
            Ok(Some(user)) => Ok(SystemUser(user)),
            Ok(None) => Err(CommandError::new(format!("there is no user {name} on this machine"))),
            Err(error) => Err(CommandError::new(format!("cannot look up the user {name}: {error}"))),
        }
    }
}

impl From<SystemUser> for runner::worker::ExecUser {
    fn from(SystemUser(user): SystemUser) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
            shell: user.shell,
        }
    }
}
