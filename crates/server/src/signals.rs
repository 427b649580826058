//! Reacts to commits of this server, of other servers and of the command line.

use crate::app::App;
use crate::services::metrics::WokenReader;
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;
use store::{Caller, Topic, Watch};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// How often a client that follows something reads the database in each [`LOOKS_TIME`].
const LOOKS: usize = 4;
const LOOKS_TIME: Duration = Duration::from_secs(1);

/// Runs the queue after every commit that concerns devices, until the server stops.
pub async fn follow(app: App) {
    let mut commits = CommitWatch::start(&app, [Topic::Devices]);
    while commits.wait().await {
        app.queue.request_run();
    }
}

/// The topics of commits that may change what a caller may do.
pub fn access(caller: &Caller) -> impl Iterator<Item = Topic> {
    let ids = [Some(caller.principal().0), Some(caller.credential().0), caller.organization().map(|id| id.0)];
    ids.into_iter().flatten().map(Topic::Access)
}

/// Waits for commits on some topics, until the server stops.
pub struct CommitWatch {
    watch: Watch,
    stop: CancellationToken,
}

impl CommitWatch {
    /// Starts to follow these topics.
    pub fn start(app: &App, topics: impl IntoIterator<Item = Topic>) -> CommitWatch {
        CommitWatch { watch: app.store.database().watch(topics), stop: app.stop.clone() }
    }

    /// Waits for the next commit; those since the last call count as one. Returns `false` once the server stops. It is
    /// cancellation-safe: no commit is lost.
    pub async fn wait(&mut self) -> bool {
        tokio::select! {
            open = self.watch.wait_for_commit() => open,
            () = self.stop.cancelled() => false,
        }
    }
}

/// Tells a client that follows something when to read the database again: after a commit on its topics, at most four times
/// a second.
pub struct Looks {
    app: App,
    reader: WokenReader,
    commits: CommitWatch,
    /// Whether a commit has come since the last read.
    changed: bool,
    pace: Pace,
}

/// Limits reads to [`LOOKS`] in each [`LOOKS_TIME`].
#[derive(Default)]
struct Pace {
    /// When each of the last reads stops to count.
    recent: VecDeque<Pin<Box<Sleep>>>,
}

impl Pace {
    async fn wait(&mut self) {
        if self.recent.len() >= LOOKS
            && let Some(oldest) = self.recent.front_mut()
        {
            oldest.as_mut().await;
            self.recent.pop_front();
        }
        self.recent.push_back(Box::pin(tokio::time::sleep(LOOKS_TIME)));
    }
}

impl Looks {
    /// Starts to follow these topics.
    pub fn follow(app: &App, reader: WokenReader, topics: impl IntoIterator<Item = Topic>) -> Looks {
        let commits = CommitWatch::start(app, topics);
        Looks { app: app.clone(), reader, commits, changed: false, pace: Pace::default() }
    }

    /// Waits until the next read is due. Returns `false` once the server stops. It is cancellation-safe: no commit is lost.
    pub async fn due(&mut self) -> bool {
        if !self.changed && !self.commits.wait().await {
            return false;
        }
        self.changed = true;
        tokio::select! {
            () = self.pace.wait() => {}
            () = self.commits.stop.cancelled() => return false,
        }
        self.changed = false;
        self.app.metrics.count_woken_read(self.reader);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_client_reads_at_most_four_times_a_second() {
        let mut pace = Pace::default();
        let mut looks = || (0..10).filter(|_| pace.wait().now_or_never().is_some()).count();
        assert_eq!((looks(), looks()), (4, 0));
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(looks(), 0);
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!((looks(), looks()), (4, 0));
    }
}
