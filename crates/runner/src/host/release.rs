//! The operator's command after each hold.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::child_process::{ProcessGroup, remove_secrets};

/// Time limit for the command.
const LIMIT: Duration = Duration::from_secs(60);

/// Longest part of a line that the operator sees, in characters.
const MAX_LINE_CHARS: usize = 200;

/// Runs the command in a shell, with the device in its environment.
///
/// # Errors
/// A sentence for the operator: how the command ended, and the last line of its standard error.
pub(crate) async fn run_command(command: &str, serial: &str, platform: &str) -> Result<(), String> {
    let mut shell = Command::new("sh");
    remove_secrets(shell.arg("-c").arg(command))
        .env("TENURE_DEVICE_SERIAL", serial)
        .env("TENURE_DEVICE_PLATFORM", platform)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut group = ProcessGroup::spawn(&mut shell)
        .map_err(|error| format!("the release command did not start: {error}"))?;
    let stderr = group.child.stderr.take();
    let work = async {
        // A background process of the command may hold the pipe open, so only the command's own end counts.
        let (status, last) = tokio::select! {
            status = group.child.wait() => (status, String::new()),
            last = read_last_line(stderr) => (group.child.wait().await, last),
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                Err(format!("the release command ended with {status} {last}").trim_end().to_owned())
            }
            Err(error) => Err(format!("cannot wait for the release command: {error}")),
        }
    };
    tokio::time::timeout(LIMIT, work)
        .await
        .unwrap_or_else(|_| Err(format!("the release command did not end within {} s", LIMIT.as_secs())))
}

async fn read_last_line(stderr: Option<tokio::process::ChildStderr>) -> String {
    let Some(stderr) = stderr else { return String::new() };
    let mut lines = BufReader::new(stderr).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.trim().is_empty() {
            last = line.chars().take(MAX_LINE_CHARS).collect();
        }
    }
    if last.is_empty() { last } else { format!("({last})") }
}

#[cfg(test)]
mod tests {
    use super::run_command;

    #[tokio::test]
    async fn the_command_gets_the_device_and_its_failure_is_reported() {
        let check = r#"[ "$TENURE_DEVICE_SERIAL/$TENURE_DEVICE_PLATFORM" = s1/ios ]"#;
        assert_eq!(run_command(check, "s1", "ios").await, Ok(()));
        let failed = run_command("exit 3", "s1", "ios").await.unwrap_err();
        assert!(failed.contains("exit status: 3"), "{failed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_hangs_is_killed() {
        // The paused clock jumps to the time limit as soon as nothing else can happen.
        let failed = run_command("sleep 1000", "s1", "ios").await.unwrap_err();
        assert!(failed.contains("within 60 s"), "{failed}");
    }
}
