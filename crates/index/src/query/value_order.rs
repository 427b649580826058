//! The order by values. Few values are compared: once rows with a value are too far, all others with it are.

use super::facets::is_of_cell;
use super::nearest::{KeyOrder, Nearest, Reading};
use super::ordered::{RowQuery, ValuedRow};
use crate::block::Block;
use crate::dictionary::Term;
use crate::groups::{Coded, Group, group_of};
use crate::organizations::{CELLS, CellMask, Organizations};
use crate::rows::{SealedRows, place, row_id};
use domain::page::PageDirection;
use domain::session::{FieldValueRef, OrderPosition, OrderValue, PRESENT, ValueField};
use std::cmp::Ordering;

/// The number of a value of the field, or of a cell for a field that cells have values of.
type Code = u32;

/// The code of the anchor's value, which no session may have any more.
const ANCHOR: Code = Code::MAX;

/// Rows are ordered by the values of a field. Some have none.
struct ValueKeys<'a> {
    rows: &'a SealedRows,
    field: ValueField,
    reading: Reading,
    anchor: Option<FieldValueRef<'a>>,
}

impl<'a> ValueKeys<'a> {
    fn value(&self, code: Code) -> FieldValueRef<'a> {
        match (self.field, self.anchor) {
            (_, Some(anchor)) if code == ANCHOR => anchor,
            (ValueField::Organization, _) => {
                FieldValueRef::Id(self.rows.organizations.organization_at(code).id.0)
            }
            (ValueField::Kind, _) => FieldValueRef::Text(Organizations::kind(code).name()),
            (ValueField::Archived, _) => FieldValueRef::Text(PRESENT),
            (field, _) => self.rows.dictionary.borrow_value(Term::new(field, code)),
        }
    }

    /// The key of an anchor.
    fn anchor_key(&self) -> Option<Code> {
        let find = |value| match is_of_cell(self.field) {
            true => None,
            false => self.rows.dictionary.find(self.field, value).map(Term::number),
        };
        self.anchor.map(|value| find(value).unwrap_or(ANCHOR))
    }

    /// The value of a set that counts: the first in the order.
    fn first_of(&self, set: &[Term]) -> Option<Code> {
        let codes = set.iter().filter(|term| term.field() == self.field).map(|term| term.number());
        let first = |one: &Code, other: &Code| {
            self.reading.order.compare_values(Some(self.value(*one)), Some(self.value(*other)))
        };
        codes.min_by(first)
    }
}

impl KeyOrder for ValueKeys<'_> {
    type Key = Option<Code>;

    #[inline]
    fn compare(&self, one: Option<Code>, other: Option<Code>) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) if one != other => {
                self.reading.compare_values(Some(self.value(one)), Some(self.value(other)))
            }
            _ => self.reading.compare_values(one, other),
        }
    }
}

/// The nearest rows after an anchor.
pub(super) fn find_by_values(rows: &SealedRows, query: &RowQuery<'_>, field: ValueField) -> Vec<ValuedRow> {
    let reading = query.reading;
    let keys = ValueKeys { rows, field, reading, anchor: query.anchor.and_then(borrow_value) };
    let anchor = query.anchor.map(|anchor| (keys.anchor_key(), place(anchor.id)));
    let mut nearest = Nearest::new(keys, reading, anchor, query.wanted);
    let codes =
        if is_of_cell(field) { rows.organizations.cells() } else { rows.dictionary.numbers_of(field) };
    let mut is_out = vec![false; codes];
    let oldest_first = reading.direction == PageDirection::Backward;
    let mut buffers = CodeBuffers::default();
    let mut blocks = rows.order.clone();
    if !oldest_first {
        blocks.reverse();
    }
    for number in blocks {
        let block = &rows.blocks[usize::from(number)];
        query.matching.rows_of(number).collect(0, block.len(), &mut buffers.rows);
        buffers.read_keys(&nearest.keys, block);
        let mut offer = |(row, key): (&u16, &Option<Code>)| {
            let is_out = key.map(|code| &mut is_out[code as usize]);
            if is_out.as_ref().is_some_and(|is_out| **is_out) {
                return;
            }
            let can_be_near = nearest.offer(*key, row_id(number, *row), || block.place(*row));
            if let Some(is_out) = is_out {
                *is_out = !can_be_near;
            }
        };
        let keyed = buffers.rows.iter().zip(&buffers.keys);
        if oldest_first { keyed.for_each(&mut offer) } else { keyed.rev().for_each(&mut offer) }
    }
    let (keys, found) = nearest.into_rows();
    let value = |key: Option<Code>| key.map(|code| OrderValue::from(keys.value(code)));
    found.into_iter().map(|one| (one.row, value(one.key))).collect()
}

/// The value of a position, if it is one of a value field.
fn borrow_value(position: &OrderPosition) -> Option<FieldValueRef<'_>> {
    match position.value.as_ref()? {
        OrderValue::Id(id) => Some(FieldValueRef::Id(*id)),
        OrderValue::Text(text) => Some(FieldValueRef::Text(text)),
        OrderValue::Number(_) => None,
    }
}

#[derive(Default)]
struct CodeBuffers {
    rows: Vec<u16>,
    codes: Vec<i64>,
    keys: Vec<Option<Code>>,
    /// The value of each set of a block that counts; the outer `None` when it is not known yet.
    sets: Vec<Option<Option<Code>>>,
}

impl CodeBuffers {
    /// Reads the keys of the rows, which are of a block.
    fn read_keys(&mut self, keys: &ValueKeys<'_>, block: &Block) {
        self.keys.clear();
        if is_of_cell(keys.field) {
            block.gather_cells(&self.rows, &mut self.codes);
            let has_value = |cell: Code| {
                keys.field != ValueField::Archived || CellMask::ARCHIVED.has(cell as usize % CELLS)
            };
            let key = |cell: &i64| Some(*cell as Code).filter(|cell| has_value(*cell));
            return self.keys.extend(self.codes.iter().map(key));
        }
        let group = group_of(keys.field);
        block.gather(group, &self.rows, &mut self.codes);
        let group: &Group = block.group(group);
        self.sets.clear();
        self.sets.resize(group.sets(), None);
        let sets = &mut self.sets;
        self.keys.extend(self.codes.iter().map(|code| match group.decode(*code)? {
            Coded::One(term) => (term.field() == keys.field).then(|| term.number()),
            Coded::Set(set) => *sets[set as usize].get_or_insert_with(|| keys.first_of(group.set_at(set))),
        }));
    }
}
