//! One file or folder for each command.

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

use server::settings::{LoadedSettings, SettingInputs, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::administration::Administration;
use crate::cli::{Cli, CliCommand, Global};
use crate::error::{CommandError, CommandResult};
use crate::output::Printer;
use crate::process;

/// The options of every command.
#[derive(Debug)]
pub struct Context {
    global: Global,
    /// Prints to standard output.
    pub printer: Printer,
}

impl Context {
    /// Loads the settings. `arguments` are the command's own, besides `--database`.
    ///
    /// # Errors
    /// A setting is unknown or malformed, or the file cannot be read.
    pub fn settings(&self, mut arguments: Vec<(&'static str, String)>) -> CommandResult<LoadedSettings> {
        arguments.extend(self.global.database.clone().map(|database| ("database", database)));
        Ok(Settings::load(&SettingInputs::from_process(self.global.config.clone(), arguments))?)
    }

    /// The value of `--database`.
    fn database(&self) -> Option<&String> {
        self.global.database.as_ref()
    }

    /// Opens the database for an administrator.
    ///
    /// # Errors
    /// The settings cannot be read, or there is no database.
    async fn administration(&self) -> CommandResult<Administration> {
        Administration::open(&self.settings(Vec::new())?.settings).await
    }
}

/// Runs the command.
///
/// # Errors
/// The command failed; the error is to be printed.
pub fn run(mut cli: Cli) -> CommandResult<()> {
    // Before this process has threads or open files.
    match &mut cli.command {
        CliCommand::Host(arguments) => arguments.key.take()?,
        CliCommand::Worker(arguments) => arguments.key.take()?,
        CliCommand::Demo(_) => process::keep_memory_private()?,
        _ => {}
    }
    let context = Context { printer: Printer::new(cli.global.json), global: cli.global };
    // A host and a worker keep their own files in private folders (0700). The commands that they start create files
    // for others, so their mode is left alone.
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
        CliCommand::Admin(command) => admin::run(context, command).await,
        CliCommand::FormerName(former) => {
            former.print_notice();
            admin::run(context, former.0).await
        }
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

/// Starts logging to standard error as the settings say.
fn start_logging(settings: &Settings) -> CommandResult<()> {
    server::logging::start_logging(&settings.log, settings.log_format)
        .map_err(|error| CommandError::new(format!("cannot start logging: {error}")))
}

/// A token that Ctrl-C or SIGTERM cancels. A second signal ends the program at once.
fn stop_at_signal() -> CommandResult<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stopping.is_cancelled() {
                exit_at_once();
            }
            stopping.cancel();
        }
    });
    Ok(stop)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the second signal: do not wait for what is still to be written"
)]
fn exit_at_once() {
    std::process::exit(130)
}
