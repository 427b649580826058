//! Pages back to the beginning of a list: the sessions that are newer than a cursor.

use super::Selection;
use super::conditions::Conditions;
use super::evaluate::Scratch;
use crate::posting::RowId;
use crate::rows::{Place, place, row_id, split};
use crate::sessions::{Index, SessionRef};
use domain::session::Summary;

impl Index {
    /// The nearest of the sessions before a cursor in a list, newest first, and the number of all sessions of the list.
    pub(super) fn select_newer(
        &self,
        conditions: &Conditions<'_>,
        recent: &[&Summary],
        cursor: Place,
        wanted: usize,
    ) -> Selection {
        let (rows, total) = conditions.find_newer(cursor, wanted + 1);
        let rows = rows.into_iter().map(|row| self.rows.key(row));
        let rows = rows.map(|(key, revision)| SessionRef { key, revision });
        // All of them are newer than all rows.
        let recent_keys = recent.iter().rev().map(|one| SessionRef { key: one.key, revision: one.revision });
        let newer = recent_keys.filter(|session| place(session.key.id) > cursor);
        let mut sessions = rows.chain(newer).take(wanted + 1).collect::<Vec<_>>();
        let more = sessions.len() > wanted;
        sessions.truncate(wanted);
        sessions.reverse();
        Selection { sessions, total: total + recent.len() as u64, more }
    }
}

impl Conditions<'_> {
    /// The nearest of the rows that are newer than a cursor and for which all conditions hold, oldest first, and the number
    /// of all rows for which they hold.
    fn find_newer(&self, cursor: Place, wanted: usize) -> (Vec<RowId>, u64) {
        let known = self.known_total();
        let blocks = &self.rows.blocks;
        let first = self.rows.order.partition_point(|block| blocks[usize::from(*block)].last() <= cursor);
        let newer = &self.rows.order[first..];
        let mut found = Vec::new();
        if let Some(rows) = self.judge() {
            for block in newer {
                let end = rows.partition_point(|row| split(*row).0 <= *block);
                let listed = |from| {
                    let from = rows[..end].partition_point(|row| *row < row_id(*block, from));
                    rows[from..end].iter().map(|row| split(*row).1)
                };
                self.add_newer(*block, cursor, wanted, listed, &mut found);
            }
            return (found, rows.len() as u64);
        }
        let (mut total, mut scratch) = (0, Scratch::default());
        let mut bits = scratch.take();
        let visited = if known.is_none() { &self.rows.order[..] } else { newer };
        let older = visited.len() - newer.len();
        for (position, block) in visited.iter().enumerate() {
            let is_wanted = position >= older && found.len() < wanted;
            if known.is_some() && !is_wanted {
                break;
            }
            self.evaluate(*block, &mut bits, &mut scratch);
            total += bits.count();
            if is_wanted {
                let listed = |from| bits.rows_from(usize::from(from));
                self.add_newer(*block, cursor, wanted, listed, &mut found);
            }
        }
        (found, known.unwrap_or(total))
    }

    /// Adds the rows of a block that are newer than a cursor, oldest first, until enough are found. `listed` has the matching
    /// rows of the block from a number on.
    fn add_newer<I: Iterator<Item = u16>>(
        &self,
        number: u16,
        cursor: Place,
        wanted: usize,
        listed: impl Fn(u16) -> I,
        found: &mut Vec<RowId>,
    ) {
        let block = &self.rows.blocks[usize::from(number)];
        let sorted = block.len() - block.late().len();
        // All rows of a block without late rows may be older. Then there is no such number.
        let Ok(from) = u16::try_from(block.count_before((cursor.0, cursor.1 + 1))) else { return };
        let left = wanted - found.len();
        let in_order = listed(from).take_while(|row| usize::from(*row) < sorted);
        let mut newer = in_order.take(left).collect::<Vec<_>>();
        if sorted < block.len() {
            newer.extend(listed(sorted as u16).filter(|row| block.place(*row) > cursor));
            newer.sort_by_key(|row| block.place(*row));
            newer.truncate(left);
        }
        found.extend(newer.into_iter().map(|row| row_id(number, row)));
    }
}
