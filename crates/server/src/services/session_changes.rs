//! Who wants to know which sessions have changed, and how that concerns them.
//!
//! The session index says what each commit has changed, in the order of commits. One task compares each change with the
//! lists of all listeners, so that a commit does not wait for them, and only those whose lists change are woken.

use domain::ids::OrganizationId;
use domain::session::{Filter, ListPart, SessionKey, Summary};
use domain::time::Micros;
use index::Index;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// How a change concerns a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListChange {
    /// A session has changed that was in the list, is in it, or both.
    Session {
        /// The session.
        key: SessionKey,
        /// Whether it was in the list before.
        was_listed: bool,
        /// Whether it is in the list.
        is_listed: bool,
    },
    /// Nobody can say what has changed.
    Everything,
}

/// A list that somebody listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenedList {
    /// The sessions that may be seen: disjoint lists.
    pub parts: Vec<ListPart>,
    /// Which of them are in the list.
    pub filter: Filter,
}

impl ListenedList {
    /// Whether a session is in the list.
    pub fn includes(&self, summary: &Summary, now: Micros) -> bool {
        self.may_see(summary, now) && self.filter.matches(summary, now)
    }

    fn may_see(&self, summary: &Summary, now: Micros) -> bool {
        let sees = |part: &ListPart| {
            part.scope.includes(summary.key.organization, |_| false) && part.filter.matches(summary, now)
        };
        self.parts.iter().any(sees)
    }
}

/// What has become of a session. It is judged at two times, because a login session expires by itself.
#[derive(Debug)]
struct SessionChange {
    key: SessionKey,
    before: Option<Summary>,
    after: Option<Summary>,
    times: [Micros; 2],
}

enum ChangeMessage {
    Changed(Vec<SessionChange>),
    Deleted(OrganizationId),
    Everything,
    Listen(u64, ListenedList, UnboundedSender<ListChange>),
    Leave(u64),
    Settle(oneshot::Sender<()>),
}

/// The changes of sessions, for those who listen. Cheap to clone.
#[derive(Clone)]
pub struct SessionChanges(Arc<ChangesState>);

struct ChangesState {
    messages: UnboundedSender<ChangeMessage>,
    /// Taken by the task when somebody listens for the first time.
    received: Mutex<Option<UnboundedReceiver<ChangeMessage>>>,
    listeners: AtomicUsize,
    next_id: AtomicU64,
    /// The time at which changes are judged. What expires later has not expired for listeners.
    time: Mutex<Micros>,
}

impl Default for SessionChanges {
    fn default() -> SessionChanges {
        let (messages, received) = unbounded_channel();
        SessionChanges(Arc::new(ChangesState {
            messages,
            received: Mutex::new(Some(received)),
            listeners: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            time: Mutex::new(Micros(0)),
        }))
    }
}

/// Somebody who listens to a list, until it is dropped.
pub struct Listener {
    id: u64,
    changes: SessionChanges,
    received: UnboundedReceiver<ListChange>,
}

impl Listener {
    /// Waits for the next change of the list; `None` when the server stops.
    pub async fn next(&mut self) -> Option<ListChange> {
        self.received.recv().await
    }

    /// The next change that has already come.
    pub fn take(&mut self) -> Option<ListChange> {
        self.received.try_recv().ok()
    }

