//! What is wrong with a text, and where.

use crate::limits::MAX_FAULTS;
use crate::span::{TextSpan, byte_at};
use serde::Serialize;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// The text has too many bytes.
    TooLong,
    /// Parentheses and negations are nested too deep.
    TooDeep,
    /// There are too many comparisons and words.
    TooManyTerms,
    /// A list has too many values.
    TooManyValues,
    /// Something stands where it has no meaning.
    Unexpected,
    /// A comparison has no field, or no value.
    Incomplete,
    /// AND, OR or NOT has nothing to act on.
    MissingTerm,
    /// A parenthesis has no partner, or nothing stands in parentheses.
    Parenthesis,
    /// A quoted text does not end, or has an unknown escape.
    Quotation,
    /// An operator of another language.
    ForeignOperator,
    /// AND and OR stand side by side without parentheses.
    MixedAndOr,
    /// A field that does not exist.
    UnknownField,
    /// A condition of `is:` or `has:` that does not exist.
    UnknownCondition,
    /// A range that ends before it begins.
    EmptyRange,
    /// A value that the field cannot have.
    UnknownValue,
    /// An operator that the field does not have.
    WrongOperator,
    /// A star elsewhere than at the end.
    Wildcard,
    /// A time that cannot be read.
    NotATime,
    /// A length of time that cannot be read.
    NotADuration,
    /// A number that cannot be read.
    NotANumber,
    /// An id that cannot be read.
    NotAnId,
    /// An address or network that cannot be read.
    NotAnAddress,
}

/// What is wrong with one place of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where it begins, in Unicode code points from the start of the text.
    pub at: usize,
    /// How many code points it has. A fault about something that is missing has none.
    pub length: usize,
    /// What kind of fault it is.
    pub code: FaultCode,
    /// What is wrong.
    pub message: String,
    /// What is right, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Texts that can replace the place; of [`FaultCode::MixedAndOr`] the two readings of the whole.
    pub suggestions: Vec<String>,
}

/// All faults of a text, in the order of their places. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// The text with carets below each fault, as the command line prints it.
    pub fn render(&self, text: &str) -> String {
        let mut out = String::new();
        for fault in &self.0 {
            fault.render(text, &mut out);
        }
        if self.0.iter().any(|fault| fault.code == FaultCode::UnknownField) {
            out.push_str("hint: tenure sessions fields\n");
        }
        out
    }
}

impl Fault {
    fn render(&self, text: &str, out: &mut String) {
        let at = byte_at(text, self.at);
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = text[start..].split('\n').next().unwrap_or_default();
        let column = text[start..at].chars().count();
        let left = line.chars().count().saturating_sub(column);
        let carets = "^".repeat(self.length.min(left).max(1));
        let mut write = |line: String| {
            out.push_str(line.trim_end());
            out.push('\n');
        };
        write(format!("error: {}", make_printable(&self.message)));
        write(format!("  │ {}", make_printable(line)));
        let hint = self.hint.as_deref().map(make_printable).unwrap_or_default();
        write(format!("  │ {}{carets} {hint}", " ".repeat(column)));
        if let (FaultCode::MixedAndOr, [either, or]) = (self.code, &self.suggestions[..]) {
            write(format!("  │ either  {}", make_printable(either)));
            write(format!("  │ or      {}", make_printable(or)));
        }
    }
}

/// A text whose control characters cannot act on a terminal. It has as many characters as before.
fn make_printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Collects the faults of a text.
#[derive(Debug)]
pub(crate) struct FaultList<'t> {
    pub(crate) text: &'t str,
    found: Vec<Fault>,
}

impl<'t> FaultList<'t> {
    pub(crate) fn new(text: &'t str) -> FaultList<'t> {
        FaultList { text, found: Vec::new() }
    }

    /// Adds a fault. Its hint and suggestions can be set then.
    pub(crate) fn add(&mut self, span: TextSpan, code: FaultCode, message: impl Into<String>) -> &mut Fault {
        let (at, length) = span.code_points(self.text);
        let fault = Fault { at, length, code, message: message.into(), hint: None, suggestions: Vec::new() };
        let position = self.found.partition_point(|other| other.at <= at);
        self.found.insert(position, fault);
        &mut self.found[position]
    }

    /// Whether there is a fault of this kind.
    pub(crate) fn has(&self, code: FaultCode) -> bool {
        self.found.iter().any(|fault| fault.code == code)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What was read, if there is no fault. Of several faults of one place, the first one is kept.
    pub(crate) fn into_result<T>(mut self, read: T) -> Result<T, Faults> {
        self.found.dedup_by(|next, kept| (next.at, next.length) == (kept.at, kept.length));
        self.found.truncate(MAX_FAULTS);
        if self.found.is_empty() { Ok(read) } else { Err(Faults(self.found)) }
    }
}

impl Fault {
    /// Sets the hint.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Fault {
        self.hint = Some(hint.into());
        self
    }

    /// Sets texts that can replace the place. Without another hint, they become the hint.
    pub(crate) fn suggest(&mut self, suggestions: Vec<String>) -> &mut Fault {
        if self.hint.is_none() && !suggestions.is_empty() {
            let quoted = suggestions.iter().map(|one| format!("“{one}”")).collect::<Vec<_>>();
            self.hint = Some(format!("did you mean {}?", quoted.join(" or ")));
        }
        self.suggestions = suggestions;
        self
    }
}
