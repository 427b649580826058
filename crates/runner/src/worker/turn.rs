//! Runs one turn: its command, its reports to the server, and its outcome.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::work::{TurnAssignment, TurnCompletion, TurnOutcome};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::WorkerOptions;
use super::command::{self, CommandEnd, CommandLimits, OutputSummary};
use super::directives::RequestedState;
use super::folder_locks::FolderLocks;
use super::lease::Lease;
use super::outbox;
use super::work_client::{WorkClient, WorkError};
use crate::child_process::remove_secrets;

/// Longest text in an environment variable, in bytes: the system refuses programs with more than 128 KiB.
const MAX_VARIABLE_BYTES: usize = 100_000;

/// What all turns of a worker share.
#[derive(Debug)]
pub(crate) struct TurnRunner {
    pub(crate) options: WorkerOptions,
    pub(crate) client: Arc<WorkClient>,
    /// The folder that contains the sessions' folders, absolute.
    pub(crate) directory: PathBuf,
    pub(crate) folder_locks: FolderLocks,
    /// Cancelled when running turns must end.
    pub(crate) stopped: CancellationToken,
}

impl TurnRunner {
    /// Runs a turn that was just claimed, until it ends or its lease is lost. Errors fail the turn and are reported to
    /// the server.
    pub(crate) async fn run_turn(&self, mut assignment: TurnAssignment) {
        let lease = Lease::new(Arc::clone(&self.client), &mut assignment);
        tracing::info!(session = %lease.turn.session, turn = assignment.number, attempt = assignment.attempt, "turn started");
        tokio::select! {
            // Dropping the other branch kills the command and everything that it started.
            reason = lease.renew_until_lost() => {
                tracing::warn!(session = %lease.turn.session, turn = assignment.number, reason, "turn dropped");
            }
            () = self.run_and_report(&assignment, &lease) => {}
        }
    }

    async fn run_and_report(&self, assignment: &TurnAssignment, lease: &Lease) {
        let _lock = self.folder_locks.lock_folder(lease.turn.session).await;
        let (items, waiting) = mpsc::channel(outbox::MAX_WAITING_ITEMS);
        let report_failed = CancellationToken::new();
        let limits = CommandLimits {
            time: self.options.time_limit,
            grace: self.options.grace,
            cancelled: &lease.cancelled,
            stopped: &self.stopped,
            report_failed: &report_failed,
        };
        let reporting = async {
            let reported = outbox::report_items(lease, waiting).await;
            if reported.is_err() {
                report_failed.cancel();
            }
            reported
        };
        let (ended, reported) = tokio::join!(self.run_command(assignment, items, &limits), reporting);
        let outcome = match reported {
            Err(reason) => failure_outcome(format!("the command's output could not be reported: {reason}")),
            Ok(()) => turn_outcome(ended, self.options.time_limit),
        };
        tracing::info!(session = %lease.turn.session, turn = assignment.number, ?outcome, "turn ended");
        match lease
            .client
            .finish_turn(&lease.turn, &TurnCompletion { turn_ref: lease.turn.turn_ref, outcome })
            .await
        {
            Ok(()) => {}
            Err(WorkError::Rejected(reason) | WorkError::Unavailable(reason)) => {
                tracing::error!(session = %lease.turn.session, reason, "the server did not accept the turn's outcome");
            }
            Err(WorkError::Lost | WorkError::Refused { .. }) => {
                tracing::warn!(session = %lease.turn.session, "the turn was lost before its outcome was reported");
            }
        }
    }

    async fn run_command(
        &self,
        assignment: &TurnAssignment,
        items: mpsc::Sender<protocol::work::ReportedItem>,
        limits: &CommandLimits<'_>,
    ) -> io::Result<(CommandEnd, OutputSummary)> {
        let directory = self.directory.join(assignment.session.to_string());
        create_private_dir(&directory)?;
        if let Some(user) = &self.options.exec_user {
            user.give_folder(&directory)?;
        }
        let input = if self.options.json_input {
            serde_json::to_string(assignment)?
        } else {
            assignment.message.text.clone()
        };
        let mut command = self.command(assignment, &directory);
        command::run_command(&mut command, input, items, self.options.directives, limits).await
    }

