//! Pages of lists in any order.

use super::conditions::Conditions;
use super::nearest::Reading;
use super::number_order::find_by_numbers;
use super::tally::Matching;
use super::value_order::find_by_values;
use crate::posting::RowId;
use crate::rows::place;
use crate::sessions::{Index, SessionRef, list_key};
use domain::page::{OrderedRange, PageDirection};
use domain::session::{Filter, ListScope, OrderField, OrderPosition, OrderValue, SessionOrder, Summary};
use domain::time::Micros;

/// A session in a list of any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedSession {
    /// The session.
    pub session: SessionRef,
    /// Its position in the list.
    pub position: OrderPosition,
}

/// A range of a list in any order, with the list's total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedSelection {
    /// The sessions of the range, in the order of the list.
    pub sessions: Vec<OrderedSession>,
    /// The number of sessions in the whole list.
    pub total: u64,
    /// Whether more sessions follow in the direction of the range.
    pub more: bool,
}

/// What the nearest rows after an anchor are wanted for.
pub(super) struct RowQuery<'a> {
    pub(super) matching: &'a Matching,
    pub(super) reading: Reading,
    pub(super) anchor: Option<&'a OrderPosition>,
    pub(super) wanted: usize,
}

/// A row with its value.
pub(super) type ValuedRow = (RowId, Option<OrderValue>);

impl Index {
    /// A range of the sessions that match a filter, in an order, and the number of all of them.
    pub fn select_ordered(
        &self,
        scope: &ListScope,
        filter: &Filter,
        now: Micros,
        order: SessionOrder,
        range: &OrderedRange,
    ) -> OrderedSelection {
        debug_assert!(!self.needs_advance(now), "the index is moved to the time of the question first");
        let recent = self.recent_matching(scope, filter, now);
        let matching = Matching::new(&Conditions::new(&self.rows, scope, filter, now));
        let (reading, anchor) = (Reading { order, direction: range.direction }, range.anchor.as_ref());
        let wanted = range.limit as usize;
        let query = RowQuery { matching: &matching, reading, anchor, wanted: wanted + 1 };
        let rows = match order.field {
            OrderField::Value(field) => find_by_values(&self.rows, &query, field),
            field => find_by_numbers(&self.rows, &query, field, now, range.measured),
        };
        let of_row = |(row, value)| {
            let (key, revision) = self.rows.key(row);
            OrderedSession {
                session: SessionRef { key, revision },
                position: OrderPosition { value, id: key.id },
            }
        };
        let of_recent = |summary: &&Summary| ordered_session(summary, order, now, range.measured);
        let is_after = |session: &OrderedSession| {
            anchor.is_none_or(|anchor| reading.compare(&session.position, anchor).is_gt())
        };
        let mut sessions = rows.into_iter().map(of_row).collect::<Vec<_>>();
        sessions.extend(recent.iter().map(of_recent).filter(is_after));
        sessions.sort_by(|one, other| {
            let ties = || list_key(&one.session.key).cmp(&list_key(&other.session.key));
            reading.compare(&one.position, &other.position).then_with(ties)
        });
        let more = sessions.len() > wanted;
        sessions.truncate(wanted);
        if range.direction == PageDirection::Backward {
            sessions.reverse();
        }
        OrderedSelection { sessions, total: matching.len() + recent.len() as u64, more }
    }
}

fn ordered_session(summary: &Summary, order: SessionOrder, now: Micros, measured: Micros) -> OrderedSession {
    let at = if matches!(order.field, OrderField::Span(_)) { measured } else { now };
    OrderedSession {
        session: SessionRef { key: summary.key, revision: summary.revision },
        position: OrderPosition { value: summary.order_value(order, at), id: summary.key.id },
    }
}

impl Reading {
    /// Compares two positions: the one that is read first is less.
    fn compare(self, one: &OrderPosition, other: &OrderPosition) -> std::cmp::Ordering {
        let values = self.compare_values(one.value.as_ref(), other.value.as_ref());
        values.then_with(|| self.compare_places(place(one.id), place(other.id)))
    }
}
