//! The lease of a turn.

use std::sync::Arc;
use std::time::Duration;

use protocol::work::TurnAssignment;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::work_client::{ClaimedTurn, WorkClient, WorkError};
use crate::backoff::Backoff;
use crate::clock::{jitter, now};

/// Longest time between two heartbeats.
const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// The lease of one claimed turn.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) client: Arc<WorkClient>,
    pub(crate) turn: ClaimedTurn,
    length: Duration,
    until: Instant,
    /// Cancelled when a user cancels the turn.
    pub(crate) cancelled: CancellationToken,
    /// Cancelled when a report learns that the turn is lost.
    lost: CancellationToken,
}

impl Lease {
    /// Starts the lease of a turn that was just claimed, and takes the turn's token out of the assignment. The server
    /// counts from a moment earlier; its fencing covers the difference.
    pub(crate) fn new(client: Arc<WorkClient>, assignment: &mut TurnAssignment) -> Self {
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

    /// Marks the turn as lost, so that [`Lease::renew_until_lost`] returns.
    pub(crate) fn mark_lost(&self) {
        self.lost.cancel();
    }

    /// Renews the lease with a heartbeat at each third of it, or sooner. Returns the reason when it is lost.
    pub(crate) async fn renew_until_lost(&self) -> String {
        let (mut until, mut wait) = (self.until, heartbeat_interval(self.length));
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let at = (now() + wait).min(until);
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = self.lost.cancelled() => return "another worker has the turn, or it is over".to_owned(),
            }
            let sent = now();
            let heartbeat = timeout_at(until, self.client.send_heartbeat(&self.turn));
            match heartbeat.await {
                Ok(Ok(beat)) => {
                    let length = lease_duration(beat.lease_seconds);
                    (until, wait) = (sent + length, heartbeat_interval(length));
                    backoff.reset();
                    if beat.cancelled {
                        self.cancelled.cancel();
                    }
                }
                Ok(Err(WorkError::Lost)) => return "another worker has the turn, or it is over".to_owned(),
                Ok(Err(WorkError::Refused { server, status })) => {
                    return format!(
                        "{server} refused the turn's token ({status}): another worker has the turn, it is over, or the key is no longer valid"
                    );
                }
                Ok(Err(WorkError::Unavailable(reason) | WorkError::Rejected(reason))) if now() < until => {
                    wait = backoff.next(jitter());
                    tracing::warn!(session = %self.turn.session, reason, retry_in = ?wait, "heartbeat failed");
                }
                _ => return "no server accepted a heartbeat in time".to_owned(),
            }
        }
    }
}

/// The time between heartbeats: short enough to keep the lease, and to learn soon that the turn was cancelled.
fn heartbeat_interval(length: Duration) -> Duration {
    (length / 3).min(MAX_HEARTBEAT_INTERVAL)
}

/// At least 1 s and at most a day: a lease of no time would be a busy loop.
fn lease_duration(seconds: u64) -> Duration {
    Duration::from_secs(seconds.clamp(1, 24 * 3600))
}