    fn command(&self, assignment: &TurnAssignment, directory: &Path) -> Command {
        let session = assignment.session.to_string();
        let mut shell = Command::new("sh");
        remove_secrets(shell.arg("-c").arg(self.options.command.replace("{session}", &session)))
            .current_dir(directory)
            .env("TENURE_SESSION_ID", &session)
            .env("TENURE_SESSION_TITLE", variable_value(&assignment.title))
            .env("TENURE_SESSION_DIR", directory)
            .env("TENURE_AGENT", variable_value(&assignment.agent.name))
            .env("TENURE_MODEL", variable_value(assignment.agent.model.as_deref().unwrap_or_default()))
            .env("TENURE_TURN", assignment.number.to_string())
            .env("TENURE_ATTEMPT", assignment.attempt.to_string());
        let prompt = assignment.agent.system_prompt.as_deref().unwrap_or_default();
        shell.env("TENURE_SYSTEM_PROMPT", variable_value(prompt));
        if self.options.secrets {
            shell.envs(secret_variables(assignment));
        }
        if let Some(user) = &self.options.exec_user {
            user.apply_to(&mut shell);
        }
        shell
    }
}

/// The session's secrets as variables, except those that would change which programs run and how.
fn secret_variables(assignment: &TurnAssignment) -> impl Iterator<Item = (&str, String)> {
    let allowed = assignment.secrets.0.iter().filter(|(name, _)| {
        let allowed = is_allowed_variable(name);
        if !allowed {
            tracing::warn!(session = %assignment.session, name, "a secret with this name is not allowed in the environment");
        }
        allowed
    });
    allowed.map(|(name, value)| (name.as_str(), variable_value(value)))
}

/// Whether a session may set this variable.
fn is_allowed_variable(name: &str) -> bool {
    const FORBIDDEN: [&str; 10] =
        ["PATH", "HOME", "SHELL", "USER", "ENV", "BASH_ENV", "IFS", "CDPATH", "PS4", "SHELLOPTS"];
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let loader = ["TENURE", "LD_", "DYLD_", "GIT_"].iter().any(|prefix| name.starts_with(prefix));
    plain && begins && !loader && !FORBIDDEN.contains(&name)
}

/// Makes text valid in the environment: without NUL, and cut at the system's limit.
fn variable_value(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_VARIABLE_BYTES)].replace('\0', "")
}

/// Creates a folder that only the worker's user can read, unless it exists.
pub(crate) fn create_private_dir(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn turn_outcome(ended: io::Result<(CommandEnd, OutputSummary)>, time_limit: Duration) -> TurnOutcome {
    let (ending, summary) = match ended {
        Ok(ended) => ended,
        Err(error) => return failure_outcome(format!("the command could not be run: {error}")),
    };
    match ending {
        CommandEnd::ByItself(status) if status.success() => match summary.requested_state {
            Some(RequestedState::Finished) => TurnOutcome::Finished,
            Some(RequestedState::WaitingForApproval) => TurnOutcome::WaitingForApproval,
            Some(RequestedState::WaitingForUser) | None => TurnOutcome::WaitingForUser,
        },
        CommandEnd::ByItself(status) => TurnOutcome::Failed {
            message: append_last_lines(format!("the command ended with {status}"), &summary),
            exit_code: status.code(),
        },
        CommandEnd::OutOfTime => failure_outcome(append_last_lines(
            format!("the turn did not end within {time_limit:?}"),
            &summary,
        )),
        CommandEnd::Cancelled => TurnOutcome::Cancelled,
        CommandEnd::Stopped => failure_outcome("the worker was stopped before the turn ended".to_owned()),
        CommandEnd::ReportFailed => failure_outcome("the command's output could not be reported".to_owned()),
    }
}

fn failure_outcome(message: String) -> TurnOutcome {
    TurnOutcome::Failed { message, exit_code: None }
}

fn append_last_lines(sentence: String, summary: &OutputSummary) -> String {
    let last = summary.last_lines();
    if last.is_empty() { sentence } else { format!("{sentence}\n{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_cannot_set_variables_that_choose_programs() {
        for name in ["API_KEY", "_x", "key2"] {
            assert!(is_allowed_variable(name), "{name}");
        }
        for name in ["", "PATH", "LD_PRELOAD", "TENURE_TURN", "GIT_SSH_COMMAND", "2x", "A=B", "A B", "ä"] {
            assert!(!is_allowed_variable(name), "{name}");
        }
    }
}
