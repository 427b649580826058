//! The checker: from the syntax tree to a query. It knows the fields and their values, and reports all faults.

mod ordered;
mod values;

use crate::LocalTime;
use crate::ast::{Comparison, NodeKind, OperandKind, Operator, Scalar, SyntaxNode};
use crate::fault::{FaultCode, FaultList};
use crate::limits::{MAX_BYTES, MAX_DEPTH, MAX_TERMS};
use crate::named::{Meaning, NamedCondition, PREFIXES};
use crate::nearest::find_nearest;
use crate::parser::parse;
use crate::query::{Condition, TextPattern};
use crate::span::TextSpan;
use domain::session::{Field, QueryField};

/// Checks a syntax tree. Without one, every session is meant. What comes out is right only without faults.
pub(crate) fn check(node: Option<&SyntaxNode>, local: &LocalTime, faults: &mut FaultList<'_>) -> Condition {
    let mut checker = Checker { local, faults };
    let condition = node.and_then(|node| checker.check_node(node));
    condition.unwrap_or(Condition::All(Vec::new()))
}

/// Reports a query that is too large when it is written with absolute times and all parentheses, so that the written form
/// can always be read again.
pub(crate) fn check_size(condition: &Condition, faults: &mut FaultList<'_>) {
    let whole = TextSpan::new(0, faults.text.len());
    if condition.count_terms() > MAX_TERMS {
        let message = format!("more than {MAX_TERMS} terms; a range has two");
        faults.add(whole, FaultCode::TooManyTerms, message).hint("write lists: tags:(smoke, nightly)");
    }
    if condition.measure_depth() > MAX_DEPTH {
        let message = format!("more than {MAX_DEPTH} parentheses and negations in each other");
        faults.add(whole, FaultCode::TooDeep, message).hint("write a simpler filter");
    }
    if condition.to_string().len() > MAX_BYTES {
        let message = format!("more than {MAX_BYTES} bytes when times are written out");
        faults.add(whole, FaultCode::TooLong, message).hint("write a shorter filter");
    }
}

struct Checker<'c, 'f, 't> {
    local: &'c LocalTime,
    faults: &'f mut FaultList<'t>,
}

