//! Device sessions: list, get, create, ask for a device, release, end.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::devices::fleet;
use crate::services::metrics::AllocationOutcome;
use domain::Refusal;
use domain::device::{Command, DeviceSession, Hold, HoldState, Wanted, decide};
use domain::ids::{HoldId, SessionId};
use domain::page::{Page, PageRequest};
use domain::refusal::Thing;
use domain::session::EndReason;
use store::access::{UseSessions, ViewSessions};
use store::{DueHold, Granted, Store, System};

/// How often a change is decided anew because somebody else was faster. Each time somebody did get through, so this
/// many in a row means a loop somewhere.
const ATTEMPTS: u32 = 50;

/// A page of the organization's device sessions, newest first.
///
/// # Errors
/// Only those of the store.
pub async fn list(
    app: &App,
    granted: &Granted<ViewSessions>,
    page: PageRequest,
) -> Result<Page<DeviceSession>, Failure> {
    Ok(app.store.list_device_sessions(granted, page).await?)
}

/// One device session.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn get(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
) -> Result<DeviceSession, Failure> {
    Ok(app.store.load_device_session(granted, id).await?)
}

/// Creates a device session for the caller.
///
/// # Errors
/// Only those of the store.
pub async fn create(app: &App, granted: &Granted<UseSessions>) -> Result<DeviceSession, Failure> {
    let owner = granted.principal().ok_or_else(|| Failure::internal("a session needs an owner"))?;
    if let Some(made) = app.store.find_earlier_creation(granted).await?.and_then(SessionId::from_uuid) {
        return get(app, &granted.authorize()?, made).await;
    }
    let tail = domain::ids::random_tail(app.random_bytes());
    let session = app.store.create_device_session(granted, owner, app.now(), tail).await?;
    app.metrics.session_created("device");
    Ok(session)
}

/// Asks for a device. It is handed over at once when one is free and nobody was first; else the request
/// waits in the queue. Gives the hold as it is then.
///
/// # Errors
/// [`Refusal::NoMatch`] when no device that was ever seen could match; [`Refusal::DeviceLimit`];
/// [`Refusal::SessionEnded`]; [`Refusal::NotYours`].
pub async fn request_device(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    wanted: Wanted,
) -> Result<Hold, Failure> {
    let outcome = request(app, granted, id, wanted).await;
    match &outcome {
        Ok(hold) if hold.state() == HoldState::Pending => app.metrics.allocation(AllocationOutcome::Queued),
        Ok(_) => app.metrics.allocation(AllocationOutcome::Ready),
        Err(Failure::Refused(Refusal::NoMatch { .. })) => app.metrics.allocation(AllocationOutcome::NoMatch),
        Err(Failure::Refused(Refusal::DeviceLimit { .. })) => {
            app.metrics.allocation(AllocationOutcome::Limited)
        }
        Err(_) => {}
    }
    outcome
}

async fn request(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    wanted: Wanted,
) -> Result<Hold, Failure> {
    let view = granted.authorize::<ViewSessions>()?;
    // The session first: who may not see it must not learn from the pool's refusals either.
    let session = app.store.load_device_session(&view, id).await?;
    if let Some(made) = app.store.find_earlier_creation(granted).await? {
        granted.actor().may_act_on(session.owner, Thing::Session)?;
        return find(&session, |known| known.id == HoldId(made));
    }
    fleet::check_match(app, &view, &wanted).await?;
    let hold = HoldId::new(app.now(), app.random_bytes());
    let command = Command::Request { hold, wanted };
    change(app, granted, id, |_| Ok(command.clone())).await?;
    app.queue.run().await;
    let session = app.store.load_device_session(&view, id).await?;
    find(&session, |known| known.id == hold)
}

/// Releases a device, or cancels a request: `name` is the device's id, or the allocation's. Releasing what
/// was released is no error.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`].
pub async fn release_device(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    name: &str,
) -> Result<Hold, Failure> {
    let session = change(app, granted, id, |session| {
        let hold = find(session, |hold| hold.is_called(name))?.id;
        Ok(Command::Release {
            hold,
            reason: EndReason::Released,
            evidence: "released by its user".to_owned(),
        })
    })
    .await?;
    app.queue.request_run();
    find(&session, |hold| hold.is_called(name))
}

/// Releases the caller's device of this id wherever it is held: for clients that know no sessions.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`].
pub async fn release_anywhere(app: &App, granted: &Granted<UseSessions>, name: &str) -> Result<(), Failure> {
    let open = app.store.list_open_holds(&granted.authorize()?).await?;
    let own = |hold: &Hold| Some(hold.principal) == granted.principal();
    let mut called = open.iter().filter(|(_, hold)| hold.is_called(name)).collect::<Vec<_>>();
    called.sort_by_key(|(_, hold)| !own(hold));
    let (session, _) = called.first().ok_or(Refusal::NotFound(Thing::Device))?;
    release_device(app, granted, session.id, name).await.map(|_| ())
}

/// Ends a session and releases all that it holds. Ending what has ended is no error.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`].
pub async fn end(app: &App, granted: &Granted<UseSessions>, id: SessionId) -> Result<DeviceSession, Failure> {
    let session = change(app, granted, id, |_| {
        Ok(Command::End { reason: EndReason::Released, evidence: "ended by its user".to_owned() })
    })
    .await?;
    app.queue.request_run();
    Ok(session)
}

/// Load, decide, apply; again when somebody else was faster.
///
/// # Errors
/// What `command` and the rules say; [`Failure::Busy`] after too many tries.
pub async fn change(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    command: impl Fn(&DeviceSession) -> Result<Command, Failure>,
) -> Result<DeviceSession, Failure> {
    let store: &Store = &app.store;
    let view = granted.authorize::<ViewSessions>()?;
    for _ in 0..ATTEMPTS {
        let session = store.load_device_session(&view, id).await?;
        let now = app.now();
        let changes = decide(&session, granted.actor(), command(&session)?, now)?;
        match store.change_device_session(granted, session, &changes, now).await {
            Err(store::Error::Stale) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Failure::Busy)
}

/// Ends a hold, or a request for one, in Tenure's own name.
///
/// # Errors
/// Those of [`change`].
pub(crate) async fn end_hold(
    app: &App,
    due: &DueHold,
    reason: EndReason,
    evidence: &str,
) -> Result<(), Failure> {
    let granted = System::background_jobs().grant::<UseSessions>(due.session.organization);
    let command =
        |_: &DeviceSession| Ok(Command::Release { hold: due.hold, reason, evidence: evidence.to_owned() });
    change(app, &granted, due.session.id, command).await.map(drop)
}

/// The newest hold that fits; an open one before those that are over.
fn find(session: &DeviceSession, fits: impl Fn(&Hold) -> bool) -> Result<Hold, Failure> {
    let fitting = || session.holds.iter().rev().filter(|hold| fits(hold));
    let found = fitting().find(|hold| hold.ended.is_none()).or_else(|| fitting().next());
    found.cloned().ok_or_else(|| Refusal::NotFound(Thing::Device).into())
}
