//! `tenure demo`.

use clap::Args;

use crate::arguments::SettingArguments;
use crate::commands::Context;
use crate::failure::Result;

/// Arguments of `tenure demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tenure demo
  tenure demo --fresh --listen 127.0.0.1:8080

Prints the addresses, the keys and six commands worth trying. Its data stays in ./tenure-demo until --fresh.")]
pub struct Demo {
    /// Delete the data of the demo before and begin again
    #[arg(long)]
    pub fresh: bool,
    /// Settings given as arguments.
    #[command(flatten)]
    pub settings: SettingArguments,
}

/// Makes the examples if they are not there, and serves them until told to stop.
///
/// # Errors
/// The settings do not fit, or the server cannot start.
pub async fn run(context: &Context, arguments: Demo) -> Result<()> {
    let loaded = context.settings(arguments.settings.0)?;
    loaded.settings.check_exposure()?;
    Err(super::not_in_this_build())
}
