//! Programs that a host or a worker starts, and that must not outlive it.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A child in a process group of its own. The whole group is killed when this is dropped, so that what the
/// child has started goes too.
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

    /// Sends a signal to all of the group.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // An empty group is an error and what we want.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Takes the variables out of a child's environment that hold our secrets, or would make a `mobilecli` a gateway
/// to somebody's cloud instead of a driver of what hangs here.
#[expect(clippy::disallowed_methods, reason = "not a setting: looks for what must not be handed on")]
pub(crate) fn remove_secrets(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if is_private(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// The program of this name in `PATH`, as a shell would find it.
#[expect(clippy::disallowed_methods, reason = "PATH is the system's, not a setting of ours")]
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
    fn tokens_of_ours_and_of_the_cloud_are_private() {
        for name in ["TENURE_TOKEN", "MOBILECLI_TOKEN", "MOBILECLI_FLEET_URL", "FLEET_KEY", "my_fleet"] {
            assert!(is_private(name), "{name}");
        }
        for name in ["PATH", "HOME", "ANDROID_HOME"] {
            assert!(!is_private(name), "{name}");
        }
    }

    #[tokio::test]
    async fn grandchildren_go_with_the_group() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(std::process::Stdio::piped());
        let mut group = ProcessGroup::spawn(&mut command).unwrap();
        let mut lines = BufReader::new(group.child.stdout.take().unwrap()).lines();
        let grandchild = lines.next_line().await.unwrap().unwrap();
        drop(group);
        // The pipe ends when the last of the group that holds it is gone.
        assert_eq!(lines.next_line().await.unwrap(), None);
        let status = || std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        let ended = async {
            // It lets go of its pipes a moment before it has ended.
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
