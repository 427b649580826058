//! What workers do: claim a turn, renew its lease, report and finish.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::access::machine_grant::MachineGrant;
use crate::operations::agents::change::ATTEMPTS;
use crate::operations::agents::change::change_agent_session;
use crate::operations::agents::change::try_change;
use crate::operations::agents::secrets;
use crate::services::idle_workers::IdleWorker;
use crate::services::metrics::WokenReader;
use domain::Refusal;
use domain::agent::{
    Agent, AgentChange, AgentCommand, AgentSession, Event, Message, Turn, TurnCredential, TurnEnding,
    TurnItem, TurnItems, TurnState,
};
use domain::credential::{SecretHash, TurnToken};
use domain::ids::{OrganizationId, SessionId, TurnId};
use domain::session::SessionKey;
use domain::time::{Micros, Span};
use serde::Deserialize;
use std::time::Duration;
use store::access::{ConnectWorkers, UseSessions, ViewSessions};
use store::{Granted, System};

/// How many sessions a claim tries before it reads the list again.
const CANDIDATES: u32 = 16;
/// The longest time that a claim may wait.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// How many structured outputs of one report are checked; the last one counts.
const MAX_OUTPUTS: usize = 8;
/// How many expired leases are read at once.
const LEASES_AT_ONCE: u32 = 100;

/// The proof of whose turns a worker may run.
pub type WorkerGrant = MachineGrant<ConnectWorkers>;

/// A worker's request for a turn.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The worker's name.
    pub worker: String,
    /// The names of the agents that it runs; `None` means all.
    pub agents: Option<Vec<String>>,
    /// How long it waits; at most [`MAX_WAIT`].
    pub wait: Duration,
    /// The hash of the worker's API key.
    pub key: SecretHash,
}

/// A turn and all that its worker needs.
#[derive(Clone)]
pub struct AssignedTurn {
    /// The session, with the turn in it.
    pub session: AgentSession,
    /// The turn.
    pub turn: Turn,
    /// The message to answer.
    pub message: Message,
    /// The agent; `None` when it was deleted.
    pub agent: Option<Agent>,
    /// Names and values of the session's secrets.
    pub secrets: Vec<(String, String)>,
    /// The worker's credential for this turn.
    pub token: TurnToken,
    /// How long the lease lasts without a heartbeat.
    pub lease: Span,
}

/// A turn that was claimed.
#[derive(Debug, Clone, Copy)]
pub struct TurnKey {
    /// The organization of its session.
    pub organization: OrganizationId,
    /// Its session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// The fencing number of the claim.
    pub fence: i64,
}

/// The state of a worker's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseStatus {
    /// How long the lease lasts without another heartbeat.
    pub lease: Span,
    /// Whether the worker must stop.
    pub cancelled: bool,
}

/// A turn that its worker may report on.
#[derive(Debug)]
pub struct WorkerTurn {
    /// Identifies the turn.
    pub key: TurnKey,
    granted: Granted<UseSessions>,
}

impl WorkerTurn {
    /// Authorizes the worker to change the turn's session, based on its grant of [`ConnectWorkers`].
    ///
    /// # Errors
    /// [`Failure::Unauthenticated`] when the worker belongs to another organization.
    pub fn authorize(worker: &Granted<ConnectWorkers>, key: TurnKey) -> Result<WorkerTurn, Failure> {
        if worker.organization() != key.organization {
            return Err(Failure::Unauthenticated);
        }
        Ok(WorkerTurn { key, granted: System::for_workers().grant(key.organization) })
    }
}

/// The turn of a token, and the hash of the API key that claimed it.
///
/// # Errors
/// [`Failure::Unauthenticated`] unless it is the token of the session's current or previous turn.
pub async fn authenticate_turn(
    app: &App,
    token: &TurnToken,
    session: SessionId,
) -> Result<(TurnKey, SecretHash), Failure> {
    let organization = token.organization();
    let view = System::for_workers().grant::<ViewSessions>(organization);
    let loaded = match app.store.load_agent_session(&view, session).await {
        Err(store::Error::Refused(Refusal::NotFound(_))) => return Err(Failure::Unauthenticated),
        loaded => loaded?,
    };
    let opened = loaded.turn.as_ref().and_then(|turn| turn.find_claim(token.hash()));
    let (turn, fence, key) = opened.ok_or(Failure::Unauthenticated)?;
    Ok((TurnKey { organization, session, turn, fence }, key))
}

