//! `/v1/sessions/{session}/sse`: streams a session's events as they happen.
//!
//! The stream begins at the session's first event, or after `since_id`, because clients open it after they have posted a
//! message. A reader that reconnects with the last id it saw gets each event once. The stream holds a position and a few
//! frames, so a slow reader takes no memory. It is disconnected after a while.

use super::errors::EverrunsError;
use super::event_shapes::{EventShape, StreamedText};
use super::events::{EventKinds, catch_up};
use super::extractors::{Authenticated, read_client_credential};
use super::ids;
use super::output::{PathText, path_text};
use crate::app::App;
use crate::failure::Failure;
use crate::http::credential::ClientCredential;
use crate::http::event_stream::{EventSender, last_event_id, open_event_stream};
use crate::http::query::Query;
use crate::operations::agents;
use crate::operations::agents::events::EventFollower;
use crate::services::metrics::WokenReader;
use crate::services::throttle::OpenSocket;
use crate::signals::{self, Looks};
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use domain::agent::Event;
use domain::ids::{OrganizationId, SessionId};
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use store::Granted;
use store::access::ViewSessions;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// An interval cannot be zero.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(1);
/// `retry_ms` of a stream that reached its lifetime, in milliseconds.
const CYCLE_RETRY: u32 = 100;
/// `retry_ms` of a stream that ends for another reason. When the server stops, another must start first.
const STOP_RETRY: u32 = 1_000;

/// `GET …/sse`.
pub async fn open(
    Authenticated(caller): Authenticated,
    State(app): State<App>,
    headers: HeaderMap,
    session: PathText,
    query: Query,
) -> Result<Response, EverrunsError> {
    let granted = caller.authorize::<ViewSessions>().map_err(Failure::from)?;
    let id = ids::read_session(&path_text(session))?;
    let since =
        query.text("since_id")?.or_else(|| last_event_id(&headers)).map(ids::read_event).transpose()?;
    let EventKinds { only, exclude } = EventKinds::read(&query)?;
    let counted = app.sockets.open_for(&caller, &app.settings)?;
    let follow =
        agents::events::follow_events(&app, granted.clone(), id, since).await?.with_kinds(only, exclude);
    let (out, response) = open_event_stream(app.settings.stream_heartbeat);
    let organization = granted.organization();
    let credential = read_client_credential(&app, &Method::GET, &headers, caller.attribution().address)?;
    let access = Looks::follow(&app, WokenReader::Stream, signals::access(&caller));
    let stream = Stream {
        app: app.clone(),
        credential,
        access,
        organization,
        granted,
        id,
        out,
        streamed: StreamedText::default(),
    };
    // Tracked, so that a graceful stop waits until the last frame is sent.
    app.spawn(stream.run(follow, counted));
    Ok(response)
}

/// One reader's stream.
struct Stream {
    app: App,
    credential: ClientCredential,
    /// Wakes when the reader's permissions change.
    access: Looks,
    organization: OrganizationId,
    granted: Granted<ViewSessions>,
    id: SessionId,
    out: EventSender,
    streamed: StreamedText,
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its lifetime is over. When readers reconnect, the load spreads over the servers again.
    Cycle,
    /// The server stops.
    Stop,
    /// The session was deleted.
    Deleted,
    /// The reader has lost the permission.
    Refused,
    /// The server failed.
    Failed,
    /// The reader has disconnected, or does not read.
    Gone,
}

impl Stream {
    async fn run(mut self, follow: EventFollower, _counted: OpenSocket) {
        let _open = self.app.metrics.websocket_opened("everruns");
        let end = self.send_events(follow).await.err().unwrap_or(End::Gone);
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

    /// Sends events until there is a reason to end.
    async fn send_events(&mut self, mut follow: EventFollower) -> Result<Infallible, End> {
        self.send("event: connected\ndata: {\"status\":\"connected\"}\n\n".to_owned()).await?;
        let stop = self.app.stop.clone();
        let mut beats = interval(self.app.settings.stream_heartbeat.max(SHORTEST_HEARTBEAT));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.reset();
        let life = sleep(self.app.settings.stream_lifetime);
        tokio::pin!(life);
        loop {
            let events = tokio::select! {
                // In this order: a steady flow of events must not delay the end of the stream forever.
                biased;
                () = stop.cancelled() => return Err(End::Stop),
                () = &mut life => return Err(End::Cycle),
                () = self.out.wait_until_closed() => return Err(End::Gone),
                true = self.access.due() => {
                    self.check_access().await?;
                    continue;
                }
                events = follow.next() => events.map_err(log_failure)?,
                _ = beats.tick() => {
                    self.check_access().await?;
                    self.send(": heartbeat\n\n".to_owned()).await?;
                    continue;
                }
            };
            let Some(events) = events else {
                return Err(if stop.is_cancelled() { End::Stop } else { End::Deleted });
            };
            // Checked before sending: a reader who has lost the permission gets no new event.
            self.check_access().await?;
            for event in events {
                self.send_event(event).await?;
            }
        }
    }

    /// Authenticates the reader again and checks the permission.
    async fn check_access(&self) -> Result<(), End> {
        let caller = match self.credential.authenticate(&self.app).await {
            Ok(caller) => caller,
            Err(Failure::Refused(_) | Failure::Unauthenticated) => return Err(End::Refused),
            Err(failure) => return Err(log_failure(failure)),
        };
        let may = caller.authorize::<ViewSessions>().is_ok_and(|may| may.organization() == self.organization);
        if may { Ok(()) } else { Err(End::Refused) }
    }

    async fn send_event(&mut self, event: Event) -> Result<(), End> {
        catch_up(&self.app, &self.granted, self.id, &mut self.streamed, &event).await.map_err(log_failure)?;
        let shape = EventShape::new(event, &mut self.streamed);
        let data = serde_json::to_string(&shape).map_err(|error| log_failure(Failure::internal(error)))?;
        self.send(format!("event: {}\nid: {}\ndata: {data}\n\n", shape.kind, shape.id)).await
    }

    async fn send(&self, frame: String) -> Result<(), End> {
        if self.out.send(frame).await { Ok(()) } else { Err(End::Gone) }
    }
}

fn log_failure(failure: Failure) -> End {
    tracing::error!(failure = failure.log_text(), "a stream of events failed");
    End::Failed
}
