//! A filter in terms of the index: which rows it selects.

use super::spans::{compile_span, has_lasted};
use crate::block::ColumnField;
use crate::block_sets::BlockSets;
use crate::dictionary::Term;
use crate::groups::{Coded, group_of};
use crate::organizations::{CELLS, CellMask};
use crate::posting::{Posting, RowId};
use crate::rows::{SealedRows, split};
use crate::sizes::MANY_VALUES;
use domain::agent::TimeRange;
use domain::ids::OrganizationId;
use domain::session::{
    FieldValue, FieldValueRef, Filter, NumberRange, PRESENT, SessionKind, TimeField, ValueField, ValueTest,
};
use domain::time::Micros;
use std::cell::OnceCell;

/// The rows of one value, or of several.
pub(super) enum Rows<'a> {
    /// In ascending order.
    List(Vec<RowId>),
    /// Of a small set, which becomes a list when it is needed.
    Packed(&'a Posting, OnceCell<Vec<RowId>>),
    /// Of a large set.
    Map(&'a BlockSets),
}

/// What a filter selects.
pub(super) enum Node<'a> {
    /// All rows that were not removed.
    Every,
    /// The rows that are in one of these sets. `size` is at least their number.
    Sets { sets: Vec<Rows<'a>>, size: u64 },
    /// The rows with a value of a field.
    Has(ValueField),
    /// The rows that all of these select.
    All(Vec<Node<'a>>),
    /// The rows that one of these selects.
    Any(Vec<Node<'a>>),
    /// The rows that this does not select.
    Not(Box<Node<'a>>),
    /// The rows that were created in the range.
    Created(TimeRange),
    /// The rows with a number in the range.
    Within {
        /// The column of the number.
        column: ColumnField,
        /// Inclusive start.
        from: Option<i64>,
        /// Exclusive end.
        until: Option<i64>,
    },
    /// The rows whose session has ended, and lasted so many microseconds.
    Lasted(NumberRange),
}

impl Rows<'_> {
    /// The rows of a set that is not a map.
    pub(super) fn list(&self) -> &[RowId] {
        match self {
            Rows::List(rows) => rows,
            Rows::Packed(posting, rows) => rows.get_or_init(|| posting.to_rows()),
            Rows::Map(_) => &[],
        }
    }

    fn contains(&self, row: RowId) -> bool {
        match self {
            Rows::Map(map) => {
                let (block, number) = split(row);
                map.rows_of(block).is_some_and(|rows| rows.contains(number))
            }
            Rows::List(rows) => rows.binary_search(&row).is_ok(),
            Rows::Packed(posting, rows) => match rows.get() {
                Some(rows) => rows.binary_search(&row).is_ok(),
                None => posting.contains(row),
            },
        }
    }

    /// Visits all rows.
    pub(super) fn visit(&self, visit: impl FnMut(RowId)) {
        match self {
            Rows::Map(map) => map.visit_rows(visit),
            Rows::List(_) | Rows::Packed(..) => self.list().iter().copied().for_each(visit),
        }
    }
}

impl<'a> Node<'a> {
    /// The rows of any of some sets.
    pub(super) fn unite_postings(postings: impl Iterator<Item = &'a Posting>) -> Node<'a> {
        let (mut sets, mut small, mut size) = (Vec::new(), Vec::new(), 0);
        for posting in postings.filter(|posting| !posting.is_empty()) {
            size += posting.len();
            match posting {
                Posting::Map(map) => sets.push(Rows::Map(map)),
                posting => small.push(posting),
            }
        }
        if small.len() <= CELLS {
            // The cells of an organization: a page of each is cheaper than all rows of them in one list.
            sets.extend(small.into_iter().map(|posting| Rows::Packed(posting, OnceCell::new())));
        } else {
            let mut rows = small.iter().flat_map(|posting| posting.to_rows()).collect::<Vec<_>>();
            rows.sort_unstable();
            rows.dedup();
            sets.push(Rows::List(rows));
        }
        Node::Sets { sets, size }
    }

    /// The rows of some cells of all organizations.
    pub(super) fn select_cells(rows: &'a SealedRows, mask: CellMask) -> Node<'a> {
        if mask == CellMask::ALL {
            return Node::Every;
        }
        let cells = rows.organizations.by_cell.iter().enumerate();
        Node::unite_postings(cells.filter(|(cell, _)| mask.has(*cell)).map(|(_, rows)| rows))
    }

    /// What a filter selects at `now`, whatever the scope.
    pub(super) fn compile_filter(rows: &'a SealedRows, filter: &Filter, now: Micros) -> Node<'a> {
        if let Some(cells) = CellMask::read_filter(filter) {
            return Node::select_cells(rows, cells);
        }
        match filter {
            Filter::And(all) => {
                Node::All(all.iter().map(|filter| Node::compile_filter(rows, filter, now)).collect())
            }
            Filter::Or(any) => {
                Node::Any(any.iter().map(|filter| Node::compile_filter(rows, filter, now)).collect())
            }
            Filter::Not(filter) => Node::Not(Box::new(Node::compile_filter(rows, filter, now))),
            Filter::HasAny(ValueField::Organization, values) => {
                let ids = values.iter().filter_map(|value| match value {
                    FieldValue::Id(id) => rows.organizations.get(OrganizationId(*id)),
                    FieldValue::Text(_) => None,
                });
                Node::unite_postings(ids.flat_map(|organization| organization.rows(CellMask::ALL)))
            }
            Filter::HasAny(field, values) => {
                let find = |value: &FieldValue| rows.dictionary.find(*field, value.borrow());
                let mut terms = values.iter().filter_map(find).collect::<Vec<_>>();
                terms.sort_unstable();
                terms.dedup();
                Node::unite_postings(terms.into_iter().map(|term| rows.dictionary.posting(term)))
            }
            Filter::HasMatching(field, test) => Node::compile_test(rows, *field, test),
            Filter::Has(ValueField::Organization) => Node::Every,
            Filter::Has(field) if rows.dictionary.numbers_of(*field) > MANY_VALUES => Node::Has(*field),
            Filter::Has(field) => {
                let terms = rows.dictionary.terms_of(*field);
                Node::unite_postings(terms.map(|term| rows.dictionary.posting(term)))
            }
            Filter::Time(TimeField::Created, range) => Node::Created(*range),
            Filter::Time(field, range) => Node::Within {
                column: ColumnField::for_time_field(*field).unwrap_or(ColumnField::Updated),
                from: range.from.map(|from| from.0),
                until: range.until.map(|until| until.0),
            },
            Filter::Number(field, range) => {
                Node::Within { column: ColumnField::Number(*field), from: range.from, until: range.until }
            }
            Filter::Span(field, range) => compile_span(rows, *field, *range, now),
            Filter::Ids(ids) => {
                let mut found = ids.iter().flat_map(|id| rows.find_all(*id)).collect::<Vec<_>>();
                found.sort_unstable();
                found.dedup();
                Node::Sets { size: found.len() as u64, sets: vec![Rows::List(found)] }
            }
        }
    }

    /// The rows with a value of a field that passes a test.
    fn compile_test(rows: &'a SealedRows, field: ValueField, test: &ValueTest) -> Node<'a> {
        let is_accepted = |text: &&str| test.accepts(FieldValueRef::Text(text));
        match field {
            // The cells say these. An organization is an id, which passes no test.
            ValueField::Organization => Node::unite_postings(std::iter::empty()),
            ValueField::Kind => {
                let kinds = SessionKind::ALL.into_iter().filter(|kind| is_accepted(&kind.name()));
                Node::select_cells(rows, kinds.map(CellMask::with_kind).fold(CellMask::NONE, CellMask::or))
            }
            ValueField::Archived if is_accepted(&PRESENT) => Node::select_cells(rows, CellMask::ARCHIVED),
            ValueField::Archived => Node::unite_postings(std::iter::empty()),
            field => {
                let dictionary = &rows.dictionary;
                let terms = dictionary.terms_of(field);
                let accepted = terms.filter(|term| test.accepts(dictionary.borrow_value(*term)));
                Node::unite_postings(accepted.map(|term| dictionary.posting(term)))
            }
        }
    }

    /// Makes lists of its small sets, before many rows are looked for in them.
    pub(super) fn unpack(&self) {
        match self {
            Node::Sets { sets, .. } => {
                for set in sets {
                    set.list();
                }
            }
            Node::All(nodes) | Node::Any(nodes) => nodes.iter().for_each(Node::unpack),
            Node::Not(node) => node.unpack(),
            Node::Every | Node::Has(_) | Node::Created(_) | Node::Within { .. } | Node::Lasted(_) => {}
        }
    }

    /// Whether it selects a row.
    pub(super) fn holds(&self, rows: &SealedRows, row: RowId) -> bool {
        let (block, number) = split(row);
        let block = || &rows.blocks[usize::from(block)];
        match self {
            Node::Every => !block().is_removed(number),
            Node::Sets { sets, .. } => sets.iter().any(|set| set.contains(row)),
            Node::Has(field) => has_value(block(), *field, number),
            Node::All(all) => all.iter().all(|node| node.holds(rows, row)),
            Node::Any(any) => any.iter().any(|node| node.holds(rows, row)),
            Node::Not(node) => !node.holds(rows, row),
            Node::Created(range) => range.contains(domain::time::Micros(block().place(number).0)),
            Node::Within { column, from, until } => is_within(block(), *column, number, *from, *until),
            Node::Lasted(range) => has_lasted(block(), number, *range),
        }
    }

    /// How expensive it is to restrict a set to it, compared with other nodes.
    pub(super) fn cost(&self) -> (u8, u64) {
        match self {
            Node::Sets { size, .. } => (0, *size),
            Node::Every => (1, 0),
            Node::Created(_) => (2, 0),
            Node::Not(node) => (3, node.cost().1),
            Node::Within { .. } | Node::Lasted(_) => (4, 0),
            Node::All(_) | Node::Any(_) | Node::Has(_) => (5, 0),
        }
    }
}

/// Whether a row that was not removed has a value of a field.
pub(super) fn has_value(block: &crate::block::Block, field: ValueField, number: u16) -> bool {
    let group = group_of(field);
    match block.coded_value(group, number) {
        None => false,
        Some(Coded::One(term)) => term.field() == field,
        Some(Coded::Set(set)) => {
            block.group(group).set_at(set).iter().any(|term: &Term| term.field() == field)
        }
    }
}

/// Whether a row has a number in a range.
pub(super) fn is_within(
    block: &crate::block::Block,
    column: ColumnField,
    number: u16,
    from: Option<i64>,
    until: Option<i64>,
) -> bool {
    let number = block.number(column, number);
    number.is_some_and(|number| {
        from.is_none_or(|from| number >= from) && until.is_none_or(|until| number < until)
    })
}