/// Claims a turn, and waits for one if needed; `None` when the wait is over. The organization that was served longest
/// ago comes first.
///
/// # Errors
/// [`Refusal::Invalid`] for the worker's name.
pub async fn claim_turn(
    app: &App,
    worker: &WorkerGrant,
    claim: &ClaimRequest,
) -> Result<Option<AssignedTurn>, Failure> {
    domain::agent::check_agent_name(&claim.worker)
        .map_err(|_| Refusal::invalid("worker", "1 to 128 characters"))?;
    let _waiting = app.idle_workers.add(IdleWorker {
        name: claim.worker.clone(),
        organization: worker.organization(),
        agents: claim.agents.clone(),
        since: app.now(),
    });
    // Subscribes before the first read, so that no turn in between is missed.
    let only = worker.organization().map(|organization| organization.0);
    let mut work = app.store.database().wait_for_work(only, claim.agents.clone());
    // Only the waiting is cut short. A claim that has begun is finished, or its turn would have no worker.
    let mut time = std::pin::pin!(tokio::time::sleep(claim.wait.min(MAX_WAIT)));
    loop {
        let claimed = claim_waiting_turn(app, worker, claim).await?;
        work.finish_search();
        if claimed.is_some() {
            return Ok(claimed);
        }
        let called = tokio::select! {
            called = work.wait_for_call() => called,
            () = app.stop.cancelled() => false,
            () = &mut time => false,
        };
        if !called {
            return Ok(None);
        }
        app.metrics.count_woken_read(WokenReader::Worker);
    }
}

/// Claims one of the turns that wait now.
async fn claim_waiting_turn(
    app: &App,
    worker: &WorkerGrant,
    claim: &ClaimRequest,
) -> Result<Option<AssignedTurn>, Failure> {
    let system = System::for_workers();
    loop {
        let agents = claim.agents.as_deref();
        let mut candidates =
            app.store.list_claim_candidates(&system, worker.organization(), agents, CANDIDATES).await?;
        if candidates.is_empty() {
            return Ok(None);
        }
        let mut next = 0;
        while !candidates.is_empty() {
            let key = candidates.remove(next % candidates.len());
            // After a lost race, continues at a random candidate: otherwise many workers would go on colliding in the
            // same order.
            next = usize::from(u16::from_be_bytes(app.random_bytes()));
            if let Some((session, token)) = try_claim_turn(app, key, claim).await? {
                app.store.record_served_organization(&system, key.organization).await?;
                return build_assignment(app, session, token).await.map(Some);
            }
        }
    }
}

/// `None` when another worker was faster, or when the session now sleeps because a limit is reached.
async fn try_claim_turn(
    app: &App,
    key: SessionKey,
    claim: &ClaimRequest,
) -> Result<Option<(AgentSession, TurnToken)>, Failure> {
    let granted = System::for_workers().grant::<UseSessions>(key.organization);
    let session = match app.store.load_agent_session(&granted.authorize::<ViewSessions>()?, key.id).await {
        Err(store::Error::Refused(Refusal::NotFound(_))) => return Ok(None),
        session => session?,
    };
    let turn = TurnId::new(app.now(), app.random_bytes());
    let token = TurnToken::new(key.organization, app.random_bytes());
    let grant = TurnCredential { token: token.hash(), key: claim.key };
    let command = AgentCommand::Claim { worker: claim.worker.clone(), turn, grant };
    let Some(changed) = try_change(app, &granted, session, command).await? else { return Ok(None) };
    let claimed = changed.changes.iter().any(|change| matches!(change, AgentChange::Turn(_)));
    Ok(claimed.then_some((changed.session, token)))
}

async fn build_assignment(
    app: &App,
    session: AgentSession,
    token: TurnToken,
) -> Result<AssignedTurn, Failure> {
    let system = System::for_workers();
    let view = system.grant::<ViewSessions>(session.organization);
    let turn = session.turn.clone().ok_or_else(|| Failure::internal("a claimed session has no turn"))?;
    let message = app.store.load_message(&view, session.id, turn.message).await?;
    let agent = match app.store.load_agent(&view, session.given.agent).await {
        Err(store::Error::Refused(Refusal::NotFound(_))) => None,
        agent => Some(agent?),
    };
    let secrets = secrets::unseal_session_secrets(app, session.organization, session.id).await?;
    Ok(AssignedTurn {
        turn,
        message,
        agent,
        secrets,
        token,
        lease: app.settings.worker_lease.into(),
        session,
    })
}

/// Renews the lease of a turn.
///
/// # Errors
/// [`Refusal::TurnLost`] when another worker has the turn, or it has ended.
pub async fn renew_lease(app: &App, worker_turn: &WorkerTurn) -> Result<LeaseStatus, Failure> {
    let WorkerTurn { key, granted } = worker_turn;
    let session = app.store.load_agent_session(&granted.authorize::<ViewSessions>()?, key.session).await?;
    let status = lease_status(app, &session, *key)?;
    if !status.cancelled {
        let until = app.now() + status.lease;
        let workers = System::for_workers().grant::<ConnectWorkers>(key.organization);
        if !app.store.renew_lease(&workers, key.session, key.fence, until).await? {
            return load_lease_status(app, granted, *key).await;
        }
    }
    Ok(status)
}

/// Stores a worker's report. Repeated items are stored once.
///
/// # Errors
/// [`Refusal::TurnLost`]; [`Refusal::Invalid`] for items that leave a gap, or that a worker cannot report.
pub async fn report_turn(
    app: &App,
    worker_turn: &WorkerTurn,
    report: TurnItems,
) -> Result<LeaseStatus, Failure> {
    let WorkerTurn { key, granted } = worker_turn;
    let report = TurnItems { items: check_outputs(app, granted, key.session, report.items).await?, ..report };
    let changed = change_agent_session(app, granted, key.session, |_| {
        Ok(AgentCommand::Report { turn: key.turn, fence: key.fence, report: report.clone() })
    })
    .await?;
    lease_status(app, &changed.session, *key)
}

