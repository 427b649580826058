//! Devices, their sessions and files.

mod files;
mod fleet;
mod model;
mod sessions;
mod sweep;
