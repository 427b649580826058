//! The audit log: entries, the chain of their hashes, sealed segments, and who an entry names.

pub(crate) mod attribution;
pub(crate) mod chain;
pub(crate) mod log;
pub(crate) mod segments;
