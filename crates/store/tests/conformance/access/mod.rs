//! Grants and keys.

mod key_families;
mod people;
pub mod remembered;
mod scopes;
mod watch;
