//! Device sessions: list, load, create, request a device, release, end.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::devices::fleet;
use crate::operations::sessions::actions::describe_end;
use crate::operations::sessions::{SessionSource, ids};
use crate::services::metrics::AllocationOutcome;
use domain::Refusal;
use domain::device::{DeviceCommand, DeviceFilters, DeviceSession, Hold, HoldState, decide};
use domain::ids::{HoldId, SessionId};
use domain::refusal::Thing;
use domain::session::{EndReason, Filter, ListPart, ListScope, SessionKey, SessionKind, ValueField};
use index::SessionRef;
use store::access::{UseSessions, ViewSessions};
use store::{DueHold, Granted, LoadedSessions, Store, System};

/// How often a change is decided again because another request changed the session first. Each time another request
/// succeeded, so this many in a row mean an endless loop.
const ATTEMPTS: u32 = 50;

/// The device sessions of one organization.
pub struct OrganizationDevices<'a> {
    store: &'a Store,
    granted: &'a Granted<ViewSessions>,
    holds: LoadedHolds,
}

/// Which holds of a session are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadedHolds {
    /// Open ones and the newest: for lists.
    Newest,
    /// All: for one session.
    All,
}

impl<'a> OrganizationDevices<'a> {
    /// Those that the grant gives access to.
    pub fn new(
        app: &'a App,
        granted: &'a Granted<ViewSessions>,
        holds: LoadedHolds,
    ) -> OrganizationDevices<'a> {
        OrganizationDevices { store: &app.store, granted, holds }
    }
}

impl SessionSource for OrganizationDevices<'_> {
    type Session = DeviceSession;

    fn parts(&self) -> Vec<ListPart> {
        vec![ListPart {
            scope: ListScope::Organization(self.granted.organization()),
            filter: Filter::has_text(ValueField::Kind, [SessionKind::Device.name()]),
        }]
    }

    async fn load(&self, keys: &[SessionKey]) -> Result<LoadedSessions<DeviceSession>, store::Error> {
        if self.holds == LoadedHolds::Newest {
            return self.store.load_device_sessions(self.granted, &ids(keys)).await;
        }
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            match self.store.load_device_session(self.granted, key.id).await {
                Err(store::Error::Refused(_)) => {}
                session => items.push(session?),
            }
        }
        Ok(LoadedSessions { found: items.len(), items })
    }

    fn session_ref(session: &DeviceSession) -> SessionRef {
        SessionRef { key: session.key(), revision: session.revision }
    }
}

/// Loads a device session.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn load_device_session(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
) -> Result<DeviceSession, Failure> {
    Ok(app.store.load_device_session(granted, id).await?)
}

/// Creates a device session for the caller. When the request is repeated, the answer is the session that was created
/// before.
pub async fn create_device_session(
    app: &App,
    granted: &Granted<UseSessions>,
) -> Result<DeviceSession, Failure> {
    let owner = granted.principal().ok_or_else(|| Failure::internal("a session needs an owner"))?;
    if let Some(made) = app.store.find_earlier_creation(granted).await?.and_then(SessionId::from_uuid) {
        return load_device_session(app, &granted.authorize()?, made).await;
    }
    let tail = domain::ids::random_tail(app.random_bytes());
    let session = app.store.create_device_session(granted, owner, app.now(), tail).await?;
    app.metrics.session_created("device");
    Ok(session)
}

