//! Conditions on lengths of time. They follow from the times of a row and the time of the question.

use super::nodes::Node;
use crate::block::{Block, ColumnField};
use crate::rows::SealedRows;
use domain::agent::TimeRange;
use domain::session::{DeviceState, Filter, NumberRange, SessionState, SpanField, ValueField};
use domain::time::Micros;

/// The rows with a length of time in a range, at `now`.
pub(super) fn compile_span<'a>(
    rows: &'a SealedRows,
    field: SpanField,
    range: NumberRange,
    now: Micros,
) -> Node<'a> {
    match field {
        SpanField::Duration => {
            let ended = Node::Within { column: ColumnField::Ended, from: None, until: None };
            let open = Node::All(vec![Node::Not(Box::new(ended)), Node::Created(created_ago(range, now))]);
            Node::Any(vec![open, Node::Lasted(range)])
        }
        SpanField::Wait => {
            let queued = SessionState::Device(DeviceState::Queued).name();
            let queued = Filter::has_text(ValueField::State, [queued]);
            Node::All(vec![Node::compile_filter(rows, &queued, now), Node::Created(created_ago(range, now))])
        }
        SpanField::Lease => Node::Within {
            column: ColumnField::Expires,
            from: Some(now.0.saturating_add(range.from.unwrap_or(1).max(1))),
            until: range.until.map(|until| now.0.saturating_add(until)),
        },
    }
}

/// When a session was created that is so old. One that is created after `now` is zero microseconds old.
fn created_ago(range: NumberRange, now: Micros) -> TimeRange {
    let after = |age: i64| Micros(now.0.saturating_sub(age).saturating_add(1));
    TimeRange {
        from: range.until.map(|until| if until > 0 { after(until) } else { Micros(i64::MAX) }),
        until: range.from.filter(|from| *from > 0).map(after),
    }
}

/// Whether the session of a row has ended, and lasted so long.
pub(super) fn has_lasted(block: &Block, number: u16, range: NumberRange) -> bool {
    let ended = block.number(ColumnField::Ended, number);
    let created = Micros(block.place(number).0);
    ended.is_some_and(|ended| range.contains(Micros(ended).duration_since(created).0))
}
