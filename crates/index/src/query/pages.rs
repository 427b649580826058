//! Pages and totals.

use super::Selection;
use super::conditions::{Condition, Conditions, Set};
use crate::posting::{RowId, walk_back};
use crate::rows::{Place, SealedRows, place, row_id};
use crate::sessions::{Index, SessionRef};
use crate::sizes::PATIENCE;
use domain::ids::{OrganizationId, SessionId};
use domain::page::ListRange;
use domain::session::{Filter, ListScope, SessionKind, Summary};
use domain::time::Micros;
use roaring::RoaringBitmap;

impl Index {
    /// A range of the sessions that match a filter, newest first, and the number of all of them.
    pub fn select(&self, scope: &ListScope, filter: &Filter, now: Micros, range: ListRange) -> Selection {
        debug_assert!(!self.needs_advance(now), "the index is moved to the time of the question first");
        let recent = self.recent_matching(scope, filter, now);
        let conditions = Conditions::new(&self.rows, scope, filter);
        let total = conditions.count(scope) + recent.len() as u64;
        let (mut sessions, wanted) = match range {
            ListRange::Offset { offset, limit } => {
                let wanted = limit as usize;
                // At most all recent sessions come before a row.
                let skipped = offset.saturating_sub(recent.len() as u64);
                let before = usize::try_from(offset - skipped).unwrap_or(usize::MAX);
                let rows = conditions.page(None, skipped, before + wanted + 1);
                let merged = self.merge(rows, &recent, None);
                (merged.into_iter().skip(before).take(wanted + 1).collect::<Vec<_>>(), wanted)
            }
            ListRange::Before { position, limit } => {
                let (wanted, cursor) = (limit as usize, position.map(|(_, id)| place(id)));
                let rows = conditions.page(cursor, 0, wanted + 1);
                (self.merge(rows, &recent, cursor).into_iter().take(wanted + 1).collect(), wanted)
            }
        };
        let more = sessions.len() > wanted;
        sessions.truncate(wanted);
        Selection { sessions, total, more }
    }

    /// The number of sessions that match a filter.
    pub fn count(&self, scope: &ListScope, filter: &Filter, now: Micros) -> u64 {
        let rows = Conditions::new(&self.rows, scope, filter).count(scope);
        rows + self.recent_matching(scope, filter, now).len() as u64
    }

    /// Whether a session matches a filter.
    pub fn exists(&self, scope: &ListScope, filter: &Filter, now: Micros) -> bool {
        !self.recent_matching(scope, filter, now).is_empty()
            || !Conditions::new(&self.rows, scope, filter).page(None, 0, 1).is_empty()
    }

    /// A session with an id that matches a filter.
    pub fn find(&self, scope: &ListScope, filter: &Filter, now: Micros, id: SessionId) -> Option<SessionRef> {
        let place = place(id);
        let first = (place, SessionKind::Device, OrganizationId::ACCOUNT);
        let recent = self.recent.range(first..).take_while(|(key, _)| key.0 == place);
        let mut recent = recent.map(|(_, summary)| summary).filter(|summary| {
            scope.includes(summary.key.organization, |id| self.is_deleted(id)) && filter.matches(summary, now)
        });
        if let Some(summary) = recent.next() {
            return Some(SessionRef { key: summary.key, revision: summary.revision });
        }
        let mut rows = self.rows.find_all(id).peekable();
        rows.peek()?;
        let conditions = Conditions::new(&self.rows, scope, filter);
        let row =
            rows.find(|row| conditions.all.iter().all(|condition| condition.holds(&self.rows, *row)))?;
        let (key, revision) = self.rows.key(row);
        Some(SessionRef { key, revision })
    }

    /// The recent sessions that match a filter, newest first.
    pub(super) fn recent_matching(&self, scope: &ListScope, filter: &Filter, now: Micros) -> Vec<&Summary> {
        let is_deleted = |id| self.is_deleted(id);
        let matches = |summary: &&Summary| {
            scope.includes(summary.key.organization, is_deleted) && filter.matches(summary, now)
        };
        self.recent.values().rev().filter(matches).collect()
    }

