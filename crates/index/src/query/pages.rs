//! Pages and totals.

use super::Selection;
use super::conditions::{Conditions, compile_conditions};
use super::evaluate::Scratch;
use super::nodes::{Node, Rows};
use crate::bits::Bits;
use crate::block_sets::BlockRows;
use crate::organizations::CELLS;
use crate::packed_rows::Chunk;
use crate::posting::{Posting, RowId};
use crate::rows::{Place, SealedRows, place, row_id, split};
use crate::sessions::{Index, SessionRef, list_key};
use domain::ids::{OrganizationId, SessionId};
use domain::page::ListRange;
use domain::session::{Filter, ListScope, SessionKind, Summary};
use domain::time::Micros;

/// The most sets whose pages are merged: the cells of an organization, and of two.
const MAX_MERGED: usize = 2 * CELLS;
/// The most rows that are skipped by merging pages. Beyond, blocks are counted.
const MAX_SKIPPED: u64 = 1_000;

/// A part of a list of rows, newest first.
#[derive(Debug, Clone, Copy)]
struct RowSpan {
    cursor: Option<Place>,
    skipped: u64,
    wanted: usize,
}

impl Index {
    /// A range of the sessions that match a filter, newest first, and the number of all of them.
    pub fn select(&self, scope: &ListScope, filter: &Filter, now: Micros, range: ListRange) -> Selection {
        debug_assert!(!self.needs_advance(now), "the index is moved to the time of the question first");
        let recent = self.recent_matching(scope, filter, now);
        let conditions = Conditions::new(&self.rows, scope, filter, now);
        let (total, (mut sessions, wanted)) = match range {
            ListRange::Offset { offset, limit } => {
                let wanted = limit as usize;
                // At most all recent sessions come before a row.
                let skipped = offset.saturating_sub(recent.len() as u64);
                let before = usize::try_from(offset - skipped).unwrap_or(usize::MAX);
                let span = RowSpan { cursor: None, skipped, wanted: before + wanted + 1 };
                let (rows, total) = conditions.page_with_total(span);
                let merged = self.merge(rows, &recent, None);
                (total, (merged.into_iter().skip(before).take(wanted + 1).collect::<Vec<_>>(), wanted))
            }
            ListRange::Before { position, limit } => {
                let (wanted, cursor) = (limit as usize, position.map(|(_, id)| place(id)));
                let (rows, total) =
                    conditions.page_with_total(RowSpan { cursor, skipped: 0, wanted: wanted + 1 });
                (total, (self.merge(rows, &recent, cursor).into_iter().take(wanted + 1).collect(), wanted))
            }
            ListRange::After { position: (_, id), limit } => {
                return self.select_newer(&conditions, &recent, place(id), limit as usize);
            }
        };
        let more = sessions.len() > wanted;
        sessions.truncate(wanted);
        Selection { sessions, total: total + recent.len() as u64, more }
    }

    /// The number of sessions that match a filter.
    pub fn count(&self, scope: &ListScope, filter: &Filter, now: Micros) -> u64 {
        let conditions = Conditions::new(&self.rows, scope, filter, now);
        let nothing = RowSpan { cursor: None, skipped: 0, wanted: 0 };
        conditions.page_with_total(nothing).1 + self.recent_matching(scope, filter, now).len() as u64
    }

    /// Whether a session matches a filter.
    pub fn exists(&self, scope: &ListScope, filter: &Filter, now: Micros) -> bool {
        let one = RowSpan { cursor: None, skipped: 0, wanted: 1 };
        !self.recent_matching(scope, filter, now).is_empty()
            || !Conditions::new(&self.rows, scope, filter, now).page(one).is_empty()
    }

