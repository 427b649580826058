//! Watches of lists: what has entered a list, changed in it or left it, from a position on.
//!
//! Watches of one list share a group, which listens to the changes of sessions and puts them together in batches. So a
//! change costs the same for one reader as for ten thousand, except for the sending.

mod group;

use super::queries::ListFilter;
use super::visible::{NamedSession, VisibleSource};
use super::{Encoding, ListedSession, limit_parts, list_sessions, parts};
use crate::app::App;
use crate::failure::Failure;
use crate::services::session_changes::ListenedList;
use domain::ids::SessionId;
use domain::page::ListRange;
use domain::session::{Filter, ListPart, SessionKey, SessionKind};
use domain::time::Micros;
use group::WatchGroup;
use index::Index;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use store::{FeedPosition, System, VisibleSessions};
use tokio::sync::broadcast;

pub use group::MAX_CHANGED;

/// How a wire writes the sessions of a watch.
pub type WriteSession = fn(&App, &NamedSession, Micros) -> serde_json::Result<Box<RawValue>>;

/// What has become of a list.
#[derive(Debug)]
pub enum WatchEvent {
    /// Some sessions have changed.
    Changes(ListChanges),
    /// Nobody can say what has changed: the list must be read again.
    Resync,
}

/// Changes of a list.
#[derive(Debug, Default)]
pub struct ListChanges {
    /// Sessions that were not in the list before.
    pub entered: Vec<ListedSession>,
    /// Sessions that are in the list, in a new revision.
    pub changed: Vec<ListedSession>,
    /// Sessions that are not in the list any more. Those that never were in it may be among them.
    pub left: Vec<SessionId>,
    /// The number of sessions in the list then.
    pub total: u64,
    /// Where a watch can go on after this.
    pub next: Option<WatchStart>,
}

/// The groups of a server, by a hash of their lists.
#[derive(Default)]
pub struct WatchGroups(Mutex<HashMap<u64, Vec<Weak<WatchGroup>>>>);

/// Where a watch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchStart {
    /// What was committed before it is known.
    pub position: FeedPosition,
    /// When the list was read.
    pub at: Micros,
    /// A hash of what the names and words of its filter stood for.
    pub lookups: u64,
}

/// A watch of a list.
pub struct ListWatch {
    /// What has changed since the position that the watch began at. It is sent first.
    pub since: WatchEvent,
    events: broadcast::Receiver<Arc<WatchEvent>>,
    _group: Arc<WatchGroup>,
}

impl ListWatch {
    /// Waits for what comes next. `None` when this reader is too slow, or the server stops: it can go on from the last
    /// position that it has.
    pub async fn next(&mut self) -> Option<Arc<WatchEvent>> {
        self.events.recv().await.ok()
    }
}

/// Watches a list from a position on.
pub async fn watch_list(
    app: &App,
    visible: &VisibleSessions,
    filter: &ListFilter,
    from: &WatchStart,
    write: WriteSession,
) -> Result<ListWatch, Failure> {
    let list = ListenedList { parts: visible.parts(), filter: filter.filter() };
    let group = join_group(app, visible, filter, list, write).await?;
    // Before what was missed is read, so that nothing is missed in between. What comes twice is the same.
    let events = group.subscribe();
    let since = load_changes_since(app, visible, filter, from, write).await?;
    Ok(ListWatch { since, events, _group: group })
}

async fn join_group(
    app: &App,
    visible: &VisibleSessions,
    filter: &ListFilter,
    list: ListenedList,
    write: WriteSession,
) -> Result<Arc<WatchGroup>, Failure> {
    let hash = foldhash::quality::FixedState::default().hash_one(format!("{list:?}"));
    let find = |groups: &mut HashMap<u64, Vec<Weak<WatchGroup>>>| {
        let same = groups.get(&hash).into_iter().flatten();
        same.filter_map(Weak::upgrade).find(|group| group.is_of(&list) && group.is_open())
    };
    if let Some(group) = find(&mut app.watches.lock()) {
        return Ok(group);
    }
    let group = Arc::new(WatchGroup::open(app, visible.clone(), filter.clone(), list.clone(), write).await?);
    let mut groups = app.watches.lock();
    // Others may have opened the same group meanwhile.
    if let Some(other) = find(&mut groups) {
        return Ok(other);
    }
    groups.retain(|_, same| {
        same.retain(|group| group.strong_count() > 0);
        !same.is_empty()
    });
    groups.entry(hash).or_default().push(Arc::downgrade(&group));
    Ok(group)
}

