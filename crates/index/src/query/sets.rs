//! The rows that match conditions, and how many they are.

use super::conditions::{Condition, Conditions, Set};
use crate::block::ColumnField;
use crate::column::ZoneFit;
use crate::organizations::CellMask;
use crate::posting::RowId;
use crate::rows::row_id;
use crate::sizes::{FEW, ZONE};
use domain::agent::TimeRange;
use domain::session::ListScope;
use roaring::RoaringBitmap;
use std::borrow::Cow;

impl<'a> Conditions<'a> {
    /// The number of rows for which all conditions hold.
    pub(super) fn count(&self, scope: &ListScope) -> u64 {
        if let (ListScope::Account { .. }, Some((cells, without_deleted))) = (scope, self.cells) {
            return self.count_cells(cells, without_deleted);
        }
        match self.smallest() {
            (set, others) if others.is_empty() && (set.is_disjoint() || self.cells.is_some()) => set.size(),
            (Set::AnyOf(one), [Condition::In(other)]) if one.len() == 1 && self.is_large() => {
                one[0].count_within(&other.bitmap())
            }
            _ => self.matching().len(),
        }
    }

    /// The number of rows of some cells of all organizations.
    fn count_cells(&self, cells: CellMask, without_deleted: bool) -> u64 {
        let organizations = &self.rows.organizations;
        let counts = organizations.totals.iter().zip(organizations.deleted_totals).enumerate();
        let counts = counts.filter(|(cell, _)| cells.has(*cell));
        counts.map(|(_, (all, deleted))| if without_deleted { all - deleted } else { *all }).sum()
    }

    fn is_large(&self) -> bool {
        self.smallest().0.size() > FEW
    }

    /// The rows for which all conditions hold. They are computed once.
    pub(super) fn matching(&self) -> &RoaringBitmap {
        self.matching.get_or_init(|| self.compute())
    }

    fn compute(&self) -> Cow<'a, RoaringBitmap> {
        let (set, others) = self.smallest();
        if !self.is_large() {
            return Cow::Owned(self.judge(set, others));
        }
        let mut matching = set.bitmap();
        for condition in others {
            match condition {
                Condition::In(set) => matching = intersect(matching, &set.bitmap()),
                Condition::NotIn(set) => matching = subtract(matching, &set.bitmap()),
                Condition::Created(range) => self.keep_created(matching.to_mut(), *range),
                Condition::Within { column, from, until } => {
                    self.keep_within(matching.to_mut(), *column, *from, *until);
                }
            }
        }
        matching
    }

    /// Judges the rows of a small set one by one.
    fn judge(&self, set: &Set<'_>, others: &[Condition<'_>]) -> RoaringBitmap {
        let mut rows = Vec::new();
        set.visit_rows(|row| {
            if others.iter().all(|condition| condition.holds(self.rows, row)) {
                rows.push(row);
            }
        });
        rows.into_iter().collect()
    }

    /// Keeps the rows that were created in a range.
    fn keep_created(&self, matching: &mut RoaringBitmap, range: TimeRange) {
        for block in &self.rows.order {
            let rows = &self.rows.blocks[usize::from(*block)];
            let before = |time: domain::time::Micros| rows.count_before((time.0, 0));
            let from = range.from.map_or(0, before);
            let until = range.until.map_or(rows.len(), before);
            remove_rows(matching, *block, 0, from.min(rows.len()));
            remove_rows(matching, *block, until, rows.len());
        }
    }

    /// Keeps the rows with a number in a range.
    fn keep_within(
        &self,
        matching: &mut RoaringBitmap,
        column: ColumnField,
        from: Option<i64>,
        until: Option<i64>,
    ) {
        let condition = Condition::Within { column, from, until };
        for number in &self.rows.order {
            let block = &self.rows.blocks[usize::from(*number)];
            for (zone, start) in (0..block.len()).step_by(ZONE).enumerate() {
                let end = (start + ZONE).min(block.len());
                match block.column(column).fit(zone, from, until) {
                    ZoneFit::None => remove_rows(matching, *number, start, end),
                    // Every row has this time.
                    ZoneFit::All if column == ColumnField::Updated => {}
                    ZoneFit::All | ZoneFit::Some => {
                        let rows = matching.range(zone_rows(*number, start, end));
                        let gone = rows.filter(|row| !condition.holds(self.rows, *row)).collect::<Vec<_>>();
                        for row in gone {
                            matching.remove(row);
                        }
                    }
                }
            }
        }
    }
}

impl Set<'_> {
    /// Whether no row is in two of its sets, as far as is known without looking.
    fn is_disjoint(&self) -> bool {
        match self {
            Set::AnyOf(sets) => sets.len() <= 1,
            Set::Computed(_) => true,
        }
    }
}

fn intersect<'a>(rows: Cow<'a, RoaringBitmap>, others: &RoaringBitmap) -> Cow<'a, RoaringBitmap> {
    Cow::Owned(match rows {
        Cow::Borrowed(rows) => rows & others,
        Cow::Owned(rows) => rows & others,
    })
}

fn subtract<'a>(rows: Cow<'a, RoaringBitmap>, others: &RoaringBitmap) -> Cow<'a, RoaringBitmap> {
    Cow::Owned(match rows {
        Cow::Borrowed(rows) => rows - others,
        Cow::Owned(rows) => rows - others,
    })
}

fn zone_rows(block: u16, start: usize, end: usize) -> std::ops::RangeInclusive<RowId> {
    row_id(block, start as u16)..=row_id(block, (end - 1) as u16)
}

/// Removes the rows of a block from `start` until before `end`.
fn remove_rows(rows: &mut RoaringBitmap, block: u16, start: usize, end: usize) {
    if start < end {
        rows.remove_range(zone_rows(block, start, end));
    }
}
