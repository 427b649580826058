//! `tenure worker`.

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

The command runs once for each message, in a folder of its session, with the message on standard input and
TENURE_SESSION_ID, TENURE_SESSION_TITLE, TENURE_SESSION_DIR, TENURE_AGENT, TENURE_MODEL, TENURE_SYSTEM_PROMPT,
TENURE_TURN and TENURE_ATTEMPT set; {session} in it becomes the session's id. What it prints is the answer, and
standard error is the session's log. It runs with the rights of this user: let it answer only whom you trust, or
run the worker where nothing else is. docs/workers.md says all of it.

The key's principal needs the role worker: tenure service-user create NAME --role worker [--org ORG]. With a key of
the account all organizations are worked for.
The command cannot read the key, nor do anything with it: docs/workers.md says what it can reach.")]
pub struct WorkerArgs {
    /// Server to take work from; say it again for each server of the deployment
    #[arg(long, value_name = "URL", required = true, env = "TENURE_SERVER", hide_env_values = true, value_delimiter = ',', value_parser = host::parse_base_url)]
    pub server: Vec<BaseUrl>,
    /// Where its API key is.
    #[command(flatten)]
    pub key: KeySource,
    /// Agent to work as; say it again for more [default: every agent]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub agent: Vec<String>,
    /// Organization to work for, by its id [default: what the key is for]
    #[arg(long, value_name = "ID", value_parser = host::parse_organization)]
    pub org: Option<OrganizationId>,
    /// Work for all organizations; takes a key of the account
    #[arg(long, conflicts_with = "org")]
    pub account: bool,
    /// Shell command that answers a message
    #[arg(long, value_name = "COMMAND")]
    pub exec: String,
    /// User of this machine that the command runs as; the worker itself must run as root
    #[arg(long, value_name = "NAME")]
    pub exec_user: Option<String>,
    /// How many messages are answered at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_parallel)]
    pub parallel: usize,
    /// Longest that an answer may take: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub time_limit: Duration,
    /// How long answers may go on after Ctrl-C or SIGTERM; a second one ends them
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    pub stop_limit: Duration,
    /// Folder of the sessions' folders
    #[arg(long, value_name = "DIR", default_value = "tenure-work")]
    pub directory: PathBuf,
    /// Name of this worker, for people [default: the name of the machine]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,
    /// What the command reads: the message's text, or all that is known of it as JSON
    #[arg(long, value_name = "text|json", default_value = "text")]
    pub input: Input,
    /// Lines ::tenure {…} of the command are orders to the worker: see docs/workers.md
    #[arg(long)]
    pub directives: bool,
    /// Put the session's secrets into the command's environment: who creates sessions names the variables
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
        options.exec_user = self.exec_user.as_deref().map(exec_user).transpose()?;
        let command = options.exec_user.as_ref().map_or_else(own_ids, |user| (user.uid, vec![user.gid]));
        if command.0 == 0 {
            tracing::warn!(
                "the command runs as root, on text that others wrote, and can read everything on this machine, this worker's \
                 key included: let it run as another user with --exec-user NAME"
            );
        } else if self.key.is_readable_by(command.0, &command.1) {
            return Err(CommandError::new("the command could read the API key: its user may read the file that the key is in")
                .hint("let the file be another user's, mode 0400, and the command run as --exec-user NAME; docs/workers.md says what else there is"));
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

/// Without the token and the command, which may hold another secret.
impl fmt::Debug for WorkerArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerArgs")
            .field("server", &self.server)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// The user that commands run as.
fn exec_user(name: &str) -> CommandResult<ExecUser> {
    if !rustix::process::geteuid().is_root() {
        return Err(CommandError::new(
            "--exec-user needs a worker that runs as root: nobody else can become another user",
        )
        .hint("start the worker as the user that its command is to run as, and leave --exec-user away"));
    }
    let user = ExecUser::from(SystemUser::find(name)?);
    if user.uid == 0 {
        return Err(CommandError::new("--exec-user is for another user than root"));
    }
    Ok(user)
}

/// The user and the groups of this process.
fn own_ids() -> (u32, Vec<u32>) {
    let mut groups = rustix::process::getgroups().unwrap_or_default();
    groups.push(rustix::process::getegid());
    (rustix::process::geteuid().as_raw(), groups.into_iter().map(|group| group.as_raw()).collect())
}

fn parse_parallel(text: &str) -> std::result::Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1000).contains(count));
    count.ok_or_else(|| "expected a number from 1 to 1000".to_owned())
}

/// Takes messages and answers them until told to stop.
///
/// # Errors
/// The servers refuse the key, or the folder cannot be used.
pub async fn run(context: &Context, arguments: WorkerArgs) -> CommandResult<()> {
    start_logging(&context.settings(Vec::new())?.settings)?;
    let stopped = runner::worker::run(arguments.options()?, stop_at_signals()?).await;
    stopped.map_err(|error| CommandError::new(error.to_string()))
}

/// The first Ctrl-C or SIGTERM stops gently, the second at once. Neither ends the program by itself: commands that run
/// would outlive it. (Once tokio listens to a signal, it stays without its own effect.)
fn stop_at_signals() -> CommandResult<Stop> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = Stop::default();
    let told = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        told.gently.cancel();
        either(&mut terminate, &mut interrupt).await;
        told.now.cancel();
    });
    Ok(stop)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
