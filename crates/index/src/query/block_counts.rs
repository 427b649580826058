//! Counts of the rows of a block in buckets of time.

use super::histogram::{BucketClock, BucketCounts};
use crate::bits::Bits;
use crate::block::{Block, ColumnField};
use crate::sizes::ZONE;

/// Counts rows of a block. What all rows of the block share is found once.
pub(super) struct BlockCounter<'a> {
    block: &'a Block,
    clock: &'a BucketClock<'a>,
    /// The rows of login sessions that have expired.
    expired: &'a Bits,
    /// The ranges of rows that were created in one bucket, with its position. Rows that came late are not in them.
    ranges: Vec<(usize, std::ops::Range<usize>)>,
    /// The number of rows in the ranges that were created until now.
    known: usize,
    zones: Vec<ZoneEnds>,
    ended: Bits,
    rows: Vec<u16>,
    created: Vec<i64>,
    ends: Vec<i64>,
}

/// When the sessions of a zone ended.
#[derive(Debug, Clone, Copy)]
enum ZoneEnds {
    /// None has ended.
    None,
    /// Those that have ended did so in one bucket, after their creation and before now.
    At(usize),
    /// In several buckets.
    Several,
}

impl<'a> BlockCounter<'a> {
    pub(super) fn new(block: &'a Block, clock: &'a BucketClock<'a>, expired: &'a Bits) -> BlockCounter<'a> {
        let sorted = block.len() - block.late().len();
        let known = block.count_before((clock.now.0.saturating_add(1), 0));
        let position_of = |row: usize| clock.position(block.place(row as u16).0);
        let mut ranges = Vec::new();
        if sorted > 0 {
            let (mut from, last) = (0, position_of(sorted - 1));
            for position in position_of(0)..last {
                let until = block.count_before((clock.boundaries[position].0, 0));
                ranges.push((position, from..until));
                from = until;
            }
            ranges.push((last, from..sorted));
        }
        let zones = (0..block.len().div_ceil(ZONE)).map(|zone| find_ends(block, clock, zone)).collect();
        BlockCounter {
            block,
            clock,
            expired,
            ranges,
            known,
            zones,
            ended: Bits::default(),
            rows: Vec::new(),
            created: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Counts some rows.
    pub(super) fn count(&mut self, rows: &Bits, counts: &mut BucketCounts) {
        if rows.is_empty() {
            return;
        }
        for (position, range) in &self.ranges {
            let count = |until: usize| rows.count_range(range.start, until);
            let started = count(range.end);
            let known = if range.end <= self.known { started } else { count(self.known) };
            counts.started[*position] += started;
            counts.opened[*position] += known as i64;
        }
        for row in self.block.late().iter().filter(|row| rows.get(**row)) {
            counts.add_start(self.clock, self.block.place(*row).0);
        }
        self.count_ends(rows, counts);
        self.count_expired(rows, counts);
    }

    fn count_ends(&mut self, rows: &Bits, counts: &mut BucketCounts) {
        let BlockCounter { block, clock, .. } = *self;
        let mut ended = std::mem::take(&mut self.ended);
        ended.copy(rows, block.len());
        if let Some(present) = block.present(ColumnField::Ended) {
            ended.and(present);
        }
        for (zone, ends) in self.zones.iter().enumerate() {
            let (from, until) = (zone * ZONE, (zone + 1) * ZONE);
            match ends {
                ZoneEnds::None => {}
                ZoneEnds::At(position) => {
                    let count = ended.count_range(from, until);
                    counts.ended[*position] += count;
                    counts.opened[*position] -= count as i64;
                }
                ZoneEnds::Several => {
                    ended.collect(from, until, &mut self.rows);
                    block.gather_created(&self.rows, &mut self.created);
                    block.gather_numbers(ColumnField::Ended, &self.rows, &self.created, &mut self.ends);
                    for (created, end) in self.created.iter().zip(&self.ends) {
                        counts.add_end(clock, *created, *end);
                    }
                }
            }
        }
        self.ended = ended;
    }

    /// Counts the ends of login sessions that have expired, and that the sweep has not ended yet.
    fn count_expired(&mut self, rows: &Bits, counts: &mut BucketCounts) {
        let number = |column, row| self.block.number(column, row);
        self.expired.visit(|row| {
            if rows.get(row)
                && number(ColumnField::Ended, row).is_none()
                && let Some(end) = number(ColumnField::Expires, row)
            {
                counts.add_end(self.clock, self.block.place(row).0, end);
            }
        });
    }
}

/// When the sessions of a zone ended.
fn find_ends(block: &Block, clock: &BucketClock<'_>, zone: usize) -> ZoneEnds {
    let Some((least, most)) = block.column(ColumnField::Ended).bounds(zone) else { return ZoneEnds::None };
    let position = clock.position(least);
    match block.created_bounds(zone) {
        Some((_, created))
            if clock.position(most) == position
                && clock.position(created) <= position
                && most.max(created) <= clock.now.0 =>
        {
            ZoneEnds::At(position)
        }
        _ => ZoneEnds::Several,
    }
}
