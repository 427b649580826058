//! Summaries for the index of sessions.

mod commits;
pub mod mirror;
mod reads;
mod upgrade;
pub mod world;
