//! Orders of lists of sessions: by any field that sessions have values of.

use super::fields::{Field, NumberField, SpanField, TimeField, ValueField};
use super::summary::{FieldValueRef, Summary};
use crate::ids::SessionId;
use crate::time::Micros;
use std::cmp::Ordering;
use uuid::Uuid;

/// A field that sessions are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderField {
    /// By its value. Texts are compared byte by byte, and ids as ids, not as the names that they stand for. Of several
    /// values, the smallest counts, or the greatest in a descending order.
    Value(ValueField),
    /// By a time.
    Time(TimeField),
    /// By a number.
    Number(NumberField),
    /// By a length of time.
    Span(SpanField),
}

impl OrderField {
    /// All of them.
    pub fn all() -> impl Iterator<Item = OrderField> {
        Field::all().filter_map(OrderField::from_field)
    }

    /// The field of the filter language; `None` for a field that only filters have.
    pub fn from_field(field: Field) -> Option<OrderField> {
        match field {
            Field::Value(field) => Some(OrderField::Value(field)),
            Field::Time(field) => Some(OrderField::Time(field)),
            Field::Number(field) => Some(OrderField::Number(field)),
            Field::Span(field) => Some(OrderField::Span(field)),
            Field::Query(_) => None,
        }
    }
}

/// What a session has in the field of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderValue {
    /// A number, or the microseconds of a time or a length of time.
    Number(i64),
    /// An id.
    Id(Uuid),
    /// A text.
    Text(String),
}

impl From<FieldValueRef<'_>> for OrderValue {
    fn from(value: FieldValueRef<'_>) -> OrderValue {
        match value {
            FieldValueRef::Id(id) => OrderValue::Id(id),
            FieldValueRef::Text(text) => OrderValue::Text(text.to_owned()),
        }
    }
}

/// The position of a session in an ordered list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPosition {
    /// What the session has in the field of the order.
    pub value: Option<OrderValue>,
    /// Its id.
    pub id: SessionId,
}

/// An order of a list of sessions. Sessions without a value are last in both directions. Of sessions with the same value,
/// the newest is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOrder {
    /// The field.
    pub field: OrderField,
    /// Whether the greatest value is first.
    pub descending: bool,
}

impl SessionOrder {
    /// Reads the name of a field, with `-` in front for the greatest value first; `None` for another text.
    pub fn parse(text: &str) -> Option<SessionOrder> {
        let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        Some(SessionOrder { field: Field::parse(name).and_then(OrderField::from_field)?, descending })
    }

    /// Compares the values of two sessions: the one of the session that is first in the list is less.
    pub fn compare_values<V: Ord>(self, one: Option<V>, other: Option<V>) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) if self.descending => other.cmp(&one),
            (Some(one), Some(other)) => one.cmp(&other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        }
    }

    /// Compares the positions of two sessions: the one that is first in the list is less.
    pub fn compare(self, one: &OrderPosition, other: &OrderPosition) -> Ordering {
        let values = self.compare_values(one.value.as_ref(), other.value.as_ref());
        values.then_with(|| other.id.cmp(&one.id))
    }
}

impl Summary {
    /// What the session has in the field of an order at `now`.
    pub fn order_value(&self, order: SessionOrder, now: Micros) -> Option<OrderValue> {
        match order.field {
            OrderField::Value(field) => {
                let mut first = None;
                self.visit_values(now, |other, value| {
                    if other == field && order.compare_values(Some(value), first).is_lt() {
                        first = Some(value);
                    }
                });
                first.map(OrderValue::from)
            }
            OrderField::Time(field) => self.time(field).map(|time| OrderValue::Number(time.0)),
            OrderField::Number(field) => self.number(field).map(OrderValue::Number),
            OrderField::Span(field) => self.span(field, now).map(|span| OrderValue::Number(span.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::FieldValue;

    const FIELD: OrderField = OrderField::Time(TimeField::Ended);

    fn position(value: Option<i64>, created: i64) -> OrderPosition {
        OrderPosition { value: value.map(OrderValue::Number), id: SessionId::new(Micros(created), 1) }
    }

    #[test]
    fn sessions_without_a_value_are_last_and_ties_are_newest_first() {
        let sorted = |descending| {
            let order = SessionOrder { field: FIELD, descending };
            let mut all = [(None, 1), (Some(5), 1), (Some(5), 2), (Some(3), 9), (None, 7)]
                .map(|(value, created)| position(value, created));
            all.sort_by(|one, other| order.compare(one, other));
            all
        };
        let expected = |expected: [(Option<i64>, i64); 5]| expected.map(|(value, at)| position(value, at));
        assert_eq!(sorted(false), expected([(Some(3), 9), (Some(5), 2), (Some(5), 1), (None, 7), (None, 1)]));
        assert_eq!(sorted(true), expected([(Some(5), 2), (Some(5), 1), (Some(3), 9), (None, 7), (None, 1)]));
    }

    #[test]
    fn every_field_but_those_of_filters_orders() {
        let fields = ValueField::ALL.len() + TimeField::ALL.len() + NumberField::ALL.len();
        assert_eq!(OrderField::all().count(), fields + SpanField::ALL.len());
        assert_eq!(Field::parse("title").and_then(OrderField::from_field), None);
    }

    #[test]
    fn values_are_compared_as_texts_and_ids() {
        let text = |text: &str| OrderValue::from(FieldValue::Text(text.into()).borrow());
        assert!(text("B") < text("a") && text("a") < text("aa"));
        let id = |number| OrderValue::from(FieldValueRef::Id(Uuid::from_u128(number)));
        assert!(id(1) < id(2));
    }
}
