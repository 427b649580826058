//! `/v1/sessions/{session}/sse`: what happens, as it happens.
//!
//! The stream begins at the session's first event, or after the one named by `since_id`: clients open it after they
//! have posted a message. A reader that comes back with the last id it saw has seen each event once. The stream keeps
//! a position and a few frames: a slow reader costs no memory, and is cut after a while.

use super::errors::EverrunsError;
use super::event_shapes::{Streamed, Told};
use super::events::{Kinds, catch_up};
use super::extractors::{Known, Visitor};
use super::ids;
use super::output::{PathText, text};
use super::query::Query;
use crate::app::App;
use crate::failure::Failure;
use crate::operations::agents;
use crate::operations::agents::events::EventFollower;
use crate::services::metrics::Looking;
use crate::services::throttle::OpenSocket;
use crate::signals::{self, Looks};
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use domain::agent::Event;
use domain::ids::{OrganizationId, SessionId};
use futures_util::stream;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use store::Granted;
use store::access::ViewSessions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Frames that wait to be written, and how many bytes they have, beside of one frame. The next events are read when they
/// are written.
const FRAMES_WAITING: usize = 16;
const BYTES_WAITING: u32 = 256 << 10;
/// No interval has no length at all.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(1);
/// After how many milliseconds a reader is to come back when its stream is cycled.
const CYCLE_RETRY: u32 = 100;
/// And when the server stops: another has to start first.
const STOP_RETRY: u32 = 1_000;

/// `GET …/sse`.
pub async fn open(
    Known(caller): Known,
    State(app): State<App>,
    headers: HeaderMap,
    session: PathText,
    RawQuery(query): RawQuery,
) -> Result<Response, EverrunsError> {
    let granted = caller.authorize::<ViewSessions>().map_err(Failure::from)?;
    let id = ids::read_session(&text(session))?;
    let query = Query::read(query.as_deref());
    let since = query.text("since_id")?.or_else(|| last_event(&headers)).map(ids::read_event).transpose()?;
    let Kinds { only, exclude } = Kinds::read(&query)?;
    let counted = app.sockets.open_for(&caller, &app.settings)?;
    let follow =
        agents::events::follow_events(&app, granted.clone(), id, since).await?.with_kinds(only, exclude);
    let (out, frames) = mpsc::channel(FRAMES_WAITING);
    let organization = granted.organization();
    let visitor = Visitor::of(&app, &Method::GET, &headers, caller.attribution().address)?;
    let access = Looks::follow(&app, Looking::Stream, signals::access(&caller));
    let stream = Stream {
        app: app.clone(),
        visitor,
        access,
        organization,
        granted,
        id,
        out,
        room: Arc::new(Semaphore::new(BYTES_WAITING as usize)),
        streamed: Streamed::default(),
    };
    // Tracked, so that a graceful stop waits for the good-bye.
    app.spawn(stream.run(follow, counted));
    let body = stream::unfold(frames, |mut frames| async {
        let (frame, _place): Frame = frames.recv().await?;
        Some((Ok::<_, Infallible>(frame), frames))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that gather an answer before they pass it on would hold the stream back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// What browsers send when they come back by themselves.
fn last_event(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty())
}

/// A frame, and its place among those that wait.
type Frame = (Bytes, OwnedSemaphorePermit);

/// One reader's stream.
struct Stream {
    app: App,
    visitor: Visitor,
    /// Changes of what the reader may do.
    access: Looks,
    organization: OrganizationId,
    granted: Granted<ViewSessions>,
    id: SessionId,
    out: mpsc::Sender<Frame>,
    /// The bytes that may still wait.
    room: Arc<Semaphore>,
    streamed: Streamed,
}

/// Why a stream ends while its reader is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It lasted long enough: load is spread anew when its reader comes back.
    Cycle,
    /// The server stops.
    Stop,
    /// The session was deleted.
    Deleted,
    /// The reader may not read any more.
    Refused,
    /// The server failed.
    Failed,
    /// The reader is gone, or does not read.
    Gone,
}

impl Stream {
    async fn run(mut self, follow: EventFollower, _counted: OpenSocket) {
        let _open = self.app.metrics.websocket_opened("everruns");
        let end = self.tell(follow).await.err().unwrap_or(End::Gone);
        let (reason, retry) = match end {
            End::Gone => return,
            End::Cycle => ("connection_cycle", CYCLE_RETRY),
            End::Stop => ("server_shutdown", STOP_RETRY),
            End::Deleted => ("session_deleted", STOP_RETRY),
            End::Refused => ("unauthorized", STOP_RETRY),
            End::Failed => ("internal_error", STOP_RETRY),
        };
        let bye = json!({ "reason": reason, "retry_ms": retry });
        let _ = self.send(format!("event: disconnecting\ndata: {bye}\n\n")).await;
    }

    /// Tells what happens until there is a reason to end.
    async fn tell(&mut self, mut follow: EventFollower) -> Result<Infallible, End> {
        self.send("event: connected\ndata: {\"status\":\"connected\"}\n\n".to_owned()).await?;
        let stop = self.app.stop.clone();
        let mut beats = interval(self.app.settings.stream_heartbeat.max(SHORTEST_HEARTBEAT));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.reset();
        let life = sleep(self.app.settings.stream_lifetime);
        tokio::pin!(life);
        loop {
            let events = tokio::select! {
                // In this order: what happens all the time must not put off the end for ever.
                biased;
                () = stop.cancelled() => return Err(End::Stop),
                () = &mut life => return Err(End::Cycle),
                () = self.out.closed() => return Err(End::Gone),
                true = self.access.due() => {
                    self.check().await?;
                    continue;
                }
                events = follow.next() => events.map_err(failed)?,
                _ = beats.tick() => {
                    self.check().await?;
                    self.send(": heartbeat\n\n".to_owned()).await?;
                    continue;
                }
            };
            let Some(events) = events else {
                return Err(if stop.is_cancelled() { End::Stop } else { End::Deleted });
            };
            // Before anything is told: who may not read any more learns nothing new.
            self.check().await?;
            for event in events {
                self.event(event).await?;
            }
        }
    }

    /// Whether the reader may still read: its credential is looked up again.
    async fn check(&self) -> Result<(), End> {
        let caller = match self.visitor.caller(&self.app).await {
            Ok(caller) => caller,
            Err(Failure::Refused(_) | Failure::Unauthenticated) => return Err(End::Refused),
            Err(failure) => return Err(failed(failure)),
        };
        let may = caller.authorize::<ViewSessions>().is_ok_and(|may| may.organization() == self.organization);
        if may { Ok(()) } else { Err(End::Refused) }
    }

    async fn event(&mut self, event: Event) -> Result<(), End> {
        catch_up(&self.app, &self.granted, self.id, &mut self.streamed, &event).await.map_err(failed)?;
        let told = Told::new(event, &mut self.streamed);
        let data = serde_json::to_string(&told).map_err(|error| failed(Failure::internal(error)))?;
        self.send(format!("event: {}\nid: {}\ndata: {data}\n\n", told.kind, told.id)).await
    }

    /// Hands a frame on. A reader that takes none for long is cut: it knows where to go on.
    async fn send(&self, frame: String) -> Result<(), End> {
        let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX).min(BYTES_WAITING);
        let sent = async {
            let place = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok()?;
            self.out.send((frame.into(), place)).await.ok()
        };
        timeout(self.app.settings.stream_heartbeat, sent).await.ok().flatten().ok_or(End::Gone)
    }
}

fn failed(failure: Failure) -> End {
    tracing::error!(failure = failure.for_log(), "a stream of events failed");
    End::Failed
}
