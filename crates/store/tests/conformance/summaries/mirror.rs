//! A copy of all summaries that follows what the store says of commits.

use super::world::check_all;
use crate::world::system;
use domain::ids::OrganizationId;
use domain::session::{SessionKey, Summary};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use store::{CommitObserver, CommittedChanges, Follower, Store};

/// What the observer has been told.
#[derive(Default)]
struct Told {
    sessions: HashMap<SessionKey, Summary>,
    deleted: BTreeSet<OrganizationId>,
    applied: usize,
    reloads: usize,
}

/// An observer that keeps what it is told.
#[derive(Clone, Default)]
pub struct Copy(Arc<Mutex<Told>>);

impl CommitObserver for Copy {
    fn apply(&self, changes: CommittedChanges) {
        assert!(!changes.is_empty());
        let mut told = self.0.lock().unwrap();
        told.applied += 1;
        for (key, summary) in changes.sessions {
            match summary {
                Some(summary) => drop(told.sessions.insert(key, summary)),
                None => drop(told.sessions.remove(&key)),
            }
        }
        told.deleted.extend(changes.deleted_organizations);
    }

    fn reload(&self) {
        self.0.lock().unwrap().reloads += 1;
    }
}

/// A copy that follows one database, as a server does.
pub struct Mirror {
    store: Store,
    pub copy: Copy,
    /// For PostgreSQL.
    follower: Follower,
}

impl Mirror {
    pub async fn start(store: &Store) -> Mirror {
        let (store, copy) = (store.clone(), Copy::default());
        let follower = Follower::default();
        match store.database().kind() {
            "sqlite" => store.observe_commits(&system(), Arc::new(copy.clone())).await.unwrap(),
            _ => {
                let look = store.look(&system()).await.unwrap();
                follower.catch_up(&look, async |_| unreachable!("the first look")).await.unwrap();
            }
        }
        let mirror = Mirror { store, copy, follower };
        mirror.load().await;
        mirror
    }

    /// Loads all sessions, as a server does when it starts.
    pub async fn load(&self) {
        let all = check_all(&self.store).await;
        self.copy.0.lock().unwrap().sessions = all;
    }

    /// Follows what was committed before. Returns whether all sessions must be loaded again.
    pub async fn follow(&self) -> bool {
        let look = self.store.look(&system()).await.unwrap();
        let follow = async |since| {
            let (snapshot, changes) = self.store.load_changes_since(&system(), &since).await?;
            match changes {
                Some(changes) if changes.is_empty() => {}
                Some(changes) => self.copy.apply(changes),
                None => self.copy.reload(),
            }
            Ok(snapshot)
        };
        self.follower.catch_up(&look, follow).await.unwrap();
        std::mem::take(&mut self.copy.0.lock().unwrap().reloads) > 0
    }

    /// Follows, and checks that the copy has all sessions as they are.
    pub async fn check(&self) {
        assert!(!self.follow().await, "nothing must be loaded again");
        let expected = check_all(&self.store).await;
        let told = self.copy.0.lock().unwrap();
        assert_eq!(told.sessions, expected);
    }

    /// The deleted organizations.
    pub fn deleted(&self) -> BTreeSet<OrganizationId> {
        self.copy.0.lock().unwrap().deleted.clone()
    }

    /// The number of times that changes came since the last call.
    pub fn take_applied(&self) -> usize {
        std::mem::take(&mut self.copy.0.lock().unwrap().applied)
    }

    /// The summary of a session, as the copy has it.
    pub fn get(&self, key: SessionKey) -> Option<Summary> {
        self.copy.0.lock().unwrap().sessions.get(&key).cloned()
    }
}
