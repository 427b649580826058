//! One file for each command.

pub mod admin;
pub mod backup;
pub mod demo;
pub mod doctor;
pub mod host;
pub mod migrate;
pub mod restore;
pub mod serve;
pub mod settings;
pub mod version;
pub mod worker;

use server::settings::{Inputs, Loaded, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::administration::Administration;
use crate::cli::{Cli, CliCommand, Global};
use crate::error::{CommandError, CommandResult};
use crate::output::Printer;
use crate::process;

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    global: Global,
    /// How to answer.
    pub printer: Printer,
}

impl Context {
    /// The settings of this command: `arguments` are those it takes itself, beside `--database`.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn settings(&self, mut arguments: Vec<(&'static str, String)>) -> CommandResult<Loaded> {
        arguments.extend(self.global.database.clone().map(|database| ("database", database)));
        Ok(Settings::load(&Inputs::of_process(self.global.config.clone(), arguments))?)
    }

    /// The database that was named as an argument.
    fn database(&self) -> Option<&String> {
        self.global.database.as_ref()
    }

    /// The database of the settings, for an administrator.
    ///
    /// # Errors
    /// The settings cannot be read, or there is no database.
    async fn administration(&self) -> CommandResult<Administration> {
        Administration::open(&self.settings(Vec::new())?.settings).await
    }
}

/// Does what was asked.
///
/// # Errors
/// What the person should read on standard error.
pub fn run(mut cli: Cli) -> CommandResult<()> {
    // Before there are threads or open files.
    match &mut cli.command {
        CliCommand::Host(arguments) => arguments.key.take()?,
        CliCommand::Worker(arguments) => arguments.key.take()?,
        CliCommand::Demo(_) => process::keep_memory_private()?,
        _ => {}
    }
    let context = Context { printer: Printer::new(cli.global.json), global: cli.global };
    // A host and a worker keep their own files in folders of their own (0700); what their commands make for others is not
    // theirs to close.
    if !matches!(cli.command, CliCommand::Host(_) | CliCommand::Worker(_)) {
        process::keep_files_private();
    }
    match cli.command {
        CliCommand::Settings(arguments) => settings::run(&context, arguments),
        CliCommand::Version => version::run(&context),
        command => runtime()?.block_on(run_async(&context, command)),
    }
}

async fn run_async(context: &Context, command: CliCommand) -> CommandResult<()> {
    match command {
        CliCommand::Serve(arguments) => serve::run(context, arguments).await,
        CliCommand::Demo(arguments) => demo::run(context, arguments).await,
        CliCommand::Host(arguments) => host::run(context, arguments).await,
        CliCommand::Worker(arguments) => worker::run(context, arguments).await,
        CliCommand::Org(command) => admin::org::run(context, command).await,
        CliCommand::User(command) => admin::user::run(context, command).await,
        CliCommand::Member(command) => admin::member::run(context, command).await,
        CliCommand::ServiceUser(command) => admin::service_user::run(context, command).await,
        CliCommand::Key(command) => admin::key::run(context, command).await,
        CliCommand::LoginSessions(command) => admin::login_sessions::run(context, command).await,
        CliCommand::MasterKey(command) => admin::master_key::run(context, command).await,
        CliCommand::Audit(command) => admin::audit::run(context, command).await,
        CliCommand::Clock(command) => admin::clock::run(context, command).await,
        CliCommand::Backup(arguments) => backup::run(context, arguments).await,
        CliCommand::Restore(arguments) => restore::run(context, arguments).await,
        CliCommand::Doctor(arguments) => doctor::run(context, arguments).await,
        CliCommand::Migrate => migrate::run(context).await,
        CliCommand::Settings(arguments) => settings::run(context, arguments),
        CliCommand::Version => version::run(context),
    }
}

fn runtime() -> CommandResult<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(format!("cannot start: {error}")))
}

/// Logs to standard error as the settings say.
fn start_logging(settings: &Settings) -> CommandResult<()> {
    server::observe::start_logging(&settings.log, settings.log_format)
        .map_err(|error| CommandError::new(format!("cannot start logging: {error}")))
}

/// What is cancelled at Ctrl-C or SIGTERM. A second one ends the program at once, for who does not want to wait.
fn stop_at_signal() -> CommandResult<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if told.is_cancelled() {
                end_at_once();
            }
            told.cancel();
        }
    });
    Ok(stop)
}

#[expect(
    clippy::disallowed_methods,
    reason = "asked for twice: nothing that still has to be written is waited for"
)]
fn end_at_once() {
    std::process::exit(130)
}
