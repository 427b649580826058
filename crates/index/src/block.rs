//! A block: up to 65,536 sessions in the order of lists, oldest first.

use crate::bits::Bits;
use crate::column::NumberColumn;
use crate::dictionary::Term;
use crate::groups::{Coded, GROUPS, Group, group_of};
use crate::packed_table::{PackedColumn, PackedTable};
use crate::rows::Place;
use crate::sizes::ZONE;
use domain::session::{NumberField, TimeField};

/// A column of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnField {
    Updated,
    Ended,
    Expires,
    Number(NumberField),
}

/// The number of number fields.
pub(crate) const NUMBERS: usize = NumberField::ALL.len();

impl ColumnField {
    /// The column of a time; `None` for the time of creation, which is a part of the key.
    pub(crate) fn for_time_field(field: TimeField) -> Option<ColumnField> {
        match field {
            TimeField::Created => None,
            TimeField::Updated => Some(ColumnField::Updated),
            TimeField::Ended => Some(ColumnField::Ended),
            TimeField::Expires => Some(ColumnField::Expires),
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
    pub(crate) updated: i64,
    pub(crate) ended: Option<i64>,
    pub(crate) expires: Option<i64>,
    /// In the order of [`NumberField`]. A session has all of them or none.
    pub(crate) numbers: Option<[i64; NUMBERS]>,
}

/// The columns of [`Block::heads`]. Those of the groups are the last ones.
const REVISION: usize = 0;
const CELL: usize = 1;
const GROUP: usize = 2;
const HEADS: usize = GROUP + GROUPS;

/// Rows in columns.
#[derive(Debug)]
pub(crate) struct Block {
    created: PackedColumn,
    tails: Vec<u64>,
    /// The revision and the cell of each row, and the number for its values in each group.
    heads: PackedTable<HEADS>,
    groups: [Group; GROUPS],
    updated: NumberColumn,
    ended: NumberColumn,
    expires: NumberColumn,
    numbers: [NumberColumn; NUMBERS],
    /// The rows with a time of end.
    has_ended: Bits,
    /// The rows with a time at which they expire.
    has_expires: Bits,
    /// The rows with numbers.
    has_numbers: Bits,
    /// The rows that were not removed.
    alive: Bits,
    removed: usize,
    /// The number of rows at the start that are in the order of their places. The others came late.
    sorted: usize,
    /// The rows that came late, in the order of their places.
    late: Vec<u16>,
}

impl Default for Block {
    fn default() -> Block {
        Block {
            created: PackedColumn::default(),
            tails: Vec::new(),
            heads: PackedTable::default(),
            groups: std::array::from_fn(Group::new),
            updated: NumberColumn::default(),
            ended: NumberColumn::default(),
            expires: NumberColumn::default(),
            numbers: Default::default(),
            has_ended: Bits::default(),
            has_expires: Bits::default(),
            has_numbers: Bits::default(),
            alive: Bits::default(),
            removed: 0,
            sorted: 0,
            late: Vec::new(),
        }
    }
}

impl Block {
    /// The number of rows, with those that were removed.
    pub(crate) fn len(&self) -> usize {
        self.tails.len()
    }

    /// Whether most of its rows were removed.
    pub(crate) fn is_hollow(&self) -> bool {
        self.removed * 2 > self.len()
    }

    /// Appends a row. Returns its number.
    pub(crate) fn push(&mut self, row: &Row) -> u16 {
        let number = u16::try_from(self.len()).expect("a block has at most 65,536 rows");
        self.created.push([row.created]);
        self.tails.push(row.tail);
        let head = self.encode_head(row);
        self.heads.push(head);
        self.updated.push(row.created, Some(row.updated));
        self.ended.push(row.updated, row.ended);
        self.expires.push(row.created, row.expires);
        for (at, column) in self.numbers.iter_mut().enumerate() {
            column.push(0, row.numbers.map(|numbers| numbers[at]));
        }
        self.mark(number, row);
        self.alive.set(number, true);
        let place = (row.created, row.tail);
        if self.late.is_empty() && (number == 0 || self.place(number - 1) <= place) {
            self.sorted += 1;
        } else {
            let at = self.late.partition_point(|other| self.place(*other) <= place);
            self.late.insert(at, number);
        }
        number
    }

    /// The rows that came late, in the order of their places.
    pub(crate) fn late(&self) -> &[u16] {
        &self.late
    }

    /// Replaces what is known of a row; its place stays.
    pub(crate) fn replace(&mut self, number: u16, row: &Row) {
        let head = self.encode_head(row);
        self.heads.set(number, head);
        for group in 0..GROUPS {
            self.compact(group);
        }
        self.updated.set(number, row.created, Some(row.updated));
        self.ended.set(number, row.updated, row.ended);
        self.expires.set(number, row.created, row.expires);
        for (at, column) in self.numbers.iter_mut().enumerate() {
            column.set(number, 0, row.numbers.map(|numbers| numbers[at]));
        }
        self.mark(number, row);
    }

    fn encode_head(&mut self, row: &Row) -> [i64; HEADS] {
        let mut head = [0; HEADS];
        (head[REVISION], head[CELL]) = (row.revision, row.cell.into());
        let groups = self.groups.iter_mut().zip(split_groups(&row.terms));
        for (number, (group, terms)) in head[GROUP..].iter_mut().zip(groups) {
            *number = group.encode(&terms);
        }
        head
    }

    /// Drops the sets of a group that no row has any more, when most are such.
    fn compact(&mut self, group: usize) {
        if self.groups[group].sets() <= 2 * self.len() + 64 {
            return;
        }
        let (mut fresh, mut terms) = (Group::new(group), Vec::new());
        for row in (0..self.len()).map(|row| row as u16) {
            let mut head = self.heads.row(row);
            terms.clear();
            if self.alive.get(row) {
                self.groups[group].visit_terms(head[GROUP + group], |term| terms.push(term));
            }
            head[GROUP + group] = fresh.encode(&terms);
            self.heads.set(row, head);
        }
        fresh.shrink();
        self.groups[group] = fresh;
    }

    fn mark(&mut self, number: u16, row: &Row) {
        self.has_ended.set(number, row.ended.is_some());
        self.has_expires.set(number, row.expires.is_some());
        self.has_numbers.set(number, row.numbers.is_some());
    }

    /// Removes a row. Its place stays empty until the block is written again.
    pub(crate) fn remove(&mut self, number: u16) {
        self.alive.set(number, false);
        self.removed += 1;
    }

    /// Whether the row was removed.
    pub(crate) fn is_removed(&self, number: u16) -> bool {
        !self.alive.get(number)
    }

    /// The rows that were not removed.
    pub(crate) fn alive(&self) -> &Bits {
        &self.alive
    }

    /// The place of a row in lists.
    pub(crate) fn place(&self, number: u16) -> Place {
        (self.created.get(number, 0), self.tails[usize::from(number)])
    }

    /// The place of the first row.
    pub(crate) fn first(&self) -> Place {
        let first = self.place(0);
        self.late.first().map_or(first, |late| first.min(self.place(*late)))
    }

    /// The place of the last row.
    pub(crate) fn last(&self) -> Place {
        let last = self.place((self.sorted - 1) as u16);
        self.late.last().map_or(last, |late| last.max(self.place(*late)))
    }

    /// The number of rows before a place: the first ones of the block. Rows that came late do not count.
    pub(crate) fn count_before(&self, place: Place) -> usize {
        let from = self.created.partition_point(self.sorted, |created| created < place.0);
        let until = self.created.partition_point(self.sorted, |created| created <= place.0);
        from + self.tails[from..until].partition_point(|tail| *tail < place.1)
    }

    /// The rows at a place that were not removed.
    pub(crate) fn rows_at(&self, place: Place) -> impl Iterator<Item = u16> {
        let sorted = (self.count_before(place)..self.sorted).map(|at| at as u16);
        let late = self.late.partition_point(|row| self.place(*row) < place);
        let late = self.late[late..].iter().copied();
        let is_there = move |row: &u16| self.place(*row) == place;
        let at_place = sorted.take_while(is_there).chain(late.take_while(is_there));
        at_place.filter(|row| !self.is_removed(*row))
    }

    /// The revision and the cell of a row that was not removed.
    pub(crate) fn head(&self, number: u16) -> (i64, u32) {
        (self.heads.get(number, REVISION), self.heads.get(number, CELL) as u32)
    }

    /// The sets of values of a group of fields.
    pub(crate) fn group(&self, group: usize) -> &Group {
        &self.groups[group]
    }

    /// What a row has in a group of fields; `None` for no values.
    pub(crate) fn coded_value(&self, group: usize, number: u16) -> Option<Coded> {
        self.groups[group].decode(self.heads.get(number, GROUP + group))
    }

    /// Reads, for some ascending rows, the numbers that stand for their values in a group of fields.
    pub(crate) fn gather(&self, group: usize, rows: &[u16], codes: &mut Vec<i64>) {
        self.heads.gather(rows, GROUP + group, codes);
    }

    /// A row that was not removed.
    pub(crate) fn row(&self, number: u16) -> Row {
        let (created, tail) = self.place(number);
        let head = self.heads.row(number);
        let (revision, cell) = (head[REVISION], head[CELL] as u32);
        let mut terms = Vec::new();
        for (group, code) in self.groups.iter().zip(&head[GROUP..]) {
            group.visit_terms(*code, |term| terms.push(term));
        }
        terms.sort_unstable();
        let updated = self.updated.get(number, created);
        let ended = self.has_ended.get(number).then(|| self.ended.get(number, updated));
        let expires = self.has_expires.get(number).then(|| self.expires.get(number, created));
        let has_numbers = self.has_numbers.get(number);
        let numbers = has_numbers.then(|| std::array::from_fn(|at| self.numbers[at].get(number, 0)));
        Row { created, tail, revision, cell, terms, updated, ended, expires, numbers }
    }

    /// A column.
    pub(crate) fn column(&self, field: ColumnField) -> &NumberColumn {
        match field {
            ColumnField::Updated => &self.updated,
            ColumnField::Ended => &self.ended,
            ColumnField::Expires => &self.expires,
            ColumnField::Number(field) => &self.numbers[field as usize],
        }
    }

    /// The number of a row in a column.
    pub(crate) fn number(&self, field: ColumnField, number: u16) -> Option<i64> {
        let updated = || self.updated.get(number, self.created.get(number, 0));
        match field {
            ColumnField::Updated => Some(updated()),
            ColumnField::Ended => self.has_ended.get(number).then(|| self.ended.get(number, updated())),
            ColumnField::Expires => {
                let created = || self.created.get(number, 0);
                self.has_expires.get(number).then(|| self.expires.get(number, created()))
            }
            ColumnField::Number(field) => {
                self.has_numbers.get(number).then(|| self.numbers[field as usize].get(number, 0))
            }
        }
    }

    /// The rows with a number in a column; `None` when all have one.
    pub(crate) fn present(&self, field: ColumnField) -> Option<&Bits> {
        match field {
            ColumnField::Updated => None,
            ColumnField::Ended => Some(&self.has_ended),
            ColumnField::Expires => Some(&self.has_expires),
            ColumnField::Number(_) => Some(&self.has_numbers),
        }
    }

    /// When the first and the last row of a zone were created, if no row of the zone came late.
    pub(crate) fn created_bounds(&self, zone: usize) -> Option<(i64, i64)> {
        let (start, end) = (zone * ZONE, self.len().min((zone + 1) * ZONE));
        let is_sorted = start < end && end <= self.sorted;
        is_sorted.then(|| (self.created.get(start as u16, 0), self.created.get((end - 1) as u16, 0)))
    }

    /// Reads when some ascending rows were created.
    pub(crate) fn gather_created(&self, rows: &[u16], created: &mut Vec<i64>) {
        self.created.gather(rows, 0, created);
    }

    /// Reads the numbers of some ascending rows in a column, which are stored relative to the time of creation. What is
    /// read of a row without a number means nothing.
    pub(crate) fn gather_numbers(
        &self,
        field: ColumnField,
        rows: &[u16],
        created: &[i64],
        numbers: &mut Vec<i64>,
    ) {
        numbers.clear();
        match field {
            ColumnField::Number(_) => numbers.resize(rows.len(), 0),
            ColumnField::Ended | ColumnField::Updated | ColumnField::Expires => {
                numbers.extend_from_slice(created);
            }
        }
        if field == ColumnField::Ended {
            self.updated.add_to(rows, numbers);
        }
        self.column(field).add_to(rows, numbers);
    }

    /// Reads the cells of some ascending rows.
    pub(crate) fn gather_cells(&self, rows: &[u16], cells: &mut Vec<i64>) {
        self.heads.gather(rows, CELL, cells);
    }

    /// Gives back the memory that a full block will not need.
    pub(crate) fn shrink(&mut self) {
        self.tails.shrink_to_fit();
        self.late.shrink_to_fit();
        self.created.shrink();
        self.heads.shrink();
        self.groups.iter_mut().for_each(Group::shrink);
        let times = [&mut self.updated, &mut self.ended, &mut self.expires];
        times.into_iter().chain(&mut self.numbers).for_each(NumberColumn::shrink);
        let bits = [&mut self.has_ended, &mut self.has_expires, &mut self.has_numbers, &mut self.alive];
        bits.into_iter().for_each(Bits::shrink);
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        let packed = [self.created.memory(), self.heads.memory()];
        let times = [&self.updated, &self.ended, &self.expires];
        let columns = times.into_iter().chain(&self.numbers).map(NumberColumn::memory);
        let bits = [&self.has_ended, &self.has_expires, &self.has_numbers, &self.alive].map(Bits::memory);
        size_of::<Block>()
            + self.tails.capacity() * 8
            + self.late.capacity() * 2
            + packed.into_iter().chain(columns).chain(bits).sum::<usize>()
            + self.groups.iter().map(Group::memory).sum::<usize>()
    }
}

/// The values of each group of fields.
fn split_groups(terms: &[Term]) -> [Vec<Term>; GROUPS] {
    let mut groups: [Vec<Term>; GROUPS] = Default::default();
    for term in terms {
        groups[group_of(term.field())].push(*term);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::session::ValueField;
    use proptest::prelude::*;

    fn terms() -> impl Strategy<Value = Vec<Term>> {
        let term = (proptest::sample::select(&ValueField::ALL[..]), 0u32..1 << 20)
            .prop_map(|(field, number)| Term::new(field, number));
        let one_subject = |terms: &std::collections::BTreeSet<Term>| {
            terms.iter().filter(|term| group_of(term.field()) == 2).count() < 2
        };
        let terms = proptest::collection::btree_set(term, 0..12).prop_filter("one subject", one_subject);
        terms.prop_map(|terms| terms.into_iter().collect())
    }

    fn row() -> impl Strategy<Value = Row> {
        let number = || prop_oneof![any::<i64>(), 0i64..9];
        let numbers = proptest::option::of(proptest::array::uniform3(number()));
        let time = || proptest::option::of(number());
        (number(), any::<u32>(), terms(), number(), time(), time(), numbers).prop_map(
            |(revision, cell, terms, updated, ended, expires, numbers)| Row {
                created: 0,
                tail: 0,
                revision,
                cell,
                terms,
                updated,
                ended,
                expires,
                numbers,
            },
        )
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
            block.shrink();
            for (number, row) in expected.iter().enumerate() {
                prop_assert_eq!(&block.row(number as u16), row);
                prop_assert_eq!(block.count_before((row.created, row.tail)), number);
                prop_assert_eq!(block.number(ColumnField::Ended, number as u16), row.ended);
                prop_assert_eq!(block.number(ColumnField::Expires, number as u16), row.expires);
            }
        }
    }
}
