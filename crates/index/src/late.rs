//! Sessions that arrive with an old time, such as imports: they are appended to the blocks that they belong to.

use crate::block::Row;
use crate::dictionary::Term;
use crate::posting::RowId;
use crate::rows::{SealedRows, row_id};
use crate::sizes::{BLOCK, MAX_BLOCK};
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

impl SealedRows {
    /// Adds a row that is older than the newest one.
    pub(crate) fn insert(&mut self, row: &Row) {
        let place = (row.created, row.tail);
        if self.order.is_empty() {
            self.add_block(0);
            return self.push(self.order[0], row);
        }
        let find = |rows: &SealedRows| rows.order[rows.position_of(place)];
        let mut block = find(self);
        if self.blocks[usize::from(block)].len() >= MAX_BLOCK {
            self.rewrite(block);
            block = find(self);
        }
        self.push(block, row);
    }

    /// Gives back the memory that a full block will not need, and sorts its rows.
    pub(crate) fn close(&mut self, block: u16) {
        if self.blocks[usize::from(block)].late().is_empty() {
            self.blocks[usize::from(block)].shrink();
        } else {
            self.rewrite(block);
        }
    }

    /// Writes a block again, in order and without the rows that were removed. A block without room is split.
    pub(crate) fn rewrite(&mut self, number: u16) {
        let mut rows = self.take(number);
        if rows.is_empty() {
            return self.drop_block(number);
        }
        rows.sort_by_key(|row| (row.created, row.tail, row.cell));
        let parts = if rows.len() <= BLOCK { 1 } else { rows.len().div_ceil(BLOCK) };
        let length = rows.len().div_ceil(parts);
        let mut block = number;
        for (part, rows) in rows.chunks(length).enumerate() {
            if part > 0 {
                let position = usize::from(self.ranks[usize::from(block)]) + 1;
                block = self.add_block(position);
            }
            self.push_all(block, rows);
            self.blocks[usize::from(block)].shrink();
        }
    }

    /// Takes all rows out of a block. Each set that has one is changed once, because that costs as much as it has rows.
    fn take(&mut self, number: u16) -> Vec<Row> {
        let block = std::mem::take(&mut self.blocks[usize::from(number)]);
        self.late -= block.late().len();
        let alive = (0..block.len()).map(|at| at as u16).filter(|at| !block.is_removed(*at));
        let rows = alive.map(|at| block.row(at)).collect::<Vec<_>>();
        let mut terms = HashSet::new();
        let mut cells = HashMap::<u32, u64>::new();
        for row in &rows {
            *cells.entry(row.cell).or_default() += 1;
            for term in &row.terms {
                terms.insert(*term);
                self.count(row.cell, *term, false);
            }
        }
        for term in terms {
            let posting = self.dictionary.posting_mut(term);
            posting.remove_block(number);
            if posting.is_empty() {
                self.emptied.push(term);
            }
        }
        for (cell, count) in cells {
            let (organization, within) = self.organizations.organization_mut(cell);
            organization.cells[within].remove_block(number);
            if organization.deleted {
                self.organizations.deleted_totals[within] -= count;
            }
        }
        self.organizations.by_cell.iter_mut().for_each(|rows| rows.remove_block(number));
        self.deleted.remove_block(number);
        rows
    }

    /// Appends rows to an empty block.
    fn push_all(&mut self, block: u16, rows: &[Row]) {
        let mut terms = HashMap::<Term, Vec<RowId>>::new();
        let mut cells = HashMap::<u32, Vec<RowId>>::new();
        for row in rows {
            let id = row_id(block, self.push_unlinked(block, row));
            cells.entry(row.cell).or_default().push(id);
            for term in &row.terms {
                terms.entry(*term).or_default().push(id);
                self.count(row.cell, *term, true);
            }
        }
        for (term, rows) in terms {
            self.dictionary.posting_mut(term).insert_all(&rows);
        }
        for (cell, rows) in cells {
            let (organization, within) = self.organizations.organization_mut(cell);
            organization.cells[within].insert_all(&rows);
            if organization.deleted {
                self.organizations.deleted_totals[within] += rows.len() as u64;
                self.deleted.insert_all(&rows);
            }
            self.organizations.by_cell[within].insert_all(&rows);
        }
    }
}
