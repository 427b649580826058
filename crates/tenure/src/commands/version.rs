//! `tenure version`.

use serde_json::json;

use crate::commands::Context;
use crate::error::Result;

/// Prints the version.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(context: &Context) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    context.output.done(&format!("tenure {version}"), &json!({ "name": "tenure", "version": version }))
}
