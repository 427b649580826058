//! `tenure worker`: claims turns of agents from Tenure servers and runs a command for each.
//!
//! A *slot* claims a turn, runs it and claims the next; a worker has a slot for each turn that it runs at once. The
//! command of a turn is a process group, and a *pump* reads each of its pipes. The *outbox* reports the output in
//! batches. Heartbeats renew the *lease*; when it is lost, the worker drops the turn.
//!
//! ```text
//! command -> pumps (characters, lines, directives) -> outbox (batches, numbers, retries) -> server
//! ```

mod command;
mod directives;
mod exec_user;
mod folder_locks;
mod lease;
mod options;
mod outbox;
mod text;
mod turn;
mod work_client;

pub use exec_user::ExecUser;
pub use options::{WorkerError, WorkerOptions};

use std::sync::Arc;
use std::time::Duration;

use protocol::work::TurnClaim;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::clock::{jitter, now};
use turn::TurnRunner;
use work_client::{WorkClient, WorkError};

/// How long a claim waits for a turn, in seconds. Shorter than the time limit of common proxies.
const WAIT_SECONDS: u64 = 25;

/// A server that answers "no turn" sooner than this does not wait, so the worker must pause between its claims.
const MIN_CLAIM_WAIT: Duration = Duration::from_secs(1);

/// Time limit for reporting commands that were ended because the worker stops.
const FINAL_REPORT_LIMIT: Duration = Duration::from_secs(10);

/// The two ways to stop a worker.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Stops claiming; running turns may continue for [`WorkerOptions::stop_limit`].
    pub gently: CancellationToken,
    /// Also ends running turns.
    pub now: CancellationToken,
}

/// Runs the worker until it is stopped.
///
/// # Errors
/// The options are invalid, the folder cannot be used, or a server refuses the key: a retry would not help. The worker
/// retries or reports all other failures (a server that is away, a command that fails).
pub async fn run(options: WorkerOptions, stop: Stop) -> Result<(), WorkerError> {
    options.validate()?;
    let client =
        Arc::new(WorkClient::new(&options.servers, &options.token, options.organization, options.account)?);
    let directory = turn::create_private_dir(&options.directory)
        .and_then(|()| options.directory.canonicalize())
        .map_err(|cause| WorkerError::Directory { path: options.directory.clone(), cause })?;
    if let Some(user) = &options.exec_user {
        user.allow_access(&directory)?;
    }
    let claiming = stop.gently.child_token();
    let stopped = stop.now.child_token();
    let stop_limit = enforce_stop_limit(claiming.clone(), stopped.clone(), options.stop_limit);
    let _stop_limit = AbortOnDropHandle::new(tokio::spawn(stop_limit));
    let runner = Arc::new(TurnRunner {
        options,
        client,
        directory,
        folder_locks: folder_locks::FolderLocks::default(),
        stopped,
    });
    let mut slots = JoinSet::new();
    for _ in 0..runner.options.parallel {
        slots.spawn(run_slot(Arc::clone(&runner), claiming.clone()));
    }
    let last = runner.options.grace + FINAL_REPORT_LIMIT;
    tokio::select! {
        outcome = wait_for_slots(&mut slots, &claiming) => outcome,
        () = wait_for_final_reports(&runner.stopped, last) => {
            tracing::warn!("could not send the turns' remaining output to the server");
            slots.shutdown().await;
            Ok(())
        }
    }
}

/// Waits for all slots. When one of them ends, the others claim no more turns.
async fn wait_for_slots(
    slots: &mut JoinSet<Result<(), WorkerError>>,
    claiming: &CancellationToken,
) -> Result<(), WorkerError> {
    let mut outcome = Ok(());
    while let Some(ended) = slots.join_next().await {
        let ended = ended.unwrap_or_else(|panic| Err(WorkerError::Bug(panic.to_string())));
        if outcome.is_ok() {
            outcome = ended;
        }
        claiming.cancel();
    }
    outcome
}

/// Returns when the turns that must end have had time for their last reports.
async fn wait_for_final_reports(stopped: &CancellationToken, last: Duration) {
    stopped.cancelled().await;
    tokio::time::sleep(last).await;
}

/// Once claiming has stopped, gives the running turns the stop limit and then ends them.
async fn enforce_stop_limit(claiming: CancellationToken, stopped: CancellationToken, limit: Duration) {
    tokio::select! {
        () = stopped.cancelled() => claiming.cancel(),
        () = claiming.cancelled() => {
            tracing::info!(limit = ?limit, "claiming no more turns, waiting for running ones");
            tokio::time::sleep(limit).await;
            stopped.cancel();
        }
    }
}

/// Claims and runs one turn after another.
async fn run_slot(runner: Arc<TurnRunner>, claiming: CancellationToken) -> Result<(), WorkerError> {
    let agents = Some(runner.options.agents.clone()).filter(|agents| !agents.is_empty());
    let claim = TurnClaim { worker: runner.options.name.clone(), agents, wait_seconds: WAIT_SECONDS };
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        let asked = now();
        let claimed = tokio::select! {
            biased;
            () = claiming.cancelled() => return Ok(()),
            claimed = runner.client.claim_turn(&claim) => claimed,
        };
        let problem = match claimed {
            Ok(Some(assignment)) => {
                backoff.reset();
                runner.run_turn(assignment).await;
                continue;
            }
            Ok(None) if asked.elapsed() >= MIN_CLAIM_WAIT => {
                backoff.reset();
                continue;
            }
            Ok(None) => None,
            Err(WorkError::Refused { server, status }) => return Err(refusal_error(server, status)),
            Err(WorkError::Lost) => Some("the server does not know the turn".to_owned()),
            Err(WorkError::Rejected(reason) | WorkError::Unavailable(reason)) => Some(reason),
        };
        let delay = backoff.next(jitter());
        if let Some(reason) = problem {
            tracing::warn!(reason, retry_in = ?delay, "could not claim a turn");
        }
        if claiming.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return Ok(());
        }
    }
}

fn refusal_error(server: String, status: u16) -> WorkerError {
    let reason = match status {
        401 => "the key is unknown, expired or revoked",
        _ => "its owner needs the role worker; a key of one organization cannot serve the whole account",
    };
    WorkerError::Refused { server, status, reason }
}
