//! SQL functions that PostgreSQL has and SQLite does not.

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use sha2::{Digest, Sha256};

/// Registers the functions on a connection that writes.
///
/// `audit_link(previous, sequence, content)` is the SHA-256 of its three arguments in a row. The number has eight
/// bytes, big-endian. On PostgreSQL, the migration `audit_chain` creates the function with this name.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("audit_link", 3, flags, |arguments: &Context<'_>| {
        let (previous, content) = (arguments.get_raw(0).as_blob()?, arguments.get_raw(2).as_blob()?);
        let sequence: i64 = arguments.get(1)?;
        let link =
            Sha256::new().chain_update(previous).chain_update(sequence.to_be_bytes()).chain_update(content);
        Ok(link.finalize().to_vec())
    })
}
