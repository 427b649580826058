//! One turn: the command, what it says on its way to the server, and its outcome.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::work::{Assignment, Done, Outcome};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::WorkerOptions;
use super::command::{self, Ending, Limits, Said};
use super::directives::Asked;
use super::folder_locks::Rooms;
use super::lease::Lease;
use super::outbox;
use super::work_client::{Servers, Trouble};
use crate::child_process::without_secrets;

/// Longest text that is put into the environment, in bytes: the system refuses programs with more than 128 KiB.
const MOST_VARIABLE: usize = 100_000;

/// What all turns of a worker share.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) options: WorkerOptions,
    pub(crate) servers: Arc<Servers>,
    /// The folder of the sessions' folders, absolute.
    pub(crate) directory: PathBuf,
    pub(crate) rooms: Rooms,
    /// Turns that still run must end.
    pub(crate) stopped: CancellationToken,
}

impl Work {
    /// Works on a turn that was just claimed, to its end or until it is lost. What can go wrong is the
    /// turn's own failure, and told to the server.
    pub(crate) async fn take(&self, mut assignment: Assignment) {
        let lease = Lease::new(Arc::clone(&self.servers), &mut assignment);
        tracing::info!(session = %lease.turn.session, turn = assignment.number, attempt = assignment.attempt, "turn begun");
        tokio::select! {
            // Dropping the answer kills the command and all that it started.
            reason = lease.keep() => {
                tracing::warn!(session = %lease.turn.session, turn = assignment.number, reason, "turn dropped");
            }
            () = self.answer(&assignment, &lease) => {}
        }
    }

    async fn answer(&self, assignment: &Assignment, lease: &Lease) {
        let _room = self.rooms.enter(lease.turn.session).await;
        let (items, waiting) = mpsc::channel(outbox::WAITING);
        let broken = CancellationToken::new();
        let limits = Limits {
            time: self.options.time_limit,
            grace: self.options.grace,
            cancelled: &lease.cancelled,
            stopped: &self.stopped,
            broken: &broken,
        };
        let reporting = async {
            let reported = outbox::report(lease, waiting).await;
            if reported.is_err() {
                broken.cancel();
            }
            reported
        };
        let (ended, reported) = tokio::join!(self.run(assignment, items, &limits), reporting);
        let outcome = match reported {
            Err(reason) => failed(format!("what the command wrote could not be reported: {reason}")),
            Ok(()) => outcome(ended, self.options.time_limit),
        };
        tracing::info!(session = %lease.turn.session, turn = assignment.number, ?outcome, "turn ended");
        match lease.servers.done(&lease.turn, &Done { claimed: lease.turn.claimed, outcome }).await {
            Ok(()) => {}
            Err(Trouble::Unusable(reason) | Trouble::Away(reason)) => {
                tracing::error!(session = %lease.turn.session, reason, "the turn's outcome was not taken");
            }
            Err(Trouble::Lost | Trouble::Refused { .. }) => {
                tracing::warn!(session = %lease.turn.session, "the turn was taken away at its end");
            }
        }
    }

    async fn run(
        &self,
        assignment: &Assignment,
        items: mpsc::Sender<protocol::work::Item>,
        limits: &Limits<'_>,
    ) -> io::Result<(Ending, Said)> {
        let directory = self.directory.join(assignment.session.to_string());
        create(&directory)?;
        if let Some(user) = &self.options.exec_user {
            user.own(&directory)?;
        }
        let input = if self.options.json_input {
            serde_json::to_string(assignment)?
        } else {
            assignment.message.text.clone()
        };
        let mut command = self.command(assignment, &directory);
        command::run(&mut command, input, items, self.options.directives, limits).await
    }

