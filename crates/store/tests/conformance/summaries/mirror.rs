//! A copy of all summaries that follows what the store says of commits.

use super::world::check_all;
use crate::world::system;
use domain::ids::OrganizationId;
use domain::session::{SessionKey, Summary};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use store::{CommitObserver, CommittedChanges, Look, Store};

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
    look: Mutex<Option<Look>>,
}

impl Mirror {
    pub async fn start(store: &Store) -> Mirror {
        let (store, copy) = (store.clone(), Copy::default());
        let look = match store.database().kind() {
            "sqlite" => {
                store.observe_commits(&system(), Arc::new(copy.clone())).await.unwrap();
                None
            }
            _ => Some(store.begin_looks(&system()).await.unwrap()),
        };
        let mirror = Mirror { store, copy, look: Mutex::new(look) };
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
        let since = self.look.lock().unwrap().clone();
        let Some(since) = since else {
            return std::mem::take(&mut self.copy.0.lock().unwrap().reloads) > 0;
        };
        let (look, changes) = self.store.look_for_changes(&system(), &since).await.unwrap();
        *self.look.lock().unwrap() = Some(look);
        match changes {
            Some(changes) if changes.is_empty() => false,
            Some(changes) => {
                self.copy.apply(changes);
                false
            }
            None => true,
        }
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
