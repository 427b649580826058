//! The sessions' folders, as rooms in which one turn is at work at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

/// Who is in which folder. A turn that was cancelled may still be ending when the next of its session is claimed.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    taken: Mutex<HashMap<Uuid, Weak<tokio::sync::Mutex<()>>>>,
}

impl Rooms {
    /// Waits until nobody else is in the session's folder; it is the caller's until the guard is dropped.
    pub(crate) async fn enter(&self, session: Uuid) -> OwnedMutexGuard<()> {
        let room = self.room(session);
        room.lock_owned().await
    }

    fn room(&self, session: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, room| room.strong_count() > 0);
        if let Some(room) = taken.get(&session).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::default();
        taken.insert(session, Arc::downgrade(&room));
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_at_a_time_is_in_a_room_and_empty_ones_are_forgotten() {
        let rooms = Rooms::default();
        let first = rooms.enter(Uuid::nil()).await;
        let _other = rooms.enter(Uuid::max()).await;
        let mut second = Box::pin(rooms.enter(Uuid::nil()));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        drop(second.await);
        drop(rooms.enter(Uuid::max()).now_or_never());
        assert_eq!(rooms.taken.lock().unwrap().len(), 1);
    }
}
