//! How Tenure is asked for: the use cases, the wires that speak them, and what keeps a server running.

pub mod clock;
pub mod failure;
pub mod front;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hosts;
pub mod issuer;
mod jobs;
mod mail;
pub mod master_key;
pub mod observe;
pub mod operations;
pub mod private;
mod serve;
pub mod settings;
mod signals;
mod state;
mod throttle;
pub mod wires;

pub use hosts::HostConnection;
pub use serve::{ServeError, Server, open_files, serve};
pub use state::App;