impl WatchGroups {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Vec<Weak<WatchGroup>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of a list since a position. Whether a session was in the list then is not known: one that is in it counts
/// as changed.
async fn load_changes_since(
    app: &App,
    visible: &VisibleSessions,
    filter: &ListFilter,
    from: &WatchStart,
    write: WriteSession,
) -> Result<WatchEvent, Failure> {
    let now = app.now();
    let all = limit_parts(visible.parts(), &filter.filter());
    let count = |index: &Index| parts::count(index, &all, now);
    let (total, position) = app.sessions.read_with_position(now, count).await?;
    let system = System::for_background_jobs();
    let Some(committed) = app.store.load_changes_after(&system, &from.position).await? else {
        return Ok(WatchEvent::Resync);
    };
    // Sessions have entered and left the list that did not change themselves.
    if filter.needs_lookups() && filter.hash_lookups() != from.lookups {
        return Ok(WatchEvent::Resync);
    }
    // It is quicker to read the list again.
    if !committed.deleted_organizations.is_empty() || committed.sessions.len() > MAX_CHANGED {
        return Ok(WatchEvent::Resync);
    }
    let may_see = ListenedList { parts: visible.parts(), filter: Filter::EVERY };
    let mut keys = Vec::new();
    for (key, summary) in &committed.sessions {
        match summary {
            Some(summary) if may_see.includes(summary, now) => keys.push(*key),
            Some(_) => {}
            // Whose it was is not known any more.
            None if key.kind == SessionKind::Login => return Ok(WatchEvent::Resync),
            None if visible.may_include(key) => keys.push(*key),
            None => {}
        }
    }
    if filter.needs_time() {
        keys.extend(list_crossed(app, &all, from.at, now).await?);
    }
    let changed = load_listed(app, visible, &filter.filter(), &keys, write).await?;
    let listed = changed.iter().map(|listed| listed.session.key.id).collect::<BTreeSet<_>>();
    let left = keys.iter().map(|key| key.id).filter(|id| !listed.contains(id)).collect();
    let next = Some(WatchStart { position, at: now, lookups: from.lookups });
    Ok(WatchEvent::Changes(ListChanges { entered: Vec::new(), changed, left, total, next }))
}

/// The sessions that have entered or left a list only because time has passed.
async fn list_crossed(
    app: &App,
    all: &[ListPart],
    from: Micros,
    now: Micros,
) -> Result<Vec<SessionKey>, Failure> {
    let whole = ListRange::Before { position: None, limit: group::MAX_COMPARED };
    let select = |at| move |index: &Index| parts::select(index, all, at, whole).sessions;
    let [before, after] =
        [app.sessions.read(from, select(from)).await?, app.sessions.read(now, select(now)).await?]
            .map(|sessions| sessions.into_iter().map(|session| session.key).collect::<HashSet<_>>());
    Ok(before.symmetric_difference(&after).copied().collect())
}

/// Those of some sessions that are in a list.
async fn load_listed(
    app: &App,
    visible: &VisibleSessions,
    filter: &Filter,
    keys: &[SessionKey],
    write: WriteSession,
) -> Result<Vec<ListedSession>, Failure> {
    let encode = |named: &NamedSession, now: Micros| write(app, named, now);
    let source = VisibleSource::new(app, visible);
    let mut listed = Vec::new();
    let mut left = keys.iter().map(|key| key.id).collect::<BTreeSet<_>>();
    while !left.is_empty() {
        let encoding =
            Encoding { shape: crate::services::session_bodies::BodyShape::Tenure, encode: &encode };
        let filter = Filter::And(vec![Filter::Ids(left.clone()), filter.clone()]);
        let range = ListRange::Before { position: None, limit: 500 };
        let found = list_sessions(app, &source, filter, range, encoding).await?;
        let is_whole = !found.more || found.items.is_empty();
        for item in found.items {
            left.remove(&item.session.key.id);
            listed.push(item);
        }
        if is_whole {
            break;
        }
    }
    Ok(listed)
}
