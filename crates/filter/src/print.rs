//! The canonical text of a query: times are absolute, keywords and parentheses explicit. Reading it gives the same query.

use crate::ast::Operator;
use crate::query::{Condition, SessionQuery, TextPattern, ValuePattern};
use crate::token::TokenKind;
use crate::values::duration::write_duration;
use crate::values::number::write_number;
use crate::values::time::write_time;
use domain::session::{Field, QueryType};
use std::fmt::{Display, Formatter, Result};

impl Display for SessionQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.condition.fmt(f)
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Condition::All(conditions) => write_joined(f, conditions, " AND "),
            Condition::Any(conditions) => write_joined(f, conditions, " OR "),
            Condition::Not(condition) => match condition.as_ref() {
                Condition::Present(field) if is_flag(*field) => write!(f, "{}:false", field.name()),
                condition => {
                    f.write_str("NOT ")?;
                    write_member(f, condition)
                }
            },
            Condition::Present(field) if is_flag(*field) => write!(f, "{}:true", field.name()),
            Condition::Present(field) => write!(f, "{}:*", field.name()),
            Condition::Values(field, patterns) => write_values(f, field.name(), patterns),
            Condition::Ids(ids) => {
                let patterns = ids.iter().map(|id| ValuePattern::Id(id.uuid())).collect::<Vec<_>>();
                write_values(f, "id", &patterns)
            }
            Condition::Time(field, operator, time) => {
                write!(f, "{} {} {}", field.name(), operator.text(), write_time(*time))
            }
            Condition::Number(field, operator, number) => {
                let number = write_number(*number, field.decimals());
                write!(f, "{} {} {number}", field.name(), operator.text())
            }
            Condition::Span(field, operator, span) => {
                write!(f, "{} {} {}", field.name(), operator.text(), write_duration(*span))
            }
            Condition::ActiveAt(time) => write!(f, "active_at:{}", write_time(*time)),
            Condition::Title(TextPattern::Exact(text)) => write!(f, "title = {}", quote(text)),
            Condition::Title(pattern) => write!(f, "title:{}", write_pattern(pattern)),
            Condition::Named(named, _) => write!(f, "{}:{}", named.prefix, named.name),
            // Only the meaning of a condition with a name, which is written above.
            Condition::Parents => f.write_str("has:children"),
            Condition::Word(word) => f.write_str(&write_word(word)),
        }
    }
}

fn is_flag(field: Field) -> bool {
    field.info().query == QueryType::Flag
}

fn write_joined(f: &mut Formatter<'_>, conditions: &[Condition], separator: &str) -> Result {
    for (at, condition) in conditions.iter().enumerate() {
        if at > 0 {
            f.write_str(separator)?;
        }
        write_member(f, condition)?;
    }
    Ok(())
}

fn write_member(f: &mut Formatter<'_>, condition: &Condition) -> Result {
    if condition.needs_parentheses() { write!(f, "({condition})") } else { condition.fmt(f) }
}

fn write_values(f: &mut Formatter<'_>, name: &str, patterns: &[ValuePattern]) -> Result {
    // After a colon, a star at the end would mean any text that begins so.
    let ends_with_star = |pattern: &ValuePattern| matches!(pattern, ValuePattern::Text(TextPattern::Exact(text)) if text.ends_with('*'));
    let is_exact = patterns.iter().any(ends_with_star);
    match patterns {
        [one] if is_exact => write!(f, "{name} {} {}", Operator::Equal.text(), write_value(one)),
        [one] => write!(f, "{name}:{}", write_value(one)),
        several => {
            let several = several.iter().map(write_value).collect::<Vec<_>>().join(", ");
            let operator = if is_exact { " IN " } else { ":" };
            write!(f, "{name}{operator}({several})")
        }
    }
}

fn write_value(pattern: &ValuePattern) -> String {
    match pattern {
        ValuePattern::Text(pattern) => write_pattern(pattern),
        ValuePattern::Network(network) => network.to_string(),
        ValuePattern::Id(id) => id.to_string(),
        ValuePattern::Me => "me".to_owned(),
        ValuePattern::Word(word) => word.name.to_owned(),
    }
}

fn write_pattern(pattern: &TextPattern) -> String {
    match pattern {
        TextPattern::Exact(text) | TextPattern::Contains(text) => {
            write_bare(text).unwrap_or_else(|| quote(text))
        }
        TextPattern::Prefix(text) => match write_bare(text) {
            Some(bare) => bare + "*",
            None => quote(&format!("{text}*")),
        },
    }
}

/// A value without quotes, if it can be read without.
pub(crate) fn write_bare(text: &str) -> Option<String> {
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | ':' | '+' | '#' | '%');
    let is_bare = text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '@' | '#'))
        && text.chars().all(is_plain)
        && !text.contains("..")
        && TokenKind::find_keyword(text).is_none();
    is_bare.then(|| text.to_owned())
}

/// A word to search for: in quotes when it could be read as something else.
fn write_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '#');
    match write_bare(word) {
        Some(bare) if word.chars().all(is_plain) && !word.eq_ignore_ascii_case("in") => bare,
        _ => quote(word),
    }
}

/// A text in quotes, with escapes for what cannot be seen.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
