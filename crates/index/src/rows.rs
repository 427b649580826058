//! The sealed rows: blocks in the order of lists, and the set of rows of each value.

use crate::block::{Block, Row};
use crate::dictionary::{Dictionary, Term};
use crate::organizations::{CELLS, Organizations};
use crate::posting::{Posting, RowId};
use crate::sizes::{BLOCK, MAX_BLOCK};
use domain::ids::{OrganizationId, SessionId};
use domain::session::{SessionKey, Spread, Summary};
use domain::time::Micros;

/// The place of a session in lists: its time of creation and the rest of its id.
pub(crate) type Place = (i64, u64);

/// The place of a session.
pub(crate) fn place(id: SessionId) -> Place {
    (id.creation_time().0, id.tail())
}

/// All sealed rows.
#[derive(Debug, Default)]
pub(crate) struct SealedRows {
    pub(crate) dictionary: Dictionary,
    pub(crate) organizations: Organizations,
    /// The rows of deleted organizations.
    pub(crate) deleted: Posting,
    /// By number.
    pub(crate) blocks: Vec<Block>,
    /// The numbers of the blocks, oldest first. They do not ascend after a split: the new block, which follows the old one,
    /// has a later number.
    pub(crate) order: Vec<u16>,
    /// The position of each block in `order`.
    pub(crate) ranks: Vec<u16>,
    /// The numbers of blocks that are not in `order` any more.
    free: Vec<u16>,
    /// Values that may have lost their last row. They are released at the end of a change, because a row that is being moved
    /// still needs them.
    pub(crate) emptied: Vec<Term>,
    /// Whether `order` ascends.
    is_in_order: bool,
    /// How many rows came late.
    pub(crate) late: usize,
}

/// The block of a row, and its number in the block.
pub(crate) fn split(row: RowId) -> (u16, u16) {
    ((row >> 16) as u16, row as u16)
}

/// The row with a number in a block.
pub(crate) fn row_id(block: u16, number: u16) -> RowId {
    (u32::from(block) << 16) | u32::from(number)
}

impl SealedRows {
    /// What is known of a session, as a row. The clock decides the state of a session that expires.
    pub(crate) fn encode(&mut self, summary: &Summary, clock: Micros) -> Row {
        use domain::session::{NumberField, ValueField};
        let Summary { key, revision, .. } = summary;
        let cell = self.organizations.cell(key.organization, key.kind, summary.is_archived());
        let mut terms = Vec::new();
        let dictionary = &mut self.dictionary;
        summary.visit_values(clock, |field, value| {
            // The cell says these.
            if !matches!(field, ValueField::Organization | ValueField::Kind | ValueField::Archived) {
                terms.push(dictionary.intern(field, value));
            }
        });
        terms.sort_unstable();
        terms.dedup();
        let numbers = NumberField::ALL.map(|field| summary.number(field));
        let has_numbers = numbers.iter().all(Option::is_some);
        let (created, tail) = place(key.id);
        Row {
            created,
            tail,
            revision: *revision,
            cell,
            terms,
            updated: summary.updated.0,
            ended: summary.ended.map(|(at, _)| at.0),
            expires: summary.expires.map(|at| at.0),
            numbers: has_numbers.then(|| numbers.map(Option::unwrap_or_default)),
        }
    }

    /// The key of a row that was not removed, and its revision.
    pub(crate) fn key(&self, row: RowId) -> (SessionKey, i64) {
        let (block, number) = split(row);
        let block = &self.blocks[usize::from(block)];
        let (created, tail) = block.place(number);
        let (revision, cell) = block.head(number);
        let organization = self.organizations.organization_at(cell).id;
        let id = SessionId::new(Micros(created), tail);
        (SessionKey { organization, kind: Organizations::kind(cell), id }, revision)
    }

    /// The organization of a row that was not removed, and which of its cells the row is in.
    pub(crate) fn cell(&self, row: RowId) -> (OrganizationId, usize) {
        let (block, number) = split(row);
        let (_, cell) = self.blocks[usize::from(block)].head(number);
        (self.organizations.organization_at(cell).id, cell as usize % CELLS)
    }

    /// The position in `order` of the block that a place belongs to.
    pub(crate) fn position_of(&self, place: Place) -> usize {
        let after = self.order.partition_point(|block| self.blocks[usize::from(*block)].first() <= place);
        after.saturating_sub(1)
    }

    /// The row of a session.
    pub(crate) fn find(&self, key: &SessionKey) -> Option<RowId> {
        self.find_all(key.id).find(|row| self.key(*row).0 == *key)
    }

    /// The rows with an id: sessions of two organizations may have the same.
    pub(crate) fn find_all(&self, id: SessionId) -> impl Iterator<Item = RowId> {
        let place = place(id);
        let last = if self.order.is_empty() { None } else { Some(self.position_of(place)) };
        // Rows with the same place may lie in two blocks.
        let positions = last.into_iter().flat_map(|last| (0..=last).rev());
        let blocks = positions.map(|position| self.order[position]);
        let near = blocks.take_while(move |block| self.blocks[usize::from(*block)].last() >= place);
        near.flat_map(move |number| {
            let block = &self.blocks[usize::from(number)];
            block.rows_at(place).map(move |at| row_id(number, at))
        })
    }

