//! The use cases, a file each: load, decide, apply, tell. No HTTP here and no SQL.

pub mod api_tokens;
pub mod authenticate;
pub mod changes;
pub mod device_sessions;
pub mod devices;
pub mod drive;
pub mod files;
pub mod hosts;
pub mod logins;
pub mod organizations;
pub mod passwords;
pub mod queue;
pub mod recovery;
pub mod sign_in;
pub mod sweep;
pub mod tokens;
pub mod users;
