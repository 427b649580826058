//! Devices, their hosts, the sessions that hold them, and files.

pub(crate) mod due;
pub(crate) mod files;
pub(crate) mod fleet;
pub(crate) mod holds;
pub(crate) mod hosts;
pub(crate) mod overview;
pub(crate) mod sessions;