    /// Whether the numbers of all rows are in the order of lists: no block was split, and no session came late.
    pub(crate) fn is_in_order(&self) -> bool {
        self.is_in_order && self.late == 0
    }

    /// Appends a row after the newest one.
    pub(crate) fn append(&mut self, row: &Row) {
        let full = self.order.last().is_none_or(|last| self.blocks[usize::from(*last)].len() >= BLOCK);
        if full {
            if let Some(last) = self.order.last().copied() {
                self.close(last);
            }
            let position = self.order.len();
            self.add_block(position);
        }
        let block = self.order[self.order.len() - 1];
        self.push(block, row);
    }

    /// Adds an empty block at a position in the order. Returns its number.
    pub(crate) fn add_block(&mut self, position: usize) -> u16 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            self.ranks.push(0);
            u16::try_from(self.blocks.len() - 1).expect("at most 65,536 blocks")
        });
        self.order.insert(position, number);
        self.rank_blocks();
        number
    }

    /// Removes an empty block from the order.
    pub(crate) fn drop_block(&mut self, number: u16) {
        self.order.remove(usize::from(self.ranks[usize::from(number)]));
        self.free.push(number);
        self.rank_blocks();
    }

    fn rank_blocks(&mut self) {
        for (rank, block) in self.order.iter().enumerate() {
            self.ranks[usize::from(*block)] = rank as u16;
        }
        self.is_in_order = self.order.is_sorted();
    }

    /// Appends a row to a block.
    pub(crate) fn push(&mut self, block: u16, row: &Row) {
        debug_assert!(self.blocks[usize::from(block)].len() < MAX_BLOCK);
        let number = self.push_unlinked(block, row);
        let id = row_id(block, number);
        self.link_cell(id, row.cell);
        for term in &row.terms {
            self.link(id, row.cell, *term);
        }
    }

    /// Appends a row to a block, but not to any set.
    pub(crate) fn push_unlinked(&mut self, block: u16, row: &Row) -> u16 {
        let block = &mut self.blocks[usize::from(block)];
        let late = block.late().len();
        let number = block.push(row);
        self.late += block.late().len() - late;
        number
    }

    /// Replaces what is known of a row.
    pub(crate) fn replace(&mut self, id: RowId, row: &Row) {
        let (block, number) = split(id);
        let before = self.blocks[usize::from(block)].row(number);
        for term in before.terms.iter().filter(|term| row.terms.binary_search(term).is_err()) {
            self.unlink(id, before.cell, *term);
        }
        for term in row.terms.iter().filter(|term| before.terms.binary_search(term).is_err()) {
            self.link(id, row.cell, *term);
        }
        if before.cell != row.cell {
            self.unlink_cell(id, before.cell);
            self.link_cell(id, row.cell);
            for term in row.terms.iter().filter(|term| before.terms.binary_search(term).is_ok()) {
                self.count(before.cell, *term, false);
                self.count(row.cell, *term, true);
            }
        }
        self.blocks[usize::from(block)].replace(number, row);
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, id: RowId) {
        let (block, number) = split(id);
        let row = self.blocks[usize::from(block)].row(number);
        self.unlink_all(id, &row);
        self.blocks[usize::from(block)].remove(number);
    }

    /// Takes a row out of all sets.
    fn unlink_all(&mut self, id: RowId, row: &Row) {
        self.unlink_cell(id, row.cell);
        for term in &row.terms {
            self.unlink(id, row.cell, *term);
        }
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        self.organizations.shrink();
        self.dictionary.shrink();
        self.deleted.shrink();
        self.blocks.iter_mut().for_each(Block::shrink);
    }

    /// Forgets the values that no row has any more.
    pub(crate) fn release_emptied(&mut self) {
        for term in std::mem::take(&mut self.emptied) {
            self.dictionary.release(term);
        }
    }

    fn link_cell(&mut self, id: RowId, cell: u32) {
        let (organization, within) = self.organizations.organization_mut(cell);
        organization.cells[within].insert(id);
        let deleted = organization.deleted;
        self.organizations.by_cell[within].insert(id);
        if deleted {
            self.organizations.deleted_totals[within] += 1;
            self.deleted.insert(id);
        }
    }

    fn unlink_cell(&mut self, id: RowId, cell: u32) {
        let (organization, within) = self.organizations.organization_mut(cell);
        organization.cells[within].remove(id);
        let deleted = organization.deleted;
        self.organizations.by_cell[within].remove(id);
        if deleted {
            self.organizations.deleted_totals[within] -= 1;
            self.deleted.remove(id);
        }
    }

    fn link(&mut self, id: RowId, cell: u32, term: Term) {
        self.dictionary.posting_mut(term).insert(id);
        self.count(cell, term, true);
    }

    fn unlink(&mut self, id: RowId, cell: u32, term: Term) {
        let posting = self.dictionary.posting_mut(term);
        posting.remove(id);
        if posting.is_empty() {
            self.emptied.push(term);
        }
        self.count(cell, term, false);
    }

    pub(crate) fn count(&mut self, cell: u32, term: Term, more: bool) {
        if term.field().spread() == Spread::Few {
            let (organization, within) = self.organizations.organization_mut(cell);
            organization.count(within, term, more);
        }
    }
}
