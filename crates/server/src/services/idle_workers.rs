//! The workers that wait for a turn at this server, for people who look at who is there.

use domain::ids::OrganizationId;
use domain::time::Micros;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A worker that waits for a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleWorker {
    /// Its name for itself.
    pub name: String,
    /// The organization whose turns it takes; `None` for all.
    pub organization: Option<OrganizationId>,
    /// The names of the agents that it runs; `None` for all.
    pub agents: Option<Vec<String>>,
    /// Since when it waits.
    pub since: Micros,
}

impl IdleWorker {
    /// Whether it takes turns of an agent.
    pub fn runs(&self, organization: OrganizationId, agent: &str) -> bool {
        let is_reached = self.organization.is_none_or(|own| own == organization);
        is_reached && self.agents.as_ref().is_none_or(|agents| agents.iter().any(|name| name == agent))
    }
}

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    workers: BTreeMap<u64, IdleWorker>,
}

/// The workers that wait now.
#[derive(Debug, Clone, Default)]
pub struct IdleWorkers(Arc<Mutex<Waits>>);

/// The wait of one worker. Dropping it ends the wait.
#[derive(Debug)]
#[must_use]
pub struct WorkerWait {
    id: u64,
    all: IdleWorkers,
}

impl IdleWorkers {
    /// Records that a worker waits.
    pub fn add(&self, worker: IdleWorker) -> WorkerWait {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = waits.next;
        waits.next += 1;
        waits.workers.insert(id, worker);
        WorkerWait { id, all: self.clone() }
    }

    /// Those who wait now, longest waiting first.
    pub fn list(&self) -> Vec<IdleWorker> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.workers.values().cloned().collect()
    }
}

impl Drop for WorkerWait {
    fn drop(&mut self) {
        let mut waits = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.workers.remove(&self.id);
    }
}
