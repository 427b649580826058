//! The devices of the fleet, and who holds them.

use crate::app::App;
use crate::failure::Failure;
use crate::services::metrics::DeviceCounts;
use domain::Refusal;
use domain::device::{Availability, Device, DeviceFilters, DeviceProfile, Hold, HoldState};
use domain::session::SessionKey;
use std::collections::BTreeSet;
use store::access::ViewSessions;
use store::{Granted, System};

/// Most device models that a refusal lists.
const LISTED: usize = 12;

/// Checks that some known device matches, so that waiting makes sense.
///
/// # Errors
/// [`Refusal::NoMatch`], which lists the known models.
pub async fn check_match(
    app: &App,
    granted: &Granted<ViewSessions>,
    filters: &DeviceFilters,
) -> Result<(), Failure> {
    let devices = app.store.list_devices(granted).await?;
    if devices.iter().any(|device| filters.matches(&device.profile)) {
        return Ok(());
    }
    let models = devices.iter().map(|device| device.profile.describe()).collect::<BTreeSet<_>>();
    let more = models.len().saturating_sub(LISTED);
    let mut known = models.into_iter().take(LISTED).collect::<Vec<_>>();
    if more > 0 {
        known.push(format!("and {more} more"));
    }
    Err(Refusal::NoMatch { filters: filters.describe(), known }.into())
}

/// The kinds of device that are free now, without duplicates.
pub async fn list_offers(app: &App, granted: &Granted<ViewSessions>) -> Result<Vec<DeviceProfile>, Failure> {
    let devices = app.store.list_devices(granted).await?;
    let free = devices.into_iter().filter(Device::is_free).map(|device| device.profile);
    Ok(free.collect::<BTreeSet<_>>().into_iter().collect())
}

/// The caller's holds and waiting requests, in the order of the requests.
pub async fn list_caller_holds(
    app: &App,
    granted: &Granted<ViewSessions>,
) -> Result<Vec<(SessionKey, Hold, HoldState)>, Failure> {
    let open = app.store.list_open_holds(granted).await?;
    let own = open.into_iter().filter(|(_, hold)| Some(hold.principal) == granted.principal());
    Ok(own.map(|(session, hold)| (session, hold.clone(), hold.state())).collect())
}

/// Counts devices and holds for the metrics.
pub async fn count_devices(app: &App) -> Result<(), Failure> {
    let system = System::for_background_jobs();
    let mut counts = DeviceCounts::default();
    for device in app.store.list_all_devices(&system).await? {
        match device.availability() {
            Availability::Held => counts.held += 1,
            Availability::Cleaning => counts.cleaning += 1,
            Availability::Offline => counts.offline += 1,
            Availability::Free => counts.free += 1,
        }
    }
    let pending = app.store.load_queue(&system).await?.queue.len();
    app.metrics.set_holds(counts.held, i64::try_from(pending).unwrap_or(i64::MAX));
    app.metrics.set_devices(counts);
    Ok(())
}
