//! A number for some rows of a block, and the smallest and the largest number of each zone.

use crate::packed_table::PackedColumn;
use crate::sizes::ZONE;

/// A column of numbers. The caller knows which rows have one, and what each is stored relative to.
#[derive(Debug, Default)]
pub(crate) struct NumberColumn {
    distances: PackedColumn,
    /// The smallest and the largest number of each zone that has one. They are bounds: a change does not narrow them.
    zones: Vec<Option<(i64, i64)>>,
}

/// Whether the numbers of a zone lie in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZoneFit {
    /// No number lies in the range.
    None,
    /// Some numbers may lie in the range.
    Some,
    /// All numbers lie in the range.
    All,
}

impl NumberColumn {
    /// Appends the number of the next row. A row without a number repeats the distance of the row before, because equal
    /// distances take no memory.
    pub(crate) fn push(&mut self, base: i64, number: Option<i64>) {
        let row = self.distances.len();
        self.widen(row / ZONE, number);
        let distance = match number {
            Some(number) => number.wrapping_sub(base),
            None => row.checked_sub(1).map_or(0, |before| self.distances.get(before as u16, 0)),
        };
        self.distances.push([distance]);
    }

    /// Replaces the number of a row.
    pub(crate) fn set(&mut self, row: u16, base: i64, number: Option<i64>) {
        self.widen(usize::from(row) / ZONE, number);
        if let Some(number) = number {
            self.distances.set(row, [number.wrapping_sub(base)]);
        }
    }

    fn widen(&mut self, zone: usize, number: Option<i64>) {
        if zone >= self.zones.len() {
            self.zones.resize(zone + 1, None);
        }
        if let Some(number) = number {
            let bounds = self.zones[zone].get_or_insert((number, number));
            *bounds = (bounds.0.min(number), bounds.1.max(number));
        }
    }

    /// The number of a row that has one.
    #[inline]
    pub(crate) fn get(&self, row: u16, base: i64) -> i64 {
        base.wrapping_add(self.distances.get(row, 0))
    }

    /// Adds the distances of some ascending rows to what each is stored relative to.
    pub(crate) fn add_to(&self, rows: &[u16], bases: &mut [i64]) {
        self.distances.add_to(rows, 0, bases);
    }

    /// Numbers that no number of a zone is smaller and larger than; `None` if no row of the zone has a number.
    pub(crate) fn bounds(&self, zone: usize) -> Option<(i64, i64)> {
        self.zones.get(zone).copied().flatten()
    }

    /// Whether the numbers of a zone lie in the range `from..until`.
    pub(crate) fn fit(&self, zone: usize, from: Option<i64>, until: Option<i64>) -> ZoneFit {
        let Some((least, most)) = self.bounds(zone) else { return ZoneFit::None };
        if from.is_some_and(|from| most < from) || until.is_some_and(|until| least >= until) {
            ZoneFit::None
        } else if from.is_none_or(|from| from <= least) && until.is_none_or(|until| most < until) {
            ZoneFit::All
        } else {
            ZoneFit::Some
        }
    }

    /// Gives back the memory that a full block will not need.
    pub(crate) fn shrink(&mut self) {
        self.distances.shrink();
        self.zones.shrink_to_fit();
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        self.distances.memory() + self.zones.capacity() * size_of::<Option<(i64, i64)>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zones_know_whether_their_numbers_lie_in_a_range(
            numbers in proptest::collection::vec(proptest::option::of(prop_oneof![any::<i64>(), -9i64..1 << 41]), 1..60),
            changes in proptest::collection::vec((any::<u16>(), proptest::option::of(-9i64..1 << 41)), 0..60),
        ) {
            let mut column = NumberColumn::default();
            let base = |row: usize| row as i64 * 1_000;
            let mut plain = numbers;
            plain.iter().enumerate().for_each(|(row, number)| column.push(base(row), *number));
            for (row, number) in changes {
                let row = usize::from(row) % plain.len();
                column.set(row as u16, base(row), number);
                plain[row] = number;
            }
            for (row, number) in plain.into_iter().enumerate() {
                let Some(number) = number else { continue };
                prop_assert_eq!(column.get(row as u16, base(row)), number);
                let fit = |from, until| column.fit(row / ZONE, from, until);
                if number < i64::MAX {
                    prop_assert!(fit(Some(number), Some(number + 1)) != ZoneFit::None);
                    prop_assert!(fit(Some(number + 1), None) != ZoneFit::All);
                    prop_assert!(fit(None, Some(number)) != ZoneFit::All);
                    prop_assert_eq!(fit(None, None), ZoneFit::All);
                }
            }
        }
    }
}