    /// A session with an id that matches a filter.
    pub fn find(&self, scope: &ListScope, filter: &Filter, now: Micros, id: SessionId) -> Option<SessionRef> {
        let place = place(id);
        let first = (place, SessionKind::Device, OrganizationId::ACCOUNT);
        let recent = self.recent.range(first..).take_while(|(key, _)| key.0 == place);
        let mut recent = recent.map(|(_, summary)| summary).filter(|summary| {
            scope.includes(summary.key.organization, |id| self.is_deleted(id)) && filter.matches(summary, now)
        });
        if let Some(summary) = recent.next() {
            return Some(SessionRef { key: summary.key, revision: summary.revision });
        }
        let mut rows = self.rows.find_all(id).peekable();
        rows.peek()?;
        let (mask, nodes) = compile_conditions(&self.rows, filter, now);
        // A row says which organization it is of. To look for it in the set of the organization's rows takes longer.
        let row = rows.find(|row| {
            let (organization, within) = self.rows.cell(*row);
            mask.has(within)
                && scope.includes(organization, |id| self.is_deleted(id))
                && nodes.iter().all(|node| node.holds(&self.rows, *row))
        })?;
        let (key, revision) = self.rows.key(row);
        Some(SessionRef { key, revision })
    }

    /// The recent sessions that match a filter, newest first.
    pub(super) fn recent_matching(&self, scope: &ListScope, filter: &Filter, now: Micros) -> Vec<&Summary> {
        let is_deleted = |id| self.is_deleted(id);
        let matches = |summary: &&Summary| {
            scope.includes(summary.key.organization, is_deleted) && filter.matches(summary, now)
        };
        self.recent.values().rev().filter(matches).collect()
    }

    /// Merges rows with the recent sessions that follow the cursor.
    fn merge(&self, rows: Vec<RowId>, recent: &[&Summary], cursor: Option<Place>) -> Vec<SessionRef> {
        let rows = rows
            .into_iter()
            .map(|row| self.rows.key(row))
            .map(|(key, revision)| SessionRef { key, revision });
        let recent = recent.iter().map(|summary| SessionRef { key: summary.key, revision: summary.revision });
        let recent = recent.filter(|session| cursor.is_none_or(|cursor| place(session.key.id) < cursor));
        let mut merged = Vec::new();
        let (mut rows, mut recent) = (rows.peekable(), recent.peekable());
        loop {
            let recent_is_newer = match (rows.peek(), recent.peek()) {
                (Some(row), Some(new)) => place(new.key.id) >= place(row.key.id),
                (row, _) => row.is_none(),
            };
            match if recent_is_newer { recent.next() } else { rows.next() } {
                Some(session) => merged.push(session),
                None => return merged,
            }
        }
    }
}

impl Conditions<'_> {
    /// Rows for which all conditions hold, newest first, and the number of all such rows.
    fn page_with_total(&self, span: RowSpan) -> (Vec<RowId>, u64) {
        if let Some(total) = self.known_total() {
            return (if span.wanted == 0 { Vec::new() } else { self.page(span) }, total);
        }
        if let Some(rows) = self.judge() {
            let total = rows.len() as u64;
            return (page_of_list(self.rows, &rows, span), total);
        }
        self.walk(span, true)
    }

    /// Rows for which all conditions hold, newest first.
    fn page(&self, span: RowSpan) -> Vec<RowId> {
        if let [Node::Sets { sets, .. }] = &self.all[..]
            && (1..=MAX_MERGED).contains(&sets.len())
        {
            return match &sets[..] {
                [set] => page_of_set(self.rows, set, span),
                sets if span.skipped <= MAX_SKIPPED => page_of_sets(self.rows, sets, span),
                _ => self.walk(span, false).0,
            };
        }
        match self.judge() {
            Some(rows) => page_of_list(self.rows, &rows, span),
            None => self.walk(span, false).0,
        }
    }

    /// The number of rows, if it is known without looking for them.
    pub(super) fn known_total(&self) -> Option<u64> {
        match &self.all[..] {
            [Node::Sets { sets, size }] if self.is_whole || sets.len() == 1 => match &sets[..] {
                // A list of the rows of several sets has each once.
                [Rows::List(rows)] => Some(rows.len() as u64),
                _ => Some(*size),
            },
            _ if self.is_whole => Some(self.rows.organizations.count_cells(self.mask, self.without_deleted)),
            _ => None,
        }
    }

    /// Walks back through the blocks until the page is full, or all rows are counted.
    fn walk(&self, mut span: RowSpan, counts: bool) -> (Vec<RowId>, u64) {
        let (mut found, mut total, mut scratch) = (Vec::new(), 0, Scratch::default());
        let end = End::new(self.rows, span.cursor);
        let mut bits = scratch.take();
        for (position, block) in self.rows.order.iter().enumerate().rev() {
            let is_wanted = found.len() < span.wanted && position <= end.position;
            if !counts && !is_wanted {
                if found.len() >= span.wanted {
                    break;
                }
                continue;
            }
            self.evaluate(*block, &mut bits, &mut scratch);
            if counts {
                total += bits.count();
            }
            if is_wanted {
                end.visit_back(self.rows, position, View::Bits(&bits), &mut span.skipped, |row| {
                    found.push(row);
                    found.len() < span.wanted
                });
            }
        }
        (found, total)
    }
}

