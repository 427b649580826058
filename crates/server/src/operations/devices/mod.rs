//! Device sessions, the queue for devices, and the hosts of the devices.

pub mod create;
pub mod driving;
pub mod files;
pub mod fleet;
pub mod hosts;
pub mod overview;
pub mod queue;
pub mod sessions;
