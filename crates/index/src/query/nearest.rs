//! The nearest rows after an anchor in an order, found in one pass over rows in any order.

use crate::posting::RowId;
use crate::rows::Place;
use crate::sizes::SPARE;
use domain::page::PageDirection;
use domain::session::SessionOrder;
use std::cmp::Ordering;

/// An order in which a list is read: forward or backward.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) order: SessionOrder,
    pub(super) direction: PageDirection,
}

impl Reading {
    /// Compares the values of two sessions: the one that is read first is less.
    #[inline]
    pub(super) fn compare_values<V: Ord>(self, one: Option<V>, other: Option<V>) -> Ordering {
        let ordering = self.order.compare_values(one, other);
        if self.direction == PageDirection::Forward { ordering } else { ordering.reverse() }
    }

    /// Compares the places of two sessions with the same value: the one that is read first is less.
    #[inline]
    pub(super) fn compare_places(self, one: Place, other: Place) -> Ordering {
        if self.direction == PageDirection::Forward { other.cmp(&one) } else { one.cmp(&other) }
    }
}

/// What rows are ordered by.
pub(super) trait KeyOrder {
    /// The key of a row.
    type Key: Copy;

    /// Compares two keys: the one that is read first is less.
    fn compare(&self, one: Self::Key, other: Self::Key) -> Ordering;
}

/// A row that may be among the nearest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<K> {
    pub(super) key: K,
    place: Place,
    pub(super) row: RowId,
}

/// Keeps the nearest of the rows that it is offered.
pub(super) struct Nearest<K: KeyOrder> {
    pub(super) keys: K,
    reading: Reading,
    anchor: Option<(K::Key, Place)>,
    wanted: usize,
    found: Vec<Candidate<K::Key>>,
    /// The last of the nearest, when there are enough.
    last: Option<Candidate<K::Key>>,
}

impl<K: KeyOrder> Nearest<K> {
    /// The rows after an anchor, at least one.
    pub(super) fn new(
        keys: K,
        reading: Reading,
        anchor: Option<(K::Key, Place)>,
        wanted: usize,
    ) -> Nearest<K> {
        Nearest { keys, reading, anchor, wanted: wanted.max(1), found: Vec::new(), last: None }
    }

    /// Whether no row with a key, or with one that is read later, can be among the nearest any more.
    #[inline]
    pub(super) fn is_too_far(&self, key: K::Key) -> bool {
        self.last.is_some_and(|last| self.keys.compare(key, last.key).is_gt())
    }

    /// Offers a row. Returns whether rows with this key can still be among the nearest.
    #[inline]
    pub(super) fn offer(&mut self, key: K::Key, row: RowId, place: impl FnOnce() -> Place) -> bool {
        let to_last = self.last.map_or(Ordering::Less, |last| self.keys.compare(key, last.key));
        if to_last.is_gt() {
            return false;
        }
        let place = place();
        if to_last.is_eq() && self.last.is_some_and(|last| !self.compare_ties(place, row, last).is_lt()) {
            return true;
        }
        if let Some((anchor, anchor_place)) = self.anchor {
            match self.keys.compare(key, anchor) {
                Ordering::Less => return false,
                Ordering::Equal if !self.reading.compare_places(place, anchor_place).is_gt() => return true,
                _ => {}
            }
        }
        self.found.push(Candidate { key, place, row });
        if self.found.len() >= self.wanted.saturating_mul(2).saturating_add(SPARE) {
            self.cut();
        }
        true
    }

    fn compare_ties(&self, place: Place, row: RowId, other: Candidate<K::Key>) -> Ordering {
        self.reading.compare_places(place, other.place).then(row.cmp(&other.row))
    }

    fn compare(&self, one: &Candidate<K::Key>, other: &Candidate<K::Key>) -> Ordering {
        let keys = self.keys.compare(one.key, other.key);
        keys.then_with(|| self.compare_ties(one.place, one.row, *other))
    }

    /// Keeps as many candidates as are wanted.
    fn cut(&mut self) {
        let mut found = std::mem::take(&mut self.found);
        let (_, last, _) =
            found.select_nth_unstable_by(self.wanted - 1, |one, other| self.compare(one, other));
        self.last = Some(*last);
        found.truncate(self.wanted);
        self.found = found;
    }

    /// The nearest rows, in the order of the reading.
    pub(super) fn into_rows(mut self) -> (K, Vec<Candidate<K::Key>>) {
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable_by(|one, other| self.compare(one, other));
        found.truncate(self.wanted);
        (self.keys, found)
    }
}
