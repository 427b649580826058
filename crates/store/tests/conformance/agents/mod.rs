//! Agents, their sessions and their turns.

pub mod lists;
mod search;
mod sessions;
mod turns;
pub mod world;
