//! The index: sessions come, change and go.

use crate::organizations::CellMask;
use crate::rows::{Place, SealedRows, place, split};
use crate::sizes::SETTLE;
use domain::ids::OrganizationId;
use domain::session::{
    FieldValueRef, LoginState, SessionKey, SessionKind, SessionState, Summary, ValueField,
};
use domain::time::Micros;
use std::collections::{BTreeMap, BTreeSet};

/// A session in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRef {
    /// The session.
    pub key: SessionKey,
    /// Its revision.
    pub revision: i64,
}

/// The memory that the index holds, in bytes, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The number of sessions.
    pub sessions: u64,
    /// Columns of rows.
    pub blocks: usize,
    /// Sets of rows.
    pub postings: usize,
    /// Values.
    pub dictionary: usize,
}

impl Memory {
    /// The sum.
    pub fn bytes(self) -> usize {
        self.blocks + self.postings + self.dictionary
    }
}

/// About how many bytes an index of some sessions takes.
pub fn estimate_bytes(sessions: u64) -> u64 {
    // As measured with ten million sessions, and with room for more values than those have.
    sessions * 80
}

/// A key in the order of lists, oldest first.
pub(crate) type OrderedKey = (Place, SessionKind, OrganizationId);

pub(crate) fn list_key(key: &SessionKey) -> OrderedKey {
    (place(key.id), key.kind, key.organization)
}

fn to_session_key((place, kind, organization): &OrderedKey) -> SessionKey {
    let id = domain::ids::SessionId::new(Micros(place.0), place.1);
    SessionKey { organization: *organization, kind: *kind, id }
}

/// The session index. See the crate's documentation.
#[derive(Debug, Default)]
pub struct Index {
    pub(crate) rows: SealedRows,
    /// The newest sessions.
    pub(crate) recent: BTreeMap<OrderedKey, Summary>,
    /// The newest place that a row has ever had. A session at or before it that arrives is late.
    horizon: Option<Place>,
    /// The time at which the rows have their states: a session expires by itself.
    clock: Micros,
    /// When each row's session expires by itself.
    expiries: BTreeSet<(Micros, OrderedKey)>,
    expiry_of: BTreeMap<OrderedKey, Micros>,
}

impl Index {
    /// Adds a session, or replaces what is known of it. An older revision than the known one changes nothing.
    pub fn apply(&mut self, summary: Summary) {
        let key = list_key(&summary.key);
        if let Some(known) = self.recent.get_mut(&key) {
            if known.revision <= summary.revision {
                *known = summary;
            }
        } else if let Some(row) = self.rows.find(&summary.key) {
            if self.rows.key(row).1 <= summary.revision {
                let encoded = self.rows.encode(&summary, self.clock);
                self.rows.replace(row, &encoded);
                self.rows.release_emptied();
                self.set_expiry(key, &summary);
            }
        } else if self.is_late(key.0) {
            self.set_expiry(key, &summary);
            let row = self.rows.encode(&summary, self.clock);
            self.rows.insert(&row);
            self.rows.release_emptied();
        } else {
            self.recent.insert(key, summary);
            self.settle();
        }
    }

    /// Adds a session that is not known yet, best in the order of lists: then it becomes a row at once.
    pub fn append(&mut self, summary: Summary) {
        let key = list_key(&summary.key);
        let is_newest = self.horizon.is_none_or(|horizon| horizon < key.0);
        if !is_newest || !self.recent.is_empty() {
            return self.apply(summary);
        }
        self.set_expiry(key, &summary);
        let row = self.rows.encode(&summary, self.clock);
        self.rows.append(&row);
        self.rows.release_emptied();
        self.horizon = Some(key.0);
    }

    /// Removes a session that was deleted.
    pub fn remove(&mut self, session: &SessionKey) {
        let key = list_key(session);
        if self.recent.remove(&key).is_some() {
            return;
        }
        if let Some(row) = self.rows.find(session) {
            self.rows.remove(row);
            self.forget_expiry(key);
            let block = split(row).0;
            if self.rows.blocks[usize::from(block)].is_hollow() {
                self.rows.rewrite(block);
            }
            self.rows.release_emptied();
        }
    }

    /// Marks an organization as deleted. Its sessions stay, for lists that include deleted organizations.
    pub fn delete_organization(&mut self, id: OrganizationId) {
        if self.rows.organizations.is_deleted(id) {
            return;
        }
        let deleted = &mut self.rows.deleted;
        for rows in self.rows.organizations.mark_deleted(id).rows(CellMask::ALL) {
            rows.visit_rows(|row| deleted.insert(row));
        }
    }

    /// Whether an organization was deleted.
    pub fn is_deleted(&self, id: OrganizationId) -> bool {
        self.rows.organizations.is_deleted(id)
    }

    /// Whether a session expires between the last [`Index::advance`] and `now`.
    pub fn needs_advance(&self, now: Micros) -> bool {
        self.find_crossed(now).next().is_some()
    }

