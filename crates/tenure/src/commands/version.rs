//! `tenure version`: the version of this program.

use serde_json::json;

use crate::commands::Context;
use crate::error::CommandResult;

/// Prints the version.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(context: &Context) -> CommandResult<()> {
    let version = env!("CARGO_PKG_VERSION");
    context.printer.print(&format!("tenure {version}"), &json!({ "name": "tenure", "version": version }))
}
