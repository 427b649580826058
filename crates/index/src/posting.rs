//! The rows that have one value.

use crate::block_sets::BlockSets;
use crate::packed_rows::{ALLOCATION, Chunk, PackedRows, encode};
use crate::rows::split;
use crate::sizes::{CHUNK, LIST};

/// A row: the number of its block in the upper 16 bits, and its place in the block in the lower ones.
pub(crate) type RowId = u32;

/// The bytes of rows that need no allocation.
const INLINE: usize = 22;

/// A set of rows. There are millions of sets, most of them small.
#[derive(Debug, Clone)]
pub(crate) enum Posting {
    /// Of some rows, which need no allocation.
    Few { used: u8, bytes: [u8; INLINE] },
    /// Of one chunk.
    Small(Box<Chunk>),
    /// Of several chunks, one after another.
    #[expect(clippy::box_collection, reason = "there are millions of sets, and few of them are these")]
    Many(Box<Vec<Chunk>>),
    /// Of many rows.
    Map(Box<BlockSets>),
}

const _: () = assert!(size_of::<Posting>() == 24);

impl Default for Posting {
    fn default() -> Posting {
        Posting::Few { used: 0, bytes: [0; INLINE] }
    }
}

impl Posting {
    /// A set of ascending rows.
    pub(crate) fn new(rows: &[RowId]) -> Posting {
        if rows.len() > LIST {
            let mut map = BlockSets::default();
            rows.iter().for_each(|row| map.insert(*row));
            return Posting::Map(Box::new(map));
        }
        if rows.len() > CHUNK {
            return Posting::Many(Box::new(rows.chunks(CHUNK).map(Chunk::new).collect()));
        }
        let chunk = Chunk::new(rows);
        let mut few = [0; INLINE];
        let mut used = 0;
        let mut last = 0;
        for row in rows {
            let (distance, length) = encode(row - last);
            if used + length > INLINE {
                return Posting::Small(Box::new(chunk));
            }
            few[used..used + length].copy_from_slice(&distance[..length]);
            (used, last) = (used + length, *row);
        }
        Posting::Few { used: used as u8, bytes: few }
    }

