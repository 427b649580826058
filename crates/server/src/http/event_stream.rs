//! Streams of server-sent events. A stream holds a few frames, so a slow reader takes no memory. It is disconnected after a
//! while.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// Most frames that wait to be written, and most bytes of theirs; one larger frame can always wait. The next events are
/// read when these are written.
const FRAMES_WAITING: usize = 16;
const BYTES_WAITING: u32 = 256 << 10;

/// A frame, and its share of the bytes that can wait.
type Frame = (Bytes, OwnedSemaphorePermit);

/// The sending end of a stream.
pub struct EventSender {
    out: mpsc::Sender<Frame>,
    /// Bytes that can still wait.
    room: Arc<Semaphore>,
    patience: Duration,
}

/// Opens a stream. A reader that takes no frame for the time of `patience` is disconnected.
pub fn open_event_stream(patience: Duration) -> (EventSender, Response) {
    let (out, frames) = mpsc::channel(FRAMES_WAITING);
    let body = stream::unfold(frames, |mut frames: mpsc::Receiver<Frame>| async {
        let (frame, _place) = frames.recv().await?;
        Some((Ok::<_, Infallible>(frame), frames))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that buffers responses would delay the stream.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let sender = EventSender { out, room: Arc::new(Semaphore::new(BYTES_WAITING as usize)), patience };
    (sender, (headers, Body::from_stream(body)).into_response())
}

impl EventSender {
    /// Queues a frame. Whether the reader is still there.
    pub async fn send(&self, frame: impl Into<Bytes>) -> bool {
        let frame = frame.into();
        let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX).min(BYTES_WAITING);
        let sent = async {
            let place = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok()?;
            self.out.send((frame, place)).await.ok()
        };
        timeout(self.patience, sent).await.ok().flatten().is_some()
    }

    /// Waits until the reader has disconnected.
    pub async fn wait_until_closed(&self) {
        self.out.closed().await;
    }
}

/// The header that browsers send when they reconnect.
pub fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty())
}
