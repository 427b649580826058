//! Reads the sessions of a server that starts into an index.
//!
//! The pages of each kind are read ahead, while those before are put into the index on a thread of their own.

use domain::session::{SessionKey, SessionKind, Summary};
use index::Index;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Store, System};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many sessions of a kind are read at once: so few that the read is brief, and its rows stay in the processor's cache.
const PAGE: u32 = 1_000;
/// How many pages of a kind wait to be put into the index.
const AHEAD: usize = 4;
/// How many sessions are loaded between two entries of the log.
const REPORT: u64 = 1_000_000;

/// A page of sessions, oldest first; an empty page ends the list.
type SummaryPage = Result<Vec<Summary>, store::Error>;

/// Reads all sessions into an index. `loaded` counts them.
///
/// # Errors
/// [`store::Error::Database`].
pub(super) async fn load(store: &Store, loaded: Arc<AtomicU64>) -> Result<Index, store::Error> {
    // Dropped with this future; then the thread of the index finds no more pages.
    let mut readers = JoinSet::new();
    let kinds = [SessionKind::Device, SessionKind::Agent, SessionKind::Login].map(|kind| {
        let (pages, waiting) = mpsc::channel(AHEAD);
        readers.spawn(read_pages(store.clone(), kind, pages));
        Sessions { pages: waiting, page: VecDeque::new(), ended: false }
    });
    let filled = tokio::task::spawn_blocking(move || fill(kinds, &loaded)).await;
    filled.unwrap_or_else(|error| Err(loading_error(&error.to_string())))
}

fn loading_error(why: &str) -> store::Error {
    store::Error::Database(store::DatabaseError::Failed(format!("loading the sessions: {why}")))
}

async fn read_pages(store: Store, kind: SessionKind, pages: mpsc::Sender<SummaryPage>) {
    let system = System::for_background_jobs();
    let mut after = None;
    loop {
        let page = store.list_summaries(&system, kind, after, PAGE).await;
        after = page.as_ref().ok().and_then(|page| page.last()).map(|summary| summary.key);
        // Nobody waits for a page when the server stops.
        if pages.send(page).await.is_err() || after.is_none() {
            return;
        }
    }
}

/// The sessions of one kind.
struct Sessions {
    pages: mpsc::Receiver<SummaryPage>,
    page: VecDeque<Summary>,
    ended: bool,
}

impl Sessions {
    /// The next session, without taking it.
    fn peek(&mut self) -> Result<Option<SessionKey>, store::Error> {
        if self.page.is_empty() && !self.ended {
            self.page =
                self.pages.blocking_recv().unwrap_or_else(|| Err(loading_error("the server stops")))?.into();
            self.ended = self.page.is_empty();
        }
        Ok(self.page.front().map(|summary| summary.key))
    }
}

/// Puts sessions into an index, which takes them best in the order of lists.
fn fill<const N: usize>(mut kinds: [Sessions; N], loaded: &AtomicU64) -> Result<Index, store::Error> {
    let mut index = Index::default();
    loop {
        let mut oldest: Option<(SessionKey, usize)> = None;
        for (at, kind) in kinds.iter_mut().enumerate() {
            if let Some(next) = kind.peek()? {
                let is_older = oldest.is_none_or(|(oldest, _)| next.id < oldest.id);
                oldest = if is_older { Some((next, at)) } else { oldest };
            }
        }
        let Some((_, at)) = oldest else { break };
        if let Some(summary) = kinds[at].page.pop_front() {
            index.append(summary);
            let count = loaded.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_multiple_of(REPORT) {
                tracing::info!(sessions = count, "loading the sessions");
            }
        }
    }
    index.shrink();
    Ok(index)
}
