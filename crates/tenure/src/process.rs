//! The process of a server, a host or a worker: it leaves no copy of its memory behind and hands no open file on; a server
//! may have as many connections as the system gives it.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{CommandError, CommandResult};

/// Sees to it that nobody gets at the keys in this process's memory: no core dump is written, and on Linux no other
/// process of the same user may look into it (`ptrace`, `/proc/<pid>/mem`) or read how it was started
/// (`/proc/<pid>/environ`).
///
/// # Errors
/// The system does not allow it.
pub fn keep_memory_private() -> CommandResult<()> {
    let cannot =
        |error| CommandError::new(format!("cannot keep this process's memory out of core dumps: {error}"));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(cannot)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(cannot)?;
    Ok(())
}

/// Lets nobody but this user read what this process makes: also files that a library makes with its own idea of a mode.
pub fn keep_files_private() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// Asks for as many open files as this process may have at most: each connection is one, and the usual limit is for
/// programs that have few. Where that is refused, the usual limit stays.
pub fn take_all_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Closes what this process inherited beside standard input, output and error: whoever started it may have left files
/// open, and what it starts itself would have them, too. Only while this process has opened nothing itself.
pub fn close_inherited_files() {
    let listed = std::fs::read_dir("/dev/fd").map(|files| {
        let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
        numbers.collect::<Vec<i32>>()
    });
    // Without /dev/fd, all that there may be under the usual limit.
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
    /// There is none, or the system cannot say.
    pub fn find(name: &str) -> CommandResult<SystemUser> {
        match nix::unistd::User::from_name(name) {
            Ok(Some(user)) => Ok(SystemUser(user)),
            Ok(None) => Err(CommandError::new(format!("there is no user {name} on this machine"))),
            Err(error) => Err(CommandError::new(format!("cannot look up the user {name}: {error}"))),
        }
    }
}

/// As the runner needs it.
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
