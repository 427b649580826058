//! Child processes of a host or a worker. None of them may outlive it.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A child in its own process group. Dropping this kills the whole group, including what the child has started.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    pub(crate) child: Child,
    id: Option<Pid>,
}

impl ProcessGroup {
    /// Starts the command in a new group.
    pub(crate) fn spawn(command: &mut Command) -> std::io::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, id })
    }

    /// Sends a signal to the whole group.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // This fails if the group is already empty, which is fine.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Removes variables from a child's environment that hold our secrets, or that would make `mobilecli` a gateway to a
/// cloud account instead of a driver of local devices.
#[expect(clippy::disallowed_methods, reason = "not a setting: finds variables that a child must not inherit")]
pub(crate) fn remove_secrets(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if is_private(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Finds the program in `PATH`, as a shell would.
#[expect(clippy::disallowed_methods, reason = "PATH belongs to the system and is not a setting of ours")]
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}

fn is_private(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.starts_with("TENURE") || name.starts_with("MOBILECLI") || name.contains("FLEET")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, BufReader};

    #[test]
    fn our_tokens_and_cloud_tokens_are_private() {
        for name in ["TENURE_TOKEN", "MOBILECLI_TOKEN", "MOBILECLI_FLEET_URL", "FLEET_KEY", "my_fleet"] {
            assert!(is_private(name), "{name}");
        }
        for name in ["PATH", "HOME", "ANDROID_HOME"] {
            assert!(!is_private(name), "{name}");
        }
    }

    #[tokio::test]
    async fn grandchildren_die_with_the_group() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(std::process::Stdio::piped());
        let mut group = ProcessGroup::spawn(&mut command).unwrap();
        let mut lines = BufReader::new(group.child.stdout.take().unwrap()).lines();
        let grandchild = lines.next_line().await.unwrap().unwrap();
        drop(group);
        // The pipe closes when the last process that holds it is gone.
        assert_eq!(lines.next_line().await.unwrap(), None);
        let status = || std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        let ended = async {
            // A process closes its pipes a moment before it has ended.
            while !status().is_empty() && !status().contains(") Z ") {
                tokio::task::yield_now().await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(20), ended).await.is_ok(),
            "still there: {}",
            status()
        );
    }
}
