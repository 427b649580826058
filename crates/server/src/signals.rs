//! What follows from commits: here, on other servers, and by the command line.

use crate::app::App;
use crate::observe::Looking;
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;
use store::{Caller, Topic, Watch};
use tokio::time::Sleep;

/// How many looks at the database a client that follows something has in each [`LOOKS_TIME`].
const LOOKS: usize = 4;
const LOOKS_TIME: Duration = Duration::from_secs(1);

/// Runs the queue after every commit that concerns devices, until the server stops.
pub async fn follow(app: App) {
    let mut watch = app.store.database().watch([Topic::Devices]);
    loop {
        tokio::select! {
            open = watch.wait_for_commit() => if !open { break },
            () = app.stop.cancelled() => break,
        }
        app.queue.request_run();
    }
}

/// The topics of commits that may change what a caller may do.
pub fn access(caller: &Caller) -> impl Iterator<Item = Topic> {
    let ids = [Some(caller.principal().0), Some(caller.credential().0), caller.organization().map(|id| id.0)];
    ids.into_iter().flatten().map(Topic::Access)
}

/// Says when to look at the database again, for a client that follows something: after a commit on what it follows, at
/// most four times a second.
pub struct Looks {
    app: App,
    who: Looking,
    watch: Watch,
    /// Whether there was a commit that was not looked at yet.
    changed: bool,
    pace: Pace,
}

/// Lets at most [`LOOKS`] pass in each [`LOOKS_TIME`].
#[derive(Default)]
struct Pace {
    /// For each of the last looks, when it no longer counts.
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
    /// Follows these topics from now on.
    pub fn follow(app: &App, who: Looking, topics: impl IntoIterator<Item = Topic>) -> Looks {
        let watch = app.store.database().watch(topics);
        Looks { app: app.clone(), who, watch, changed: false, pace: Pace::default() }
    }

    /// Waits until it is time to look; `false` once the database is closed. Cancelling it loses no commit.
    pub async fn due(&mut self) -> bool {
        if !self.changed {
            if !self.watch.wait_for_commit().await {
                return false;
            }
            self.changed = true;
        }
        self.pace.wait().await;
        self.changed = false;
        self.app.metrics.looked(self.who);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_client_looks_at_most_four_times_a_second() {
        let mut pace = Pace::default();
        let mut looks = || (0..10).filter(|_| pace.wait().now_or_never().is_some()).count();
        assert_eq!((looks(), looks()), (4, 0));
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(looks(), 0);
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!((looks(), looks()), (4, 0));
    }
}
