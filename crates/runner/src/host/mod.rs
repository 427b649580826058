//! `tenure host`: connects the devices of this machine to Tenure servers.
//!
//! A *driver* lists and controls devices: [`mobilecli`] the real ones, [`simulated`] the simulated ones. The *fleet*
//! holds all devices and enforces the rules for all servers: calls of one device run one after another, and only calls
//! of its current hold run. A *connection* belongs to one server.
//!
//! ```text
//! server  <- connection (WebSocket) ->  fleet (queues, fencing, cleaning)  ->  driver (mobilecli, simulated)
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

/// Time limit for tasks to stop before they are dropped.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Runs the host until `stop` is cancelled, then closes the connections and stops everything it started.
///
/// # Errors
/// The options are invalid, `mobilecli` is missing, the state folder cannot be used, or a server refuses the host: a
/// retry would not help. The host retries after all other failures (a server that is away, a device that hangs).
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
        tracing::warn!("some tasks did not stop in time and were dropped");
    }
    outcome
}

/// Starts the drivers that the options ask for. `mobilecli` is not needed when all devices are simulated.
fn start_drivers(
    options: &HostOptions,
    state: &state_dir::StateDir,
    stop: &CancellationToken,
) -> Result<Vec<Arc<dyn Driver>>, HostError> {
    let mut drivers: Vec<Arc<dyn Driver>> = Vec::new();
    let simulated = options.count_simulated();
    if simulated.android + simulated.ios > 0 {
        drivers.push(simulated::SimulatedDriver::create(options, state.tmp_dir()));
    }
    if drivers.is_empty() || options.mobilecli.is_some() || options.mobilecli_url.is_some() {
        drivers.push(mobilecli::MobilecliDriver::start(options, state, stop.clone())?);
    }
    Ok(drivers)
}
