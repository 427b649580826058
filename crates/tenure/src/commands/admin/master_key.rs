//! `tenure admin master-key`: the key that seals secrets.

use clap::Subcommand;
use server::clock::SystemRandom;
use server::operations::agents::secrets;
use server::services::master_key::MasterKey;

use crate::administration::now;
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};

/// Commands about the master key.
#[derive(Debug, Clone, Copy, Subcommand)]
#[command(after_help = "\
The old keys stay in the file, so that running servers continue. Copy the file to every server of the database.")]
pub enum MasterKeyCommand {
    /// Add a new key and seal every secret with it
    Rotate,
}

/// Runs it.
///
/// # Errors
/// There is no master key or no database, or one of them cannot be written.
pub async fn run(context: &Context, command: MasterKeyCommand) -> CommandResult<()> {
    let MasterKeyCommand::Rotate = command;
    let settings = context.settings(Vec::new())?.settings;
    let path = settings.master_key_path();
    let key = MasterKey::open(&path).map_err(|error| {
        CommandError::new(format!("the master key {} cannot be opened: {error}", path.display()))
            .hint("`tenure serve` creates it at its first start")
    })?;
    let administration = context.administration().await?;
    let outcome = secrets::rotate_master_key(&administration.store, &key, &SystemRandom, now()).await;
    administration.close().await;
    let sealed = outcome?;
    let sentence = format!("{} has a new key; {sealed} secrets are sealed with it.", path.display());
    context.printer.print(&sentence, &serde_json::json!({ "sealed": sealed }))
}
