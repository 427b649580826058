//! How every command of an agent session runs: load, decide, write.

use crate::app::App;
use crate::failure::Failure;
use domain::agent::{self, AgentChange, AgentCommand, AgentSession, Moment, UsageLimits};
use domain::ids::SessionId;
use domain::time::{Micros, Span};
use store::access::{PermissionType, ViewSessions};
use store::{CycleLimit, Granted, LoadedAgentSession};

/// How often a change is decided again because another request changed the session first. Each time another request
/// succeeded, so this many in a row mean an endless loop.
pub const ATTEMPTS: u32 = 100;

/// What a command changed.
pub struct ChangeOutcome {
    /// The session after the command.
    pub session: AgentSession,
    /// The changes; empty when the command changed nothing.
    pub changes: Vec<AgentChange>,
}

/// Loads the session, decides the command and writes the changes. When another request changed the session first, it
/// starts again.
///
/// # Errors
/// Those of `command`; the refusals of the rules; [`Failure::Busy`] after [`ATTEMPTS`] attempts.
pub async fn change_agent_session<P: PermissionType>(
    app: &App,
    granted: &Granted<P>,
    id: SessionId,
    command: impl Fn(&AgentSession) -> Result<AgentCommand, Failure>,
) -> Result<ChangeOutcome, Failure> {
    let view = granted.authorize::<ViewSessions>()?;
    for _ in 0..ATTEMPTS {
        let session = app.store.load_agent_session(&view, id).await?;
        let command = command(&session)?;
        if let Some(changed) = try_change(app, granted, session, command).await? {
            return Ok(changed);
        }
    }
    Err(Failure::Busy)
}

/// Decides and writes once; `None` when the session has changed since it was loaded.
///
/// # Errors
/// The refusals of the rules.
pub async fn try_change<P: PermissionType>(
    app: &App,
    granted: &Granted<P>,
    session: LoadedAgentSession,
    command: AgentCommand,
) -> Result<Option<ChangeOutcome>, Failure> {
    let now = app.now();
    let limits = load_limits(app, granted, &command, now).await?;
    let moment = decision_moment(app, now, &limits);
    let changes = agent::decide(&session, granted.actor(), command, &moment)?;
    let limit = cycle_limit(&limits, &changes, now);
    match app.store.change_agent_session(granted, session, &changes, now, limit).await {
        Ok(session) => Ok(Some(ChangeOutcome { session: session.into_session(), changes })),
        Err(store::Error::Stale) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The time, randomness and limits that a decision needs.
pub fn decision_moment(app: &App, now: Micros, limits: &UsageLimits) -> Moment {
    Moment {
        now,
        random: app.random_bytes(),
        lease: now + Span::from(app.settings.worker_lease),
        cycle_left: limits.cycle_left(),
    }
}

/// Only commands that start work or spend ACUs need the limits.
async fn load_limits<P: PermissionType>(
    app: &App,
    granted: &Granted<P>,
    command: &AgentCommand,
    now: Micros,
) -> Result<UsageLimits, Failure> {
    let asks =
        matches!(command, AgentCommand::Post(_) | AgentCommand::Claim { .. } | AgentCommand::Report { .. });
    if asks {
        Ok(app.store.load_organization_limits(granted, now).await?)
    } else {
        Ok(UsageLimits::default())
    }
}

fn cycle_limit(limits: &UsageLimits, changes: &[AgentChange], now: Micros) -> Option<CycleLimit> {
    let limit = limits.max_cycle_acus?;
    let spent = |change: &AgentChange| match change {
        AgentChange::Usage(usage) => usage.acus.0,
        _ => 0,
    };
    let spent = changes.iter().map(spent).fold(0i64, i64::saturating_add);
    let (from_day, until_day) = agent::cycle_days(now);
    let crossed = limits.cycle_used.0.saturating_add(spent) >= limit.0;
    Some(CycleLimit { limit, from_day, until_day, crossed })
}
