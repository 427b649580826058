//! Values without an order: words, texts, names and ids.

use super::Checker;
use crate::ast::{Comparison, OperandKind, Operator, Scalar};
use crate::fault::FaultCode;
use crate::nearest::find_nearest;
use crate::query::{Condition, TextPattern, ValuePattern};
use crate::span::TextSpan;
use domain::ids::{OrganizationId, SessionId, parse_uuid};
use domain::network::Network;
use domain::session::{Field, QueryField, QueryType, ValueField};

/// The most words that a hint lists.
const MOST_WORDS: usize = 12;

impl Checker<'_, '_, '_> {
    /// Checks a comparison of a field with values.
    pub(super) fn check_values(
        &mut self,
        field: ValueField,
        operator: Operator,
        comparison: &Comparison,
    ) -> Option<Condition> {
        let scalars = self.read_scalars(Field::Value(field), operator, comparison)?;
        if field.info().query == QueryType::Flag {
            return self.check_flag(field, comparison, scalars);
        }
        let patterns = scalars.iter().map(|scalar| self.check_value(field, operator, scalar));
        let patterns = patterns.collect::<Vec<_>>();
        let mut patterns = patterns.into_iter().collect::<Option<Vec<_>>>()?;
        let mut seen = Vec::new();
        patterns.retain(|pattern| {
            let is_new = !seen.contains(pattern);
            seen.push(pattern.clone());
            is_new
        });
        Some(Condition::Values(field, patterns))
    }

    /// The texts that a field without an order is compared with.
    fn read_scalars<'a>(
        &mut self,
        field: Field,
        operator: Operator,
        comparison: &'a Comparison,
    ) -> Option<&'a [Scalar]> {
        let info = field.info();
        // Of a list it is not clear whether all of it is meant, or one value in it.
        let is_exact_list = info.query == QueryType::Texts && operator != Operator::Has;
        let is_order =
            matches!(operator, Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast);
        if is_exact_list || is_order {
            let value = comparison.value_text(self.faults.text);
            let not = if comparison.operator == Operator::NotEqual { "-" } else { "" };
            self.report_operator(comparison, &format!("{not}{}:{value}", info.name));
            return None;
        }
        match &comparison.value.kind {
            OperandKind::One(scalar) => Some(std::slice::from_ref(scalar)),
            OperandKind::List(scalars) => Some(scalars),
            OperandKind::Range(..) | OperandKind::Any => {
                let message = format!("“{}” has no ranges", info.name);
                self.faults
                    .add(comparison.value.span, FaultCode::WrongOperator, message)
                    .hint("write a list, or quote the text");
                None
            }
        }
    }

    fn check_value(
        &mut self,
        field: ValueField,
        operator: Operator,
        scalar: &Scalar,
    ) -> Option<ValuePattern> {
        let text = &scalar.text;
        match field.info().query {
            QueryType::Word => self.check_word_of(field, scalar).map(ValuePattern::Word),
            QueryType::Session => self.check_session(scalar).map(|id| ValuePattern::Id(id.uuid())),
            QueryType::Principal if text.eq_ignore_ascii_case("me") => Some(ValuePattern::Me),
            QueryType::Organization => match OrganizationId::parse(text) {
                Some(id) => Some(ValuePattern::Id(id.0)),
                None => self.read_pattern(operator, scalar).map(ValuePattern::Text),
            },
            QueryType::Principal | QueryType::Agent | QueryType::Device => match parse_uuid(text) {
                Some(id) => Some(ValuePattern::Id(id)),
                None => self.read_pattern(operator, scalar).map(ValuePattern::Text),
            },
            QueryType::Address => self.check_address(operator, scalar),
            _ => self.read_pattern(operator, scalar).map(ValuePattern::Text),
        }
    }

    fn check_word_of(&mut self, field: ValueField, scalar: &Scalar) -> Option<domain::session::FieldWord> {
        let found = field.find_word(&scalar.text);
        if found.is_none() {
            let names = || field.words().map(|word| word.name);
            let nearest = find_nearest(&scalar.text, names());
            let message = format!("there is no {} “{}”", field.name().replace('_', " "), scalar.text);
            let fault = self.faults.add(scalar.span, FaultCode::UnknownValue, message);
            if nearest.is_empty() {
                let first = names().take(MOST_WORDS).collect::<Vec<_>>().join(", ");
                let more = if names().count() > MOST_WORDS { ", …" } else { "" };
                fault.hint(format!("it is one of {first}{more}"));
            }
            fault.suggest(nearest);
        }
        found
    }

    fn check_session(&mut self, scalar: &Scalar) -> Option<SessionId> {
        let id = SessionId::parse(&scalar.text);
        if id.is_none() {
            let message = format!("“{}” is not the id of a session", scalar.text);
            self.faults
                .add(scalar.span, FaultCode::NotAnId, message)
                .hint("an id is like 0192f3a4-0000-7000-8000-000000000001");
        }
        id
    }

    fn check_address(&mut self, operator: Operator, scalar: &Scalar) -> Option<ValuePattern> {
        let text = &scalar.text;
        if let Some(network) = Network::parse(text) {
            return Some(ValuePattern::Network(network));
        }
        let is_part = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:".contains(&byte))
        };
        if operator == Operator::Has && text.strip_suffix('*').is_some_and(is_part) {
            return self.read_pattern(operator, scalar).map(ValuePattern::Text);
        }
        self.faults
            .add(scalar.span, FaultCode::NotAnAddress, format!("“{text}” is no address"))
            .hint("an address is like 10.20.0.7, 10.20.0.0/16 or 10.20.*");
        None
    }

    /// Checks `true` or `false`.
    fn check_flag(
        &mut self,
        field: ValueField,
        comparison: &Comparison,
        scalars: &[Scalar],
    ) -> Option<Condition> {
        let is_true = match scalars {
            [scalar] if scalar.text.eq_ignore_ascii_case("true") => true,
            [scalar] if scalar.text.eq_ignore_ascii_case("false") => false,
            _ => {
                let span = comparison.value.span;
                let message = format!("“{}” is true or false", field.name());
                self.faults
                    .add(span, FaultCode::UnknownValue, message)
                    .hint("write true or false")
                    .suggest(vec!["true".to_owned(), "false".to_owned()]);
                return None;
            }
        };
        let present = Condition::Present(Field::Value(field));
        Some(if is_true { present } else { present.negate() })
    }

    /// Checks a field that only filters have.
    pub(super) fn check_query_field(
        &mut self,
        field: QueryField,
        operator: Operator,
        comparison: &Comparison,
    ) -> Option<Condition> {
        if field == QueryField::ActiveAt {
            return self.check_active_at(operator, comparison);
        }
        let scalars = self.read_scalars(Field::Query(field), operator, comparison)?;
        if field == QueryField::Id {
            let ids = scalars.iter().map(|scalar| self.check_session(scalar)).collect::<Vec<_>>();
            return ids.into_iter().collect::<Option<Vec<_>>>().map(Condition::Ids);
        }
        let titles = scalars.iter().map(|scalar| self.check_title(operator, scalar)).collect::<Vec<_>>();
        titles.into_iter().collect::<Option<Vec<_>>>().map(Condition::any)
    }

    fn check_title(&mut self, operator: Operator, scalar: &Scalar) -> Option<Condition> {
        let pattern = match self.read_pattern(operator, scalar)? {
            TextPattern::Exact(text) if operator == Operator::Has => TextPattern::Contains(text),
            pattern => pattern,
        };
        if pattern == TextPattern::Contains(String::new()) {
            self.report_empty(scalar.span);
            return None;
        }
        Some(Condition::Title(pattern))
    }

    fn report_empty(&mut self, span: TextSpan) {
        self.faults
            .add(span, FaultCode::Unexpected, "an empty text is in every title")
            .suggest(vec!["*".to_owned()]);
    }
}
