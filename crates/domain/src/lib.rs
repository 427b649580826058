//! The entities of Tenure and the rules for changing them.
//!
//! Everything here is pure: no async, no IO, no clock, no randomness, no wire format. Rules get times and random
//! numbers as parameters, so that tests can choose them.

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
pub mod view;

pub use refusal::Refusal;