    fn command(&self, assignment: &Assignment, directory: &Path) -> Command {
        let session = assignment.session.to_string();
        let mut shell = Command::new("sh");
        without_secrets(shell.arg("-c").arg(self.options.command.replace("{session}", &session)))
            .current_dir(directory)
            .env("TENURE_SESSION_ID", &session)
            .env("TENURE_SESSION_TITLE", variable(&assignment.title))
            .env("TENURE_SESSION_DIR", directory)
            .env("TENURE_AGENT", variable(&assignment.agent.name))
            .env("TENURE_MODEL", variable(assignment.agent.model.as_deref().unwrap_or_default()))
            .env("TENURE_TURN", assignment.number.to_string())
            .env("TENURE_ATTEMPT", assignment.attempt.to_string());
        let prompt = assignment.agent.system_prompt.as_deref().unwrap_or_default();
        shell.env("TENURE_SYSTEM_PROMPT", variable(prompt));
        if self.options.secrets {
            shell.envs(secrets(assignment));
        }
        if let Some(user) = &self.options.exec_user {
            user.run(&mut shell);
        }
        shell
    }
}

/// The session's secrets as variables, less those that would change which programs run and how.
fn secrets(assignment: &Assignment) -> impl Iterator<Item = (&str, String)> {
    let harmless = assignment.secrets.0.iter().filter(|(name, _)| {
        let harmless = may_be_variable(name);
        if !harmless {
            tracing::warn!(session = %assignment.session, name, "a secret of this name is not put into the environment");
        }
        harmless
    });
    harmless.map(|(name, value)| (name.as_str(), variable(value)))
}

/// Whether a session may choose this variable.
fn may_be_variable(name: &str) -> bool {
    const NOT: [&str; 10] =
        ["PATH", "HOME", "SHELL", "USER", "ENV", "BASH_ENV", "IFS", "CDPATH", "PS4", "SHELLOPTS"];
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let loader = ["TENURE", "LD_", "DYLD_", "GIT_"].iter().any(|prefix| name.starts_with(prefix));
    plain && begins && !loader && !NOT.contains(&name)
}

/// Text as it can stand in the environment: without NUL, and cut where the system would refuse it.
fn variable(text: &str) -> String {
    text[..text.floor_char_boundary(MOST_VARIABLE)].replace('\0', "")
}

/// Makes a folder for the worker's user alone, unless it is there.
pub(crate) fn create(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn outcome(ended: io::Result<(Ending, Said)>, time_limit: Duration) -> Outcome {
    let (ending, said) = match ended {
        Ok(ended) => ended,
        Err(error) => return failed(format!("the command could not be run: {error}")),
    };
    match ending {
        Ending::ByItself(status) if status.success() => match said.state {
            Some(Asked::Finished) => Outcome::Finished,
            Some(Asked::WaitingForApproval) => Outcome::WaitingForApproval,
            Some(Asked::WaitingForUser) | None => Outcome::WaitingForUser,
        },
        Ending::ByItself(status) => Outcome::Failed {
            message: with_last_lines(format!("the command ended with {status}"), &said),
            exit_code: status.code(),
        },
        Ending::OutOfTime => {
            failed(with_last_lines(format!("the turn did not end within {time_limit:?}"), &said))
        }
        Ending::Cancelled => Outcome::Cancelled,
        Ending::Stopped => failed("the worker was stopped before the turn ended".to_owned()),
        Ending::Broken => failed("what the command wrote could not be reported".to_owned()),
    }
}

fn failed(message: String) -> Outcome {
    Outcome::Failed { message, exit_code: None }
}

fn with_last_lines(sentence: String, said: &Said) -> String {
    let last = said.last_lines();
    if last.is_empty() { sentence } else { format!("{sentence}\n{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_choose_no_variables_that_choose_programs() {
        for name in ["API_KEY", "_x", "key2"] {
            assert!(may_be_variable(name), "{name}");
        }
        for name in ["", "PATH", "LD_PRELOAD", "TENURE_TURN", "GIT_SSH_COMMAND", "2x", "A=B", "A B", "ä"] {
            assert!(!may_be_variable(name), "{name}");
        }
    }
}
