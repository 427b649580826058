//! `tenure host`: connects the devices of this machine to Tenure servers.
//!
//! A *driver* knows devices and drives them: [`mobilecli`] those that hang here, [`simulated`] made-up ones.
//! The *fleet* is all of them, with what must hold whoever asks: calls of one device run one after another,
//! and only those of the hold that stands. A *link* is the connection to one server.
//!
//! ```text
//! server  <- link (WebSocket) ->  fleet (queues, fencing, cleaning)  ->  driver (mobilecli, simulated)
//! ```

mod baseline;
mod connection;
mod driver;
mod fencing;
mod files;
mod fleet;
mod mobilecli;
mod options;
mod release;
mod server;
mod simulated;
mod state_dir;

pub use crate::options::ServedScope;
pub use options::{HostError, HostOptions, ParseSimulatedDevicesError, SimulatedDevices};

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use driver::Driver;
use fleet::Fleet;
use server::ServerEndpoint;

/// How long a stop may take before what still runs is dropped.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Runs the host until `stop` is cancelled, then closes the connections and ends what it started.
///
/// # Errors
/// When the options make no sense, when `mobilecli` is not there, and when a server refuses the key: trying
/// again would not help. Everything else (a server that is away, a device that hangs) is waited out.
pub async fn run(options: HostOptions, stop: CancellationToken) -> Result<(), HostError> {
    options.validate()?;
    let client = server::files_client(options.serves)?;
    let servers = options
        .servers
        .iter()
        .map(|url| {
            ServerEndpoint::new(url, options.token.clone(), options.serves, client.clone()).map(Arc::new)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let state = state_dir::StateDir::open(&options.state_dir)?;

    let stop = stop.child_token();
    let drivers = start_drivers(&options, &state, &stop)?;
    let fleet = Fleet::new(drivers, options.on_release.clone(), stop.clone());
    let mut connections = JoinSet::new();
    for server in servers {
        connections.spawn(connection::keep_connected(
            server,
            Arc::clone(&fleet),
            options.name.clone(),
            stop.clone(),
        ));
    }
    let mut outcome = Ok(());
    while let Some(ended) = connections.join_next().await {
        let ended = ended.unwrap_or_else(|panic| Err(HostError::Bug(panic.to_string())));
        if outcome.is_ok() {
            outcome = ended;
        }
        stop.cancel();
    }
    if tokio::time::timeout(STOP_LIMIT, fleet.join_tasks()).await.is_err() {
        tracing::warn!("some work did not end in time and was dropped");
    }
    outcome
}

/// The drivers that the options ask for. With simulated devices only, nobody needs `mobilecli`.
fn start_drivers(
    options: &HostOptions,
    state: &state_dir::StateDir,
    stop: &CancellationToken,
) -> Result<Vec<Arc<dyn Driver>>, HostError> {
    let mut drivers: Vec<Arc<dyn Driver>> = Vec::new();
    let simulated = options.simulated_total();
    if simulated.android + simulated.ios > 0 {
        drivers.push(simulated::SimulatedDriver::create(options, state.tmp_dir()));
    }
    if drivers.is_empty() || options.mobilecli.is_some() || options.mobilecli_url.is_some() {
        drivers.push(mobilecli::MobilecliDriver::start(options, state, stop.clone())?);
    }
    Ok(drivers)
}
