//! Events of agent sessions: reads and follows them.

use crate::app::App;
use crate::failure::Failure;
use crate::services::metrics::WokenReader;
use crate::signals::Looks;
use domain::Refusal;
use domain::agent::{Event, EventKind, EventQuery};
use domain::ids::{EventId, SessionId};
use domain::page::ListSlice;
use domain::refusal::Thing;
use store::access::ViewSessions;
use store::{Granted, Topic};

/// How many events are read at once. This bounds the memory of a reader that is behind.
const AT_ONCE: u32 = 256;
/// How many bytes of event data are read at once. A single event may be larger.
const BYTES_AT_ONCE: u32 = 256 << 10;

/// Lists a page of a session's events.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn list_events(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    query: &EventQuery,
) -> Result<ListSlice<Event>, Failure> {
    Ok(app.store.list_events(granted, id, query).await?)
}

/// The sequence of an event in its session.
///
/// # Errors
/// [`Refusal::NotFound`] for an id that is not one of the session's events.
pub async fn load_event_position(
    app: &App,
    granted: &Granted<ViewSessions>,
    id: SessionId,
    event: EventId,
) -> Result<i64, Failure> {
    let there = app.store.load_event(granted, id, event.sequence()).await?;
    if there == Some(event) { Ok(event.sequence()) } else { Err(Refusal::NotFound(Thing::Event).into()) }
}

/// Follows a session's events from the first one, or from the one after `since`.
///
/// # Errors
/// [`Refusal::NotFound`] for the session or the event.
pub async fn follow_events(
    app: &App,
    granted: Granted<ViewSessions>,
    id: SessionId,
    since: Option<EventId>,
) -> Result<EventFollower, Failure> {
    // Subscribes before the first read, so that no event in between is missed.
    let organization = granted.organization().0;
    let topic = Topic::Agent { organization, created_us: id.creation_time().0 };
    let looks = Looks::follow(app, WokenReader::Stream, [topic]);
    app.store.load_agent_session(&granted, id).await?;
    let after = match since {
        Some(event) => load_event_position(app, &granted, id, event).await?,
        None => 0,
    };
    Ok(EventFollower { app: app.clone(), granted, id, after, looks, kinds: None, exclude: Vec::new() })
}

/// A reader of a session's events. It holds only a position, so a slow reader costs no memory and misses no event.
pub struct EventFollower {
    app: App,
    granted: Granted<ViewSessions>,
    id: SessionId,
    after: i64,
    looks: Looks,
    kinds: Option<Vec<EventKind>>,
    exclude: Vec<EventKind>,
}

impl EventFollower {
    /// Limits the reader to some kinds of events.
    #[must_use]
    pub fn with_kinds(self, kinds: Option<Vec<EventKind>>, exclude: Vec<EventKind>) -> EventFollower {
        EventFollower { kinds, exclude, ..self }
    }

    /// The sequence of the last event read.
    pub fn position(&self) -> i64 {
        self.after
    }

    /// Waits for the next events; `None` when the session was deleted or the server stops. Cancelling it loses no
    /// event. It does not check credentials: the caller does so regularly.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, Failure> {
        loop {
            let read = match self.app.store.list_events(&self.granted, self.id, &self.query()).await {
                Err(store::Error::Refused(Refusal::NotFound(_))) => return Ok(None),
                read => read?.items,
            };
            let Some(last) = read.last() else {
                if self.looks.due().await { continue } else { return Ok(None) }
            };
            self.after = last.sequence;
            let matching: Vec<Event> = read.into_iter().filter(|event| self.is_wanted(event.kind)).collect();
            if !matching.is_empty() {
                return Ok(Some(matching));
            }
        }
    }

    fn query(&self) -> EventQuery {
        EventQuery { bytes: BYTES_AT_ONCE, ..EventQuery::new(self.after, AT_ONCE) }
    }

    fn is_wanted(&self, kind: EventKind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind)) && !self.exclude.contains(&kind)
    }
}
