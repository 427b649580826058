//! The order by times, numbers and lengths of time.

use super::conditions::Conditions;
use super::nearest::{KeyOrder, Nearest, Reading};
use super::ordered::{RowQuery, ValuedRow};
use super::tally::Matching;
use crate::block::{Block, ColumnField};
use crate::rows::{SealedRows, place, row_id};
use crate::sizes::ZONE;
use domain::page::PageDirection;
use domain::session::{
    DeviceState, Filter, ListScope, OrderField, OrderValue, SessionState, SpanField, ValueField,
};
use domain::time::Micros;
use std::cmp::Ordering;

/// Rows are ordered by numbers. Some have none.
struct NumberKeys(Reading);

impl KeyOrder for NumberKeys {
    type Key = Option<i64>;

    #[inline]
    fn compare(&self, one: Option<i64>, other: Option<i64>) -> Ordering {
        self.0.compare_values(one, other)
    }
}

/// The nearest rows after an anchor.
pub(super) fn find_by_numbers(
    rows: &SealedRows,
    query: &RowQuery<'_>,
    field: OrderField,
    now: Micros,
    measured: Micros,
) -> Vec<ValuedRow> {
    let anchor = query.anchor.map(|anchor| {
        let number = match anchor.value {
            Some(OrderValue::Number(number)) => Some(number),
            _ => None,
        };
        (number, place(anchor.id))
    });
    let numbers = Numbers::new(rows, field, now, measured);
    let reading = query.reading;
    let mut nearest = Nearest::new(NumberKeys(reading), reading, anchor, query.wanted);
    let oldest_first = reads_oldest_first(reading);
    let mut buffers = NumberBuffers::default();
    let mut blocks = rows.order.clone();
    if !oldest_first {
        blocks.reverse();
    }
    for number in blocks {
        let (block, matching) = (&rows.blocks[usize::from(number)], query.matching.rows_of(number));
        let zones = block.len().div_ceil(ZONE);
        for at in 0..zones {
            let zone = if oldest_first { at } else { zones - 1 - at };
            let first = numbers.first_of(block, zone, reading);
            if first.is_some_and(|first| nearest.is_too_far(Some(first))) {
                continue;
            }
            matching.collect(zone * ZONE, (zone + 1) * ZONE, &mut buffers.rows);
            numbers.gather(number, block, &mut buffers);
            let mut offer = |(row, key): (&u16, &Option<i64>)| {
                nearest.offer(*key, row_id(number, *row), || block.place(*row));
            };
            let keyed = buffers.rows.iter().zip(&buffers.keys);
            if oldest_first { keyed.for_each(&mut offer) } else { keyed.rev().for_each(&mut offer) }
        }
    }
    let (_, found) = nearest.into_rows();
    found.into_iter().map(|one| (one.row, one.key.map(OrderValue::Number))).collect()
}

/// Whether the nearest rows are more likely among the oldest ones: then fewer rows push others out.
fn reads_oldest_first(reading: Reading) -> bool {
    let is_backward = reading.direction == PageDirection::Backward;
    match reading.order.field {
        OrderField::Time(_) => reading.order.descending == is_backward,
        _ => is_backward,
    }
}

#[derive(Default)]
struct NumberBuffers {
    rows: Vec<u16>,
    created: Vec<i64>,
    numbers: Vec<i64>,
    keys: Vec<Option<i64>>,
}

/// What rows have in a field.
enum Numbers {
    Created,
    Column(ColumnField),
    /// The time from the creation until the end, or until this time.
    Duration(Micros),
    /// The time from the creation of a waiting session until this time.
    Wait(Micros, Matching),
    /// The time from this one until the session expires.
    Lease(Micros),
}

impl Numbers {
    fn new(rows: &SealedRows, field: OrderField, now: Micros, measured: Micros) -> Numbers {
        match field {
            OrderField::Number(field) => Numbers::Column(ColumnField::Number(field)),
            OrderField::Time(field) => {
                ColumnField::for_time_field(field).map_or(Numbers::Created, Numbers::Column)
            }
            OrderField::Span(SpanField::Duration) => Numbers::Duration(measured),
            OrderField::Span(SpanField::Lease) => Numbers::Lease(measured),
            OrderField::Span(SpanField::Wait) => {
                let queued = SessionState::Device(DeviceState::Queued).name();
                let queued = Filter::has_text(ValueField::State, [queued]);
                let all = ListScope::Account { organizations: None, deleted: true };
                Numbers::Wait(measured, Matching::new(&Conditions::new(rows, &all, &queued, now)))
            }
            OrderField::Value(_) => Numbers::Created,
        }
    }

    /// A number that no row of a zone comes before, if it is known.
    fn first_of(&self, block: &Block, zone: usize, reading: Reading) -> Option<i64> {
        // Read backward, rows without a number are first.
        if reading.direction == PageDirection::Backward {
            return None;
        }
        let (least, most) = match self {
            Numbers::Created => block.created_bounds(zone)?,
            Numbers::Column(column) => block.column(*column).bounds(zone)?,
            _ => return None,
        };
        Some(if reading.order.descending { most } else { least })
    }

    /// Reads what some ascending rows of a block have.
    fn gather(&self, number: u16, block: &Block, buffers: &mut NumberBuffers) {
        let NumberBuffers { rows, created, numbers, keys } = buffers;
        block.gather_created(rows, created);
        let column = match self {
            Numbers::Created | Numbers::Wait(..) => None,
            Numbers::Column(column) => Some(*column),
            Numbers::Duration(_) => Some(ColumnField::Ended),
            Numbers::Lease(_) => Some(ColumnField::Expires),
        };
        if let Some(column) = column {
            block.gather_numbers(column, rows, created, numbers);
        } else {
            numbers.clone_from(created);
        }
        let has_number = column.and_then(|column| block.present(column));
        let has_number = |row: u16| has_number.is_none_or(|rows| rows.get(row));
        let age = |until: i64, created: i64| until.saturating_sub(created).max(0);
        let read = rows.iter().zip(&*created).zip(&*numbers);
        let read = read.map(|((row, created), number)| (*row, *created, *number));
        keys.clear();
        match self {
            Numbers::Created => keys.extend(created.iter().copied().map(Some)),
            Numbers::Column(_) => {
                keys.extend(read.map(|(row, _, number)| has_number(row).then_some(number)));
            }
            Numbers::Duration(measured) => keys.extend(read.map(|(row, created, ended)| {
                Some(age(if has_number(row) { ended } else { measured.0 }, created))
            })),
            Numbers::Wait(measured, queued) => {
                let queued = queued.rows_of(number);
                let wait = |(row, created, _)| queued.get(row).then(|| age(measured.0, created));
                keys.extend(read.map(wait));
            }
            Numbers::Lease(measured) => keys.extend(read.map(|(row, _, expires)| {
                let left = expires.saturating_sub(measured.0);
                (has_number(row) && left > 0).then_some(left)
            })),
        }
    }
}
