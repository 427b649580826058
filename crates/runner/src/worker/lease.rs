//! How long a turn is ours.

use std::sync::Arc;
use std::time::Duration;

use protocol::work::Assignment;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::work_client::{ClaimedTurn, WorkClient, WorkError};
use crate::backoff::Backoff;
use crate::clock::{jitter, now};

/// Longest time between two heartbeats.
const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// The claim of one turn.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) client: Arc<WorkClient>,
    pub(crate) turn: ClaimedTurn,
    length: Duration,
    until: Instant,
    /// Somebody wants the turn to end.
    pub(crate) cancelled: CancellationToken,
    /// A report was told that the turn is not ours.
    lost: CancellationToken,
}

impl Lease {
    /// The claim that was just answered. It was made a moment ago, and fencing has the last word. The lease takes the
    /// turn's token out of the assignment.
    pub(crate) fn new(client: Arc<WorkClient>, assignment: &mut Assignment) -> Self {
        let length = lease_duration(assignment.lease_seconds);
        Self {
            client,
            turn: ClaimedTurn::from_assignment(assignment),
            length,
            until: now() + length,
            cancelled: CancellationToken::new(),
            lost: CancellationToken::new(),
        }
    }

    /// The turn is not ours: [`Lease::renew_until_lost`] returns.
    pub(crate) fn mark_lost(&self) {
        self.lost.cancel();
    }

    /// Keeps the claim with a heartbeat at each third of it or sooner, and returns why when it is lost.
    pub(crate) async fn renew_until_lost(&self) -> String {
        let (mut until, mut wait) = (self.until, heartbeat_interval(self.length));
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let at = (now() + wait).min(until);
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = self.lost.cancelled() => return "another worker has it, or it is over".to_owned(),
            }
            let asked = now();
            let heartbeat = timeout_at(until, self.client.send_heartbeat(&self.turn));
            match heartbeat.await {
                Ok(Ok(beat)) => {
                    let length = lease_duration(beat.lease_seconds);
                    (until, wait) = (asked + length, heartbeat_interval(length));
                    backoff.reset();
                    if beat.cancelled {
                        self.cancelled.cancel();
                    }
                }
                Ok(Err(WorkError::Lost)) => return "another worker has it, or it is over".to_owned(),
                Ok(Err(WorkError::Refused { server, status })) => {
                    return format!(
                        "{server} refused the turn's token ({status}): another worker has it, it is over, or the key is no good"
                    );
                }
                Ok(Err(WorkError::Unavailable(reason) | WorkError::Rejected(reason))) if now() < until => {
                    wait = backoff.next(jitter());
                    tracing::warn!(session = %self.turn.session, reason, retry_in = ?wait, "no heartbeat");
                }
                _ => return "no server could be told in time that it is still worked on".to_owned(),
            }
        }
    }
}

/// How often a heartbeat is due: often enough to keep the claim, and to hear soon that the turn is cancelled.
fn heartbeat_interval(length: Duration) -> Duration {
    (length / 3).min(MAX_HEARTBEAT_INTERVAL)
}

/// A lease of no time at all would be a busy loop.
fn lease_duration(seconds: u64) -> Duration {
    Duration::from_secs(seconds.clamp(1, 24 * 3600))
}
