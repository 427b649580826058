//! `tenure worker`: answers messages of agent sessions with a command.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use domain::ids::OrganizationId;
use runner::worker::{ExecUser, Stop, WorkerOptions};
use server::settings::BaseUrl;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api_key::KeySource;
use crate::commands::{Context, host, start_logging};
use crate::error::{CommandError, CommandResult};
use crate::process::SystemUser;
use crate::values::{parse_duration, parse_name};

/// Arguments of `tenure worker`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  TENURE_TOKEN=tnr_… tenure worker --server https://tenure.example.com --exec 'claude -p'
  tenure worker --server https://tenure.example.com --token-file /etc/tenure/worker.key --exec-user agent --exec 'claude -p'
  TENURE_TOKEN=tnr_… tenure worker --server http://127.0.0.1:7420 --agent echo --exec 'sed \"s/^/You said: /\"'

The command runs once for each message, in the folder of the session. It reads the message from standard input, and its
output is the answer; standard error goes to the session's log. {session} in the command becomes the session's id. It finds
TENURE_SESSION_ID, TENURE_SESSION_TITLE, TENURE_SESSION_DIR, TENURE_AGENT, TENURE_MODEL, TENURE_SYSTEM_PROMPT, TENURE_TURN
and TENURE_ATTEMPT in its environment. It runs with the rights of this user: answer only people you trust, or run the worker
on a machine without anything else. docs/workers.md has the details.

The owner of the key needs the role worker: tenure admin service-user create NAME --role worker [--org ORG]. With a key of
the account, the worker works for all organizations. The command cannot read the key: docs/workers.md says what it can
reach.")]
pub struct WorkerArgs {
    /// Server to take work from; repeat for each server of the deployment
    #[arg(long, value_name = "URL", required = true, env = "TENURE_SERVER", hide_env_values = true, value_delimiter = ',', value_parser = host::parse_base_url)]
    pub server: Vec<BaseUrl>,
    /// The source of the API key.
    #[command(flatten)]
    pub key: KeySource,
    /// Agent to work as; repeat for more [default: every agent]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub agent: Vec<String>,
    /// Organization to work for, by its id [default: where the key works]
    #[arg(long, value_name = "ID", value_parser = host::parse_organization)]
    pub org: Option<OrganizationId>,
    /// Work for all organizations; needs a key of the account
    #[arg(long, conflicts_with = "org")]
    pub account: bool,
    /// Shell command that answers a message
    #[arg(long, value_name = "COMMAND")]
    pub exec: String,
    /// User of this machine to run the command as; the worker itself must run as root
    #[arg(long, value_name = "NAME")]
    pub exec_user: Option<String>,
    /// How many messages to answer at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_parallel)]
    pub parallel: usize,
    /// Time limit of an answer: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub time_limit: Duration,
    /// How long running answers may continue after Ctrl-C or SIGTERM; a second signal ends them
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    pub stop_limit: Duration,
    /// Folder of the sessions' folders
    #[arg(long, value_name = "DIR", default_value = "tenure-work")]
    pub directory: PathBuf,
    /// Name of this worker, for people [default: the name of the machine]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,
    /// What the command reads: the message's text, or the whole assignment as JSON
    #[arg(long, value_name = "text|json", default_value = "text")]
    pub input: Input,
    /// Treat lines `::tenure {…}` of the output as directives to the worker: see docs/workers.md
    #[arg(long)]
    pub directives: bool,
    /// Put the session's secrets into the command's environment; people who create sessions choose the variables' names
    #[arg(long)]
    pub secrets: bool,
}

/// What the command reads on standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Input {
    /// The message's text.
    Text,
    /// The assignment, one JSON object.
    Json,
}

impl WorkerArgs {
    fn options(self) -> CommandResult<WorkerOptions> {
        let servers = self.server.iter().map(BaseUrl::to_string).collect();
        let mut options = WorkerOptions::new(servers, self.key.secret(), self.exec);
        options.exec_user = self.exec_user.as_deref().map(find_exec_user).transpose()?;
        let command = options.exec_user.as_ref().map_or_else(own_ids, |user| (user.uid, vec![user.gid]));
        if command.0 == 0 {
            tracing::warn!(
                "the command runs as root on text that others wrote, and can read everything on this machine, including this \
                 worker's key: run it as another user with --exec-user NAME"
            );
        } else if self.key.is_readable_by(command.0, &command.1) {
            return Err(CommandError::new("the command could read the API key: its user can read the file of the key")
                .hint("give the file to another user with mode 0400, or run the command with --exec-user NAME; docs/workers.md has other ways"));
        }
        options.name = self.name.unwrap_or(options.name);
        options.agents = self.agent;
        options.parallel = self.parallel;
        options.time_limit = self.time_limit;
        options.stop_limit = self.stop_limit;
        options.directory = self.directory;
        options.organization = self.org.map(|id| id.0);
        options.account = self.account;
        options.directives = self.directives;
        options.secrets = self.secrets;
        options.json_input = self.input == Input::Json;
        Ok(options)
    }
}

/// Omits the key, and the command, which may contain another secret.
impl fmt::Debug for WorkerArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerArgs")
            .field("server", &self.server)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// Finds the user to run commands as.
fn find_exec_user(name: &str) -> CommandResult<ExecUser> {
    if !rustix::process::geteuid().is_root() {
        return Err(CommandError::new(
            "--exec-user needs a worker that runs as root: only root can become another user",
        )
        .hint("start the worker as the user to run the command as, without --exec-user"));
    }
    let user = ExecUser::from(SystemUser::find(name)?);
    if user.uid == 0 {
        return Err(CommandError::new("--exec-user cannot be root"));
    }
    Ok(user)
}

/// The ids of this process's user and groups.
fn own_ids() -> (u32, Vec<u32>) {
    let mut groups = rustix::process::getgroups().unwrap_or_default();
    groups.push(rustix::process::getegid());
    (rustix::process::geteuid().as_raw(), groups.into_iter().map(|group| group.as_raw()).collect())
}

fn parse_parallel(text: &str) -> std::result::Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1000).contains(count));
    count.ok_or_else(|| "expected a number from 1 to 1000".to_owned())
}

/// Takes messages and answers them until a signal stops the worker.
///
/// # Errors
/// The servers refuse the key, or the folder cannot be used.
pub async fn run(context: &Context, arguments: WorkerArgs) -> CommandResult<()> {
    start_logging(&context.settings(Vec::new())?.settings)?;
    let stopped = runner::worker::run(arguments.options()?, stop_at_signals()?).await;
    stopped.map_err(|error| CommandError::new(error.to_string()))
}

/// Stops gently at the first Ctrl-C or SIGTERM, and at once at the second. Neither ends the program by itself: running
/// commands would outlive it. (Once tokio listens to a signal, its default action is off for good.)
fn stop_at_signals() -> CommandResult<Stop> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = Stop::default();
    let stopping = stop.clone();
    tokio::spawn(async move {
        wait_for_signal(&mut terminate, &mut interrupt).await;
        stopping.gently.cancel();
        wait_for_signal(&mut terminate, &mut interrupt).await;
        stopping.now.cancel();
    });
    Ok(stop)
}

async fn wait_for_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
