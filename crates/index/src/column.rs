//! A number for each row of a block.

use crate::sizes::ZONE;
use std::collections::HashMap;

/// A number is stored in five bytes as its distance from a base plus one. Five bytes reach 12 days in microseconds.
const WIDTH: usize = 5;
const ABSENT: u64 = 0;
const FAR: u64 = (1 << (8 * WIDTH)) - 1;

/// Some rows have a number. The caller knows each row's base: the row's time of creation, or 0.
#[derive(Debug, Default)]
pub(crate) struct NumberColumn {
    packed: Vec<[u8; WIDTH]>,
    /// The numbers that five bytes cannot reach.
    far: HashMap<u16, i64>,
    /// The smallest and the largest number of each zone that has one. They are bounds: a change does not narrow them.
    zones: Vec<Option<(i64, i64)>>,
}

/// How the numbers of a zone lie to a range.
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
    /// Stores the number of a row. A column without numbers takes no memory.
    pub(crate) fn set(&mut self, row: u16, base: i64, number: Option<i64>) {
        let at = usize::from(row);
        if at >= self.packed.len() {
            if number.is_none() {
                return;
            }
            self.packed.resize(at + 1, [0; WIDTH]);
        }
        let packed = match number {
            None => ABSENT,
            Some(number) => match u64::try_from(number.wrapping_sub(base)) {
                Ok(distance) if number >= base && distance < FAR - 1 => distance + 1,
                _ => FAR,
            },
        };
        self.packed[at].copy_from_slice(&packed.to_le_bytes()[..WIDTH]);
        match number {
            Some(number) if packed == FAR => {
                self.far.insert(row, number);
            }
            _ => {
                self.far.remove(&row);
            }
        }
        if let Some(number) = number {
            self.widen(at / ZONE, number);
        }
    }

    fn widen(&mut self, zone: usize, number: i64) {
        if zone >= self.zones.len() {
            self.zones.resize(zone + 1, None);
        }
        let bounds = self.zones[zone].get_or_insert((number, number));
        *bounds = (bounds.0.min(number), bounds.1.max(number));
    }

    /// The number of a row.
    pub(crate) fn get(&self, row: u16, base: i64) -> Option<i64> {
        let packed = self.packed.get(usize::from(row))?;
        let mut bytes = [0; 8];
        bytes[..WIDTH].copy_from_slice(packed);
        match u64::from_le_bytes(bytes) {
            ABSENT => None,
            FAR => self.far.get(&row).copied(),
            distance => Some(base.wrapping_add(distance as i64 - 1)),
        }
    }

    /// How the numbers of a zone lie to the range from `from` until before `until`.
    pub(crate) fn fit(&self, zone: usize, from: Option<i64>, until: Option<i64>) -> ZoneFit {
        let Some((least, most)) = self.zones.get(zone).copied().flatten() else { return ZoneFit::None };
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
        self.packed.shrink_to_fit();
        self.zones.shrink_to_fit();
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        self.packed.capacity() * WIDTH + self.far.capacity() * 24 + self.zones.capacity() * 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_stored_exactly(
            numbers in proptest::collection::vec((0u16..3_000, proptest::option::of(any::<i64>()), -9i64..1 << 41), 1..300),
        ) {
            let (mut column, mut plain) = (NumberColumn::default(), HashMap::new());
            for (row, number, near) in numbers {
                let base = i64::from(row) * 1_000;
                let number = number.map(|number| if number % 2 == 0 { number } else { base.saturating_add(near) });
                column.set(row, base, number);
                plain.insert(row, number);
            }
            for (row, number) in plain {
                prop_assert_eq!(column.get(row, i64::from(row) * 1_000), number);
                let fit = |from, until| column.fit(usize::from(row) / ZONE, from, until);
                if let Some(number) = number.filter(|number| *number < i64::MAX) {
                    prop_assert!(fit(Some(number), Some(number + 1)) != ZoneFit::None);
                    prop_assert!(fit(Some(number + 1), None) != ZoneFit::All);
                    prop_assert!(fit(None, Some(number)) != ZoneFit::All);
                    prop_assert_eq!(fit(None, None), ZoneFit::All);
                }
            }
        }
    }
}
