//! `GET /tenure/v1/watch`: what enters a list, changes in it and leaves it, from where a page of the list was read.

use super::super::errors::TenureError;
use super::super::extractors::read_client_credential;
use super::encode;
use super::visible::{check_names, read_scope};
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential::ClientCredential;
use crate::http::cursor::CursorBinding;
use crate::http::event_stream::{EventSender, last_event_id, open_event_stream};
use crate::http::middleware::admit_caller;
use crate::http::query::Query;
use crate::operations::sessions::queries::{self, ListFilter};
use crate::operations::sessions::visible::authorize_sessions;
use crate::operations::sessions::watch::{ListChanges, ListWatch, WatchEvent, WatchStart, watch_list};
use crate::services::metrics::WokenReader;
use crate::services::throttle::OpenSocket;
use crate::signals::{self, Looks};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use domain::Refusal;
use domain::time::Micros;
use foldhash::quality::FixedState;
use futures_util::future::BoxFuture;
use jiff::tz::TimeZone;
use protocol::sessions::WatchChanges;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::hash::BuildHasher;
use std::time::Duration;
use store::{AccessMoment, FeedPosition, RequestedScope, VisibleSessions};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// An interval cannot be zero.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(1);

/// What a watch token says. It belongs to its reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchToken {
    /// The scope of the list; `None` for everything.
    scope: Option<String>,
    filter: String,
    start: StartShape,
    /// A hash of the sessions that the reader could see.
    visible: u64,
}

impl WatchToken {
    /// The token of a list that was read from a position on.
    pub fn new(visible: &VisibleSessions, filter: &ListFilter, start: WatchStart) -> WatchToken {
        let scope = match visible.scope() {
            RequestedScope::Everything => None,
            RequestedScope::Account => Some("account".to_owned()),
            RequestedScope::Organizations(some) => {
                Some(some.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
        };
        WatchToken {
            scope,
            filter: filter.text(),
            start: StartShape::from(&start),
            visible: hash_visible(visible),
        }
    }

    /// The token as a text.
    ///
    /// # Errors
    /// Those of [`CursorBinding::write`].
    pub fn write(&self, app: &App, visible: &VisibleSessions) -> Result<String, Failure> {
        bind(app, visible, "watch").write(&serde_json::to_vec(self).map_err(Failure::internal)?)
    }
}

/// Where a watch goes on. It is also the id of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StartShape {
    position: String,
    at_us: i64,
    lookups: u64,
}

impl From<&WatchStart> for StartShape {
    fn from(start: &WatchStart) -> StartShape {
        let WatchStart { position, at, lookups } = start;
        StartShape { position: position.to_text(), at_us: at.0, lookups: *lookups }
    }
}

impl StartShape {
    fn read(&self) -> Option<WatchStart> {
        let position = FeedPosition::parse(&self.position)?;
        Some(WatchStart { position, at: Micros(self.at_us), lookups: self.lookups })
    }
}

fn bind(app: &App, visible: &VisibleSessions, what: &str) -> CursorBinding {
    let reader = visible.principal().map_or(Uuid::nil(), |reader| reader.0);
    CursorBinding::new(app.keys.derive_key("tenure watches"), what, reader, Uuid::nil(), "")
}

fn hash_visible(visible: &VisibleSessions) -> u64 {
    FixedState::default().hash_one(format!("{:?}", visible.parts()))
}

/// What a request for a watch asks for.
pub struct WatchRequest {
    credential: ClientCredential,
    visible: VisibleSessions,
    counted: OpenSocket,
    access: Looks,
    /// `None` when the reader may see other sessions than before.
    start: Option<(String, WatchStart)>,
}

impl FromRequestParts<App> for WatchRequest {
    type Rejection = TenureError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<WatchRequest, TenureError> {
        let credential = read_client_credential(app, parts)?;
        let caller = admit_caller(app, parts, credential.authenticate(app).await?)?;
        let query = Query::read(parts.uri.query().unwrap_or_default());
        check_names(&query, &["token"])?;
        // The token names the scope, and only its reader can use it.
        let own = authorize_sessions(app, &caller, &RequestedScope::Everything).await?;
        let refused = || Failure::from(Refusal::invalid("token", "the watch of a page of your sessions"));
        let token = query.text("token")?.and_then(|text| bind(app, &own, "watch").read(text));
        let token = token.and_then(|bytes| serde_json::from_slice::<WatchToken>(&bytes).ok());
        let token = token.ok_or_else(refused)?;
        let requested = match &token.scope {
            None => RequestedScope::Everything,
            Some(scope) => read_scope(&scope.split(',').collect::<Vec<_>>()).map_err(Failure::from)?,
        };
        let visible = authorize_sessions(app, &caller, &requested).await?;
        let last = last_event_id(&parts.headers).map(|id| {
            let bytes = bind(app, &own, "event").read(id);
            let read = bytes.and_then(|bytes| serde_json::from_slice::<StartShape>(&bytes).ok());
            read.ok_or_else(|| Refusal::invalid("Last-Event-ID", "the id of an event of this watch"))
        });
        let last = last.transpose().map_err(Failure::from)?;
        let start = last.unwrap_or(token.start).read().ok_or_else(refused)?;
        let is_same = token.visible == hash_visible(&visible);
        Ok(WatchRequest {
            counted: app.sockets.open_for(&caller, &app.settings)?,
            access: Looks::follow(app, WokenReader::Stream, signals::access(&caller)),
            start: is_same.then_some((token.filter, start)),
            credential,
            visible,
        })
    }
}

/// `GET /watch`.
pub async fn open(request: WatchRequest, State(app): State<App>) -> Result<Response, TenureError> {
    let watch = match &request.start {
        Some((filter, start)) => {
            let filter = queries::read_filter(&app, &request.visible, filter, TimeZone::UTC).await?;
            Some(watch_list(&app, &request.visible, &filter, start, encode).await?)
        }
        None => None,
    };
    let (out, response) = open_event_stream(app.settings.stream_heartbeat);
    let WatchRequest { credential, visible, counted, access, .. } = request;
    let stream = Stream { app: app.clone(), credential, visible, access, checked: None, out };
    // Tracked, so that a graceful stop waits until the last frame is sent.
    app.spawn(stream.run(watch, counted));
    Ok(response)
}

/// One reader's stream.
struct Stream {
    app: App,
    credential: ClientCredential,
    visible: VisibleSessions,
    /// Wakes when the reader's permissions change.
    access: Looks,
    /// Until when it is known what the reader may see.
    checked: Option<AccessMoment>,
    out: EventSender,
}

impl Stream {
    async fn run(mut self, watch: Option<ListWatch>, _counted: OpenSocket) {
        let _open = self.app.metrics.websocket_opened("tenure");
        match watch {
            // Nothing is left to say after it.
            None => drop(self.send_resync().await),
            Some(watch) => drop(self.send_events(watch).await),
        }
    }

