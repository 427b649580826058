//! Creates a device session together with its request for a device, and waits for the device.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::devices::fleet::check_match;
use crate::operations::devices::sessions::{
    create_device_session, end_device_session, load_device_session, request_device,
};
use crate::services::metrics::WokenReader;
use crate::signals::Looks;
use domain::device::{DeviceFilters, DeviceSession};
use std::time::Duration;
use store::access::{UseSessions, ViewSessions};
use store::{Caller, Granted, Topic};

/// Creates a device session for the caller, with a request for a device. When the request is repeated, the answer is the session
/// that was created before.
///
/// # Errors
/// Those of [`create_device_session`] and [`request_device`]. Then no open session stays, unless the caller can repeat the
/// request.
pub async fn create_requesting_session(
    app: &App,
    caller: &Caller,
    wanted: DeviceFilters,
) -> Result<DeviceSession, Failure> {
    let keyed = caller.authorize::<UseSessions>()?;
    if app.store.find_earlier_creation(&keyed).await?.is_none() {
        check_match(app, &keyed.authorize()?, &wanted).await?;
    }
    let session = create_device_session(app, &keyed).await?;
    if session.ended.is_some() || !session.holds.is_empty() {
        return Ok(session);
    }
    // The idempotency key stands for the session.
    let granted = caller.clone().with_idempotency(None).authorize::<UseSessions>()?;
    match request_device(app, &granted, session.id, wanted).await {
        Ok(_) => load_device_session(app, &granted.authorize()?, session.id).await,
        Err(failure) => {
            if caller.idempotency().is_none() {
                let _ = end_device_session(app, &granted, session.id, None).await;
            }
            Err(failure)
        }
    }
}

/// Whether a session waits for a device.
pub fn is_waiting(session: &DeviceSession) -> bool {
    session.open_holds().any(|hold| hold.held.is_none())
}

/// Waits until a session waits for no device any more, and at most for this time.
///
/// # Errors
/// [`domain::Refusal::NotFound`].
pub async fn wait_for_device(
    app: &App,
    granted: &Granted<ViewSessions>,
    session: DeviceSession,
    longest: Duration,
) -> Result<DeviceSession, Failure> {
    // Subscribes before the first read, so that no commit in between is missed.
    let topic = Topic::Holds(granted.organization().0);
    let mut looks = Looks::follow(app, WokenReader::Subscriber, [topic]);
    let mut time = std::pin::pin!(tokio::time::sleep(longest));
    let mut session = load_device_session(app, granted, session.id).await?;
    while is_waiting(&session) {
        let due = tokio::select! {
            due = looks.due() => due,
            () = &mut time => false,
        };
        if !due {
            break;
        }
        session = load_device_session(app, granted, session.id).await?;
    }
    Ok(session)
}
