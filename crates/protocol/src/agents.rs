//! Who is at work, on Tenure's own wire: agents and workers.

use crate::sessions::Named;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentEntry {
    /// Its id.
    pub id: Uuid,
    /// The name that workers claim turns for.
    pub name: String,
    /// The name that people see.
    pub display_name: Option<String>,
    /// Its organization.
    pub organization: Named,
    /// How many of its sessions are in each state, by the full names that filters have for them.
    pub sessions: BTreeMap<String, u64>,
    /// Whether a worker has one of its turns, or waits for one at this server.
    pub worker_connected: bool,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It has a turn.
    Working,
    /// It waits for a turn at this server.
    Waiting,
}

/// A worker, once for each turn that it has and for each wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEntry {
    /// Its name for itself.
    pub name: String,
    /// What it does.
    pub state: WorkerState,
    /// The organization whose turns it has or waits for; `None` when it waits for those of every organization.
    pub organization: Option<Named>,
    /// The names of the agents that it runs; `None` for all. A worker with a turn: the agent of the turn.
    pub agents: Option<Vec<String>>,
    /// The session of its turn.
    pub session: Option<Uuid>,
    /// Since when it has the turn or waits.
    pub since: Time,
    /// When it loses the turn unless it sends a heartbeat.
    pub lease: Option<Time>,
}
