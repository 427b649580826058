//! Grants and keys.

mod key_families;
mod people;
mod scopes;
