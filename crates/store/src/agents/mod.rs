//! Agents and their sessions: messages, events, turns, secrets and usage.
//!
//! `changes` turns decisions of the domain into SQL.

pub(crate) mod changes;
pub(crate) mod definitions;
pub(crate) mod events;
pub(crate) mod labels;
pub(crate) mod lists;
pub(crate) mod messages;
pub(crate) mod overview;
pub(crate) mod pins;
pub(crate) mod search;
pub(crate) mod secrets;
pub(crate) mod session_body;
pub(crate) mod sessions;
pub(crate) mod turns;
mod unknown_fields;
pub(crate) mod usage;
