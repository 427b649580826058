//! A filter as conditions that all hold.

use crate::block::ColumnField;
use crate::organizations::CellMask;
use crate::posting::{Posting, RowId};
use crate::rows::{SealedRows, split};
use domain::agent::TimeRange;
use domain::session::{FieldValue, Filter, ListScope, PRESENT, SessionKind, TimeField, ValueField};
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::cell::OnceCell;

/// A set of rows, as one condition has it.
pub(super) enum Set<'a> {
    /// The rows of any of these sets.
    AnyOf(Vec<&'a Posting>),
    /// Computed rows.
    Computed(RoaringBitmap),
}

/// A condition on rows.
pub(super) enum Condition<'a> {
    /// The row is in the set.
    In(Set<'a>),
    /// The row is not in the set.
    NotIn(Set<'a>),
    /// The row was created in the range.
    Created(TimeRange),
    /// The row has a number in the range.
    Within {
        /// The column of the number.
        column: ColumnField,
        /// Inclusive start.
        from: Option<i64>,
        /// Exclusive end.
        until: Option<i64>,
    },
}

/// Conditions that all hold for the rows of a list. One of them at least is a set that the rows are in.
pub(super) struct Conditions<'a> {
    pub(super) rows: &'a SealedRows,
    /// The smallest set first.
    pub(super) all: Vec<Condition<'a>>,
    /// The rows are whole cells of one organization, or of all of them: which, and whether deleted ones are left out.
    pub(super) cells: Option<(CellMask, bool)>,
    pub(super) matching: OnceCell<Cow<'a, RoaringBitmap>>,
}

impl<'a> Set<'a> {
    /// At least as many as there are rows in it.
    pub(super) fn size(&self) -> u64 {
        match self {
            Set::AnyOf(sets) => sets.iter().map(|set| set.len()).sum(),
            Set::Computed(rows) => rows.len(),
        }
    }

    pub(super) fn contains(&self, row: RowId) -> bool {
        match self {
            Set::AnyOf(sets) => sets.iter().any(|set| set.contains(row)),
            Set::Computed(rows) => rows.contains(row),
        }
    }

    pub(super) fn bitmap(&self) -> Cow<'a, RoaringBitmap> {
        match self {
            Set::Computed(rows) => Cow::Owned(rows.clone()),
            Set::AnyOf(sets) => match sets.as_slice() {
                [one] => one.bitmap(),
                many => Cow::Owned(union(many)),
            },
        }
    }

    /// Visits all rows, in no order, those of several sets more than once.
    pub(super) fn visit_rows(&self, mut visit: impl FnMut(RowId)) {
        match self {
            Set::Computed(rows) => rows.iter().for_each(visit),
            Set::AnyOf(sets) => sets.iter().for_each(|set| set.visit_rows(&mut visit)),
        }
    }
}

fn union(sets: &[&Posting]) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    for set in sets {
        match set {
            Posting::Bitmap(bitmap) => all |= bitmap,
            Posting::List(rows) => all.extend(rows.iter().copied()),
        }
    }
    all
}

impl Condition<'_> {
    /// Whether the condition holds for a row.
    pub(super) fn holds(&self, rows: &SealedRows, row: RowId) -> bool {
        let (block, number) = split(row);
        let block = || &rows.blocks[usize::from(block)];
        match self {
            Condition::In(set) => set.contains(row),
            Condition::NotIn(set) => !set.contains(row),
            Condition::Created(range) => range.contains(domain::time::Micros(block().place(number).0)),
            Condition::Within { column, from, until } => {
                block().number(*column, number).is_some_and(|value| {
                    from.is_none_or(|from| value >= from) && until.is_none_or(|until| value < until)
                })
            }
        }
    }
}

