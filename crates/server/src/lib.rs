//! How Tenure is asked for: the use cases, the wires that speak them, and what keeps a server running.

mod app;
pub mod clock;
pub mod console;
pub mod failure;
pub mod front;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod jobs;
pub mod logging;
pub mod operations;
pub mod private_files;
mod serve;
pub mod services;
pub mod settings;
mod signals;
pub mod wires;

pub use app::App;
pub use serve::{ServeError, Server, open_files, serve};
pub use services::host_connections::HostConnection;
