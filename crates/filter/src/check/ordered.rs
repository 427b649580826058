//! Values with an order: times, numbers and lengths of time.

use super::Checker;
use crate::ast::{Comparison, OperandKind, Operator, Scalar};
use crate::fault::FaultCode;
use crate::nearest::find_nearest;
use crate::query::Condition;
use crate::values::duration::parse_duration;
use crate::values::number::parse_number;
use crate::values::time::{self, WrittenTime, parse_time};
use domain::session::Field;
use domain::time::Micros;

const TIMES: &str = "a time is like 2026-11-19, 2026-11-19T14:32Z, -24h, today, yesterday";
const DURATIONS: &str = "a length of time is like 5m, 2h30m, 7d";

/// What a value stands for: from its first point up to the point after it. A single point has both in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    start: i64,
    end: i64,
}

impl Checker<'_, '_, '_> {
    /// Checks a comparison of a field with values that have an order.
    pub(super) fn check_ordered(
        &mut self,
        field: Field,
        operator: Operator,
        comparison: &Comparison,
    ) -> Option<Condition> {
        let is_equal = matches!(operator, Operator::Has | Operator::Equal | Operator::In);
        match &comparison.value.kind {
            OperandKind::One(scalar) if is_equal => self.check_equal(field, scalar),
            OperandKind::List(scalars) if is_equal => {
                let each = scalars.iter().map(|scalar| self.check_equal(field, scalar)).collect::<Vec<_>>();
                each.into_iter().collect::<Option<Vec<_>>>().map(Condition::any)
            }
            OperandKind::Range(from, until) if operator == Operator::Has => {
                self.check_range(field, comparison, from.as_ref(), until.as_ref())
            }
            // A day stands for its first moment.
            OperandKind::One(scalar) => {
                let extent = self.read_extent(field, scalar)?;
                Some(compare(field, operator, extent.start))
            }
            _ => {
                let operator = comparison.operator.text();
                let message = format!("a range or a list cannot be compared with {operator}");
                self.faults
                    .add(comparison.value.span, FaultCode::WrongOperator, message)
                    .hint(format!("write it after a colon, or as in {}", field.info().examples[0]));
                None
            }
        }
    }

    fn check_equal(&mut self, field: Field, scalar: &Scalar) -> Option<Condition> {
        let Extent { start, end } = self.read_extent(field, scalar)?;
        if let Field::Number(_) = field {
            return Some(compare(field, Operator::Equal, start));
        }
        if start < end {
            let (from, until) = (Operator::AtLeast, Operator::Less);
            return Some(Condition::all([compare(field, from, start), compare(field, until, end)]));
        }
        let (name, text) = (field.name(), &scalar.text);
        let message = "no session has exactly this time, to the microsecond";
        self.faults
            .add(scalar.span, FaultCode::WrongOperator, message)
            .hint(format!("write {name} > {text}, {name} < {text} or {name}:{text}.."));
        None
    }

    /// Checks a range, which includes both ends.
    fn check_range(
        &mut self,
        field: Field,
        comparison: &Comparison,
        from: Option<&Scalar>,
        until: Option<&Scalar>,
    ) -> Option<Condition> {
        // Both ends are read, because the faults of both are reported.
        let ends = [from, until].map(|end| end.map(|scalar| self.read_extent(field, scalar)));
        if ends.contains(&Some(None)) {
            return None;
        }
        let [from, until] = ends.map(Option::flatten);
        if from.zip(until).is_some_and(|(from, until)| until.start < from.start) {
            self.faults
                .add(comparison.value.span, FaultCode::EmptyRange, "this range ends before it begins")
                .hint("write the smaller end first");
            return None;
        }
        let from = from.map(|from| compare(field, Operator::AtLeast, from.start));
        let until = until.map(|until| match until {
            Extent { start, end } if start < end => compare(field, Operator::Less, end),
            Extent { start, .. } => compare(field, Operator::AtMost, start),
        });
        Some(Condition::all(from.into_iter().chain(until)))
    }

    fn read_extent(&mut self, field: Field, scalar: &Scalar) -> Option<Extent> {
        let text = &scalar.text;
        match field {
            Field::Number(field) => {
                let found = parse_number(text, field.decimals());
                if found.is_none() {
                    let example = if field.decimals() > 0 { "5, 1.50 or 2k" } else { "5, 200k or 1M" };
                    self.faults
                        .add(
                            scalar.span,
                            FaultCode::NotANumber,
                            format!("“{text}” is no number of this field"),
                        )
                        .hint(format!("a number is like {example}"));
                }
                found.map(|number| Extent { start: number, end: number })
            }
            Field::Span(_) => {
                let found = parse_duration(text);
                if found.is_none() {
                    self.faults
                        .add(scalar.span, FaultCode::NotADuration, format!("“{text}” is no length of time"))
                        .hint(DURATIONS);
                }
                found.map(|span| Extent { start: span, end: span })
            }
            _ => self.read_time(scalar).map(|time| Extent { start: time.start.0, end: time.end.0 }),
        }
    }

    fn read_time(&mut self, scalar: &Scalar) -> Option<WrittenTime> {
        let found = parse_time(&scalar.text, self.local);
        if found.is_none() {
            self.faults
                .add(scalar.span, FaultCode::NotATime, format!("“{}” is no time", scalar.text))
                .hint(TIMES)
                .suggest(find_nearest(&scalar.text, time::WORDS));
        }
        found
    }

    /// Checks `active_at:TIME`. A day stands for its first moment.
    pub(super) fn check_active_at(
        &mut self,
        operator: Operator,
        comparison: &Comparison,
    ) -> Option<Condition> {
        match (&comparison.value.kind, operator) {
            (OperandKind::One(scalar), Operator::Has | Operator::Equal) => {
                self.read_time(scalar).map(|time| Condition::ActiveAt(time.start))
            }
            _ => {
                self.report_operator(comparison, "active_at:2026-11-19T14:32Z");
                None
            }
        }
    }
}

/// A field compared with a number; of a time and a length of time, its microseconds.
fn compare(field: Field, operator: Operator, number: i64) -> Condition {
    match field {
        Field::Time(field) => Condition::Time(field, operator, Micros(number)),
        Field::Span(field) => Condition::Span(field, operator, number),
        Field::Number(field) => Condition::Number(field, operator, number),
        Field::Value(_) | Field::Query(_) => Condition::All(Vec::new()),
    }
}