impl<'a> Conditions<'a> {
    /// The conditions of a filter in a scope.
    pub(super) fn new(rows: &'a SealedRows, scope: &ListScope, filter: &Filter) -> Conditions<'a> {
        let mut conditions = Conditions { rows, all: Vec::new(), cells: None, matching: OnceCell::new() };
        let mut simple = Vec::new();
        flatten(filter, &mut simple);
        let mut others = simple.clone();
        let mask = take_cells(&mut others);
        conditions.cells = match scope {
            _ if !others.is_empty() => None,
            ListScope::Organization(_) => Some((mask, false)),
            ListScope::Account { organizations: None, deleted } => Some((mask, !deleted)),
            ListScope::Account { organizations: Some(_), .. } => None,
        };
        match scope {
            ListScope::Account { organizations: None, .. } => conditions.add_scope(scope, CellMask::ALL),
            // The cells answer the most frequent conditions of the lists of some organizations.
            _ => {
                conditions.add_scope(scope, mask);
                simple = others;
            }
        }
        for filter in simple {
            conditions.add(filter);
        }
        conditions.sort();
        conditions
    }

    fn add_scope(&mut self, scope: &ListScope, mask: CellMask) {
        let organizations = &self.rows.organizations;
        let cells = |id| organizations.get(id).into_iter().flat_map(|organization| organization.rows(mask));
        match scope {
            ListScope::Organization(id) => self.all.push(Condition::In(Set::AnyOf(cells(*id).collect()))),
            ListScope::Account { organizations: Some(some), deleted } => {
                let some = some.iter().filter(|id| *deleted || !organizations.is_deleted(**id));
                self.all.push(Condition::In(Set::AnyOf(some.flat_map(|id| cells(*id)).collect())));
            }
            ListScope::Account { organizations: None, deleted } => {
                if !deleted && self.rows.deleted.len() > 0 {
                    self.all.push(Condition::NotIn(Set::AnyOf(vec![&self.rows.deleted])));
                }
            }
        }
    }

    fn add(&mut self, filter: &Filter) {
        let condition = match filter {
            Filter::Time(TimeField::Created, range) => Condition::Created(*range),
            Filter::Time(field @ (TimeField::Updated | TimeField::Ended), range) => Condition::Within {
                column: ColumnField::for_time_field(*field).unwrap_or(ColumnField::Updated),
                from: range.from.map(|from| from.0),
                until: range.until.map(|until| until.0),
            },
            Filter::Number(field, range) => Condition::Within {
                column: ColumnField::Number(*field),
                from: range.from,
                until: range.until,
            },
            Filter::Not(filter) => Condition::NotIn(self.set(filter)),
            filter => Condition::In(self.set(filter)),
        };
        self.all.push(condition);
    }

    /// The rows that match a filter, whatever the scope.
    fn set(&self, filter: &Filter) -> Set<'a> {
        match filter {
            Filter::HasAny(ValueField::Organization, values) => {
                let ids = values.iter().filter_map(|value| match value {
                    FieldValue::Id(id) => self.rows.organizations.get(domain::ids::OrganizationId(*id)),
                    FieldValue::Text(_) => None,
                });
                Set::AnyOf(ids.flat_map(|organization| organization.rows(CellMask::ALL)).collect())
            }
            Filter::HasAny(field, values) => {
                let terms =
                    values.iter().filter_map(|value| self.rows.dictionary.find(*field, value.borrow()));
                let mut terms = terms.collect::<Vec<_>>();
                terms.sort_unstable();
                terms.dedup();
                Set::AnyOf(self.postings(&terms))
            }
            Filter::Has(ValueField::Organization) => Set::AnyOf(vec![&self.rows.alive]),
            Filter::Has(field) => Set::AnyOf(self.postings(self.rows.dictionary.terms_of(*field))),
            Filter::Or(any) => {
                let mut all = RoaringBitmap::new();
                for filter in any {
                    all |= self.set(filter).bitmap().as_ref();
                }
                Set::Computed(all)
            }
            Filter::Ids(ids) => Set::Computed(ids.iter().flat_map(|id| self.rows.find_all(*id)).collect()),
            filter @ (Filter::And(_) | Filter::Not(_) | Filter::Time(..) | Filter::Number(..)) => {
                let every = ListScope::Account { organizations: None, deleted: true };
                Set::Computed(Conditions::new(self.rows, &every, filter).matching().clone())
            }
        }
    }

    fn postings(&self, terms: &[u32]) -> Vec<&'a Posting> {
        let postings = terms.iter().map(|term| &self.rows.postings[*term as usize]);
        postings.filter(|rows| rows.len() > 0).collect()
    }

    /// Brings the smallest set to the front. Without a set, all rows are.
    fn sort(&mut self) {
        if !self.all.iter().any(|condition| matches!(condition, Condition::In(_))) {
            self.all.push(Condition::In(Set::AnyOf(vec![&self.rows.alive])));
        }
        self.all.sort_by_key(|condition| match condition {
            Condition::In(set) => (0, set.size()),
            Condition::NotIn(set) => (1, set.size()),
            Condition::Created(_) | Condition::Within { .. } => (2, 0),
        });
    }

    /// The smallest set, and the other conditions.
    pub(super) fn smallest(&self) -> (&Set<'a>, &[Condition<'a>]) {
        match self.all.split_first() {
            Some((Condition::In(set), others)) => (set, others),
            _ => unreachable!("the first condition is a set"),
        }
    }
}

/// The filters that all must match.
fn flatten<'f>(filter: &'f Filter, into: &mut Vec<&'f Filter>) {
    match filter {
        Filter::And(all) => all.iter().for_each(|filter| flatten(filter, into)),
        filter => into.push(filter),
    }
}

/// Takes the conditions on kind and archived sessions out of a list of filters that all must match.
fn take_cells(filters: &mut Vec<&Filter>) -> CellMask {
    let mut mask = CellMask::ALL;
    filters.retain(|filter| match cells_of(filter) {
        Some(cells) => {
            mask = mask.and(cells);
            false
        }
        None => true,
    });
    mask
}

/// The cells that a filter selects, if it selects whole cells.
fn cells_of(filter: &Filter) -> Option<CellMask> {
    match filter {
        Filter::HasAny(ValueField::Kind, kinds) => {
            let kinds = kinds.iter().filter_map(|kind| match kind {
                FieldValue::Text(name) => SessionKind::parse(name),
                FieldValue::Id(_) => None,
            });
            Some(kinds.map(CellMask::with_kind).fold(CellMask::ALL.not(), CellMask::or))
        }
        Filter::HasAny(ValueField::Archived, values) => {
            let present =
                values.iter().any(|value| matches!(value, FieldValue::Text(text) if text == PRESENT));
            Some(if present { CellMask::ARCHIVED } else { CellMask::ALL.not() })
        }
        Filter::Not(filter) => cells_of(filter).map(CellMask::not),
        _ => None,
    }
}
