//! Agent sessions: created, talked to, worked on by workers in turns, listed and ended.

pub mod attachment_links;
pub mod attachments;
mod change;
pub mod create;
pub mod definitions;
pub mod events;
pub mod messages;
pub mod secrets;
pub mod sessions;
pub mod turns;
pub mod usage;
