//! Everything in front of the wires: connections are accepted, counted and secured by TLS, and the heads of their requests
//! are checked before a wire sees them.

mod accept;
pub mod budget;
pub mod connections;
mod gate;
mod head;
mod memory;
pub mod rates;
pub mod tls;

pub use accept::{accept, raise_file_limit};
pub use gate::Gate;
pub use head::HeadFailure;

use crate::clock::Stopwatch;
use crate::settings::Settings;
use budget::Budget;
use connections::Connections;
use rates::Rates;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tls::Tls;
use tokio_util::sync::CancellationToken;

/// How often rejected connections are logged.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The state of the front.
pub struct Front {
    /// The certificate; without one, plain HTTP is served.
    pub tls: Option<Tls>,
    /// The open connections.
    pub connections: Connections,
    /// The rate limits of callers and addresses.
    pub rates: Rates,
    /// The bytes of unfinished requests.
    pub budget: Budget,
    settings: Settings,
    stop: CancellationToken,
    logged: Mutex<Option<Stopwatch>>,
}

impl Front {
    /// A front with this certificate, or without TLS. It accepts connections until `stop` is cancelled.
    #[must_use]
    pub fn new(tls: Option<Tls>, settings: &Settings, stop: CancellationToken) -> Front {
        Front {
            tls,
            connections: Connections::default(),
            rates: Rates::default(),
            budget: Budget::new(settings.request_memory),
            settings: settings.clone(),
            stop,
            logged: Mutex::default(),
        }
    }

    /// Reads the certificate again if it changed. When the new files cannot be used, that is logged and the old
    /// certificate stays.
    pub fn refresh(&self) {
        match self.tls.as_ref().map(Tls::refresh) {
            Some(Ok(true)) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => {
                tracing::error!(%error, "the new certificate cannot be used: the old one stays")
            }
            Some(Ok(false)) | None => {}
        }
    }

    /// Logs that a connection was rejected, but not each time.
    fn log_rejected(&self, peer: SocketAddr) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.as_ref().is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
            *logged = Some(Stopwatch::start());
            let open = self.connections.count();
            tracing::warn!(%peer, open, "a connection was rejected: too many are open");
        }
    }
}
