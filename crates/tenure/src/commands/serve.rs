//! `tenure serve`: the server.

use clap::Args;

use crate::arguments::SettingArguments;
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};
use crate::process;

/// Arguments of `tenure serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tenure serve
  tenure serve --listen 127.0.0.1:8080 --database sqlite:/var/lib/tenure/tenure.db
  tenure serve --listen 0.0.0.0:443 --tls-cert /etc/tenure/cert.pem --tls-key /etc/tenure/key.pem
  tenure serve --public-url https://tenure.example.com --database 'postgres://tenure@db/tenure?sslmode=require'

Creates the database if it does not exist, and upgrades its schema. Ctrl-C stops the server gracefully. `--help-all` shows \
every setting.")]
pub struct ServeArgs {
    /// The settings.
    #[command(flatten)]
    pub settings: SettingArguments,
}

/// Serves until a signal stops it.
///
/// # Errors
/// The settings contradict each other, or the server cannot start.
pub async fn run(context: &Context, arguments: ServeArgs) -> CommandResult<()> {
    process::keep_memory_private()?;
    let loaded = context.settings(arguments.settings.0)?;
    loaded.settings.check_tls()?;
    super::start_logging(&loaded.settings)?;
    let stop = super::stop_at_signal()?;
    server::serve(loaded.settings, stop).await.map_err(|error| CommandError::new(error.to_string()))
}
