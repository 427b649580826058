//! Locks for the sessions' folders: only one turn at a time works in a folder.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

/// The locks that are in use. A cancelled turn may still be ending when the next turn of its session is claimed.
#[derive(Debug, Default)]
pub(crate) struct FolderLocks {
    locks: Mutex<HashMap<Uuid, Weak<tokio::sync::Mutex<()>>>>,
}

impl FolderLocks {
    /// Waits until no other turn uses the session's folder. The caller has it until the guard is dropped.
    pub(crate) async fn lock_folder(&self, session: Uuid) -> OwnedMutexGuard<()> {
        let lock = self.session_lock(session);
        lock.lock_owned().await
    }

    fn session_lock(&self, session: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(&session).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(session, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_turn_at_a_time_has_a_folder_and_unused_locks_are_removed() {
        let locks = FolderLocks::default();
        let first = locks.lock_folder(Uuid::nil()).await;
        let _other = locks.lock_folder(Uuid::max()).await;
        let mut second = Box::pin(locks.lock_folder(Uuid::nil()));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        drop(second.await);
        drop(locks.lock_folder(Uuid::max()).now_or_never());
        assert_eq!(locks.locks.lock().unwrap().len(), 1);
    }
}
