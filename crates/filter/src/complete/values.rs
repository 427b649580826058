//! Values that can stand after an operator: those that the language has, and those that sessions have.

use super::{
    CompletionItem, CompletionKind, CountedValue, ValueSource, has_order, has_word, item, sort_by_start,
};
use crate::ast::Operator;
use crate::print::{quote, write_bare};
use domain::session::{Field, QueryType, TimeField};

/// Values of a field that can stand after an operator.
pub(super) fn complete_value(
    field: Field,
    operator: Operator,
    typed: &str,
    values: &dyn ValueSource,
) -> Vec<CompletionItem> {
    let info = field.info();
    let mut items = match info.query {
        QueryType::Word => complete_word(field, typed, values),
        _ => {
            let fitting =
                presets(field, operator).iter().filter(|(text, _)| text.starts_with(&typed.to_lowercase()));
            fitting.map(|(text, help)| item(*text, CompletionKind::Value, help)).collect()
        }
    };
    let has_stored_values =
        matches!(field, Field::Value(_)) && !matches!(info.query, QueryType::Word | QueryType::Flag);
    if has_stored_values {
        items.extend(values.find_values(field, typed).into_iter().filter_map(write_item));
    }
    sort_by_start(&mut items, typed);
    items
}

/// Values that are worth offering whatever the sessions have.
fn presets(field: Field, operator: Operator) -> &'static [(&'static str, &'static str)] {
    let is_range = operator == Operator::Has && has_order(field);
    match field.info().query {
        QueryType::Flag => &[("true", "It is so."), ("false", "It is not so.")],
        QueryType::Principal => &[("me", "You.")],
        QueryType::Time if is_range => &[
            ("today", "Since midnight."),
            ("yesterday", "The day before."),
            ("-24h..", "In the last 24 hours."),
            ("-7d..", "In the last 7 days."),
            ("-30d..", "In the last 30 days."),
        ],
        QueryType::Time if field == Field::Time(TimeField::Expires) => {
            &[("+5m", "In five minutes."), ("+1h", "In an hour."), ("+24h", "In 24 hours.")]
        }
        QueryType::Time => &[
            ("-1h", "An hour ago."),
            ("-24h", "24 hours ago."),
            ("-7d", "7 days ago."),
            ("today", "The last midnight."),
            ("yesterday", "The midnight before."),
        ],
        QueryType::Duration if is_range => &[
            ("..5m", "Up to five minutes."),
            ("5m..1h", "From five minutes to an hour."),
            ("1h..", "An hour or more."),
        ],
        QueryType::Duration => &[
            ("5m", "Five minutes."),
            ("10m", "Ten minutes."),
            ("1h", "An hour."),
            ("24h", "24 hours."),
            ("7d", "7 days."),
        ],
        _ => &[],
    }
}

/// A value that sessions have. After a colon, one with a star at its end would be read as another.
fn write_item(value: CountedValue) -> Option<CompletionItem> {
    let CountedValue { text, help, count } = value;
    let is_written = !text.ends_with('*');
    let text = write_bare(&text).unwrap_or_else(|| quote(&text));
    is_written.then_some(CompletionItem { text, kind: CompletionKind::Value, help, count })
}

fn complete_word(field: Field, typed: &str, values: &dyn ValueSource) -> Vec<CompletionItem> {
    let counts = values.find_values(field, "");
    let words = field.words().filter(|word| has_word(word.name, typed));
    let count = |stored: &[&str]| {
        let of_word = counts.iter().filter(|value| stored.contains(&value.text.as_str()));
        of_word.filter_map(|value| value.count).sum::<u64>()
    };
    words
        .map(|word| CompletionItem {
            count: (!counts.is_empty()).then(|| count(word.values)),
            ..item(word.name, CompletionKind::Value, word.help)
        })
        .collect()
}
