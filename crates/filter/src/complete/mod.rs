//! Completion: what can stand at a place of a text, which may be unfinished.

mod expected;
mod values;

use crate::ast::Operator;
use crate::named::{NamedCondition, PREFIXES};
use crate::span::byte_at;
use domain::session::{Field, QueryType};
use expected::{Expected, Subject, find_expected};
use serde::Serialize;
use values::complete_value;

/// The most items of an answer.
const MOST: usize = 50;

/// A value that sessions have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedValue {
    /// The value, as it is written in a filter: of an owner the address or name, of a state the full name.
    pub text: String,
    /// What it is, for people.
    pub help: Option<String>,
    /// How many sessions have it.
    pub count: Option<u64>,
}

/// Knows the values that sessions have.
pub trait ValueSource {
    /// Values of a field that contain a text, the best first. Of fields with fixed words the text is empty, and all values
    /// are meant.
    fn find_values(&self, field: Field, text: &str) -> Vec<CountedValue>;
}

/// What can stand at a place of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// Where the text that an item replaces begins, in code points.
    pub at: usize,
    /// How many code points an item replaces.
    pub length: usize,
    /// The items, the best first.
    pub items: Vec<CompletionItem>,
}

/// Something that can stand at a place of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompletionItem {
    /// The text to put there.
    pub text: String,
    /// What it is.
    pub kind: CompletionKind,
    /// What it means, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// How many sessions have the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// What an item of a completion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionKind {
    /// The name of a field.
    Field,
    /// An operator.
    Operator,
    /// A value of a field.
    Value,
    /// AND, OR or NOT.
    Keyword,
    /// A condition with a name.
    Condition,
}

/// The field whose values can stand at a cursor, and what is typed of the value. The cursor is in code points.
pub fn find_completed_field(text: &str, cursor: usize) -> Option<(Field, String)> {
    match find_expected(text, byte_at(text, cursor)) {
        Expected::Value { subject: Subject::Field(field), typed, .. } => Some((field, typed)),
        _ => None,
    }
}

/// What can stand at a cursor, which is in code points.
pub fn complete(text: &str, cursor: usize, values: &dyn ValueSource) -> Completion {
    let expected = find_expected(text, byte_at(text, cursor));
    let (at, length) = expected.span().code_points(text);
    let mut items = match expected {
        Expected::Nothing(_) => Vec::new(),
        Expected::Value { subject: Subject::Prefix(prefix), typed, .. } => {
            let found = NamedCondition::with_prefix(prefix).filter(|named| has_word(named.name, &typed));
            found.map(|named| item(named.name, CompletionKind::Condition, named.help)).collect()
        }
        Expected::Value { subject: Subject::Field(field), operator, typed, .. } => {
            complete_value(field, operator, &typed, values)
        }
        Expected::Operator { field, .. } => complete_operator(field),
        Expected::Field { typed, .. } => complete_field(&typed, false),
        Expected::Term { typed, after_term, .. } => {
            let (keywords, fields) = (complete_keyword(&typed, after_term), complete_field(&typed, true));
            // One letter is more often the start of a field than of a keyword.
            let is_keyword_first = after_term && typed.chars().count() != 1;
            let [first, second] = if is_keyword_first { [keywords, fields] } else { [fields, keywords] };
            let mut items = [first, second].concat();
            sort_by_start(&mut items, &typed);
            items
        }
    };
    items.truncate(MOST);
    Completion { at, length, items }
}

fn item(text: impl Into<String>, kind: CompletionKind, help: &str) -> CompletionItem {
    CompletionItem { text: text.into(), kind, help: Some(help.to_owned()), count: None }
}

/// Whether a name, or a word in it, begins with a typed text, in any case.
fn has_word(name: &str, typed: &str) -> bool {
    let typed = typed.to_lowercase();
    let starts = name.match_indices(['.', '_', '-']).map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).any(|start| name[start..].starts_with(&typed))
}

/// Puts the items that begin with the typed text before the others.
fn sort_by_start(items: &mut [CompletionItem], typed: &str) {
    let typed = typed.to_lowercase();
    items.sort_by_key(|item| !item.text.trim_start_matches('"').to_lowercase().starts_with(&typed));
}

fn complete_keyword(typed: &str, after_term: bool) -> Vec<CompletionItem> {
    let keywords = [
        ("AND", "Both hold. Two terms side by side mean the same.", true),
        ("OR", "One of both holds. Beside AND it needs parentheses.", true),
        ("NOT", "The next term does not hold. A - before it means the same.", false),
    ];
    let fitting = keywords
        .into_iter()
        .filter(|(word, _, joins)| (after_term || !joins) && word.starts_with(&typed.to_ascii_uppercase()));
    fitting.map(|(word, help, _)| item(format!("{word} "), CompletionKind::Keyword, help)).collect()
}

/// The names of fields; for a new term with what comes next.
fn complete_field(typed: &str, is_new: bool) -> Vec<CompletionItem> {
    let prefixes = PREFIXES.map(|prefix| {
        let names = NamedCondition::with_prefix(prefix).map(|named| named.name).collect::<Vec<_>>();
        let next = if is_new { ":" } else { "" };
        item(format!("{prefix}{next}"), CompletionKind::Field, &format!("A condition: {}.", names.join(", ")))
    });
    let fields = Field::all().map(|field| {
        let next = match is_new {
            true if has_order(field) => " ",
            true => ":",
            false => "",
        };
        item(format!("{}{next}", field.name()), CompletionKind::Field, field.info().help)
    });
    let mut items =
        prefixes.into_iter().chain(fields).filter(|item| has_word(&item.text, typed)).collect::<Vec<_>>();
    sort_by_start(&mut items, typed);
    items
}

fn has_order(field: Field) -> bool {
    matches!(field, Field::Time(_) | Field::Number(_) | Field::Span(_))
}

fn complete_operator(field: Field) -> Vec<CompletionItem> {
    use Operator::{AtLeast, AtMost, Equal, Greater, Has, In, Less, NotEqual};
    let operators: &[Operator] = match field.info().query {
        _ if has_order(field) => &[Greater, Less, AtLeast, AtMost, Has],
        // A moment.
        QueryType::Time => &[Has],
        QueryType::Texts => &[Has],
        _ => &[Has, Equal, NotEqual, In],
    };
    let explain = |operator: Operator| match operator {
        Has if has_order(field) => "Lies in a range: a..b.",
        Has => "Has the value; a star at the end is any rest.",
        Equal => "Is exactly the value.",
        NotEqual => "Is not the value.",
        In => "Is one of a list in parentheses.",
        Less => "Is before, or smaller.",
        AtMost => "Is not after, or not larger.",
        Greater => "Is after, or larger.",
        AtLeast => "Is not before, or not smaller.",
    };
    let write =
        |operator: Operator| if operator == Has { ":".to_owned() } else { format!("{} ", operator.text()) };
    operators.iter().map(|one| item(write(*one), CompletionKind::Operator, explain(*one))).collect()
}