    /// Sends events until the reader is gone or may not read any more, or the server stops.
    async fn send_events(&mut self, mut watch: ListWatch) -> Option<()> {
        Box::pin(self.send_event(&watch.since)).await?;
        let stop = self.app.stop.clone();
        let mut beats = interval(self.app.settings.stream_heartbeat.max(SHORTEST_HEARTBEAT));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.reset();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = self.out.wait_until_closed() => return None,
                true = self.access.due() => self.check_access().await?,
                _ = beats.tick() => {
                    self.check_access().await?;
                    Box::pin(self.send(": heartbeat\n\n".to_owned())).await?;
                }
                event = watch.next() => {
                    let event = event?;
                    // A reader who has lost a right gets no new event.
                    self.check_access().await?;
                    Box::pin(self.send_event(&event)).await?;
                }
            }
        }
    }

    /// Authenticates the reader again. One who may see other sessions than before must read the list again.
    ///
    /// Boxed, as sending is: what these need while they run would otherwise be reserved for every reader who waits.
    fn check_access(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(self.compare_access())
    }

    async fn compare_access(&mut self) -> Option<()> {
        let caller = self.credential.authenticate(&self.app).await.ok()?;
        let moment = self.app.callers.find_moment().await.ok()?;
        if moment.is_some() && moment == self.checked {
            return Some(());
        }
        let visible = authorize_sessions(&self.app, &caller, self.visible.scope()).await.ok()?;
        if visible.parts() == self.visible.parts() {
            self.checked = moment;
            return Some(());
        }
        self.send_resync().await?;
        None
    }

    async fn send_event(&self, event: &WatchEvent) -> Option<()> {
        match event {
            WatchEvent::Resync => {
                self.send_resync().await?;
                None
            }
            WatchEvent::Changes(changes) => {
                let frame = self.write_changes(changes).map_err(log_failure).ok()?;
                self.send(frame).await
            }
        }
    }

    fn write_changes(&self, changes: &ListChanges) -> Result<String, Failure> {
        let data = WatchChanges {
            entered: changes.entered.clone(),
            changed: changes.changed.clone(),
            left: changes.left.iter().map(|id| id.uuid()).collect(),
            total: changes.total,
        };
        let data = serde_json::to_string(&data).map_err(Failure::internal)?;
        let mut frame = String::with_capacity(data.len() + 128);
        frame.push_str("event: changes\n");
        if let Some(next) = &changes.next {
            let id = serde_json::to_vec(&StartShape::from(next)).map_err(Failure::internal)?;
            let id = bind(&self.app, &self.visible, "event").write(&id)?;
            let _ = writeln!(frame, "id: {id}");
        }
        let _ = write!(frame, "data: {data}\n\n");
        Ok(frame)
    }

    async fn send_resync(&self) -> Option<()> {
        self.send("event: resync\ndata: {\"reason\":\"read the list again\"}\n\n".to_owned()).await
    }

    async fn send(&self, frame: String) -> Option<()> {
        self.out.send(frame).await.then_some(())
    }
}

fn log_failure(failure: Failure) {
    tracing::error!(failure = failure.log_text(), "a watch of sessions failed");
}