    /// Moves the time. It may go back. Questions about `now` need it whenever [`Index::needs_advance`] says so.
    pub fn advance(&mut self, now: Micros) {
        let crossed = self.find_crossed(now).collect::<Vec<_>>();
        self.clock = now;
        for (expires, key) in crossed {
            let session = to_session_key(&key);
            let state = if expires <= now { LoginState::Expired } else { LoginState::Open };
            if let Some(row) = self.rows.find(&session) {
                self.set_login_state(row, state);
            }
        }
    }

    /// The sessions that expire between the index's time and `now`, in either direction.
    fn find_crossed(&self, now: Micros) -> impl Iterator<Item = (Micros, OrderedKey)> {
        let (from, until) = (self.clock.min(now), self.clock.max(now));
        let first = ((i64::MIN, 0), SessionKind::Device, OrganizationId::ACCOUNT);
        let after = |time: Micros| (time + domain::time::Span(1), first);
        self.expiries.range(after(from)..after(until)).copied()
    }

    /// The sessions that expire by themselves after `from` and not after `until`.
    pub fn list_expiring(&self, from: Micros, until: Micros) -> Vec<SessionKey> {
        if until <= from {
            return Vec::new();
        }
        let first = ((i64::MIN, 0), SessionKind::Device, OrganizationId::ACCOUNT);
        let after = |time: Micros| (time + domain::time::Span(1), first);
        let rows = self.expiries.range(after(from)..after(until)).map(|(_, key)| to_session_key(key));
        let is_crossed = |at: Micros| from < at && at <= until;
        let recent = self.recent.values().filter(|summary| {
            summary.state == SessionState::Login(LoginState::Open) && summary.expires.is_some_and(is_crossed)
        });
        rows.chain(recent.map(|summary| summary.key)).collect()
    }

    fn set_login_state(&mut self, id: u32, state: LoginState) {
        let (block, number) = split(id);
        let mut row = self.rows.blocks[usize::from(block)].row(number);
        let mut term = |state| {
            let name = SessionState::Login(state).name();
            self.rows.dictionary.intern(ValueField::State, FieldValueRef::Text(name))
        };
        let others = [LoginState::Open, LoginState::Expired].map(&mut term);
        let new = term(state);
        row.terms.retain(|term| !others.contains(term));
        row.terms.push(new);
        row.terms.sort_unstable();
        self.rows.replace(id, &row);
        self.rows.emptied.extend(others);
        self.rows.release_emptied();
    }

    /// Gives back memory that was reserved for more sessions: worth it after many were added.
    pub fn shrink(&mut self) {
        self.rows.shrink();
    }

    /// The revision of a session.
    pub fn revision(&self, key: &SessionKey) -> Option<i64> {
        let recent = self.recent.get(&list_key(key)).map(|summary| summary.revision);
        recent.or_else(|| self.rows.find(key).map(|row| self.rows.key(row).1))
    }

    /// The number of sessions.
    pub fn len(&self) -> u64 {
        self.rows.organizations.count_cells(CellMask::ALL, false) + self.recent.len() as u64
    }

    /// Whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it holds.
    pub fn memory(&self) -> Memory {
        let rows = &self.rows;
        let postings = rows.dictionary.postings_memory() + rows.deleted.memory();
        Memory {
            sessions: self.len(),
            blocks: rows.blocks.iter().map(crate::block::Block::memory).sum::<usize>()
                + self.recent.len() * size_of::<(OrderedKey, Summary)>()
                + self.expiries.len() * 2 * size_of::<(Micros, OrderedKey)>(),
            postings: postings + rows.organizations.memory(),
            dictionary: rows.dictionary.memory(),
        }
    }

    fn is_late(&self, place: Place) -> bool {
        self.horizon.is_some_and(|horizon| place <= horizon)
    }

    /// Turns recent sessions into rows, when there are enough of them.
    fn settle(&mut self) {
        if self.recent.len() < 2 * SETTLE {
            return;
        }
        let mut settled = self.recent.keys().copied();
        let mut keys = settled.by_ref().take(SETTLE).collect::<Vec<_>>();
        self.horizon = keys.last().map(|key| key.0);
        keys.extend(settled.take_while(|key| self.is_late(key.0)));
        for row in keys.into_iter().filter_map(|key| self.take_recent(key)).collect::<Vec<_>>() {
            self.rows.append(&row);
        }
        self.rows.release_emptied();
    }

    fn take_recent(&mut self, key: OrderedKey) -> Option<crate::block::Row> {
        let summary = self.recent.remove(&key)?;
        self.set_expiry(key, &summary);
        Some(self.rows.encode(&summary, self.clock))
    }

    fn set_expiry(&mut self, key: OrderedKey, summary: &Summary) {
        self.forget_expiry(key);
        let open = summary.state == SessionState::Login(LoginState::Open);
        if let Some(expires) = summary.expires.filter(|_| open) {
            self.expiries.insert((expires, key));
            self.expiry_of.insert(key, expires);
        }
    }

    /// Whether a session expires, or has expired, by the clock alone.
    pub(crate) fn expires_by_itself(&self, key: &SessionKey) -> bool {
        self.expiry_of.contains_key(&list_key(key))
    }

    fn forget_expiry(&mut self, key: OrderedKey) {
        if let Some(expires) = self.expiry_of.remove(&key) {
            self.expiries.remove(&(expires, key));
        }
    }
}
