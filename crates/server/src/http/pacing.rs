//! Sends large responses in pieces and yields to other tasks in between. Encrypting four MiB at once would block a thread of
//! the runtime for milliseconds.

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Bytes of one piece.
const PIECE: usize = 64 << 10;
/// Bytes from which a response is large.
const LARGE: u64 = 256 << 10;

/// Sends a large response in pieces. Leaves others as they are.
pub fn pace(response: Response) -> Response {
    if response.body().size_hint().lower() < LARGE {
        return response;
    }
    response.map(|body| Body::new(Paced { body, left: Bytes::new(), others_first: false }))
}

struct Paced {
    body: Body,
    /// The rest of the current frame.
    left: Bytes,
    /// Whether to yield to other tasks before the next piece.
    others_first: bool,
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.others_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context))
                .map(|frame| frame.map(Frame::into_data))
            {
                Some(Ok(Ok(data))) => self.left = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.left.len().min(PIECE);
        let piece = self.left.split_to(length);
        self.others_first = !self.left.is_empty();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, left) = (self.body.size_hint(), self.left.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + left);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + left);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_large_response_is_complete_and_sent_in_chunks() {
        let sent = (0..1_000_000_u32).map(|number| number as u8).collect::<Vec<_>>();
        let paced = pace(Bytes::from(sent.clone()).into_response());
        assert_eq!(paced.body().size_hint().exact(), Some(1_000_000));
        let (mut body, mut got) = (paced.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            got.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some((sent.len() - got.len()) as u64));
        }
        assert_eq!(got, sent);
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn other_tasks_run_between_two_chunks() {
        let body = pace(Bytes::from(vec![0; 1_000_000]).into_response()).into_body();
        let turns = Arc::new(AtomicUsize::new(0));
        let (counted, seen) = (Arc::clone(&turns), turns);
        let reading = tokio::spawn(async move {
            let read = body.collect().await.unwrap().to_bytes().len();
            // Not later: the runtime runs others for a while before it comes back to the test.
            (read, seen.load(Ordering::Relaxed))
        });
        let others = tokio::spawn(async move {
            // Ready again at once. `yield_now` would run again only when nothing else is ready.
            poll_fn::<(), _>(|context| {
                counted.fetch_add(1, Ordering::Relaxed);
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
        let (read, turns) = reading.await.unwrap();
        others.abort();
        assert_eq!(read, 1_000_000);
        assert!(turns >= 1_000_000 / PIECE, "{turns}");
    }

    #[test]
    fn a_small_response_is_unchanged() {
        let small = pace(Bytes::from(vec![0; 1_000]).into_response());
        assert_eq!(small.body().size_hint().exact(), Some(1_000));
    }
}
