//! `tenure serve`.

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

Makes the database if it is not there, and brings it to the schema of this program. Ctrl-C stops it gracefully.")]
pub struct ServeArgs {
    /// Settings given as arguments.
    #[command(flatten)]
    pub settings: SettingArguments,
}

/// Serves until it is told to stop.
///
/// # Errors
/// The settings do not fit, or the server cannot start.
pub async fn run(context: &Context, arguments: ServeArgs) -> CommandResult<()> {
    process::keep_memory_private()?;
    process::take_all_files();
    let loaded = context.settings(arguments.settings.0)?;
    loaded.settings.check_exposure()?;
    super::start_logging(&loaded.settings)?;
    let stop = super::stop_at_signal()?;
    server::serve(loaded.settings, stop).await.map_err(|error| CommandError::new(error.to_string()))
}