    pub(crate) fn insert(&mut self, row: RowId) {
        match self {
            Posting::Map(map) => map.insert(row),
            Posting::Small(chunk) if chunk.last() < row && chunk.len() < CHUNK => chunk.push(row),
            Posting::Few { .. } | Posting::Small(_) => self.change(|rows| {
                if let Err(at) = rows.binary_search(&row) {
                    rows.insert(at, row);
                }
            }),
            Posting::Many(chunks) => {
                let at = chunks.partition_point(|chunk| chunk.last() < row).min(chunks.len() - 1);
                let chunk = &mut chunks[at];
                if chunk.last() < row && chunk.len() < CHUNK {
                    chunk.push(row);
                } else if chunk.last() < row {
                    chunk.shrink();
                    chunks.push(Chunk::new(&[row]));
                } else {
                    let mut rows = chunk.rows().collect::<Vec<_>>();
                    let Err(place) = rows.binary_search(&row) else { return };
                    rows.insert(place, row);
                    let parts = if rows.len() > CHUNK { 2 } else { 1 };
                    let parts = rows.chunks(rows.len().div_ceil(parts)).map(Chunk::new).collect::<Vec<_>>();
                    chunks.splice(at..=at, parts);
                }
                if self.len() > LIST as u64 {
                    *self = Posting::new(&self.to_rows());
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, row: RowId) {
        match self {
            Posting::Map(map) => {
                map.remove(row);
                if map.len() < LIST as u64 / 4 {
                    *self = Posting::new(&self.to_rows());
                }
            }
            Posting::Few { .. } | Posting::Small(_) => self.change(|rows| {
                if let Ok(at) = rows.binary_search(&row) {
                    rows.remove(at);
                }
            }),
            Posting::Many(chunks) => {
                let at = chunks.partition_point(|chunk| chunk.last() < row);
                let Some(chunk) = chunks.get_mut(at) else { return };
                let mut rows = chunk.rows().collect::<Vec<_>>();
                let Ok(place) = rows.binary_search(&row) else { return };
                rows.remove(place);
                if rows.is_empty() {
                    chunks.remove(at);
                } else {
                    *chunk = Chunk::new(&rows);
                }
                let count = chunks.len();
                if self.len() < (count * CHUNK / 4).max(CHUNK / 2) as u64 {
                    *self = Posting::new(&self.to_rows());
                }
            }
        }
    }

    /// Removes all rows of a block.
    pub(crate) fn remove_block(&mut self, block: u16) {
        if let Posting::Map(map) = self {
            map.remove_block(block);
            if map.len() >= LIST as u64 / 4 {
                return;
            }
        }
        self.change(|rows| rows.retain(|row| split(*row).0 != block));
    }

    /// Adds ascending rows that it does not have.
    pub(crate) fn insert_all(&mut self, some: &[RowId]) {
        match (&mut *self, some) {
            (_, []) => {}
            (_, [row]) => self.insert(*row),
            (Posting::Map(map), rows) => rows.iter().for_each(|row| map.insert(*row)),
            (_, some) => self.change(|rows| {
                rows.extend_from_slice(some);
                // Two ascending runs are merged.
                rows.sort();
            }),
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<RowId>)) {
        let mut rows = self.to_rows();
        change(&mut rows);
        *self = Posting::new(&rows);
    }

    pub(crate) fn contains(&self, row: RowId) -> bool {
        match self {
            Posting::Few { used, bytes } => {
                PackedRows::new(&bytes[..usize::from(*used)]).any(|other| other == row)
            }
            Posting::Small(chunk) => chunk.contains(row),
            Posting::Many(chunks) => {
                let chunk = chunks.get(chunks.partition_point(|chunk| chunk.last() < row));
                chunk.is_some_and(|chunk| chunk.contains(row))
            }
            Posting::Map(map) => map.rows_of(split(row).0).is_some_and(|rows| rows.contains(split(row).1)),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            // The last byte of each distance is small.
            Posting::Few { used, bytes } => {
                bytes[..usize::from(*used)].iter().filter(|byte| **byte < 0x80).count() as u64
            }
            Posting::Small(chunk) => chunk.len() as u64,
            Posting::Many(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Posting::Map(map) => map.len(),
        }
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Posting::Few { used: 0, .. })
    }

    /// Visits all rows, in the order of their numbers.
    pub(crate) fn visit_rows(&self, mut visit: impl FnMut(RowId)) {
        match self {
            Posting::Few { used, bytes } => PackedRows::new(&bytes[..usize::from(*used)]).for_each(visit),
            Posting::Small(chunk) => chunk.rows().for_each(visit),
            Posting::Many(chunks) => chunks.iter().flat_map(Chunk::rows).for_each(visit),
            Posting::Map(map) => map.visit_rows(&mut visit),
        }
    }

    /// All rows, in the order of their numbers.
    pub(crate) fn to_rows(&self) -> Vec<RowId> {
        let mut rows = Vec::with_capacity(self.len() as usize + 1);
        self.visit_rows(|row| rows.push(row));
        rows
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        match self {
            Posting::Few { .. } => {}
            Posting::Small(chunk) => chunk.shrink(),
            Posting::Many(chunks) => {
                chunks.shrink_to_fit();
                chunks.iter_mut().for_each(Chunk::shrink);
            }
            Posting::Map(map) => map.shrink(),
        }
    }

    /// About how many bytes it holds outside itself.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Posting::Few { .. } => 0,
            Posting::Small(chunk) => size_of::<Chunk>() + ALLOCATION + chunk.memory(),
            Posting::Many(chunks) => {
                let inside = chunks.iter().map(Chunk::memory).sum::<usize>();
                size_of::<Vec<Chunk>>() + 2 * ALLOCATION + chunks.capacity() * size_of::<Chunk>() + inside
            }
            Posting::Map(map) => 2 * ALLOCATION + map.memory(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_posting_is_a_set(
            steps in proptest::collection::vec((0u8..4, 0u32..40, 0u32..200_000), 0..1_500),
            removes in 0u8..4,
        ) {
            let (mut posting, mut set) = (Posting::default(), BTreeSet::new());
            let mut newest = 0;
            for (what, near, anywhere) in steps {
                newest += near * 50;
                let row = if what == 0 { anywhere } else { newest };
                if what != 3 || removes == 0 {
                    posting.insert(row);
                    set.insert(row);
                } else if let Some(row) = set.range(anywhere..).next().copied() {
                    posting.remove(row);
                    set.remove(&row);
                }
                posting.remove(anywhere | 1 << 30);
                prop_assert_eq!(posting.len(), set.len() as u64);
            }
            prop_assert_eq!(posting.to_rows(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(posting.is_empty(), set.is_empty());
            prop_assert!(set.iter().all(|row| posting.contains(*row)));
            prop_assert!((0..200_000).step_by(997).all(|row| posting.contains(row) == set.contains(&row)));
            posting.shrink();
            for row in set.clone() {
                posting.remove(row);
                set.remove(&row);
                prop_assert_eq!(posting.len(), set.len() as u64);
                if set.len() % 16 == 0 {
                    prop_assert_eq!(posting.to_rows(), set.iter().copied().collect::<Vec<_>>());
                }
            }
            prop_assert!(posting.is_empty() && posting.memory() == 0);
        }
    }
}
