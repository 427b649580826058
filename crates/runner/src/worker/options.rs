//! What a worker is told at its start, and why it may refuse.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::ExecUser;
use crate::options::{could_be_key, hostname};

/// Most turns at once.
const MAX_PARALLEL: usize = 1000;

/// What `tenure worker` is told. [`WorkerOptions::new`] fills in what rarely changes.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Base URLs of one deployment's servers (`http://` or `https://`): the next is asked when one is away.
    pub servers: Vec<String>,
    /// The API key that the worker connects with. Never printed.
    pub token: String,
    /// The worker's name, for people.
    pub name: String,
    /// The agents whose turns it takes; none is all.
    pub agents: Vec<String>,
    /// The organization whose turns it takes; without one, all that the key reaches.
    pub organization: Option<Uuid>,
    /// Whether it takes the turns of all organizations, whatever its key is for.
    pub account: bool,
    /// The shell command that answers a message; `{session}` in it becomes the session's id.
    pub command: String,
    /// Who the command runs as; `None` is the worker's own user. Only root can become somebody else.
    pub exec_user: Option<ExecUser>,
    /// How many turns run at once.
    pub parallel: usize,
    /// Longest that a turn may take.
    pub time_limit: Duration,
    /// How long turns may go on after the worker was told to stop.
    pub stop_limit: Duration,
    /// Time between the polite end of a command (SIGTERM) and the other one (SIGKILL).
    pub grace: Duration,
    /// The folder of the sessions' own folders.
    pub directory: PathBuf,
    /// Whether lines `::tenure {…}` of the command are directives to the worker instead of output.
    pub directives: bool,
    /// Whether the session's secrets become environment variables of the command.
    pub secrets: bool,
    /// Whether the command reads the whole assignment as JSON instead of the message's text.
    pub json_input: bool,
}

impl WorkerOptions {
    /// Options with the defaults: the machine's name, any agent, one turn at once, for at most 30 minutes.
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

    /// Refuses what cannot work, before anything is claimed.
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

/// Everything but the token, and not the command, which may hold another secret.
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

/// Why a worker does not start, or ends. The sentences are for people.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No server was named.
    #[error("no server to connect to: give its address with --server")]
    NoServer,
    /// The token cannot be a key.
    #[error("the key is empty or has characters that no key has: copy it again from `tenure key create`")]
    BadToken,
    /// There is nothing to run.
    #[error("no command to run: say with --exec what answers a message")]
    NoCommand,
    /// The number of turns at once makes no sense.
    #[error("a worker runs from 1 to {MAX_PARALLEL} turns at once: see --parallel")]
    BadParallel,
    /// Turns would have no time.
    #[error("a turn needs time: see --time-limit")]
    NoTime,
    /// A server's address cannot be used.
    #[error("'{0}' is not the address of a server: it must begin with http:// or https://")]
    BadServer(String),
    /// The server does not let this key connect a worker; trying again would not help.
    #[error("the server {server} refused the key ({status}): {reason}")]
    Refused {
        /// The server's address.
        server: String,
        /// The HTTP status, 401 or 403.
        status: u16,
        /// What to do about it.
        reason: &'static str,
    },
    /// The folder of the sessions cannot be used.
    #[error("the folder {path} cannot be used: {cause}")]
    Directory {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The command's user would not get to the sessions' folders, or could replace them.
    #[error("the folder {path} is not fit for --exec-user: {reason}")]
    UnsafeDirectory {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// HTTPS cannot be set up.
    #[error("cannot set up HTTP connections: {0}")]
    Http(String),
    /// A part of the worker broke.
    #[error("the worker broke, which is a bug in Tenure: {0}")]
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
