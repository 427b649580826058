//! `tenure demo`: a server full of examples.

mod agents;
mod data;
mod past;
mod screen;
mod story;

use clap::Args;
use runner::host::HostOptions;
use runner::worker::{Stop, WorkerOptions};
use server::Server;
use server::settings::{FileStore, SecretUrl};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

use crate::administration::Administration;
use crate::arguments::SettingArguments;
use crate::commands::Context;
use crate::commands::demo::data::DemoKeys;
use crate::error::{CommandError, CommandResult};

/// The demo's folder, within the current one.
const FOLDER: &str = "tenure-demo";

/// Arguments of `tenure demo`.
#[derive(Debug, Args)]
#[command(mut_arg("files", |files| files.hide_short_help(true)))]
#[command(after_help = "\
Examples:
  tenure demo
  tenure demo --fresh --listen 127.0.0.1:8080

Prints the addresses, the keys and commands worth trying. The data stays in ./tenure-demo until --fresh. `--help-all` shows \
every setting.")]
pub struct DemoArgs {
    /// Delete the data of the earlier demo first
    #[arg(long)]
    pub fresh: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: SettingArguments,
}

/// Creates the examples if they do not exist, and serves them until a signal stops the demo.
///
/// # Errors
/// The settings contradict each other, the database is not the demo's, or the server cannot start.
pub async fn run(context: &Context, arguments: DemoArgs) -> CommandResult<()> {
    let folder = PathBuf::from(FOLDER);
    let mut given = arguments.settings.0;
    // The examples do not belong into a real database: only an argument can choose another one, not tenure.toml.
    let own_database = context.database().is_none();
    if own_database {
        given.push(("database", format!("sqlite:{}", folder.join("demo.db").display())));
    }
    let in_folder = |name: &str| folder.join(name).display().to_string();
    for (setting, value) in [
        ("files", in_folder("files")),
        ("signing_keys", in_folder("keys")),
        ("mail", in_folder("outbox")),
        ("log", "warn".to_owned()),
    ] {
        if !given.iter().any(|(name, _)| *name == setting) {
            given.push((setting, value));
        }
    }
    let settings = context.settings(given)?.settings;
    settings.check_tls()?;
    super::start_logging(&settings)?;
    let keys = data::DemoKeyFile::new(&folder);
    if arguments.fresh {
        delete_demo_data(&folder, own_database, &settings.database, &settings.files)?;
    }
    let stop = super::stop_at_signal()?;
    let serving = CancellationToken::new();
    let server = Server::start(settings, serving.clone()).await.map_err(|error| {
        CommandError::new(error.to_string())
            .hint("is another demo running? `--listen 127.0.0.1:0` uses a free port")
    })?;
    let admin = Administration::from_services(server.services());
    let made = match keys.read()? {
        Some(keys) => keys,
        None => {
            refuse_other_database(&admin).await?;
            let made = data::create_demo_data(&admin).await?;
            keys.write(&made)?;
            made
        }
    };
    let host = tokio::spawn(runner::host::run(host_options(&server, &made, &folder)?, stop.clone()));
    let worker = tokio::spawn(runner::worker::run(
        worker_options(&server, &made, &folder),
        Stop { gently: stop.clone(), now: stop.clone() },
    ));
    screen::print_screen(server.base_url(), &made, &admin).await?;
    stop.cancelled().await;
    // The server stops last: the host and the worker still report what they ended.
    let (host, worker) = tokio::join!(host, worker);
    serving.cancel();
    server.wait().await;
    host.map_err(command_error)?.map_err(command_error)?;
    worker.map_err(command_error)?.map_err(command_error)
}

/// The error that ended the host or the worker.
fn command_error(error: impl std::fmt::Display) -> CommandError {
    CommandError::new(error.to_string())
}

/// Options of the host of the simulated devices.
fn host_options(server: &Server, keys: &DemoKeys, folder: &Path) -> CommandResult<HostOptions> {
    let mut host = HostOptions::new(vec![local_url(server)], keys.host.clone(), folder.join("host"));
    "demo-host".clone_into(&mut host.name);
    host.simulate = vec!["android=4,ios=2".parse().map_err(|_| CommandError::new("the demo's devices"))?];
    Ok(host)
}

/// Options of the worker of the scripted agents.
fn worker_options(server: &Server, keys: &DemoKeys, folder: &Path) -> WorkerOptions {
    let mut worker = WorkerOptions::new(vec![local_url(server)], keys.worker.clone(), agents::SCRIPT);
    "demo-worker".clone_into(&mut worker.name);
    worker.directory = folder.join("work");
    worker.parallel = 8;
    worker.directives = true;
    worker
}

/// The URL that reaches the server from this process, whatever its public URL is.
fn local_url(server: &Server) -> String {
    let mut address = server.address();
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}

/// Deletes the data of an earlier demo, and nothing else.
fn delete_demo_data(
    folder: &Path,
    own_database: bool,
    database: &SecretUrl,
    files: &FileStore,
) -> CommandResult<()> {
    if !own_database {
        return Err(CommandError::new(format!(
            "--fresh deletes only the demo's own database, not {database}"
        ))
        .hint("empty that database yourself, or omit --database"));
    }
    for name in ["demo.db", "demo.db-wal", "demo.db-shm", "keys.json"] {
        remove(&folder.join(name), |path| std::fs::remove_file(path))?;
    }
    if *files == FileStore::Folder(folder.join("files")) {
        remove(&folder.join("files"), |path| std::fs::remove_dir_all(path))?;
    }
    for name in ["host", "work", "keys", "outbox"] {
        remove(&folder.join(name), |path| std::fs::remove_dir_all(path))?;
    }
    Ok(())
}

fn remove(path: &Path, how: impl Fn(&Path) -> std::io::Result<()>) -> CommandResult<()> {
    match how(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CommandError::new(format!("cannot remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Refuses a database that has organizations while the demo's keys are missing: it is not the demo's.
async fn refuse_other_database(admin: &Administration) -> CommandResult<()> {
    if admin.store.list_organizations(&admin.system).await?.is_empty() {
        return Ok(());
    }
    Err(CommandError::new("this database already has organizations, and the demo's keys are missing")
        .hint("`tenure demo --fresh` starts over; or choose another database with --database"))
}
