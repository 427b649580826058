//! The client of the work API of a deployment's servers.

use std::fmt;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::WARNING_HEADER;
use protocol::work::{
    Heartbeat, LeaseRenewal, TurnAssignment, TurnClaim, TurnCompletion, TurnRef, TurnReport, TurnTokenText,
    WORK_PATH,
};
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use super::WorkerError;
use crate::backoff::Backoff;
use crate::clock::jitter;
use crate::options::{ServedScope, base_url, http_client};

/// Time limit for a response, on top of the time that the request itself asks to wait.
const RESPONSE_LIMIT: Duration = Duration::from_secs(15);

/// Longest part of a server's message that is shown, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum WorkError {
    /// The turn is not this worker's, or no longer.
    Lost,
    /// The server refused the credential.
    Refused {
        /// The server's base URL.
        server: String,
        /// 401 or 403.
        status: u16,
    },
    /// The same request can never succeed. The reason in words.
    Rejected(String),
    /// A retry may succeed. The reason in words.
    Unavailable(String),
}

/// A turn that was claimed, with the token that authorizes requests about it.
#[derive(Debug)]
pub(crate) struct ClaimedTurn {
    pub(crate) session: Uuid,
    pub(crate) turn_ref: TurnRef,
    token: TurnTokenText,
}

impl ClaimedTurn {
    /// Takes the token out of the assignment, because the command may read the rest.
    pub(crate) fn from_assignment(assignment: &mut TurnAssignment) -> Self {
        let token = std::mem::take(&mut assignment.token);
        Self { session: assignment.session, turn_ref: assignment.turn_ref(), token }
    }

    fn path(&self, operation: &str) -> String {
        format!("{}/{operation}", self.session)
    }
}

/// All servers of the deployment. Uses one of them, and switches to the next when that one is away.
pub(crate) struct WorkClient {
    bases: Vec<String>,
    current: AtomicUsize,
    key: String,
    organization: Option<Uuid>,
    client: Client,
    /// Whether the server's warning about the key was logged.
    warned: Once,
}

impl WorkClient {
    pub(crate) fn new(
        urls: &[String],
        key: &str,
        organization: Option<Uuid>,
        account: bool,
    ) -> Result<Self, WorkerError> {
        let bases = urls
            .iter()
            .map(|url| base_url(url).ok_or_else(|| WorkerError::BadServer(url.clone())))
            .collect::<Result<Vec<_>, _>>()?;
        let serving = if account { ServedScope::Account.to_headers() } else { HeaderMap::new() };
        let client = http_client()
            .default_headers(serving)
            .user_agent(concat!("tenure-worker/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| WorkerError::Http(error.to_string()))?;
        let (current, key) = (AtomicUsize::new(0), key.to_owned());
        Ok(Self { bases, current, key, organization, client, warned: Once::new() })
    }

    /// Claims a turn; `None` when there was none in time.
    pub(crate) async fn claim_turn(&self, claim: &TurnClaim) -> Result<Option<TurnAssignment>, WorkError> {
        let limit = Duration::from_secs(claim.wait_seconds) + RESPONSE_LIMIT;
        let response = self.post(&self.key, "claim", claim, limit).await.map_err(|error| match error {
            WorkError::Lost => WorkError::Unavailable("there is no Tenure server at this address".to_owned()),
            other => other,
        })?;
        if let Some(warning) = response.headers().get(WARNING_HEADER).and_then(|text| text.to_str().ok()) {
            self.warned.call_once(|| tracing::warn!("{warning}"));
        }
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        response.json().await.map(Some).map_err(|error| self.unreadable_response(&error))
    }

    /// Renews the lease. Tries once.
    pub(crate) async fn send_heartbeat(&self, turn: &ClaimedTurn) -> Result<LeaseRenewal, WorkError> {
        let heartbeat = Heartbeat { turn_ref: turn.turn_ref };
        let response = self.post(&turn.token.0, &turn.path("heartbeat"), &heartbeat, RESPONSE_LIMIT).await?;
        response.json().await.map_err(|error| self.unreadable_response(&error))
    }

    /// Sends a report. Retries as long as the caller waits.
    pub(crate) async fn send_report(
        &self,
        turn: &ClaimedTurn,
        report: &TurnReport,
    ) -> Result<LeaseRenewal, WorkError> {
        let path = turn.path("report");
        let mut retry = RetryDelay::new("report");
        loop {
            let attempt = async {
                let response = self.post(&turn.token.0, &path, report, RESPONSE_LIMIT).await?;
                response.json().await.map_err(|error| self.unreadable_response(&error))
            };
            match attempt.await {
                Err(WorkError::Unavailable(reason)) => retry.wait(&reason).await,
                result => return result,
            }
        }
    }

    /// Reports how a turn ended. Retries as long as the caller waits.
    pub(crate) async fn finish_turn(
        &self,
        turn: &ClaimedTurn,
        done: &TurnCompletion,
    ) -> Result<(), WorkError> {
        let path = turn.path("done");
        let mut retry = RetryDelay::new("done");
        loop {
            match self.post(&turn.token.0, &path, done, RESPONSE_LIMIT).await {
                Err(WorkError::Unavailable(reason)) => retry.wait(&reason).await,
                result => return result.map(drop),
            }
        }
    }

    /// Sends a request to the current server, and maps the status of a failure to an error.
    async fn post(
        &self,
        credential: &str,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<Response, WorkError> {
        let position = self.current.load(Ordering::Relaxed);
        let base = &self.bases[position % self.bases.len()];
        let mut request = self.client.post(format!("{base}{WORK_PATH}/{path}")).timeout(limit).json(body);
        request = request.bearer_auth(credential);
        if let Some(organization) = self.organization {
            request = request.header("x-organization-id", organization.to_string());
        }
        let response = request.send().await.map_err(|error| {
            self.switch_server(position);
            WorkError::Unavailable(format!("{base} cannot be reached: {}", root_cause(&error)))
        })?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Err(WorkError::Lost),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(WorkError::Refused { server: base.clone(), status: status.as_u16() })
            }
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY) => {
                let message: String =
                    response.text().await.unwrap_or_default().chars().take(MAX_MESSAGE_CHARS).collect();
                Err(WorkError::Rejected(format!("the server answered {status}: {message}")))
            }
            status => {
                self.switch_server(position);
                Err(WorkError::Unavailable(format!("{base} answered {status}")))
            }
        }
    }

    /// Switches to the next server, unless another request already did.
    fn switch_server(&self, from: usize) {
        let next = from.wrapping_add(1);
        let _ = self.current.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The response was cut off, or is not from Tenure. The request may have taken effect.
    fn unreadable_response(&self, error: &reqwest::Error) -> WorkError {
        self.switch_server(self.current.load(Ordering::Relaxed));
        WorkError::Unavailable(format!("the response cannot be read: {}", root_cause(error)))
    }
}

impl fmt::Debug for WorkClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkClient").field("bases", &self.bases).finish_non_exhaustive()
    }
}

/// Growing delays between retries, each of which is logged.
struct RetryDelay {
    request: &'static str,
    backoff: Backoff,
}

impl RetryDelay {
    fn new(request: &'static str) -> Self {
        Self { request, backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)) }
    }

    async fn wait(&mut self, reason: &str) {
        let delay = self.backoff.next(jitter());
        tracing::warn!(request = self.request, reason, retry_in = ?delay, "request failed");
        tokio::time::sleep(delay).await;
    }
}

/// The innermost cause of an error: the outer ones only say that sending a request failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
