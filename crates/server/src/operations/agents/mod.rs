//! Agent sessions, their messages and events, and the turns that workers run.

pub mod attachment_links;
pub mod attachments;
mod change;
pub mod create;
pub mod definitions;
pub mod events;
pub mod messages;
pub mod overview;
pub mod secrets;
pub mod sessions;
pub mod turns;
pub mod usage;
