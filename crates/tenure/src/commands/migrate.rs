//! `tenure migrate`.

use crate::commands::Context;
use crate::failure::Result;

/// Makes the database if it is not there, and brings it to the schema of this program.
///
/// # Errors
/// The database cannot be reached, or is newer than this program.
pub async fn run(context: &Context) -> Result<()> {
    context.settings(Vec::new())?;
    Err(super::not_in_this_build())
}
