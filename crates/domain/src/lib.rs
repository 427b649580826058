//! What exists in Tenure and what may happen to it.
//!
//! Everything here is pure: no async, no input or output, no clock, no randomness and no wire format.
//! The times and random numbers that a rule needs are parameters, so a test can move them by hand.

pub mod agent;
pub mod clock_watch;
pub mod credential;
pub mod device;
pub mod device_login;
pub mod federation;
pub mod ids;
pub mod invitation;
pub mod json;
pub mod login;
pub mod name;
pub mod network;
pub mod organization;
pub mod page;
pub mod password;
pub mod permission;
pub mod principal;
pub mod refusal;
pub mod schema;
pub mod second_factor;
pub mod session;
pub mod time;

pub use refusal::Refusal;
