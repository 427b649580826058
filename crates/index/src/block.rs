//! A block: up to 65,536 sessions in the order of lists, oldest first.

use crate::column::NumberColumn;
use crate::dictionary::Term;
use domain::session::{NumberField, TimeField};

/// A column of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnField {
    Updated,
    Ended,
    Number(NumberField),
}

/// The number of columns.
pub(crate) const COLUMNS: usize = 2 + NumberField::ALL.len();

impl ColumnField {
    /// The column of a time; `None` for the time of creation, which is a part of the key.
    pub(crate) fn for_time_field(field: TimeField) -> Option<ColumnField> {
        match field {
            TimeField::Created => None,
            TimeField::Updated => Some(ColumnField::Updated),
            TimeField::Ended => Some(ColumnField::Ended),
        }
    }

    pub(crate) fn number(self) -> usize {
        match self {
            ColumnField::Updated => 0,
            ColumnField::Ended => 1,
            ColumnField::Number(field) => 2 + field as usize,
        }
    }
}

/// What the index knows of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) created: i64,
    pub(crate) tail: u64,
    pub(crate) revision: i64,
    /// The cell: organization, kind, and whether it is archived.
    pub(crate) cell: u32,
    /// Sorted, each once.
    pub(crate) terms: Vec<Term>,
    pub(crate) columns: [Option<i64>; COLUMNS],
}

/// The record of a removed row.
const REMOVED: u32 = u32::MAX;

/// SealedRows in columns. The cell, the revision and the terms of a row are one record of variable length.
#[derive(Debug, Default)]
pub(crate) struct Block {
    created: Vec<i64>,
    tails: Vec<u64>,
    records: Vec<u32>,
    bytes: Vec<u8>,
    /// The bytes of records that were replaced.
    waste: usize,
    removed: usize,
    columns: [NumberColumn; COLUMNS],
}

impl Block {
    /// The number of rows, with those that were removed.
    pub(crate) fn len(&self) -> usize {
        self.created.len()
    }

    /// Whether most of its rows were removed.
    pub(crate) fn is_hollow(&self) -> bool {
        self.removed * 2 > self.len()
    }

    /// Appends a row. Returns its number.
    pub(crate) fn push(&mut self, row: &Row) -> u16 {
        let number = u16::try_from(self.len()).expect("a block has at most 65,536 rows");
        self.created.push(row.created);
        self.tails.push(row.tail);
        self.records.push(REMOVED);
        self.write(number, row);
        number
    }

    /// Replaces what is known of a row; its place stays.
    pub(crate) fn replace(&mut self, number: u16, row: &Row) {
        self.waste += self.record_length(number);
        self.write(number, row);
        if self.waste > 1 << 16 && self.waste * 2 > self.bytes.len() {
            self.compact();
        }
    }

    fn write(&mut self, number: u16, row: &Row) {
        self.records[usize::from(number)] =
            u32::try_from(self.bytes.len()).expect("a block has less than 4 GiB");
        write_varint(&mut self.bytes, row.revision as u64);
        write_varint(&mut self.bytes, row.cell.into());
        write_varint(&mut self.bytes, row.terms.len() as u64);
        for term in &row.terms {
            write_varint(&mut self.bytes, (*term).into());
        }
        for (at, (column, value)) in self.columns.iter_mut().zip(row.columns).enumerate() {
            column.set(number, base(at, row.created), value);
        }
    }

    /// Removes a row. Its place stays empty until the block is written again.
    pub(crate) fn remove(&mut self, number: u16) {
        self.waste += self.record_length(number);
        self.records[usize::from(number)] = REMOVED;
        self.removed += 1;
    }

    /// Whether the row was removed.
    pub(crate) fn is_removed(&self, number: u16) -> bool {
        self.records[usize::from(number)] == REMOVED
    }

    /// The place of a row in lists.
    pub(crate) fn place(&self, number: u16) -> (i64, u64) {
        (self.created[usize::from(number)], self.tails[usize::from(number)])
    }

    /// The place of the first row.
    pub(crate) fn first(&self) -> (i64, u64) {
        (self.created[0], self.tails[0])
    }

    /// The place of the last row.
    pub(crate) fn last(&self) -> (i64, u64) {
        (self.created[self.len() - 1], self.tails[self.len() - 1])
    }

