//! Grants and keys.

mod changes;
mod key_families;
mod organizations;
mod people;
pub mod remembered;
mod scopes;
pub mod watch;
