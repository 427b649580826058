//! The index of all sessions, kept up to date with the database.
//!
//! On SQLite, the writer tells it of each commit before the commit is acknowledged. A read waits for a look at the
//! database that began after its request did ([`Store::look`]). So a read that begins after a write was acknowledged,
//! whichever process wrote, sees it.

use crate::failure::{Failure, Unanswered};
use crate::services::session_changes::{ListenedList, Listener, SessionChanges};
use crate::services::{request_look, session_loading};
use domain::time::Micros;
use index::{Index, Memory};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use store::{CommitObserver, CommittedChanges, FeedPosition, Follower, Look, Snapshot, Store, System, Topic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a read waits for a server that has just started.
const PATIENCE: Duration = Duration::from_secs(5);
/// The shortest time between two looks that no read asks for.
const PACE: Duration = Duration::from_millis(100);
/// How long to wait after a failure to load.
const RETRY: Duration = Duration::from_secs(1);

/// The index of all sessions. Cheap to clone.
#[derive(Clone)]
pub struct SessionIndex(Arc<Shared>);

struct Shared {
    store: Store,
    index: RwLock<Index>,
    /// Who wants to know what commits have changed.
    changes: SessionChanges,
    pending: Mutex<Pending>,
    /// How often everything had to be loaded again. It changes under the lock of `pending`.
    generation: AtomicU64,
    /// Whether all sessions are loaded.
    ready: watch::Sender<bool>,
    /// How far the index is behind the looks at a PostgreSQL database.
    follower: Follower,
    /// The number of sessions that were read since loading began.
    loaded: Arc<AtomicU64>,
    /// The memory of the index when it was last measured, which takes milliseconds.
    memory: Mutex<Option<Memory>>,
}

/// How far the index is.
#[derive(Debug, Clone, Copy)]
pub struct IndexState {
    /// Whether all sessions are loaded.
    pub ready: bool,
    /// The number of sessions that were read since loading began.
    pub loaded: u64,
    /// The number of sessions in the index.
    pub sessions: u64,
    /// The memory it holds, about; `None` until the sessions are loaded.
    pub memory: Option<Memory>,
}

/// What was committed while the sessions are being loaded.
#[derive(Default)]
struct Pending {
    /// `None` once they are loaded.
    changes: Option<Vec<CommittedChanges>>,
}

impl SessionIndex {
    /// An index that is not loaded yet.
    pub fn new(store: Store) -> SessionIndex {
        SessionIndex(Arc::new(Shared {
            store,
            index: RwLock::default(),
            changes: SessionChanges::default(),
            pending: Mutex::new(Pending { changes: Some(Vec::new()) }),
            generation: AtomicU64::new(0),
            ready: watch::Sender::new(false),
            follower: Follower::default(),
            loaded: Arc::default(),
            memory: Mutex::default(),
        }))
    }

    /// Loads all sessions, and again whenever nobody can say what has changed, until the server stops.
    pub async fn run(self, stop: CancellationToken) {
        let mut follows = false;
        let mut ready = self.0.ready.subscribe();
        loop {
            let step = async {
                if !follows {
                    self.begin_to_follow().await?;
                    follows = true;
                }
                self.load().await?;
                tokio::select! {
                    _ = ready.wait_for(|ready| !ready) => {}
                    () = self.look_after_commits() => {}
                }
                Ok::<_, store::Error>(())
            };
            let outcome = tokio::select! {
                outcome = step => outcome,
                () = stop.cancelled() => return,
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "the sessions cannot be loaded: trying again");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// From here on, no commit is missed.
    async fn begin_to_follow(&self) -> Result<(), store::Error> {
        let system = System::for_background_jobs();
        if self.0.is_sqlite() {
            return self.0.store.observe_commits(&system, self.0.clone()).await;
        }
        self.catch_up(&self.0.store.look(&system).await?).await
    }

    /// Loads all sessions into a new index, and puts it in place of the old one.
    async fn load(&self) -> Result<(), store::Error> {
        let system = System::for_background_jobs();
        let generation = self.generation();
        self.0.loaded.store(0, Ordering::Relaxed);
        let mut index = session_loading::load(&self.0.store, self.0.loaded.clone()).await?;
        for organization in self.0.store.list_organizations(&system).await? {
            if organization.deleted.is_some() {
                index.delete_organization(organization.id);
            }
        }
        self.0.finish_load(index, generation);
        Ok(())
    }

    /// Asks the index a question about `now`. The answer has all that was committed before.
    ///
    /// # Errors
    /// [`Unanswered::Loading`] when the server has just started; [`Unanswered::Away`] when the database does not say
    /// whether the index is up to date.
    pub async fn read<T>(&self, now: Micros, ask: impl FnOnce(&Index) -> T) -> Result<T, Failure> {
        loop {
            self.wait_until_ready().await?;
            let look = match request_look::use_for_index() {
                Some(look) => look,
                None => self.0.store.look(&System::for_background_jobs()).await?,
            };
            self.catch_up(&look).await?;
            // The look may have found that everything has to be loaded again.
            if self.is_ready() {
                break;
            }
        }
        loop {
            let index = self.0.index.read().unwrap_or_else(PoisonError::into_inner);
            if !index.needs_advance(now) {
                return Ok(ask(&index));
            }
            drop(index);
            self.0.index.write().unwrap_or_else(PoisonError::into_inner).advance(now);
        }
    }

    /// The same, with a position in the change feeds: the answer has all that was committed before it.
    ///
    /// # Errors
    /// Those of [`SessionIndex::read`].
    pub async fn read_with_position<T>(
        &self,
        now: Micros,
        ask: impl FnOnce(&Index) -> T,
    ) -> Result<(T, FeedPosition), Failure> {
        let system = System::for_background_jobs();
        if self.0.is_sqlite() {
            let position = self.0.store.read_feed_position(&system).await?;
            return Ok((self.read(now, ask).await?, position));
        }
        let look = match request_look::find() {
            Some(look) => look,
            None => self.0.store.look(&system).await?,
        };
        let position = look.position().ok_or_else(|| Failure::internal("a look without a snapshot"))?;
        Ok((self.read(now, ask).await?, position))
    }

    /// Listens to a list from now on, and counts its sessions. Nothing is committed in between.
    ///
    /// # Errors
    /// Those of [`SessionIndex::read`].
    pub async fn listen<T>(
        &self,
        now: Micros,
        list: ListenedList,
        ask: impl Fn(&Index, Micros) -> T,
    ) -> Result<(Listener, T), Failure> {
        loop {
            let now = now.max(self.0.changes.time());
            let listen = |index: &Index| {
                // Another listener came from a later time.
                (self.0.changes.time() <= now)
                    .then(|| (self.0.changes.listen(index, now, list.clone()), ask(index, now)))
            };
            if let Some(listening) = self.read(now, listen).await? {
                return Ok(listening);
            }
        }
    }

    /// Tells listeners which sessions have expired by themselves.
    ///
    /// # Errors
    /// Those of [`SessionIndex::read`].
    pub async fn tell_expired(&self, now: Micros) -> Result<(), Failure> {
        if self.0.changes.has_listeners() {
            self.read(now, |index| self.0.changes.advance(index, now)).await?;
        }
        Ok(())
    }

    async fn wait_until_ready(&self) -> Result<(), Failure> {
        if *self.0.ready.borrow() {
            return Ok(());
        }
        let mut ready = self.0.ready.subscribe();
        let loaded = tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready)).await;
        loaded.map(drop).map_err(|_| Unanswered::Loading.into())
    }

    /// Waits until the index has everything that was committed before a look.
    async fn catch_up(&self, look: &Look) -> Result<(), store::Error> {
        self.0.follower.catch_up(look, |since| self.0.apply_changes_since(since)).await
    }

    /// Looks at a PostgreSQL database after commits, so that no read has to wait for many changes.
    async fn look_after_commits(&self) {
        let mut commits = self.0.store.database().watch([Topic::AnyFeed]);
        while !self.0.is_sqlite() && commits.wait_for_commit().await {
            // A read reports it when it fails.
            if let Ok(look) = self.0.store.look(&System::for_background_jobs()).await
                && self.catch_up(&look).await.is_ok()
            {
                tokio::time::sleep(PACE).await;
            }
        }
        std::future::pending().await
    }

    /// How often nobody could say what has changed. What was read of sessions before may be wrong.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Whether all sessions are loaded.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// How far the index is, for the metrics.
    pub fn state(&self) -> IndexState {
        let index = self.0.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (ready, sessions) = (self.is_ready(), index.len());
        // The writer waits meanwhile: it is measured again only when much has changed.
        let is_near = |measured: Memory| measured.sessions.abs_diff(sessions) <= measured.sessions / 16;
        if ready && !memory.is_some_and(is_near) {
            *memory = Some(index.memory());
        }
        IndexState { ready, loaded: self.0.loaded.load(Ordering::Relaxed), sessions, memory: *memory }
    }
}

impl Shared {
    fn is_sqlite(&self) -> bool {
        self.store.database().kind() == "sqlite"
    }

    fn lock_pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a loaded index in place, with what was committed meanwhile, unless everything has to be loaded again.
    fn finish_load(&self, mut index: Index, generation: u64) {
        let mut pending = self.lock_pending();
        if self.generation.load(Ordering::Acquire) != generation {
            return;
        }
        for changes in pending.changes.take().into_iter().flatten() {
            let nobody = SessionChanges::default();
            nobody.apply(&mut index, changes.sessions, changes.deleted_organizations);
        }
        let memory = index.memory();
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        self.ready.send_replace(true);
        tracing::info!(sessions = memory.sessions, bytes = memory.bytes(), "the sessions are loaded");
    }

    async fn apply_changes_since(&self, since: Snapshot) -> Result<Snapshot, store::Error> {
        let system = System::for_background_jobs();
        let (snapshot, changes) = self.store.load_changes_since(&system, &since).await?;
        match changes {
            Some(changes) => self.apply(changes),
            None => self.reload(),
        }
        Ok(snapshot)
    }
}

impl CommitObserver for Shared {
    fn apply(&self, changes: CommittedChanges) {
        match &mut self.lock_pending().changes {
            Some(pending) => pending.push(changes),
            None => {
                let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                self.changes.apply(&mut index, changes.sessions, changes.deleted_organizations);
            }
        }
    }

    fn reload(&self) {
        let mut pending = self.lock_pending();
        pending.changes = Some(Vec::new());
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changes.lose();
        self.ready.send_replace(false);
    }
}
