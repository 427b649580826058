//! The commands that work straight on the database.

pub mod audit;
mod audit_segments;
pub mod clock;
pub mod key;
pub mod login_sessions;
pub mod master_key;
pub mod member;
pub mod org;
pub mod service_user;
pub mod user;
