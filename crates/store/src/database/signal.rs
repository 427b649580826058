//! Signals: they wake tasks that wait for a commit.
//!
//! A signal is a hint to read again. It is sent after the commit, so the change can be read. It may be sent without
//! need, but is never left out. It wakes only tasks that wait for one of the commit's [`Topic`]s.

use super::work_wait::{WaitingWorkers, WorkWait};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;
use uuid::Uuid;

/// What a commit may have changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Devices or waiting requests, of any organization.
    Devices,
    /// The device sessions of this organization.
    Holds(Uuid),
    /// One agent session.
    Agent {
        /// The session's organization.
        organization: Uuid,
        /// When the session was created, in microseconds since 1970; unique in the organization.
        created_us: i64,
    },
    /// A turn that waits for a worker. Each signal of this topic wakes one waiting worker.
    Work {
        /// The organization of the turn's session.
        organization: Uuid,
        /// The name of the agent that must answer.
        agent: Arc<str>,
    },
    /// The permissions of a principal, credential, login session or organization with this id.
    Access(Uuid),
    /// The change feed of this organization.
    Feed(Uuid),
    /// The change feed of any organization.
    AnyFeed,
}

impl Topic {
    /// One line of text, for other servers.
    pub(super) fn to_text(&self) -> String {
        match self {
            Topic::Devices => "d".to_owned(),
            Topic::Holds(organization) => format!("h{}", organization.simple()),
            Topic::Agent { organization, created_us } => format!("s{}{created_us}", organization.simple()),
            Topic::Work { organization, agent } => format!("w{}{agent}", organization.simple()),
            Topic::Access(id) => format!("a{}", id.simple()),
            Topic::Feed(organization) => format!("f{}", organization.simple()),
            Topic::AnyFeed => "f".to_owned(),
        }
    }

    /// Parses a line from another server; `None` for a topic that this version does not know.
    pub(super) fn parse(line: &str) -> Option<Topic> {
        let (kind, rest) = line.split_at_checked(1)?;
        let id = || Uuid::try_parse(rest.get(..32)?).ok();
        let tail = || rest.get(32..);
        let full_id = || id().filter(|_| rest.len() == 32);
        match kind {
            "d" if rest.is_empty() => Some(Topic::Devices),
            "h" => full_id().map(Topic::Holds),
            "s" => Some(Topic::Agent { organization: id()?, created_us: tail()?.parse().ok()? }),
            "w" => Some(Topic::Work { organization: id()?, agent: tail()?.into() }),
            "a" => full_id().map(Topic::Access),
            "f" if rest.is_empty() => Some(Topic::AnyFeed),
            "f" => full_id().map(Topic::Feed),
            _ => None,
        }
    }
}

/// Waits for commits on some topics. Dropping it ends the wait.
pub struct Watch {
    id: u64,
    topics: Vec<Topic>,
    wake: Arc<Notify>,
    registry: Weak<Mutex<Registry>>,
}

impl Watch {
    /// Waits for the next commit on one of the topics. Commits since the last call count as one. Returns `false` once
    /// the database is closed. Cancelling it loses no signal.
    pub async fn wait_for_commit(&mut self) -> bool {
        self.wake.notified().await;
        let open = self.registry.upgrade().is_some_and(|registry| !lock(&registry).closed);
        if !open {
            // The next call must return at once as well.
            self.wake.notify_one();
        }
        open
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        let mut registry = lock(&registry);
        for topic in &self.topics {
            if let Some(watches) = registry.watches.get_mut(topic) {
                watches.remove(&self.id);
                if watches.is_empty() {
                    registry.watches.remove(topic);
                }
            }
        }
    }
}

/// All waiting tasks of this process.
#[derive(Default)]
pub(super) struct Registry {
    next: u64,
    watches: HashMap<Topic, BTreeMap<u64, Arc<Notify>>>,
    pub(super) workers: WaitingWorkers,
    pub(super) closed: bool,
}

impl Registry {
    pub(super) fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn wake_everybody(&mut self) {
        self.watches.values().flat_map(BTreeMap::values).for_each(|wake| wake.notify_one());
        self.workers.wake_all();
    }

    fn close(&mut self) {
        self.closed = true;
        self.wake_everybody();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.close();
    }
}

/// Wakes waiting tasks, for the writer and the listener.
#[derive(Clone, Default)]
pub(super) struct Signals {
    registry: Arc<Mutex<Registry>>,
}