/// Requests a device. It is granted at once when one is free and no earlier request waits for it; otherwise the
/// request waits in the queue. Returns the hold as it is then.
///
/// # Errors
/// [`Refusal::NoMatch`] when no known device matches; [`Refusal::DeviceLimit`]; [`Refusal::SessionEnded`];
/// [`Refusal::NotYours`].
pub async fn request_device(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    wanted: DeviceFilters,
) -> Result<Hold, Failure> {
    let outcome = request_unmetered(app, granted, id, wanted).await;
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

async fn request_unmetered(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    wanted: DeviceFilters,
) -> Result<Hold, Failure> {
    let view = granted.authorize::<ViewSessions>()?;
    // The session comes first: a caller who may not see it must not learn of the pool by a refusal.
    let session = app.store.load_device_session(&view, id).await?;
    if let Some(made) = app.store.find_earlier_creation(granted).await? {
        granted.actor().may_act_on(session.owner, Thing::Session)?;
        return find_hold(&session, |known| known.id == HoldId(made));
    }
    fleet::check_match(app, &view, &wanted).await?;
    let hold = HoldId::new(app.now(), app.random_bytes());
    let command = DeviceCommand::Request { hold, filters: wanted };
    change_device_session(app, granted, id, |_| Ok(command.clone())).await?;
    app.queue.run().await;
    let session = app.store.load_device_session(&view, id).await?;
    find_hold(&session, |known| known.id == hold)
}

/// Releases a device, or cancels a request. `name` is the id of the device or of the allocation. Releasing it again
/// changes nothing.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`].
pub async fn release_device(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    name: &str,
) -> Result<Hold, Failure> {
    let session = change_device_session(app, granted, id, |session| {
        let hold = find_hold(session, |hold| hold.has_name(name))?.id;
        Ok(DeviceCommand::Release {
            hold,
            reason: EndReason::Released,
            evidence: "released by its user".to_owned(),
        })
    })
    .await?;
    app.queue.request_run();
    find_hold(&session, |hold| hold.has_name(name))
}

/// Releases the caller's device with this id in any session, for clients without sessions.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`].
pub async fn release_anywhere(app: &App, granted: &Granted<UseSessions>, name: &str) -> Result<(), Failure> {
    let open = app.store.list_open_holds(&granted.authorize()?).await?;
    let own = |hold: &Hold| Some(hold.principal) == granted.principal();
    let mut called = open.iter().filter(|(_, hold)| hold.has_name(name)).collect::<Vec<_>>();
    called.sort_by_key(|(_, hold)| !own(hold));
    let (session, _) = called.first().ok_or(Refusal::NotFound(Thing::Device))?;
    release_device(app, granted, session.id, name).await.map(|_| ())
}

/// Ends a session and releases its devices. Ending it again changes nothing. The user can say why.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`]; [`Refusal::Invalid`] for a reason that cannot be kept.
pub async fn end_device_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    reason: Option<&str>,
) -> Result<DeviceSession, Failure> {
    let evidence = describe_end("ended by its user", reason)?;
    let session = change_device_session(app, granted, id, |_| {
        Ok(DeviceCommand::End { reason: EndReason::Released, evidence: evidence.clone() })
    })
    .await?;
    app.queue.request_run();
    Ok(session)
}

/// Counts as a use of all of a session's devices and of its waiting requests, so that their time begins again.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotYours`]; [`Refusal::SessionEnded`]; [`Refusal::WrongState`] without a device and a
/// request.
pub async fn extend_device_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
) -> Result<(), Failure> {
    let session = app.store.load_device_session(&granted.authorize()?, id).await?;
    granted.actor().may_act_on(session.owner, Thing::Session)?;
    if session.ended.is_some() {
        return Err(Refusal::SessionEnded.into());
    }
    if session.open_holds().next().is_none() {
        let problem = "the session holds no device and waits for none";
        return Err(Refusal::WrongState { problem, remedy: "request a device for it" }.into());
    }
    let (system, now) = (System::for_background_jobs(), app.now());
    for hold in session.open_holds() {
        app.store.record_hold_use(&system, session.key(), hold.id, now).await?;
    }
    Ok(())
}

/// Loads the session, decides the command and writes the changes. When another request changed the session first, it
/// starts again.
///
/// # Errors
/// Those of `command`; the refusals of the rules; [`Failure::Busy`] after [`ATTEMPTS`] attempts.
pub async fn change_device_session(
    app: &App,
    granted: &Granted<UseSessions>,
    id: SessionId,
    command: impl Fn(&DeviceSession) -> Result<DeviceCommand, Failure>,
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

/// Ends a hold or a waiting request, with Tenure as the actor.
///
/// # Errors
/// Those of [`change_device_session`].
pub(crate) async fn end_hold(
    app: &App,
    due: &DueHold,
    reason: EndReason,
    evidence: &str,
) -> Result<(), Failure> {
    let granted = System::for_background_jobs().grant::<UseSessions>(due.session.organization);
    let command = |_: &DeviceSession| {
        Ok(DeviceCommand::Release { hold: due.hold, reason, evidence: evidence.to_owned() })
    };
    change_device_session(app, &granted, due.session.id, command).await.map(drop)
}

/// The newest matching hold; open holds come before ended ones.
fn find_hold(session: &DeviceSession, fits: impl Fn(&Hold) -> bool) -> Result<Hold, Failure> {
    let fitting = || session.holds.iter().rev().filter(|hold| fits(hold));
    let found = fitting().find(|hold| hold.ended.is_none()).or_else(|| fitting().next());
    found.cloned().ok_or_else(|| Refusal::NotFound(Thing::Device).into())
}
