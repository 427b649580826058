//! Signing in.

pub mod sessions;
