//! `tenure migrate`: the schema of the database.

use store::database::SCHEMA_VERSION;
use store::{Database, OpenMode};

use crate::administration::now;
use crate::commands::Context;
use crate::error::CommandResult;

/// Creates the database if it does not exist, and upgrades its schema.
///
/// # Errors
/// The database cannot be reached, or is newer than this program.
pub async fn run(context: &Context) -> CommandResult<()> {
    let settings = context.settings(Vec::new())?.settings;
    let database = Database::open(settings.database.reveal(), OpenMode::Migrate, now().0).await?;
    database.close().await;
    let sentence = format!("{} is at schema {SCHEMA_VERSION}.", settings.database);
    context.printer.print(&sentence, &serde_json::json!({ "schema": SCHEMA_VERSION }))
}