    /// Waits until every change has come that was committed before the last read of the session index.
    pub async fn settle(&self) {
        let (settled, done) = oneshot::channel();
        if self.changes.send(ChangeMessage::Settle(settled)) {
            let _ = done.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.changes.send(ChangeMessage::Leave(self.id));
        self.changes.0.listeners.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SessionChanges {
    /// Whether anybody listens.
    pub fn has_listeners(&self) -> bool {
        self.0.listeners.load(Ordering::SeqCst) > 0
    }

    /// Listens to a list from now on. The index is locked, so that no change comes between what it says and what the
    /// listener hears.
    pub fn listen(&self, index: &Index, now: Micros, list: ListenedList) -> Listener {
        self.0.listeners.fetch_add(1, Ordering::SeqCst);
        self.start();
        self.advance(index, now);
        let (sender, received) = unbounded_channel();
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        self.send(ChangeMessage::Listen(id, list, sender));
        Listener { id, changes: self.clone(), received }
    }

    /// Says which sessions have expired by themselves until now.
    pub fn advance(&self, index: &Index, now: Micros) {
        let mut time = self.0.time.lock().unwrap_or_else(PoisonError::into_inner);
        let expired = index.list_expiring(*time, now).into_iter().filter_map(|key| {
            let summary = index.summary(&key)?;
            Some(SessionChange {
                key,
                before: Some(summary.clone()),
                after: Some(summary),
                times: [*time, now],
            })
        });
        let expired = if time.0 == 0 { Vec::new() } else { expired.collect::<Vec<_>>() };
        *time = now.max(*time);
        if !expired.is_empty() {
            self.send(ChangeMessage::Changed(expired));
        }
    }

    /// The time at which changes are judged.
    pub fn time(&self) -> Micros {
        *self.0.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies changes to the index, and says what has become of each session.
    pub fn apply(
        &self,
        index: &mut Index,
        sessions: Vec<(SessionKey, Option<Summary>)>,
        deleted: Vec<OrganizationId>,
    ) {
        let is_heard = self.has_listeners();
        let now = if is_heard { self.time() } else { Micros(0) };
        let mut changes = Vec::new();
        for (key, summary) in sessions {
            let before = if is_heard { index.summary(&key) } else { None };
            match summary {
                Some(summary) => index.apply(summary),
                None => index.remove(&key),
            }
            if is_heard {
                let after = index.summary(&key);
                if before != after {
                    changes.push(SessionChange { key, before, after, times: [now, now] });
                }
            }
        }
        if !changes.is_empty() {
            self.send(ChangeMessage::Changed(changes));
        }
        for organization in deleted {
            index.delete_organization(organization);
            self.send(ChangeMessage::Deleted(organization));
        }
    }

    /// Says that nobody can say what has changed.
    pub fn lose(&self) {
        self.send(ChangeMessage::Everything);
    }

    /// Whether it was sent. Without listeners, nothing is: nobody may receive it.
    fn send(&self, message: ChangeMessage) -> bool {
        self.has_listeners() && self.0.messages.send(message).is_ok()
    }

    fn start(&self) {
        let mut received = self.0.received.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(received) = received.take() {
            tokio::spawn(dispatch(received));
        }
    }
}

/// Tells the listeners what concerns them, in the order of commits.
async fn dispatch(mut messages: UnboundedReceiver<ChangeMessage>) {
    let mut listeners = HashMap::<u64, (ListenedList, UnboundedSender<ListChange>)>::new();
    while let Some(message) = messages.recv().await {
        match message {
            ChangeMessage::Changed(changes) => {
                for change in &changes {
                    tell(listeners.values(), change);
                }
            }
            ChangeMessage::Deleted(organization) => {
                let concerned = listeners.values().filter(|(list, _)| {
                    list.parts.iter().any(|part| part.scope.includes(organization, |_| false))
                });
                tell_all(concerned);
            }
            ChangeMessage::Everything => {
                tell_all(listeners.values());
            }
            ChangeMessage::Listen(id, list, sender) => {
                listeners.insert(id, (list, sender));
            }
            ChangeMessage::Leave(id) => {
                listeners.remove(&id);
            }
            ChangeMessage::Settle(settled) => drop(settled.send(())),
        }
        // Many listeners must not keep a thread of the server for long.
        tokio::task::consume_budget().await;
    }
}

/// A listener that has just left hears nothing.
fn tell_all<'a>(listeners: impl Iterator<Item = &'a (ListenedList, UnboundedSender<ListChange>)>) {
    for (_, sender) in listeners {
        let _ = sender.send(ListChange::Everything);
    }
}

fn tell<'a>(
    listeners: impl Iterator<Item = &'a (ListenedList, UnboundedSender<ListChange>)>,
    change: &SessionChange,
) {
    let [before, after] = [&change.before, &change.after];
    for (list, sender) in listeners {
        let was_listed = before.as_ref().is_some_and(|summary| list.includes(summary, change.times[0]));
        let is_listed = after.as_ref().is_some_and(|summary| list.includes(summary, change.times[1]));
        if was_listed || is_listed {
            let _ = sender.send(ListChange::Session { key: change.key, was_listed, is_listed });
        }
    }
}
