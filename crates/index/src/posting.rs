//! The rows that have one value.

use crate::sizes::LIST;
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// A row: the number of its block in the upper 16 bits, and its place in the block in the lower ones.
pub(crate) type RowId = u32;

/// A set of rows.
#[derive(Debug, Clone)]
pub(crate) enum Posting {
    /// In ascending order.
    List(Vec<RowId>),
    /// Of many rows.
    Bitmap(RoaringBitmap),
}

impl Default for Posting {
    fn default() -> Posting {
        Posting::List(Vec::new())
    }
}

impl Posting {
    pub(crate) fn insert(&mut self, row: RowId) {
        match self {
            Posting::Bitmap(bitmap) => {
                bitmap.insert(row);
            }
            Posting::List(rows) => {
                if rows.len() == rows.capacity() {
                    // There are many lists: doubling each would waste half of the memory.
                    rows.reserve_exact(1 + rows.len() / 4);
                }
                match rows.last() {
                    Some(last) if *last >= row => {
                        if let Err(at) = rows.binary_search(&row) {
                            rows.insert(at, row);
                        }
                    }
                    _ => rows.push(row),
                }
                if rows.len() > LIST {
                    *self = Posting::Bitmap(rows.iter().copied().collect());
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, row: RowId) {
        match self {
            Posting::Bitmap(bitmap) => {
                bitmap.remove(row);
            }
            Posting::List(rows) => {
                if let Ok(at) = rows.binary_search(&row) {
                    rows.remove(at);
                }
            }
        }
    }

    pub(crate) fn contains(&self, row: RowId) -> bool {
        match self {
            Posting::Bitmap(bitmap) => bitmap.contains(row),
            Posting::List(rows) => rows.binary_search(&row).is_ok(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Posting::Bitmap(bitmap) => bitmap.len(),
            Posting::List(rows) => rows.len() as u64,
        }
    }

    /// Visits all rows, in the order of their numbers.
    pub(crate) fn visit_rows(&self, visit: impl FnMut(RowId)) {
        match self {
            Posting::Bitmap(bitmap) => bitmap.iter().for_each(visit),
            Posting::List(rows) => rows.iter().copied().for_each(visit),
        }
    }

    pub(crate) fn bitmap(&self) -> Cow<'_, RoaringBitmap> {
        match self {
            Posting::Bitmap(bitmap) => Cow::Borrowed(bitmap),
            Posting::List(rows) => Cow::Owned(rows.iter().copied().collect()),
        }
    }

    /// The number of rows that another set has too.
    pub(crate) fn count_within(&self, set: &RoaringBitmap) -> u64 {
        match self {
            Posting::Bitmap(bitmap) => bitmap.intersection_len(set),
            Posting::List(rows) => rows.iter().filter(|row| set.contains(**row)).count() as u64,
        }
    }

    /// Visits the rows of a range from the last to the first, until `visit` returns `false`.
    pub(crate) fn walk_back(
        &self,
        range: RangeInclusive<RowId>,
        mut visit: impl FnMut(RowId) -> bool,
    ) -> bool {
        match self {
            Posting::Bitmap(bitmap) => walk_back(bitmap, range, visit),
            Posting::List(rows) => {
                let from = rows.partition_point(|row| row < range.start());
                let until = rows.partition_point(|row| row <= range.end());
                rows[from..until.max(from)].iter().rev().all(|row| visit(*row))
            }
        }
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        match self {
            // A copy has no room for more.
            Posting::Bitmap(bitmap) => *bitmap = bitmap.clone(),
            Posting::List(rows) => rows.shrink_to_fit(),
        }
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        let content = match self {
            Posting::Bitmap(bitmap) => bitmap_memory(bitmap),
            Posting::List(rows) => rows.capacity() * size_of::<RowId>(),
        };
        size_of::<Posting>() + content
    }
}

/// Visits the rows of a range from the last to the first, until `visit` returns `false`.
pub(crate) fn walk_back(
    bitmap: &RoaringBitmap,
    range: RangeInclusive<RowId>,
    mut visit: impl FnMut(RowId) -> bool,
) -> bool {
    bitmap.range(range).rev().all(&mut visit)
}

/// About how many bytes a bitmap holds.
pub(crate) fn bitmap_memory(bitmap: &RoaringBitmap) -> usize {
    let statistics = bitmap.statistics();
    let bytes = statistics.n_bytes_array_containers
        + statistics.n_bytes_run_containers
        + statistics.n_bytes_bitset_containers;
    usize::try_from(bytes).unwrap_or(usize::MAX) + statistics.n_containers as usize * 48
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_posting_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..200_000), 0..4_000)) {
            let (mut posting, mut set) = (Posting::default(), BTreeSet::new());
            for (inserts, row) in steps {
                if inserts || row % 3 > 0 { posting.insert(row); set.insert(row); }
                else { posting.remove(row); set.remove(&row); }
            }
            prop_assert_eq!(posting.len(), set.len() as u64);
            let mut rows = Vec::new();
            posting.visit_rows(|row| rows.push(row));
            prop_assert_eq!(&rows, &set.iter().copied().collect::<Vec<_>>());
            let mut back = Vec::new();
            posting.walk_back(1_000..=100_000, |row| { back.push(row); true });
            prop_assert_eq!(back, set.range(1_000..=100_000).rev().copied().collect::<Vec<_>>());
            prop_assert!(set.iter().all(|row| posting.contains(*row)));
            prop_assert_eq!(posting.count_within(&(0..1_000).collect()), set.range(0..1_000).count() as u64);
        }
    }
}
