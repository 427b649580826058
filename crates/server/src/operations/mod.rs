//! The use cases, a folder for each subject: load, decide, write, notify. They know neither HTTP nor SQL.

pub mod access;
pub mod agents;
pub mod audit;
pub mod audit_sealing;
pub mod clock_check;
pub mod devices;
pub mod directory;
pub mod feed;
pub mod idempotency;
pub mod login;
pub mod sessions;
pub mod sweep;
pub mod views;
