//! From a query to the filter that the index answers.

use crate::ast::Operator;
use crate::query::{Condition, Lookup, LookupResult, Resolved, SessionQuery, TextPattern, ValuePattern};
use domain::agent::TimeRange;
use domain::session::{Field, FieldValue, Filter, NumberRange, QueryField, TimeField, ValueField, ValueTest};
use domain::time::{Micros, Span};
use std::collections::BTreeSet;
use uuid::Uuid;

impl SessionQuery {
    /// The filter, with what the look-ups have found.
    pub fn compile(&self, resolved: &Resolved) -> Filter {
        self.condition.compile(resolved)
    }
}

impl Condition {
    fn compile(&self, resolved: &Resolved) -> Filter {
        let compile_all =
            |conditions: &[Condition]| conditions.iter().map(|one| one.compile(resolved)).collect();
        match self {
            Condition::All(conditions) => Filter::And(compile_all(conditions)),
            Condition::Any(conditions) => Filter::Or(compile_all(conditions)),
            Condition::Not(condition) => Filter::Not(Box::new(condition.compile(resolved))),
            Condition::Present(field) => compile_presence(*field),
            Condition::Values(field, patterns) => compile_values(*field, patterns, resolved),
            Condition::Ids(ids) => Filter::Ids(ids.iter().copied().collect()),
            Condition::Time(field, operator, time) => Filter::Time(*field, range_of_times(*operator, *time)),
            Condition::Number(field, operator, number) => {
                Filter::Number(*field, range_of_numbers(*operator, *number))
            }
            Condition::Span(field, operator, span) => {
                Filter::Span(*field, range_of_numbers(*operator, *span))
            }
            Condition::ActiveAt(time) => {
                let until = range_of_times(Operator::AtMost, *time);
                let ended = Filter::Time(TimeField::Ended, until);
                Filter::And(vec![Filter::Time(TimeField::Created, until), Filter::Not(Box::new(ended))])
            }
            Condition::Title(pattern) => Filter::Ids(resolved.find(&Lookup::Title(pattern.clone())).sessions),
            Condition::Named(_, meaning) => meaning.compile(resolved),
            Condition::Parents => Filter::Ids(resolved.find(&Lookup::Parents).sessions),
            Condition::Word(word) => {
                let LookupResult { ids, sessions, device_names } = resolved.find(&Lookup::Word(word.clone()));
                Filter::Or(vec![
                    Filter::Ids(sessions),
                    Filter::has_id(ValueField::Owner, ids),
                    Filter::has_text(ValueField::DeviceName, device_names),
                ])
            }
        }
    }
}

impl Resolved {
    fn find(&self, lookup: &Lookup) -> LookupResult {
        self.results.get(lookup).cloned().unwrap_or_default()
    }

    /// The ids that a pattern stands for as a value of a field.
    fn find_ids(&self, field: ValueField, pattern: &ValuePattern) -> BTreeSet<Uuid> {
        match pattern {
            ValuePattern::Id(id) => [*id].into(),
            ValuePattern::Me => [self.me.0].into(),
            ValuePattern::Text(text) => {
                Lookup::from_name(field, text).map(|lookup| self.find(&lookup).ids).unwrap_or_default()
            }
            ValuePattern::Network(_) | ValuePattern::Word(_) => BTreeSet::new(),
        }
    }
}

/// The filter of sessions that have a field.
fn compile_presence(field: Field) -> Filter {
    match field {
        Field::Value(field) => Filter::Has(field),
        Field::Time(field) => Filter::Time(field, TimeRange::default()),
        Field::Number(field) => Filter::Number(field, NumberRange::default()),
        Field::Span(field) => Filter::Span(field, NumberRange::default()),
        Field::Query(QueryField::Title) => Filter::Has(ValueField::Titled),
        // Every session has an id, and was open at some time.
        Field::Query(QueryField::Id | QueryField::ActiveAt) => Filter::EVERY,
    }
}

/// The filter of sessions that have one of some values.
fn compile_values(field: ValueField, patterns: &[ValuePattern], resolved: &Resolved) -> Filter {
    let mut values = BTreeSet::new();
    let mut tests = Vec::new();
    let mut device_names = Vec::new();
    for pattern in patterns {
        match pattern {
            ValuePattern::Word(word) => {
                values.extend(word.values.iter().map(|value| FieldValue::Text((*value).to_owned())));
            }
            ValuePattern::Network(network) => {
                tests.push(Filter::HasMatching(field, ValueTest::Network(*network)));
            }
            // Sessions have the name of their device beside its id.
            ValuePattern::Text(text) if field == ValueField::Device => device_names.push(text),
            ValuePattern::Text(text) if Lookup::from_name(field, text).is_none() => match text {
                TextPattern::Prefix(prefix) => {
                    tests.push(Filter::HasMatching(field, ValueTest::Prefix(prefix.clone())));
                }
                TextPattern::Exact(text) | TextPattern::Contains(text) => {
                    values.insert(FieldValue::Text(text.clone()));
                }
            },
            pattern => values.extend(resolved.find_ids(field, pattern).into_iter().map(FieldValue::Id)),
        }
    }
    let mut any = tests;
    if !device_names.is_empty() {
        let names = device_names.into_iter().cloned().map(ValuePattern::Text).collect::<Vec<_>>();
        any.push(compile_values(ValueField::DeviceName, &names, resolved));
    }
    if !values.is_empty() || any.is_empty() {
        any.insert(0, Filter::HasAny(field, values.into_iter().collect()));
    }
    if any.len() == 1 { any.remove(0) } else { Filter::Or(any) }
}

fn range_of_times(operator: Operator, time: Micros) -> TimeRange {
    let NumberRange { from, until } = range_of_numbers(operator, time.0);
    TimeRange { from: from.map(Micros), until: until.map(Micros) }
}

/// The numbers for which a comparison holds.
fn range_of_numbers(operator: Operator, number: i64) -> NumberRange {
    let after = (Micros(number) + Span(1)).0;
    let (from, until) = match operator {
        Operator::Less => (None, Some(number)),
        Operator::AtMost => (None, Some(after)),
        Operator::Greater => (Some(after), None),
        Operator::AtLeast => (Some(number), None),
        Operator::Equal | Operator::Has | Operator::In | Operator::NotEqual => (Some(number), Some(after)),
    };
    NumberRange { from, until }
}
