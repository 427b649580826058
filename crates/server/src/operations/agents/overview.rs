//! Who is at work: the agents of the visible organizations, and the workers that hold their turns or wait for one.

use crate::app::App;
use crate::failure::Failure;
use crate::operations::sessions::facets::{CountedField, count_values};
pub use crate::services::idle_workers::IdleWorker;
use domain::agent::AgentSession;
use domain::ids::OrganizationId;
use domain::session::{FieldValue, Filter, SessionKey, ValueField};
use domain::time::Micros;
use std::collections::{BTreeMap, HashMap, HashSet};
pub use store::VisibleAgent;
use store::{AnySession, VisibleSessions};

/// How many sessions are read at once for their turns.
const SESSIONS_AT_ONCE: usize = 200;

/// A turn that a worker has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenTurn {
    /// The worker's name for itself.
    pub worker: String,
    /// The session.
    pub session: SessionKey,
    /// The name of the agent.
    pub agent: String,
    /// Since when.
    pub since: Micros,
    /// When the lease ends without another heartbeat.
    pub lease: Micros,
}

/// The workers that a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkersOverview {
    /// The turns that workers have.
    pub working: Vec<TakenTurn>,
    /// The workers that wait for a turn at this server.
    pub waiting: Vec<IdleWorker>,
}

impl WorkersOverview {
    /// Whether a worker is there for an agent: one that has a turn of it, or waits for one.
    pub fn has_worker(&self, agent: &VisibleAgent) -> bool {
        let (organization, name) = (agent.organization, agent.name.as_str());
        let works = |turn: &TakenTurn| turn.session.organization == organization && turn.agent == name;
        self.working.iter().any(works) || self.waiting.iter().any(|worker| worker.runs(organization, name))
    }
}

/// Lists the workers that have turns of the visible organizations, or wait for one. A worker of the account waits for turns of
/// every organization.
pub async fn list_workers(app: &App, visible: &VisibleSessions) -> Result<WorkersOverview, Failure> {
    let organizations = app.store.list_existing_organizations(visible).await?;
    let is_seen = |worker: &IdleWorker| match &worker.organization {
        Some(own) => organizations.contains(own),
        None => !organizations.is_empty(),
    };
    let waiting = app.idle_workers.list().into_iter().filter(is_seen).collect();
    let mut working = Vec::new();
    let taken = app.store.list_taken_sessions(visible).await?;
    let leases = taken.iter().copied().collect::<HashMap<_, _>>();
    let keys = taken.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    for keys in keys.chunks(SESSIONS_AT_ONCE) {
        let mut left = keys;
        while !left.is_empty() {
            let loaded = app.store.load_visible_sessions(visible, left).await?;
            // A page of large sessions ends early.
            let is_cut = loaded.items.len() < loaded.found;
            let last = loaded.items.last().filter(|_| is_cut).map(AnySession::key);
            let next = last.and_then(|last| left.iter().position(|key| *key == last));
            left = next.map_or(&[], |next| &left[next + 1..]);
            working.extend(loaded.items.iter().filter_map(|session| read_taken_turn(session, &leases)));
        }
    }
    Ok(WorkersOverview { working, waiting })
}

fn read_taken_turn(session: &AnySession, leases: &HashMap<SessionKey, Micros>) -> Option<TakenTurn> {
    let AnySession::Agent(session) = session else { return None };
    let session: &AgentSession = session;
    let turn = session.open_turn()?;
    Some(TakenTurn {
        worker: turn.worker.clone(),
        session: session.key(),
        agent: session.given.agent_name.clone(),
        since: turn.started,
        lease: leases.get(&session.key()).copied().unwrap_or(turn.lease),
    })
}

/// Lists the agents of the visible organizations.
pub async fn list_agents(app: &App, visible: &VisibleSessions) -> Result<Vec<VisibleAgent>, Failure> {
    Ok(app.store.list_visible_agents(visible).await?)
}

/// How many visible sessions of each of some agents are in each state.
pub async fn count_states(
    app: &App,
    visible: &VisibleSessions,
    agents: &[VisibleAgent],
) -> Result<Vec<BTreeMap<String, u64>>, Failure> {
    let counted = agents.iter().map(|agent| CountedField {
        field: ValueField::State,
        filter: Filter::has_id(ValueField::Agent, [agent.id.0]),
    });
    let counted = counted.collect::<Vec<_>>();
    let (_, found) = count_values(app, visible, &Filter::EVERY, &counted, usize::MAX).await?;
    let states = found.into_iter().map(|counts| {
        let values = counts.values.into_iter().filter_map(|facet| match facet.value {
            FieldValue::Text(state) => Some((state, facet.count)),
            FieldValue::Id(_) => None,
        });
        values.collect()
    });
    Ok(states.collect())
}

/// The organizations of agents and workers.
pub fn list_named_organizations(workers: &WorkersOverview) -> HashSet<OrganizationId> {
    let waiting = workers.waiting.iter().filter_map(|worker| worker.organization);
    workers.working.iter().map(|turn| turn.session.organization).chain(waiting).collect()
}
