//! The rows for which conditions hold, computed block by block: the sets of a block fit into the processor's cache.

use super::conditions::Conditions;
use super::nodes::{Node, Rows, has_value, is_within};
use super::spans::has_lasted;
use crate::bits::Bits;
use crate::block::{Block, ColumnField};
use crate::block_sets::BlockRows;
use crate::column::ZoneFit;
use crate::rows::{SealedRows, row_id, split};
use crate::sizes::{FEW, ZONE};

/// Sets that are kept for the next use, so that none is allocated for each block.
#[derive(Default)]
pub(super) struct Scratch(Vec<Bits>);

impl Scratch {
    pub(super) fn take(&mut self) -> Bits {
        self.0.pop().unwrap_or_default()
    }

    pub(super) fn put(&mut self, bits: Bits) {
        self.0.push(bits);
    }
}

impl Conditions<'_> {
    /// The rows for which all conditions hold, in ascending order; `None` when the first condition selects many rows. Then
    /// they are computed block by block.
    pub(super) fn judge(&self) -> Option<Vec<u32>> {
        let (Node::Sets { sets, size }, others) = self.all.split_first()? else { return None };
        if *size > FEW {
            return None;
        }
        others.iter().for_each(Node::unpack);
        let mut rows = Vec::with_capacity(*size as usize);
        for set in sets {
            set.visit(|row| {
                if others.iter().all(|node| node.holds(self.rows, row)) {
                    rows.push(row);
                }
            });
        }
        if sets.len() > 1 {
            rows.sort_unstable();
            rows.dedup();
        }
        Some(rows)
    }

    /// Computes the rows of a block for which all conditions hold.
    pub(super) fn evaluate(&self, block: u16, out: &mut Bits, scratch: &mut Scratch) {
        let rows = &self.rows.blocks[usize::from(block)];
        let Some((first, others)) = self.all.split_first() else { return out.clear(0) };
        match first {
            Node::Sets { sets, .. } => {
                out.clear(rows.len());
                add_sets(sets, block, out);
            }
            _ => out.copy(rows.alive(), rows.len()),
        }
        for node in others {
            if out.is_empty() {
                return;
            }
            restrict(self.rows, node, block, out, scratch);
        }
    }
}

/// Adds the rows of a block that are in some sets.
fn add_sets(sets: &[Rows<'_>], block: u16, out: &mut Bits) {
    for set in sets {
        match set {
            Rows::Map(map) => match map.rows_of(block) {
                Some(BlockRows::Array(rows)) => rows.iter().for_each(|row| out.add(*row)),
                Some(BlockRows::Bits(bits)) => out.or(bits),
                None => {}
            },
            Rows::List(_) | Rows::Packed(..) => {
                let rows = set.list();
                let from = rows.partition_point(|row| *row < row_id(block, 0));
                let rows = rows[from..].iter().take_while(|row| split(**row).0 == block);
                rows.for_each(|row| out.add(split(*row).1));
            }
        }
    }
}

/// Keeps the rows of a block that a node selects.
fn restrict(all: &SealedRows, node: &Node<'_>, block: u16, out: &mut Bits, scratch: &mut Scratch) {
    let rows = &all.blocks[usize::from(block)];
    match node {
        Node::Every => out.and(rows.alive()),
        Node::Sets { sets, .. } => match &sets[..] {
            [Rows::Map(map)] if matches!(map.rows_of(block), Some(BlockRows::Bits(_))) => {
                if let Some(BlockRows::Bits(bits)) = map.rows_of(block) {
                    out.and(bits);
                }
            }
            sets => {
                let mut union = scratch.take();
                union.clear(rows.len());
                add_sets(sets, block, &mut union);
                out.and(&union);
                scratch.put(union);
            }
        },
        Node::Has(field) => out.retain(0, rows.len(), |row| has_value(rows, *field, row)),
        Node::All(nodes) => nodes.iter().for_each(|node| restrict(all, node, block, out, scratch)),
        Node::Any(nodes) => {
            let (mut union, mut part) = (scratch.take(), scratch.take());
            union.clear(rows.len());
            for node in nodes {
                part.copy(out, rows.len());
                restrict(all, node, block, &mut part, scratch);
                union.or(&part);
            }
            std::mem::swap(out, &mut union);
            scratch.put(union);
            scratch.put(part);
        }
        Node::Not(node) => {
            let mut gone = scratch.take();
            match node.as_ref() {
                Node::Sets { sets, .. } => {
                    gone.clear(rows.len());
                    add_sets(sets, block, &mut gone);
                }
                node => {
                    gone.copy(out, rows.len());
                    restrict(all, node, block, &mut gone, scratch);
                }
            }
            out.and_not(&gone);
            scratch.put(gone);
        }
        Node::Created(range) => {
            let before = |time: domain::time::Micros| rows.count_before((time.0, 0));
            out.clear_range(0, range.from.map_or(0, before));
            out.clear_range(range.until.map_or(rows.len(), before), rows.len() - rows.late().len());
            for row in rows.late() {
                if !range.contains(domain::time::Micros(rows.place(*row).0)) {
                    out.set(*row, false);
                }
            }
        }
        Node::Within { column, from, until } => keep_within(rows, out, *column, *from, *until),
        Node::Lasted(range) => out.retain(0, rows.len(), |row| has_lasted(rows, row, *range)),
    }
}

/// Keeps the rows with a number in a range.
fn keep_within(rows: &Block, out: &mut Bits, column: ColumnField, from: Option<i64>, until: Option<i64>) {
    for (zone, start) in (0..rows.len()).step_by(ZONE).enumerate() {
        let end = (start + ZONE).min(rows.len());
        match rows.column(column).fit(zone, from, until) {
            ZoneFit::None => out.clear_range(start, end),
            // Every row has this time.
            ZoneFit::All if column == ColumnField::Updated => {}
            ZoneFit::All | ZoneFit::Some => {
                out.retain(start, end, |row| is_within(rows, column, row, from, until));
            }
        }
    }
}