impl Checker<'_, '_, '_> {
    /// The condition of a node; `None` when it has a fault.
    fn check_node(&mut self, node: &SyntaxNode) -> Option<Condition> {
        match &node.kind {
            NodeKind::And(nodes) => self.check_nodes(nodes).map(Condition::all),
            NodeKind::Or(nodes) => self.check_nodes(nodes).map(Condition::any),
            NodeKind::Not(node) => self.check_node(node).map(Condition::negate),
            NodeKind::Comparison(comparison) => self.check_comparison(comparison),
            NodeKind::Word(word) => self.check_word(word),
            NodeKind::Faulty => None,
        }
    }

    fn check_nodes(&mut self, nodes: &[SyntaxNode]) -> Option<Vec<Condition>> {
        // All are checked, because all faults are reported.
        let checked = nodes.iter().map(|node| self.check_node(node)).collect::<Vec<_>>();
        checked.into_iter().collect()
    }

    fn check_word(&mut self, word: &Scalar) -> Option<Condition> {
        if word.text.is_empty() {
            self.faults
                .add(word.span, FaultCode::Unexpected, "an empty text finds everything")
                .hint("remove it");
            return None;
        }
        if !word.is_quoted && word.text.contains('*') {
            let without = Some(word.text.replace('*', "")).filter(|word| !word.is_empty());
            self.faults
                .add(word.span, FaultCode::Wildcard, "words are found anywhere in a text, without a star")
                .suggest(without.into_iter().collect());
            return None;
        }
        Some(Condition::Word(word.text.clone()))
    }

    fn check_comparison(&mut self, comparison: &Comparison) -> Option<Condition> {
        let name = &comparison.field.text;
        if let Some(prefix) = PREFIXES.into_iter().find(|prefix| prefix.eq_ignore_ascii_case(name)) {
            return self.check_named(prefix, comparison);
        }
        let Some(field) = Field::parse(name) else {
            self.report_unknown_field(&comparison.field);
            return None;
        };
        if comparison.value.kind == OperandKind::Any {
            return self.check_presence(field, comparison);
        }
        match comparison.operator {
            Operator::NotEqual => self.check_field(field, Operator::Equal, comparison).map(Condition::negate),
            operator => self.check_field(field, operator, comparison),
        }
    }

    fn check_field(
        &mut self,
        field: Field,
        operator: Operator,
        comparison: &Comparison,
    ) -> Option<Condition> {
        match field {
            Field::Value(value_field) => self.check_values(value_field, operator, comparison),
            Field::Time(_) | Field::Number(_) | Field::Span(_) => {
                self.check_ordered(field, operator, comparison)
            }
            Field::Query(query_field) => self.check_query_field(query_field, operator, comparison),
        }
    }

    /// Checks `field:*`.
    fn check_presence(&mut self, field: Field, comparison: &Comparison) -> Option<Condition> {
        let name = field.name();
        if comparison.operator != Operator::Has {
            self.faults
                .add(comparison.value.span, FaultCode::Wildcard, "a star alone stands only after a colon")
                .suggest(vec![format!("{name}:*"), "\"*\"".to_owned()]);
            return None;
        }
        if let Field::Query(QueryField::Id | QueryField::ActiveAt) = field {
            self.faults
                .add(comparison.value.span, FaultCode::UnknownValue, format!("{name} needs a value"))
                .hint(format!("write it as in {}", field.info().examples[0]));
            return None;
        }
        Some(Condition::Present(field))
    }

    /// Checks `is:` and `has:`.
    fn check_named(&mut self, prefix: &'static str, comparison: &Comparison) -> Option<Condition> {
        if comparison.operator != Operator::Has {
            self.report_operator(
                comparison,
                &format!("{prefix}:{}", comparison.value_text(self.faults.text)),
            );
            return None;
        }
        let names = match &comparison.value.kind {
            OperandKind::One(name) => std::slice::from_ref(name),
            OperandKind::List(names) => names,
            OperandKind::Any | OperandKind::Range(..) => {
                self.report_unknown_condition(prefix, comparison.value.span, "*");
                return None;
            }
        };
        let found = names.iter().map(|name| self.find_named(prefix, name)).collect::<Vec<_>>();
        found.into_iter().collect::<Option<Vec<_>>>().map(Condition::any)
    }

    fn find_named(&mut self, prefix: &'static str, name: &Scalar) -> Option<Condition> {
        let Some(named) = NamedCondition::find(prefix, &name.text) else {
            self.report_unknown_condition(prefix, name.span, &name.text);
            return None;
        };
        let meaning = match named.meaning {
            Meaning::Parents => Condition::Parents,
            Meaning::Filter(text) => {
                let mut faults = FaultList::new(text);
                let node = parse(&mut faults);
                check(node.as_ref(), self.local, &mut faults)
            }
        };
        Some(Condition::Named(named, Box::new(meaning)))
    }

    fn report_unknown_condition(&mut self, prefix: &str, span: TextSpan, name: &str) {
        let names = || NamedCondition::with_prefix(prefix).map(|named| named.name);
        let nearest = find_nearest(name, names());
        let fault = self.faults.add(
            span,
            FaultCode::UnknownCondition,
            format!("there is no condition “{prefix}:{name}”"),
        );
        if Field::parse(name).is_some() {
            fault.hint(format!("write {name}:* for sessions that have it"));
        } else if nearest.is_empty() {
            fault.hint(format!("the conditions are {}", names().collect::<Vec<_>>().join(", ")));
        }
        fault.suggest(nearest);
    }

    fn report_unknown_field(&mut self, field: &Scalar) {
        let names = || Field::all().map(Field::name).chain(PREFIXES);
        let mut nearest = find_nearest(&field.text, names());
        if let Some((group, _)) = field.text.split_once('.').filter(|_| nearest.is_empty()) {
            let in_group =
                names().filter(|name| name.split_once('.').is_some_and(|(other, _)| other == group));
            nearest = in_group.map(str::to_owned).collect();
        }
        let message = format!("there is no field “{}”", field.text);
        let fault = self.faults.add(field.span, FaultCode::UnknownField, message);
        if nearest.is_empty() {
            fault.hint("quote the text to search for it");
        }
        fault.suggest(nearest);
    }

    /// Reports an operator that a field does not have. The example shows one that it has.
    fn report_operator(&mut self, comparison: &Comparison, example: &str) {
        let operator = comparison.operator.text();
        let message = format!("“{}” cannot be compared with {operator}", comparison.field.text);
        self.faults
            .add(comparison.operator_span, FaultCode::WrongOperator, message)
            .hint(format!("write it as in {example}"));
    }

    /// The pattern of a text. After a colon, a star at the end means any text that begins so.
    fn read_pattern(&mut self, operator: Operator, scalar: &Scalar) -> Option<TextPattern> {
        let prefix = scalar.text.strip_suffix('*').filter(|_| operator == Operator::Has);
        let text = prefix.unwrap_or(&scalar.text);
        let message = if prefix == Some("") {
            "a star alone stands only directly after the colon"
        } else if scalar.is_quoted || !text.contains('*') {
            let text = text.to_owned();
            return Some(if prefix.is_some() { TextPattern::Prefix(text) } else { TextPattern::Exact(text) });
        } else if operator == Operator::Has {
            "a star stands only at the end of a text"
        } else {
            "only a colon takes a star: other operators are exact"
        };
        self.faults
            .add(scalar.span, FaultCode::Wildcard, message)
            .hint("write it as in device:\"Pixel 8*\", or quote a star that is meant as such");
        None
    }
}

impl Comparison {
    /// The value as it stands in the text.
    fn value_text<'t>(&self, text: &'t str) -> &'t str {
        self.value.span.slice(text)
    }
}
