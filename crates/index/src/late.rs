//! Sessions that arrive with an old time, such as imports: they are merged into the blocks that they belong to.

use crate::block::{Block, Row};
use crate::rows::{SealedRows, row_id};
use crate::sizes::{BLOCK, MAX_BLOCK};
use std::collections::BTreeMap;

impl SealedRows {
    /// Merges rows that are older than the newest block's last row.
    pub(crate) fn merge(&mut self, late: Vec<Row>) {
        if self.order.is_empty() {
            self.add_block(0);
            return self.rewrite(self.order[0], late);
        }
        let mut by_block: BTreeMap<u16, Vec<Row>> = BTreeMap::new();
        for row in late {
            let position = self.position_of((row.created, row.tail));
            by_block.entry(self.order[position]).or_default().push(row);
        }
        for (block, rows) in by_block {
            self.rewrite(block, rows);
        }
    }

    /// Writes a block again, without the rows that were removed and with these. A block that has become too long is
    /// split.
    pub(crate) fn rewrite(&mut self, number: u16, more: Vec<Row>) {
        let mut rows = self.take(number);
        rows.extend(more);
        if rows.is_empty() {
            return self.drop_block(number);
        }
        rows.sort_by_key(|row| (row.created, row.tail, row.cell));
        let parts = if rows.len() <= MAX_BLOCK { 1 } else { rows.len().div_ceil(BLOCK) };
        let length = rows.len().div_ceil(parts);
        let mut block = number;
        for (part, rows) in rows.chunks(length).enumerate() {
            if part > 0 {
                let position = usize::from(self.ranks[usize::from(block)]) + 1;
                block = self.add_block(position);
            }
            for row in rows {
                self.push(block, row);
            }
            self.blocks[usize::from(block)].shrink();
        }
    }

    /// Takes all rows out of a block.
    fn take(&mut self, number: u16) -> Vec<Row> {
        let block = std::mem::take(&mut self.blocks[usize::from(number)]);
        let alive = (0..block.len()).map(|at| at as u16).filter(|at| !block.is_removed(*at));
        let rows = alive.map(|at| (at, block.row(at))).collect::<Vec<_>>();
        for (at, row) in &rows {
            self.unlink_all(row_id(number, *at), row);
        }
        self.blocks[usize::from(number)] = Block::default();
        rows.into_iter().map(|(_, row)| row).collect()
    }
}