impl Signals {
    pub(super) fn watch(&self, topics: Vec<Topic>) -> Watch {
        let wake = Arc::new(Notify::new());
        let mut registry = lock(&self.registry);
        let id = registry.next_id();
        for topic in &topics {
            registry.watches.entry(topic.clone()).or_default().insert(id, wake.clone());
        }
        if registry.closed {
            wake.notify_one();
        }
        Watch { id, topics, wake, registry: Arc::downgrade(&self.registry) }
    }

    pub(super) fn wait_for_work(&self, organization: Option<Uuid>, agents: Option<Vec<String>>) -> WorkWait {
        WorkWait::register(&self.registry, organization, agents)
    }

    pub(super) fn waiting_workers(&self) -> usize {
        lock(&self.registry).workers.count_idle()
    }

    /// Wakes the tasks that wait for these topics.
    pub(super) fn wake(&self, topics: &BTreeSet<Topic>) {
        let mut registry = lock(&self.registry);
        for topic in topics {
            if let Topic::Work { organization, agent } = topic {
                registry.workers.wake_one(*organization, agent);
            }
            registry.watches.get(topic).into_iter().flatten().for_each(|(_, wake)| wake.notify_one());
        }
    }

    /// Wakes all tasks: another process wrote, or notifications were missed.
    pub(super) fn wake_all(&self) {
        lock(&self.registry).wake_everybody();
    }

    /// Ends all waiting, even while handles to the database still exist.
    pub(super) fn close(&self) {
        lock(&self.registry).close();
    }
}

pub(super) fn lock(registry: &Mutex<Registry>) -> MutexGuard<'_, Registry> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn woken(watch: &mut Watch) -> bool {
        watch.wait_for_commit().now_or_never() == Some(true)
    }

    #[test]
    fn a_commit_wakes_only_tasks_that_wait_for_its_topics() {
        let signals = Signals::default();
        let session = |created_us| Topic::Agent { organization: id(1), created_us };
        let mut holds = signals.watch(vec![Topic::Holds(id(1)), Topic::Access(id(9))]);
        let mut others = [
            signals.watch(vec![Topic::Holds(id(2))]),
            signals.watch(vec![session(5)]),
            signals.watch(vec![Topic::Access(id(1))]),
        ];
        for _ in 0..3 {
            signals.wake(&[Topic::Holds(id(1)), Topic::Devices, session(6)].into());
        }
        assert!(woken(&mut holds) && !woken(&mut holds), "many commits count as one");
        assert!(!others.iter_mut().any(woken));
        signals.wake(&[Topic::Access(id(9))].into());
        assert!(woken(&mut holds));
        signals.wake_all();
        assert!(woken(&mut holds) && others.iter_mut().all(woken));
    }

    #[test]
    fn a_dropped_watch_leaves_nothing_behind() {
        let signals = Signals::default();
        drop(signals.watch(vec![Topic::Devices, Topic::Holds(id(1))]));
        assert!(lock(&signals.registry).watches.is_empty());
    }

    #[test]
    fn waiting_ends_when_the_database_is_closed_or_gone() {
        let signals = Signals::default();
        let (mut early, mut orphan) =
            (signals.watch(vec![Topic::Devices]), { Signals::default().watch(vec![Topic::Devices]) });
        signals.close();
        let mut late = signals.watch(vec![Topic::Devices]);
        for watch in [&mut early, &mut late, &mut orphan] {
            assert_eq!(watch.wait_for_commit().now_or_never(), Some(false));
            assert_eq!(watch.wait_for_commit().now_or_never(), Some(false));
        }
    }

    #[test]
    fn other_servers_read_committed_writes() {
        for topic in [
            Topic::Devices,
            Topic::Holds(id(1)),
            Topic::Agent { organization: id(2), created_us: -7 },
            Topic::Work { organization: id(3), agent: "ä b,c".into() },
            Topic::Access(id(4)),
            Topic::Feed(id(5)),
            Topic::AnyFeed,
        ] {
            assert_eq!(Topic::parse(&topic.to_text()), Some(topic));
        }
        let half = format!("h{}x", id(1).simple());
        for odd in ["", "d1", "h", "x", "s1", &half, "äh", &id(1).simple().to_string()] {
            assert_eq!(Topic::parse(odd), None, "{odd}");
        }
    }
}
