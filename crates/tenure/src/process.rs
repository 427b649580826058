//! The process of a server: it leaves no copy of its memory behind, and may have as many connections as the system
//! gives it.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, Result};

/// Sees to it that nobody gets at the keys in this process's memory: no core dump is written, and on Linux no other
/// process of the same user may look into it (`ptrace`, `/proc/<pid>/mem`) or read how it was started
/// (`/proc/<pid>/environ`).
///
/// # Errors
/// The system does not allow it.
pub fn keep_memory_private() -> Result<()> {
    let cannot =
        |error| Failure::new(format!("cannot keep this process's memory out of core dumps: {error}"));
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
