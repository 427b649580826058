//! Lists in any order agree with a plain loop that sorts.

use super::*;
use crate::{OrderedSelection, OrderedSession};
use domain::page::{OrderedRange, PageDirection};
use domain::session::{OrderField, OrderPosition, OrderValue, SessionOrder, ValueType};

#[derive(Debug, Clone)]
struct OrderQuestion {
    scope: ListScope,
    filter: Filter,
    order: SessionOrder,
    /// When lengths of time are measured, from now.
    measured: i64,
    limit: u32,
    /// The session that the range begins at.
    at: u16,
    /// A value that no session may have, for a range that begins between sessions.
    value: Option<OrderValue>,
}

fn order_value() -> impl Strategy<Value = OrderValue> {
    prop_oneof![
        prop_oneof![0i64..25, 0i64..1 << 41, START..START + 400_000].prop_map(OrderValue::Number),
        (0u8..7).prop_map(|number| OrderValue::Id(uuid(number))),
        proptest::sample::select(vec!["", "a", "aa", "c", "run-4", "user", "login", "zz"])
            .prop_map(|text| OrderValue::Text(text.to_owned())),
    ]
}

fn order_question() -> impl Strategy<Value = OrderQuestion> {
    let fields = OrderField::all().collect::<Vec<_>>();
    let order = (proptest::sample::select(fields), any::<bool>())
        .prop_map(|(field, descending)| SessionOrder { field, descending });
    let filter = prop_oneof![2 => Just(Filter::EVERY), 3 => filter()];
    let measured = prop_oneof![Just(0i64), -200_000i64..200_000];
    let value = prop_oneof![3 => Just(None), 1 => order_value().prop_map(Some)];
    (scope(), filter, order, measured, 0u32..30, any::<u16>(), value).prop_map(
        |(scope, filter, order, measured, limit, at, value)| OrderQuestion {
            scope,
            filter,
            order,
            measured,
            limit,
            at,
            value,
        },
    )
}

impl Both {
    /// The sessions of a list, in an order.
    fn list_ordered(&self, question: &OrderQuestion) -> Vec<OrderedSession> {
        let order = question.order;
        let at = match order.field {
            OrderField::Span(_) => Micros(self.now.0 + question.measured),
            _ => self.now,
        };
        let of_summary = |summary: &Summary| OrderedSession {
            session: SessionRef { key: summary.key, revision: summary.revision },
            position: OrderPosition { value: summary.order_value(order, at), id: summary.key.id },
        };
        let list = self.list(&question.scope, &question.filter);
        let mut list = list.into_iter().map(of_summary).collect::<Vec<_>>();
        list.sort_by(|one, other| order.compare(&one.position, &other.position));
        list
    }

    fn select_ordered(
        &self,
        question: &OrderQuestion,
        anchor: Option<OrderPosition>,
        direction: PageDirection,
    ) -> OrderedSelection {
        let measured = Micros(self.now.0 + question.measured);
        let range = OrderedRange { anchor, direction, limit: question.limit, measured };
        self.index.select_ordered(&question.scope, &question.filter, self.now, question.order, &range)
    }

    fn compare_ordered(&mut self, question: &OrderQuestion) -> Result<(), TestCaseError> {
        if self.index.needs_advance(self.now) {
            self.index.advance(self.now);
        }
        let (list, limit) = (self.list_ordered(question), question.limit as usize);
        let anchor = self.nth(question.at).map(|summary| {
            let value = summary.order_value(question.order, Micros(self.now.0 + question.measured));
            OrderPosition { value: question.value.clone().or(value), id: summary.key.id }
        });
        // A cursor of another field has no place in the order.
        let is_comparable = |anchor: &OrderPosition| match (question.order.field, &anchor.value) {
            (_, None) => true,
            (OrderField::Value(field), Some(OrderValue::Id(_))) => field.value_type() == ValueType::Id,
            (OrderField::Value(field), Some(OrderValue::Text(_))) => field.value_type() == ValueType::Text,
            (field, Some(value)) => {
                !matches!(field, OrderField::Value(_)) && matches!(value, OrderValue::Number(_))
            }
        };
        for anchor in [None, anchor.filter(is_comparable)] {
            let is_after = |one: &&OrderedSession| {
                anchor.as_ref().is_none_or(|at| question.order.compare(&one.position, at).is_gt())
            };
            let is_before = |one: &&OrderedSession| {
                anchor.as_ref().is_none_or(|at| question.order.compare(&one.position, at).is_lt())
            };
            let after = list.iter().filter(is_after).cloned().collect::<Vec<_>>();
            let before = list.iter().filter(is_before).cloned().collect::<Vec<_>>();
            let (total, next) = (list.len() as u64, after.iter().take(limit).cloned().collect());
            let found = self.select_ordered(question, anchor.clone(), PageDirection::Forward);
            let expected = OrderedSelection { sessions: next, total, more: after.len() > limit };
            prop_assert_eq!(found, expected, "forward");
            let previous = before[before.len().saturating_sub(limit)..].to_vec();
            let found = self.select_ordered(question, anchor.clone(), PageDirection::Backward);
            let expected = OrderedSelection { sessions: previous, total, more: before.len() > limit };
            prop_assert_eq!(found, expected, "backward");
        }
        Ok(())
    }

    /// Pages one after another are the list, in both directions.
    fn walk_pages(&self, question: &OrderQuestion) -> Result<(), TestCaseError> {
        let list = self.list_ordered(question);
        for direction in [PageDirection::Forward, PageDirection::Backward] {
            let (mut walked, mut anchor) = (Vec::new(), None);
            loop {
                let page = self.select_ordered(question, anchor, direction);
                let is_forward = direction == PageDirection::Forward;
                let end = if is_forward { page.sessions.last() } else { page.sessions.first() };
                anchor = end.map(|session| session.position.clone());
                let at = if is_forward { walked.len() } else { 0 };
                walked.splice(at..at, page.sessions);
                if !page.more || anchor.is_none() {
                    break;
                }
            }
            if question.limit > 0 {
                prop_assert_eq!(&walked, &list, "{:?}", direction);
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn ordered_lists_agree_with_a_plain_loop(
        steps in proptest::collection::vec(step(), 1..number_of("INDEX_TEST_CHANGES", 500)),
        questions in proptest::collection::vec(order_question(), number_of("INDEX_TEST_FILTERS", 24)),
    ) {
        let mut both = Both::new();
        for (at, step) in steps.iter().enumerate() {
            both.take(*step);
            if at % 97 == 0 {
                both.compare_ordered(&questions[at % questions.len()])?;
            }
        }
        for (at, question) in questions.iter().enumerate() {
            both.compare_ordered(question)?;
            if at % 8 == 0 {
                both.walk_pages(question)?;
            }
        }
    }
}