    /// The number of rows before a place.
    pub(crate) fn count_before(&self, place: (i64, u64)) -> usize {
        let from = self.created.partition_point(|created| *created < place.0);
        let until = from + self.created[from..].partition_point(|created| *created == place.0);
        from + self.tails[from..until].partition_point(|tail| *tail < place.1)
    }

    /// The revision and the cell of a row that was not removed.
    pub(crate) fn head(&self, number: u16) -> (i64, u32) {
        let mut bytes = &self.bytes[self.records[usize::from(number)] as usize..];
        let revision = read_varint(&mut bytes) as i64;
        (revision, read_varint(&mut bytes) as u32)
    }

    /// Visits the terms of a row that was not removed.
    pub(crate) fn visit_terms(&self, number: u16, visit: impl FnMut(Term)) {
        let mut bytes = &self.bytes[self.records[usize::from(number)] as usize..];
        read_varint(&mut bytes);
        read_varint(&mut bytes);
        let count = read_varint(&mut bytes);
        (0..count).map(|_| read_varint(&mut bytes) as Term).for_each(visit);
    }

    /// A row that was not removed.
    pub(crate) fn row(&self, number: u16) -> Row {
        let (created, tail) = self.place(number);
        let (revision, cell) = self.head(number);
        let mut terms = Vec::new();
        self.visit_terms(number, |term| terms.push(term));
        let columns = std::array::from_fn(|at| self.columns[at].get(number, base(at, created)));
        Row { created, tail, revision, cell, terms, columns }
    }

    /// A column.
    pub(crate) fn column(&self, field: ColumnField) -> &NumberColumn {
        &self.columns[field.number()]
    }

    /// The number of a row in a column.
    pub(crate) fn number(&self, field: ColumnField, number: u16) -> Option<i64> {
        let at = field.number();
        self.columns[at].get(number, base(at, self.created[usize::from(number)]))
    }

    fn record_length(&self, number: u16) -> usize {
        let record = self.records[usize::from(number)];
        if record == REMOVED {
            return 0;
        }
        let whole = &self.bytes[record as usize..];
        let mut bytes = whole;
        read_varint(&mut bytes);
        read_varint(&mut bytes);
        for _ in 0..read_varint(&mut bytes) {
            read_varint(&mut bytes);
        }
        whole.len() - bytes.len()
    }

    /// Drops the bytes of replaced records.
    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.waste);
        for number in 0..self.len() {
            let record = self.records[number];
            if record != REMOVED {
                let length = self.record_length(number as u16);
                self.records[number] = bytes.len() as u32;
                bytes.extend_from_slice(&self.bytes[record as usize..record as usize + length]);
            }
        }
        self.bytes = bytes;
        self.waste = 0;
    }

    /// Gives back the memory that a full block will not need.
    pub(crate) fn shrink(&mut self) {
        self.created.shrink_to_fit();
        self.tails.shrink_to_fit();
        self.records.shrink_to_fit();
        self.bytes.shrink_to_fit();
        for column in &mut self.columns {
            column.shrink();
        }
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        self.created.capacity() * 8
            + self.tails.capacity() * 8
            + self.records.capacity() * 4
            + self.bytes.capacity()
            + self.columns.iter().map(NumberColumn::memory).sum::<usize>()
    }
}

/// What the numbers of a column are stored relative to: times are near to the time of creation.
fn base(column: usize, created: i64) -> i64 {
    if column < 2 { created } else { 0 }
}

fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = Row> {
        let terms = proptest::collection::btree_set(any::<u32>(), 0..20);
        let columns = proptest::array::uniform5(proptest::option::of(any::<i64>()));
        (any::<i64>(), any::<u32>(), terms, columns).prop_map(|(revision, cell, terms, columns)| Row {
            created: 0,
            tail: 0,
            revision,
            cell,
            terms: terms.into_iter().collect(),
            columns,
        })
    }

    proptest! {
        #[test]
        fn rows_are_read_as_they_were_written(rows in proptest::collection::vec((row(), row()), 1..80)) {
            let mut block = Block::default();
            let mut expected = Vec::new();
            for (at, (first, second)) in rows.into_iter().enumerate() {
                let placed = |row: Row| Row { created: at as i64 / 3, tail: at as u64, ..row };
                let number = block.push(&placed(first));
                block.replace(number, &placed(second.clone()));
                expected.push(placed(second));
            }
            block.compact();
            for (number, row) in expected.iter().enumerate() {
                prop_assert_eq!(&block.row(number as u16), row);
                prop_assert_eq!(block.count_before((row.created, row.tail)), number);
            }
        }
    }
}
