//! The sessions' folders, as locks in which one turn is at work at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

/// Who is in which folder. A turn that was cancelled may still be ending when the next of its session is claimed.
#[derive(Debug, Default)]
pub(crate) struct FolderLocks {
    locks: Mutex<HashMap<Uuid, Weak<tokio::sync::Mutex<()>>>>,
}

impl FolderLocks {
    /// Waits until nobody else is in the session's folder; it is the caller's until the guard is dropped.
    pub(crate) async fn lock_folder(&self, session: Uuid) -> OwnedMutexGuard<()> {
        let lock = self.lock(session);
        lock.lock_owned().await
    }

    fn lock(&self, session: Uuid) -> Arc<tokio::sync::Mutex<()>> {
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
    async fn one_at_a_time_is_in_a_room_and_empty_ones_are_forgotten() {
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
