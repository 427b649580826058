//! Workers that wait for a turn. Each new turn wakes the worker that waits longest and may take it.
//!
//! No turn is forgotten: a worker that was woken and leaves before it has searched passes its signal to another worker.

use super::signal::{Registry, lock};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;
use uuid::Uuid;

/// Why a worker was woken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum WakeReason {
    /// A turn began to wait.
    Turn { organization: Uuid, agent: Arc<str> },
    /// Everybody was woken.
    Anything,
}

struct WaitingWorker {
    /// `None` for all organizations.
    organization: Option<Uuid>,
    /// `None` for all agents.
    agents: Option<Vec<String>>,
    /// Whether it is reading the database to find a turn.
    searching: bool,
    /// The reason for its present search.
    current: Option<WakeReason>,
    /// The reason for its next search.
    next: Option<WakeReason>,
    wake: Arc<Notify>,
}

impl WaitingWorker {
    fn may_take(&self, organization: Uuid, agent: &str) -> bool {
        let is_reached = self.organization.is_none_or(|own| own == organization);
        is_reached && self.agents.as_ref().is_none_or(|agents| agents.iter().any(|name| name == agent))
    }

    fn wake(&mut self, call: WakeReason) {
        self.next = Some(call);
        self.wake.notify_one();
    }
}

/// The waiting workers, longest waiting first.
#[derive(Default)]
pub(super) struct WaitingWorkers(BTreeMap<u64, WaitingWorker>);

impl WaitingWorkers {
    /// Wakes one worker for a turn. A worker that is searching already is asked to search once more only if no other
    /// waits, because it may be about to take another turn.
    pub(super) fn wake_one(&mut self, organization: Uuid, agent: &Arc<str>) {
        let mut fitting: Vec<&mut WaitingWorker> = self.0.values_mut().collect();
        fitting.retain(|worker| worker.next.is_none() && worker.may_take(organization, agent));
        let idle = fitting.iter().position(|worker| !worker.searching);
        if let Some(worker) = fitting.get_mut(idle.unwrap_or(0)) {
            worker.wake(WakeReason::Turn { organization, agent: agent.clone() });
        }
    }

    pub(super) fn count_idle(&self) -> usize {
        self.0.values().filter(|worker| !worker.searching && worker.next.is_none()).count()
    }

    pub(super) fn wake_all(&mut self) {
        self.0.values_mut().for_each(|worker| worker.wake(WakeReason::Anything));
    }
}

/// The wait of one worker. Dropping it ends the wait.
pub struct WorkWait {
    id: u64,
    wake: Arc<Notify>,
    registry: Weak<Mutex<Registry>>,
}

impl WorkWait {
    pub(super) fn register(
        registry: &Arc<Mutex<Registry>>,
        organization: Option<Uuid>,
        agents: Option<Vec<String>>,
    ) -> WorkWait {
        let wake = Arc::new(Notify::new());
        let mut locked = lock(registry);
        let id = locked.next_id();
        if locked.closed {
            wake.notify_one();
        }
        let worker = WaitingWorker {
            organization,
            agents,
            searching: true,
            current: None,
            next: None,
            wake: wake.clone(),
        };
        locked.workers.0.insert(id, worker);
        WorkWait { id, wake, registry: Arc::downgrade(registry) }
    }

    /// Ends a search of the database that succeeded, whether or not it found a turn.
    pub fn finish_search(&mut self) {
        self.change(|worker| (worker.searching, worker.current) = (false, None));
    }

    /// Waits for a reason to search the database again. From then on the worker counts as searching. Returns `false`
    /// once the database is closed. Cancelling it loses no signal.
    pub async fn wait_for_call(&mut self) -> bool {
        self.wake.notified().await;
        self.change(|worker| (worker.searching, worker.current) = (true, worker.next.take()));
        self.registry.upgrade().is_some_and(|registry| !lock(&registry).closed)
    }

    fn change(&self, change: impl FnOnce(&mut WaitingWorker)) {
        if let Some(registry) = self.registry.upgrade() {
            lock(&registry).workers.0.get_mut(&self.id).map(change);
        }
    }
}

impl Drop for WorkWait {
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        let mut registry = lock(&registry);
        let Some(worker) = registry.workers.0.remove(&self.id) else { return };
        for call in [worker.current, worker.next].into_iter().flatten() {
            if let WakeReason::Turn { organization, agent } = call {
                registry.workers.wake_one(organization, &agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::{Signals, Topic};
    use super::*;
    use futures_util::FutureExt;

    fn turn(organization: u128, agent: &str) -> std::collections::BTreeSet<Topic> {
        [Topic::Work { organization: Uuid::from_u128(organization), agent: agent.into() }].into()
    }

    fn waiting(signals: &Signals, organization: Option<u128>, agents: Option<&[&str]>) -> WorkWait {
        let agents = agents.map(|agents| agents.iter().map(|name| (*name).to_owned()).collect());
        let mut wait = signals.wait_for_work(organization.map(Uuid::from_u128), agents);
        wait.finish_search();
        wait
    }

    fn called(waits: &mut [WorkWait]) -> Vec<bool> {
        waits.iter_mut().map(|wait| wait.wait_for_call().now_or_never() == Some(true)).collect()
    }

    #[test]
    fn a_turn_wakes_one_worker_that_may_take_it() {
        let signals = Signals::default();
        let mut waits = [
            waiting(&signals, Some(2), None),
            waiting(&signals, None, Some(&["other"])),
            waiting(&signals, Some(1), Some(&["other", "coder"])),
            waiting(&signals, None, None),
        ];
        signals.wake(&turn(1, "coder"));
        assert_eq!(called(&mut waits), [false, false, true, false]);
        signals.wake(&turn(1, "coder"));
        assert_eq!(called(&mut waits), [false, false, false, true], "the first one is searching");
        signals.wake(&turn(3, "coder"));
        assert_eq!(called(&mut waits), [false, false, false, true], "nobody else may");
        signals.wake_all();
        assert_eq!(called(&mut waits), [true; 4]);
    }

    #[test]
    fn a_worker_that_leaves_during_its_search_passes_the_call_on() {
        let signals = Signals::default();
        let mut waits: Vec<_> = (0..4).map(|_| waiting(&signals, None, None)).collect();
        signals.wake(&turn(1, "coder"));
        drop(waits.remove(0));
        assert_eq!(called(&mut waits), [true, false, false], "it was never polled");
        drop(waits.remove(0));
        assert_eq!(called(&mut waits), [true, false], "its search failed");
        waits[0].finish_search();
        drop(waits.remove(0));
        assert_eq!(called(&mut waits), [false], "it took the turn");
    }

    #[test]
    fn a_turn_that_begins_to_wait_during_a_search_is_found_or_passed_on() {
        let signals = Signals::default();
        let mut first = signals.wait_for_work(None, None);
        signals.wake(&turn(1, "coder"));
        first.finish_search();
        assert_eq!(first.wait_for_call().now_or_never(), Some(true), "it found nothing and searches again");
        signals.wake(&turn(2, "coder"));
        first.finish_search();
        let mut second = waiting(&signals, None, None);
        drop(first);
        assert_eq!(second.wait_for_call().now_or_never(), Some(true), "it took the first of two turns");
    }

    #[test]
    fn waiting_ends_when_the_database_is_closed() {
        let signals = Signals::default();
        let mut early = waiting(&signals, None, None);
        signals.close();
        let mut late = signals.wait_for_work(None, None);
        assert_eq!(early.wait_for_call().now_or_never(), Some(false));
        assert_eq!(late.wait_for_call().now_or_never(), Some(false));
    }
}
