//! Checks by `tenure doctor`, the last believed time, and the changes that follow a restore.

pub(crate) mod clock;
pub(crate) mod doctor;
pub mod restore;