/// Replaces a structured output that does not fit its schema by a log entry, so that the rest of the report is kept.
async fn check_outputs(
    app: &App,
    granted: &Granted<UseSessions>,
    session: SessionId,
    mut items: Vec<TurnItem>,
) -> Result<Vec<TurnItem>, Failure> {
    let outputs = items.iter_mut().filter(|item| matches!(item, TurnItem::StructuredOutput(_)));
    for (number, item) in outputs.enumerate() {
        let TurnItem::StructuredOutput(value) = &*item else { continue };
        let problem =
            match &app.store.load_agent_session(&granted.authorize()?, session).await?.given.output_schema {
                None => None,
                Some(_) if number >= MAX_OUTPUTS => {
                    Some(format!("only {MAX_OUTPUTS} are checked in one report"))
                }
                Some(schema) => app.schema_validator.problem(schema, value).await?,
            };
        if let Some(problem) = problem {
            *item = TurnItem::Log(format!("the structured output does not fit its schema: {problem}"));
        }
    }
    Ok(items)
}

/// Ends a turn. Repeating it changes nothing.
///
/// # Errors
/// [`Refusal::TurnLost`].
pub async fn finish_turn(
    app: &App,
    worker_turn: &WorkerTurn,
    answer: TurnEnding,
) -> Result<AgentSession, Failure> {
    let WorkerTurn { key, granted } = worker_turn;
    let view = granted.authorize::<ViewSessions>()?;
    for _ in 0..ATTEMPTS {
        let session = app.store.load_agent_session(&view, key.session).await?;
        let streamed = load_streamed_text(app, &view, &session, *key).await?;
        let command =
            AgentCommand::Finish { turn: key.turn, fence: key.fence, answer: answer.clone(), streamed };
        if let Some(changed) = try_change(app, granted, session, command).await? {
            return Ok(changed.session);
        }
    }
    Err(Failure::Busy)
}

/// The text that the turn has streamed and that is in no message yet.
async fn load_streamed_text(
    app: &App,
    view: &Granted<ViewSessions>,
    session: &AgentSession,
    key: TurnKey,
) -> Result<String, Failure> {
    let own = session.open_turn().filter(|turn| turn.id == key.turn && turn.fence == key.fence);
    let Some(turn) = own.filter(|turn| turn.streamed > 0) else { return Ok(String::new()) };
    let events = app.store.load_streamed_output(view, session.id, turn.streamed_from, session.events).await?;
    Ok(events.iter().map(delta_text).collect())
}

/// The text that an event adds to the answer.
fn delta_text(event: &Event) -> String {
    #[derive(Deserialize)]
    struct Piece {
        delta: String,
    }
    event.data.read::<Piece>().map(|piece| piece.delta).unwrap_or_default()
}

async fn load_lease_status(
    app: &App,
    granted: &Granted<UseSessions>,
    key: TurnKey,
) -> Result<LeaseStatus, Failure> {
    let session = app.store.load_agent_session(&granted.authorize::<ViewSessions>()?, key.session).await?;
    lease_status(app, &session, key)
}

fn lease_status(app: &App, session: &AgentSession, key: TurnKey) -> Result<LeaseStatus, Failure> {
    let own = session.turn.as_ref().filter(|turn| turn.id == key.turn && turn.fence == key.fence);
    let turn = own.ok_or(Refusal::TurnLost)?;
    let cancelled = match turn.state {
        TurnState::Claimed | TurnState::Working => turn.stopping,
        TurnState::Cancelled => true,
        TurnState::Returned | TurnState::Answered | TurnState::Failed | TurnState::Lost => {
            return Err(Refusal::TurnLost.into());
        }
    };
    Ok(LeaseStatus { lease: app.settings.worker_lease.into(), cancelled })
}

/// Takes turns away from workers that sent no heartbeat in time. After a start, workers first get the time of one
/// lease: the server may have been down for longer.
pub async fn end_expired_leases(app: &App) -> Result<(), Failure> {
    let now: Micros = app.now();
    if now - Span::from(app.settings.worker_lease) < app.started {
        return Ok(());
    }
    let system = System::for_background_jobs();
    loop {
        let expired = app.store.list_expired_leases(&system, now, LEASES_AT_ONCE).await?;
        for (key, fence) in &expired {
            let granted = system.grant::<UseSessions>(key.organization);
            let lost = change_agent_session(app, &granted, key.id, |_| {
                Ok(AgentCommand::LoseLease { fence: *fence })
            })
            .await;
            match lost {
                Ok(_) | Err(Failure::Refused(Refusal::NotFound(_))) => {}
                Err(failure) => return Err(failure),
            }
        }
        if expired.len() < LEASES_AT_ONCE as usize {
            return Ok(());
        }
    }
}
