//! Options of a worker, and the errors that end it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::ExecUser;
use crate::options::{could_be_key, hostname};

/// Maximum number of turns at once.
const MAX_PARALLEL: usize = 1000;

/// Options of `tenure worker`. [`WorkerOptions::new`] sets the defaults.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Base URLs of one deployment's servers (`http://` or `https://`). When one is away, the worker uses the next.
    pub servers: Vec<String>,
    /// The API key that the worker authenticates with. Never printed.
    pub token: String,
    /// The worker's name, for people.
    pub name: String,
    /// The agents whose turns it claims; empty for all agents.
    pub agents: Vec<String>,
    /// The organization whose turns it claims; `None` for all that the key reaches.
    pub organization: Option<Uuid>,
    /// Whether it claims the turns of all organizations; needs a key of the account.
    pub account: bool,
    /// The shell command that answers a message; `{session}` in it is replaced by the session's id.
    pub command: String,
    /// The user that the command runs as; `None` is the worker's own user. Only root can become another user.
    pub exec_user: Option<ExecUser>,
    /// Number of turns that run at once.
    pub parallel: usize,
    /// Time limit of a turn.
    pub time_limit: Duration,
    /// How long turns may continue after the worker was told to stop.
    pub stop_limit: Duration,
    /// Time between SIGTERM and SIGKILL for a command that must end.
    pub grace: Duration,
    /// The folder that contains the sessions' folders.
    pub directory: PathBuf,
    /// Whether lines `::tenure {…}` of the command are directives to the worker instead of output.
    pub directives: bool,
    /// Whether the session's secrets become environment variables of the command.
    pub secrets: bool,
    /// Whether the command reads the whole assignment as JSON instead of the message's text.
    pub json_input: bool,
}

impl WorkerOptions {
    /// Options with the defaults: the machine's name, all agents, one turn at once, at most 30 minutes each.
    pub fn new(servers: Vec<String>, token: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            servers,
            token: token.into(),
            name: hostname().unwrap_or_else(|| "worker".to_owned()),
            agents: Vec::new(),
            organization: None,
            account: false,
            command: command.into(),
            exec_user: None,
            parallel: 1,
            time_limit: Duration::from_secs(30 * 60),
            stop_limit: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            directory: PathBuf::from("tenure-work"),
            directives: false,
            secrets: false,
            json_input: false,
        }
    }

    /// Refuses options that cannot work, before anything is claimed.
    pub(crate) fn validate(&self) -> Result<(), WorkerError> {
        if self.servers.is_empty() {
            return Err(WorkerError::NoServer);
        }
        if !could_be_key(&self.token) {
            return Err(WorkerError::BadToken);
        }
        if self.command.trim().is_empty() || self.command.contains('\0') {
            return Err(WorkerError::NoCommand);
        }
        if !(1..=MAX_PARALLEL).contains(&self.parallel) {
            return Err(WorkerError::BadParallel);
        }
        if self.time_limit.is_zero() {
            return Err(WorkerError::NoTime);
        }
        Ok(())
    }
}

/// Prints neither the token nor the command, which may contain another secret.
impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("servers", &self.servers)
            .field("token", &"***")
            .field("name", &self.name)
            .field("agents", &self.agents)
            .field("parallel", &self.parallel)
            .field("time_limit", &self.time_limit)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Why a worker does not start, or stops. The messages are for people.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No server was named.
    #[error("no server to connect to: give its address with --server")]
    NoServer,
    /// The token is empty or has characters that no key has.
    #[error(
        "the key is empty or has characters that no key has: copy it again from `tenure admin key create`"
    )]
    BadToken,
    /// The command is empty or contains NUL.
    #[error("no command to run: give the command that answers a message with --exec")]
    NoCommand,
    /// The number of turns at once is out of range.
    #[error("a worker runs from 1 to {MAX_PARALLEL} turns at once: see --parallel")]
    BadParallel,
    /// The time limit is zero.
    #[error("the time limit must be more than zero: see --time-limit")]
    NoTime,
    /// A server's URL is invalid.
    #[error("'{0}' is not the address of a server: it must begin with http:// or https://")]
    BadServer(String),
    /// The server refuses the key for a worker; a retry would not help.
    #[error("the server {server} refused the key ({status}): {reason}")]
    Refused {
        /// The server's address.
        server: String,
        /// The HTTP status, 401 or 403.
        status: u16,
        /// The cause and the remedy.
        reason: &'static str,
    },
    /// The folder of the sessions' folders cannot be used.
    #[error("the folder {path} cannot be used: {cause}")]
    Directory {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The command's user could not reach the sessions' folders, or could replace them.
    #[error("the folder {path} cannot be used with --exec-user: {reason}")]
    UnsafeDirectory {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The HTTP client cannot be created.
    #[error("cannot set up HTTP connections: {0}")]
    Http(String),
    /// A task of the worker panicked.
    #[error("a task of the worker panicked, which is a bug in Tenure: {0}")]
    Bug(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_token_nor_the_command_is_printed() {
        let options = WorkerOptions::new(vec!["http://127.0.0.1".into()], "tnr_secret", "agent --key secret");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