/// Rows of a block.
#[derive(Clone, Copy)]
enum View<'a> {
    Bits(&'a Bits),
    Rows(&'a BlockRows),
    /// In ascending order, with the number of the block.
    List(&'a [RowId]),
}

impl View<'_> {
    fn contains(self, row: RowId) -> bool {
        match self {
            View::Bits(bits) => bits.get(split(row).1),
            View::Rows(rows) => rows.contains(split(row).1),
            View::List(rows) => rows.binary_search(&row).is_ok(),
        }
    }

    /// Visits the rows before one, from the last to the first, until `visit` returns `false`. The number of those that
    /// are skipped first is counted down.
    fn visit_back(
        self,
        block: u16,
        before: usize,
        skipped: &mut u64,
        mut visit: impl FnMut(RowId) -> bool,
    ) -> bool {
        match self {
            View::Bits(bits) => bits.visit_back(before, skipped, |row| visit(row_id(block, row))),
            View::Rows(rows) => rows.visit_back(before, skipped, |row| visit(row_id(block, row))),
            View::List(rows) => {
                let before = rows.partition_point(|row| usize::from(split(*row).1) < before);
                let skip = (*skipped).min(before as u64);
                *skipped -= skip;
                rows[..before - skip as usize].iter().rev().all(|row| visit(*row))
            }
        }
    }
}

/// Where the rows after a cursor begin.
struct End {
    cursor: Option<Place>,
    /// The position of the newest block that has one.
    position: usize,
}

impl End {
    fn new(rows: &SealedRows, cursor: Option<Place>) -> End {
        let newest = rows.order.len().saturating_sub(1);
        End { cursor, position: cursor.map_or(newest, |cursor| newest.min(rows.position_of(cursor))) }
    }

    /// The cursor, if rows of the block at a position are not before it. Rows with one place may lie in two blocks.
    fn cursor_in(&self, rows: &SealedRows, position: usize) -> Option<Place> {
        self.cursor.filter(|cursor| rows.blocks[usize::from(rows.order[position])].last() >= *cursor)
    }

    /// Visits the rows of a view of the block at a position that come after the cursor in the list, newest first, until
    /// `visit` returns `false`. The number of those that are skipped first is counted down.
    fn visit_back(
        &self,
        rows: &SealedRows,
        position: usize,
        view: View<'_>,
        skipped: &mut u64,
        mut visit: impl FnMut(RowId) -> bool,
    ) -> bool {
        let number = rows.order[position];
        let block = &rows.blocks[usize::from(number)];
        let cursor = self.cursor_in(rows, position);
        let before = cursor.map_or(block.len() - block.late().len(), |cursor| block.count_before(cursor));
        if block.late().is_empty() {
            return view.visit_back(number, before, skipped, visit);
        }
        let is_listed = |row: &u16| {
            cursor.is_none_or(|cursor| block.place(*row) < cursor) && view.contains(row_id(number, *row))
        };
        let mut late = block.late().iter().rev().copied().filter(is_listed).peekable();
        let mut pass = |row: RowId| match skipped.checked_sub(1) {
            Some(left) => {
                *skipped = left;
                true
            }
            None => visit(row),
        };
        let whole = view.visit_back(number, before, &mut 0, |row| {
            let place = block.place(split(row).1);
            while let Some(newer) = late.next_if(|late| block.place(*late) >= place) {
                if !pass(row_id(number, newer)) {
                    return false;
                }
            }
            pass(row)
        });
        whole && late.all(|row| pass(row_id(number, row)))
    }
}

/// The rows of a page of several sets: the newest of those on a page of each.
fn page_of_sets(rows: &SealedRows, sets: &[Rows<'_>], span: RowSpan) -> Vec<RowId> {
    let skipped = span.skipped as usize;
    let of_each = RowSpan { skipped: 0, wanted: span.wanted + skipped, ..span };
    let parts = sets.iter().flat_map(|set| page_of_set(rows, set, of_each));
    let mut found = parts.map(|row| (list_key(&rows.key(row).0), row)).collect::<Vec<_>>();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.dedup();
    found.into_iter().map(|(_, row)| row).skip(skipped).take(span.wanted).collect()
}

/// The rows of a page of one set.
fn page_of_set(rows: &SealedRows, set: &Rows<'_>, mut span: RowSpan) -> Vec<RowId> {
    if let Rows::Packed(Posting::Many(chunks), _) = set
        && rows.is_in_order()
    {
        return page_of_chunks(rows, chunks, span);
    }
    let Rows::Map(map) = set else { return page_of_list(rows, set.list(), span) };
    let end = End::new(rows, span.cursor);
    let mut found = Vec::new();
    for position in (0..rows.order.len().min(end.position + 1)).rev() {
        let Some((set, count)) = map.find(rows.order[position]) else { continue };
        if count <= span.skipped && end.cursor_in(rows, position).is_none() {
            span.skipped -= count;
            continue;
        }
        let is_full = !end.visit_back(rows, position, View::Rows(set), &mut span.skipped, |row| {
            found.push(row);
            found.len() < span.wanted
        });
        if is_full {
            break;
        }
    }
    found
}

/// The rows of a page of a set of chunks, when the numbers of all rows are in the order of lists.
fn page_of_chunks(rows: &SealedRows, chunks: &[Chunk], mut span: RowSpan) -> Vec<RowId> {
    let end = span.cursor.map(|cursor| {
        let last = |position: usize| rows.blocks[usize::from(rows.order[position])].last();
        let mut position = rows.position_of(cursor);
        while position > 0 && last(position - 1) >= cursor {
            position -= 1;
        }
        let block = rows.order[position];
        // A full block has no row with this number.
        (u64::from(block) << 16) + rows.blocks[usize::from(block)].count_before(cursor) as u64
    });
    let is_before = |row: RowId| end.is_none_or(|end| u64::from(row) < end);
    let mut found = Vec::new();
    for chunk in chunks.iter().rev() {
        if is_before(chunk.last()) && chunk.len() as u64 <= span.skipped {
            span.skipped -= chunk.len() as u64;
            continue;
        }
        let mut part = chunk.rows().filter(|row| is_before(*row)).collect::<Vec<_>>();
        let skip = part.len().min(usize::try_from(span.skipped).unwrap_or(usize::MAX));
        span.skipped -= skip as u64;
        part.truncate(part.len() - skip);
        found.extend(part.into_iter().rev().take(span.wanted - found.len()));
        if found.len() >= span.wanted {
            break;
        }
    }
    found
}

/// The rows of a page of a list in ascending order.
fn page_of_list(rows: &SealedRows, list: &[RowId], mut span: RowSpan) -> Vec<RowId> {
    let end = End::new(rows, span.cursor);
    let mut found = Vec::new();
    for position in (0..rows.order.len().min(end.position + 1)).rev() {
        let block = rows.order[position];
        let from = list.partition_point(|row| split(*row).0 < block);
        let until = from + list[from..].partition_point(|row| split(*row).0 == block);
        let is_full = from < until
            && !end.visit_back(rows, position, View::List(&list[from..until]), &mut span.skipped, |row| {
                found.push(row);
                found.len() < span.wanted
            });
        if is_full || found.len() >= span.wanted {
            break;
        }
    }
    found
}
