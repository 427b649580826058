//! A set of many rows: for each block a sorted list, or a bit for each row.

use crate::bits::Bits;
use crate::packed_rows::ALLOCATION;
use crate::posting::RowId;
use crate::rows::{row_id, split};
use crate::sizes::{ARRAY, BLOCK};

/// The rows of one block that are in a set.
#[derive(Debug, Clone)]
pub(crate) enum BlockRows {
    /// In ascending order.
    Array(Vec<u16>),
    /// A bit for each row.
    Bits(Bits),
}

#[derive(Debug, Clone)]
struct BlockSet {
    block: u16,
    count: u32,
    rows: BlockRows,
}

/// A set of rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlockSets {
    len: u64,
    /// In the order of the blocks' numbers. None is empty.
    sets: Vec<BlockSet>,
}

impl BlockRows {
    pub(crate) fn contains(&self, row: u16) -> bool {
        match self {
            BlockRows::Array(rows) => rows.binary_search(&row).is_ok(),
            BlockRows::Bits(bits) => bits.get(row),
        }
    }

    /// The number of rows that another set has too.
    pub(crate) fn count_within(&self, set: &Bits) -> u64 {
        match self {
            BlockRows::Array(rows) => rows.iter().map(|row| u64::from(set.get(*row))).sum(),
            BlockRows::Bits(bits) => bits.count_within(set),
        }
    }

    /// Like [`Bits::visit_back`].
    pub(crate) fn visit_back(
        &self,
        before: usize,
        skipped: &mut u64,
        mut visit: impl FnMut(u16) -> bool,
    ) -> bool {
        match self {
            BlockRows::Bits(bits) => bits.visit_back(before, skipped, visit),
            BlockRows::Array(rows) => {
                let before = rows.partition_point(|row| usize::from(*row) < before);
                let skip = (*skipped).min(before as u64);
                *skipped -= skip;
                rows[..before - skip as usize].iter().rev().all(|row| visit(*row))
            }
        }
    }

    fn insert(&mut self, row: u16) -> bool {
        match self {
            BlockRows::Bits(bits) => bits.set(row, true),
            BlockRows::Array(rows) => {
                let at = match rows.last() {
                    Some(last) if *last >= row => match rows.binary_search(&row) {
                        Ok(_) => return false,
                        Err(at) => at,
                    },
                    _ => rows.len(),
                };
                if rows.len() == ARRAY {
                    let mut bits = Bits::default();
                    bits.clear(BLOCK);
                    for row in rows.iter() {
                        bits.set(*row, true);
                    }
                    bits.set(row, true);
                    *self = BlockRows::Bits(bits);
                    return true;
                }
                if rows.len() == rows.capacity() {
                    // There are many arrays: doubling each would waste half of the memory.
                    rows.reserve_exact(2 + rows.len() / 4);
                }
                rows.insert(at, row);
                true
            }
        }
    }

    fn remove(&mut self, row: u16) -> bool {
        match self {
            BlockRows::Bits(bits) => bits.set(row, false),
            BlockRows::Array(rows) => match rows.binary_search(&row) {
                Ok(at) => {
                    rows.remove(at);
                    true
                }
                Err(_) => false,
            },
        }
    }

    fn visit(&self, mut visit: impl FnMut(u16)) {
        match self {
            BlockRows::Array(rows) => rows.iter().copied().for_each(visit),
            BlockRows::Bits(bits) => bits.visit(&mut visit),
        }
    }

    fn shrink(&mut self) {
        match self {
            BlockRows::Array(rows) => rows.shrink_to_fit(),
            BlockRows::Bits(bits) => bits.shrink(),
        }
    }

    fn memory(&self) -> usize {
        ALLOCATION
            + match self {
                BlockRows::Array(rows) => rows.capacity() * 2,
                BlockRows::Bits(bits) => bits.memory(),
            }
    }
}

impl BlockSets {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn insert(&mut self, row: RowId) {
        let (block, number) = split(row);
        let at = match self.sets.last() {
            Some(last) if last.block == block => self.sets.len() - 1,
            Some(last) if last.block > block => self.sets.partition_point(|set| set.block < block),
            _ => self.sets.len(),
        };
        if self.sets.get(at).is_none_or(|set| set.block != block) {
            if let Some(before) = at.checked_sub(1) {
                // Sessions come in the order of blocks: the one before is seldom changed any more.
                self.sets[before].rows.shrink();
            }
            if self.sets.len() == self.sets.capacity() {
                self.sets.reserve_exact(1 + self.sets.len() / 4);
            }
            self.sets.insert(at, BlockSet { block, count: 0, rows: BlockRows::Array(Vec::new()) });
        }
        let set = &mut self.sets[at];
        if set.rows.insert(number) {
            set.count += 1;
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, row: RowId) {
        let (block, number) = split(row);
        let Ok(at) = self.sets.binary_search_by_key(&block, |set| set.block) else { return };
        let set = &mut self.sets[at];
        if !set.rows.remove(number) {
            return;
        }
        set.count -= 1;
        self.len -= 1;
        if set.count == 0 {
            self.sets.remove(at);
        } else if set.count as usize * 2 < ARRAY && matches!(set.rows, BlockRows::Bits(_)) {
            let mut rows = Vec::with_capacity(set.count as usize);
            set.rows.visit(|row| rows.push(row));
            set.rows = BlockRows::Array(rows);
        }
    }

    /// Removes all rows of a block.
    pub(crate) fn remove_block(&mut self, block: u16) {
        if let Ok(at) = self.sets.binary_search_by_key(&block, |set| set.block) {
            self.len -= u64::from(self.sets.remove(at).count);
        }
    }

    /// The rows of a block.
    #[inline]
    pub(crate) fn rows_of(&self, block: u16) -> Option<&BlockRows> {
        self.find(block).map(|(rows, _)| rows)
    }

    /// The rows of a block with their number.
    #[inline]
    pub(crate) fn find(&self, block: u16) -> Option<(&BlockRows, u64)> {
        // Most sets have rows of every block.
        let at = match self.sets.get(usize::from(block)) {
            Some(set) if set.block == block => usize::from(block),
            _ => self.sets.binary_search_by_key(&block, |set| set.block).ok()?,
        };
        Some((&self.sets[at].rows, self.sets[at].count.into()))
    }

    /// Visits all rows, in the order of their numbers.
    pub(crate) fn visit_rows(&self, mut visit: impl FnMut(RowId)) {
        for set in &self.sets {
            set.rows.visit(|row| visit(row_id(set.block, row)));
        }
    }

    /// Visits the rows of each block.
    pub(crate) fn visit_blocks(&self, mut visit: impl FnMut(u16, &BlockRows)) {
        self.sets.iter().for_each(|set| visit(set.block, &set.rows));
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        self.sets.shrink_to_fit();
        self.sets.iter_mut().for_each(|set| set.rows.shrink());
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        let rows = self.sets.iter().map(|set| set.rows.memory()).sum::<usize>();
        size_of::<BlockSets>() + self.sets.capacity() * size_of::<BlockSet>() + rows
    }
}
