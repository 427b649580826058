//! The services of a running server. Each service does one thing and knows neither [`App`](crate::App) nor the operations.

pub mod caller_cache;
pub mod host_connections;
pub mod idle_workers;
pub mod issuer;
pub mod mailer;
pub mod master_key;
pub mod metrics;
pub mod password_hasher;
pub mod queue_runner;
pub mod recaptcha;
pub mod request_look;
pub(crate) mod ring_provider;
pub mod schema_validator;
pub mod session_bodies;
pub mod session_changes;
pub mod session_index;
mod session_loading;
pub mod signing;
pub mod throttle;

use crate::clock::{Clock, Random};
use crate::settings::Settings;
use domain::time::Micros;
use std::sync::Arc;
use store::Store;

/// What operations need that also run on the command line. [`App`](crate::App) owns one; a command makes one of an open
/// database.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
    /// The settings, as they were when the program started.
    pub settings: Settings,
}

impl Services {
    /// The time.
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}
