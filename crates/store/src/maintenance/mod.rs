//! What the database needs besides requests: the last believed time, checks by `tenure doctor`, and what a restore ends.

pub(crate) mod clock;
pub(crate) mod doctor;
pub mod restore;
