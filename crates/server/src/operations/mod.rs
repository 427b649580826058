//! The use cases, a file each: load, decide, apply, tell. No HTTP here and no SQL.

pub mod attachment_links;
pub mod authenticate;
pub mod changes;
pub mod device_sessions;
pub mod devices;
pub mod drive;
pub mod files;
pub mod hosts;
pub mod organizations;
pub mod queue;
pub mod sweep;
