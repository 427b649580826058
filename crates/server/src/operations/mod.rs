//! The use cases, a file each: load, decide, apply, tell. No HTTP here and no SQL.

pub mod administration;
mod agent_change;
pub mod agent_create;
pub mod agent_events;
pub mod agent_messages;
pub mod agent_sessions;
pub mod agents;
pub mod attachment_links;
pub mod attachments;
pub mod audit;
pub mod authenticate;
pub mod changes;
pub mod device_sessions;
pub mod devices;
pub mod drive;
pub mod files;
pub mod hosts;
pub mod idempotency;
pub mod keys;
pub mod organizations;
pub mod queue;
pub mod schema;
pub mod secrets;
pub mod sweep;
pub mod usage;
pub mod whoami;
pub mod work;