    /// Merges rows with the recent sessions that follow the cursor.
    fn merge(&self, rows: Vec<RowId>, recent: &[&Summary], cursor: Option<Place>) -> Vec<SessionRef> {
        let rows = rows
            .into_iter()
            .map(|row| self.rows.key(row))
            .map(|(key, revision)| SessionRef { key, revision });
        let recent = recent.iter().map(|summary| SessionRef { key: summary.key, revision: summary.revision });
        let recent = recent.filter(|session| cursor.is_none_or(|cursor| place(session.key.id) < cursor));
        let mut merged = Vec::new();
        let (mut rows, mut recent) = (rows.peekable(), recent.peekable());
        loop {
            let recent_is_newer = match (rows.peek(), recent.peek()) {
                (Some(row), Some(new)) => place(new.key.id) >= place(row.key.id),
                (row, _) => row.is_none(),
            };
            match if recent_is_newer { recent.next() } else { rows.next() } {
                Some(session) => merged.push(session),
                None => return merged,
            }
        }
    }
}

impl Conditions<'_> {
    /// The rows for which all conditions hold, newest first, from a place in the list on.
    fn page(&self, cursor: Option<Place>, skipped: u64, wanted: usize) -> Vec<RowId> {
        if wanted == 0 {
            return Vec::new();
        }
        let (set, others) = self.smallest();
        let single = match set {
            Set::AnyOf(sets) if sets.len() == 1 => Some(sets[0]),
            Set::AnyOf(_) | Set::Computed(_) => None,
        };
        if let (Some(posting), 0) = (single, skipped)
            && let Some(rows) =
                self.walk(others, cursor, wanted, |range, visit| posting.walk_back(range, visit))
        {
            return rows;
        }
        let matching = self.matching();
        page_of(self.rows, matching, cursor, skipped, wanted)
    }

    /// Walks back through a set until the page is full. `None` when that takes too long.
    fn walk(
        &self,
        others: &[Condition<'_>],
        cursor: Option<Place>,
        wanted: usize,
        walk_back: impl Fn(std::ops::RangeInclusive<RowId>, &mut dyn FnMut(RowId) -> bool) -> bool,
    ) -> Option<Vec<RowId>> {
        let (mut found, mut vain) = (Vec::new(), 0);
        for range in ranges_back(self.rows, cursor) {
            let done = !walk_back(range, &mut |row| {
                if others.iter().all(|condition| condition.holds(self.rows, row)) {
                    found.push(row);
                } else {
                    vain += 1;
                }
                found.len() < wanted && vain < PATIENCE
            });
            if done {
                break;
            }
        }
        (vain < PATIENCE).then_some(found)
    }
}

/// The rows of a page of a set.
fn page_of(
    rows: &SealedRows,
    set: &RoaringBitmap,
    cursor: Option<Place>,
    mut skipped: u64,
    wanted: usize,
) -> Vec<RowId> {
    let mut found = Vec::new();
    for range in ranges_back(rows, cursor) {
        if skipped > 0 {
            let within = set.range_cardinality(range.clone());
            if within <= skipped {
                skipped -= within;
                continue;
            }
        }
        let done = !walk_back(set, range, |row| {
            if skipped > 0 {
                skipped -= 1;
            } else {
                found.push(row);
            }
            found.len() < wanted
        });
        if done {
            break;
        }
    }
    found
}

/// The rows of each block before a place, the newest block first.
fn ranges_back(
    rows: &SealedRows,
    cursor: Option<Place>,
) -> impl Iterator<Item = std::ops::RangeInclusive<RowId>> {
    rows.order.iter().rev().filter_map(move |number| {
        let block = &rows.blocks[usize::from(*number)];
        let length = cursor.map_or(block.len(), |cursor| block.count_before(cursor));
        let last = length.checked_sub(1)?;
        Some(row_id(*number, 0)..=row_id(*number, last as u16))
    })
}
