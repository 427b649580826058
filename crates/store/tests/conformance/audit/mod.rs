//! The audit log.

mod log;
mod segments;
