//! Counts of the values of rows.

use super::conditions::Conditions;
use super::evaluate::Scratch;
use crate::bits::Bits;
use crate::block::Block;
use crate::dictionary::Term;
use crate::groups::{Coded, GROUPS, Group, group_of};
use crate::posting::{Posting, RowId};
use crate::rows::{SealedRows, split};
use domain::session::ValueField;

/// The rows for which conditions hold.
pub(super) struct Matching {
    len: u64,
    /// By the number of the block.
    blocks: Vec<Bits>,
}

impl Matching {
    pub(super) fn new(conditions: &Conditions<'_>) -> Matching {
        let rows = conditions.rows;
        let mut blocks = vec![Bits::default(); rows.blocks.len()];
        if let Some(list) = conditions.judge() {
            for row in &list {
                let (block, number) = split(*row);
                blocks[usize::from(block)].set(number, true);
            }
            return Matching { len: list.len() as u64, blocks };
        }
        let (mut len, mut scratch) = (0, Scratch::default());
        for block in &rows.order {
            let bits = &mut blocks[usize::from(*block)];
            conditions.evaluate(*block, bits, &mut scratch);
            len += bits.count();
        }
        Matching { len, blocks }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Takes away the rows of another one.
    pub(super) fn subtract(mut self, rows: &SealedRows, others: &Matching) -> Matching {
        self.len = 0;
        for block in &rows.order {
            let bits = &mut self.blocks[usize::from(*block)];
            bits.and_not(&others.blocks[usize::from(*block)]);
            self.len += bits.count();
        }
        self
    }

    /// The matching rows of a block.
    pub(super) fn rows_of(&self, block: u16) -> &Bits {
        &self.blocks[usize::from(block)]
    }

    fn contains(&self, row: RowId) -> bool {
        let (block, number) = split(row);
        self.blocks[usize::from(block)].get(number)
    }

    /// The blocks with matching rows, and these rows.
    fn blocks<'a>(&'a self, rows: &'a SealedRows) -> impl Iterator<Item = (&'a Block, &'a Bits)> {
        let blocks = rows.blocks.iter().zip(&self.blocks);
        blocks.filter(|(_, bits)| !bits.is_empty())
    }
}

/// The number of rows of each cell.
pub(super) fn count_cells(rows: &SealedRows, matching: &Matching) -> Vec<(u32, u64)> {
    let mut counts = vec![0u32; rows.organizations.cells()];
    for (block, bits) in matching.blocks(rows) {
        bits.visit(|row| counts[block.head(row).1 as usize] += 1);
    }
    let counts = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
    counts.map(|(cell, count)| (cell as u32, u64::from(count))).collect()
}

/// The number of rows with each value of some fields.
pub(super) struct Tally {
    /// By field, and by the number of the value; empty for other fields.
    counts: Vec<Vec<u32>>,
}

impl Tally {
    pub(super) fn new(rows: &SealedRows, matching: &Matching, fields: &[ValueField]) -> Tally {
        let mut tally = Tally { counts: vec![Vec::new(); ValueField::ALL.len()] };
        for field in fields {
            tally.counts[*field as usize] = vec![0; rows.dictionary.numbers_of(*field)];
        }
        let mut by_rows = Vec::new();
        for group in 0..GROUPS {
            let fields = fields.iter().copied().filter(|field| group_of(*field) == group).collect::<Vec<_>>();
            if !fields.is_empty() && cost_of_sets(rows, &fields, matching.len()) < matching.len() * ROW {
                tally.count_sets(rows, matching, &fields);
            } else if !fields.is_empty() {
                by_rows.push(group);
            }
        }
        if !by_rows.is_empty() {
            let (mut numbers, mut codes) = (Vec::new(), Vec::new());
            for (block, bits) in matching.blocks(rows) {
                numbers.clear();
                bits.visit(|row| numbers.push(row));
                for group in &by_rows {
                    block.gather(*group, &numbers, &mut codes);
                    tally.count_codes(block.group(*group), &codes);
                }
            }
        }
        tally
    }

    /// Counts the rows of each value that match.
    fn count_sets(&mut self, rows: &SealedRows, matching: &Matching, fields: &[ValueField]) {
        // A field may be asked for twice.
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        fields.dedup();
        for term in fields.into_iter().flat_map(|field| rows.dictionary.terms_of(field)) {
            let mut count = 0;
            match rows.dictionary.posting(term) {
                Posting::Map(map) => map.visit_blocks(|block, rows| {
                    count += rows.count_within(&matching.blocks[usize::from(block)]);
                }),
                posting => posting.visit_rows(|row| count += u64::from(matching.contains(row))),
            }
            self.counts[term.field() as usize][term.number() as usize] = count as u32;
        }
    }

    /// Counts the values of the codes of some rows.
    fn count_codes(&mut self, group: &Group, codes: &[i64]) {
        let sets = group.sets();
        // Many rows have the same set: the sets are counted, and then their values.
        let mut of_set = if codes.len() >= sets / 4 { vec![0u32; sets] } else { Vec::new() };
        for code in codes {
            match group.decode(*code) {
                None => {}
                Some(Coded::One(term)) => self.add(term, 1),
                Some(Coded::Set(set)) => match of_set.get_mut(set as usize) {
                    Some(count) => *count += 1,
                    None => group.set_at(set).iter().for_each(|term| self.add(*term, 1)),
                },
            }
        }
        for (set, count) in of_set.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            group.set_at(set as u32).iter().for_each(|term| self.add(*term, count));
        }
    }

    #[inline]
    fn add(&mut self, term: Term, count: u32) {
        if let Some(total) = self.counts[term.field() as usize].get_mut(term.number() as usize) {
            *total += count;
        }
    }

    /// The values of the rows, and how many rows have each.
    pub(super) fn into_counts(self) -> Vec<(Term, u64)> {
        let counts = self.counts.into_iter().zip(ValueField::ALL).flat_map(|(counts, field)| {
            let counts = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
            counts.map(move |(number, count)| (Term::new(field, number as u32), u64::from(count)))
        });
        counts.collect()
    }
}

/// Nanoseconds, about, to read what a row has in a group.
const ROW: u64 = 4;
/// Nanoseconds, about, to look for a row of one set in another.
const LOOK_UP: u64 = 2;
/// Nanoseconds, about, to compare two sets of a block that are bits.
const BITS: u64 = 1_000;

/// What it costs to count the values of some fields by the sets of their rows.
fn cost_of_sets(rows: &SealedRows, fields: &[ValueField], matching: u64) -> u64 {
    let values = fields.iter().map(|field| rows.dictionary.numbers_of(*field) as u64).sum::<u64>();
    if values > matching {
        return u64::MAX;
    }
    let cost = |term: Term| match rows.dictionary.posting(term) {
        Posting::Map(map) => (map.len() * LOOK_UP).min(rows.order.len() as u64 * BITS),
        posting => posting.len() * LOOK_UP,
    };
    fields.iter().flat_map(|field| rows.dictionary.terms_of(*field)).map(cost).sum()
}
