//! The watches of one list: one task puts the changes together in batches for all of them.

use super::{ListChanges, WatchEvent, WatchStart, WriteSession, load_listed};
use crate::app::App;
use crate::failure::Failure;
use crate::operations::sessions::queries::{ListFilter, resolve_again};
use crate::operations::sessions::{limit_parts, parts};
use crate::services::session_changes::{ListChange, ListenedList, Listener};
use domain::page::ListRange;
use domain::session::SessionKey;
use index::{Index, SessionRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::VisibleSessions;
use tokio::sync::broadcast;
use tokio::time::sleep;

/// At most four batches a second.
const PACE: Duration = Duration::from_millis(250);
/// Batches that a slow reader may be behind.
const BATCHES: usize = 16;
/// The most sessions of a batch. When more have changed, the list must be read again.
pub const MAX_CHANGED: usize = 2_000;
/// The most sessions of a list that must be compared as a whole.
pub const MAX_COMPARED: u32 = 10_000;
/// How often a list is compared that changes with the time.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// A group. It ends when nobody watches any more.
pub struct WatchGroup {
    list: ListenedList,
    events: broadcast::Sender<Arc<WatchEvent>>,
    task: tokio::task::AbortHandle,
}

impl Drop for WatchGroup {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WatchGroup {
    /// Begins to listen to a list.
    pub(super) async fn open(
        app: &App,
        visible: VisibleSessions,
        filter: ListFilter,
        list: ListenedList,
        write: WriteSession,
    ) -> Result<WatchGroup, Failure> {
        let compares = filter.needs_lookups() || filter.needs_time();
        // A list that must be compared as a whole may change with every session that may be seen.
        let heard = if compares {
            ListenedList { filter: domain::session::Filter::EVERY, ..list.clone() }
        } else {
            list.clone()
        };
        let all = limit_parts(list.parts.clone(), &list.filter);
        let whole = ListRange::Before { position: None, limit: MAX_COMPARED + 1 };
        let ask = |index: &Index, now| match compares {
            true => (parts::count(index, &all, now), parts::select(index, &all, now, whole).sessions),
            false => (parts::count(index, &all, now), Vec::new()),
        };
        let (listener, (total, sessions)) = app.sessions.listen(app.now(), heard, ask).await?;
        let (events, _) = broadcast::channel(BATCHES);
        let known = sessions.into_iter().map(|session| (find_place(&session.key), session)).collect();
        let watcher = Watcher {
            app: app.clone(),
            visible,
            filter,
            listener,
            total,
            write,
            events: events.clone(),
            known: compares.then_some(known),
        };
        let task = tokio::spawn(watcher.run()).abort_handle();
        Ok(WatchGroup { list, events, task })
    }

    /// Whether it watches this list.
    pub(super) fn is_of(&self, list: &ListenedList) -> bool {
        self.list == *list
    }

    /// Whether it has not failed.
    pub(super) fn is_open(&self) -> bool {
        !self.task.is_finished()
    }

    /// What happens from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<WatchEvent>> {
        self.events.subscribe()
    }
}

/// A key that has an order.
type SessionPlace = (domain::ids::OrganizationId, domain::session::SessionKind, domain::ids::SessionId);

fn find_place(key: &SessionKey) -> SessionPlace {
    (key.organization, key.kind, key.id)
}

struct Watcher {
    app: App,
    visible: VisibleSessions,
    filter: ListFilter,
    listener: Listener,
    total: u64,
    write: WriteSession,
    events: broadcast::Sender<Arc<WatchEvent>>,
    /// The whole list, if it must be compared as a whole.
    known: Option<BTreeMap<SessionPlace, SessionRef>>,
}

/// What has become of sessions since the last batch: whether each was in the list then, and is in it.
#[derive(Default)]
struct Collected {
    sessions: BTreeMap<SessionPlace, (SessionKey, bool, bool)>,
    everything: bool,
}

impl Collected {
    fn add(&mut self, change: ListChange) {
        match change {
            ListChange::Everything => self.everything = true,
            ListChange::Session { key, was_listed, is_listed } => {
                let known = self.sessions.entry(find_place(&key)).or_insert((key, was_listed, is_listed));
                known.2 = is_listed;
            }
        }
    }
}

impl Watcher {
    async fn run(mut self) {
        let ticks = self.filter.needs_time();
        loop {
            let mut collected = Collected::default();
            let change = async {
                match ticks {
                    true => tokio::time::timeout(COMPARE_EVERY, self.listener.next()).await.ok(),
                    false => Some(self.listener.next().await),
                }
            };
            match change.await {
                Some(Some(change)) => collected.add(change),
                Some(None) => return,
                None => {}
            }
            match self.make_batch(collected).await {
                Ok(Some(WatchEvent::Resync)) => {
                    // Who reads the list again begins another group: this one does not know the total any more.
                    let _ = self.events.send(Arc::new(WatchEvent::Resync));
                    return;
                }
                Ok(Some(event)) => drop(self.events.send(Arc::new(event))),
                Ok(None) => {}
                Err(failure) => {
                    tracing::warn!(failure = failure.log_text(), "a watch of sessions failed");
                    let _ = self.events.send(Arc::new(WatchEvent::Resync));
                    return;
                }
            }
            // What comes meanwhile is in the next batch.
            sleep(PACE).await;
        }
    }

    /// Everything that was committed before the position of the batch is in it, or in an earlier one.
    async fn make_batch(&mut self, mut collected: Collected) -> Result<Option<WatchEvent>, Failure> {
        let at = self.app.now();
        let ((), position) = self.app.sessions.read_with_position(at, |_| ()).await?;
        let next = WatchStart { position, at, lookups: 0 };
        self.listener.settle().await;
        while let Some(change) = self.listener.take() {
            collected.add(change);
        }
        if collected.everything || collected.sessions.len() > MAX_CHANGED {
            return Ok(Some(WatchEvent::Resync));
        }
        match self.known.is_some() {
            true => self.compare(next).await,
            false => self.put_together(collected, next).await.map(Some),
        }
    }

    async fn put_together(&mut self, collected: Collected, next: WatchStart) -> Result<WatchEvent, Failure> {
        let listed = collected.sessions.values().filter(|(_, _, is_listed)| *is_listed);
        let keys = listed.map(|(key, ..)| *key).collect::<Vec<_>>();
        let found = load_listed(&self.app, &self.visible, &self.filter.filter(), &keys, self.write).await?;
        let mut found = found.into_iter().map(|listed| (find_place(&listed.session.key), listed));
        let mut found = found.by_ref().collect::<BTreeMap<_, _>>();
        let mut changes = ListChanges { next: Some(next), ..ListChanges::default() };
        for (order, (key, was_listed, is_listed)) in collected.sessions {
            match (was_listed, is_listed) {
                (false, true) => self.total += 1,
                (true, false) => self.total = self.total.saturating_sub(1),
                _ => {}
            }
            match found.remove(&order) {
                Some(listed) if was_listed => changes.changed.push(listed),
                Some(listed) => changes.entered.push(listed),
                // It has left, or is about to: the next batch says so again.
                None => changes.left.push(key.id),
            }
        }
        changes.total = self.total;
        Ok(WatchEvent::Changes(changes))
    }

    /// Compares the whole list with what it was before.
    async fn compare(&mut self, next: WatchStart) -> Result<Option<WatchEvent>, Failure> {
        resolve_again(&self.app, &self.visible, &mut self.filter).await?;
        let now = self.app.now();
        let all = limit_parts(self.visible.parts(), &self.filter.filter());
        let whole = ListRange::Before { position: None, limit: MAX_COMPARED + 1 };
        let select = |index: &Index| parts::select(index, &all, now, whole);
        let selection = self.app.sessions.read(now, select).await?;
        let Some(known) = &mut self.known else { return Ok(None) };
        let sessions = selection.sessions.iter().map(|session| (find_place(&session.key), *session));
        let current = sessions.collect::<BTreeMap<_, _>>();
        if current.len() > MAX_COMPARED as usize || known.len() > MAX_COMPARED as usize {
            let is_same = *known == current && self.total == selection.total;
            (*known, self.total) = (current, selection.total);
            return Ok((!is_same).then_some(WatchEvent::Resync));
        }
        let left = known.keys().filter(|key| !current.contains_key(key)).map(|(_, _, id)| *id);
        let mut changes = ListChanges {
            left: left.collect(),
            total: selection.total,
            next: Some(WatchStart { lookups: self.filter.hash_lookups(), ..next }),
            ..ListChanges::default()
        };
        let is_new = |(order, session): &(&SessionPlace, &SessionRef)| known.get(order) != Some(session);
        let new = current.iter().filter(is_new).map(|(_, session)| session.key).collect::<Vec<_>>();
        if new.is_empty() && changes.left.is_empty() {
            return Ok(None);
        }
        for listed in load_listed(&self.app, &self.visible, &self.filter.filter(), &new, self.write).await? {
            match known.contains_key(&find_place(&listed.session.key)) {
                true => changes.changed.push(listed),
                false => changes.entered.push(listed),
            }
        }
        (*known, self.total) = (current, selection.total);
        Ok(Some(WatchEvent::Changes(changes)))
    }
}
