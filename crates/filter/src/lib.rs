//! The filter language of lists of sessions: `kind:agent state:running created > -24h "flaky test"`.
//!
//! A text goes through these steps:
//!
//! 1. `lexer` divides it into tokens, and `parser` makes a syntax tree (`ast`). Every part knows its place in the text.
//! 2. `check` compares the tree with the fields of [`domain::session::Field`] and makes a [`SessionQuery`]. It reports all
//!    [`Faults`] at once, each with its place and with what is right.
//! 3. `print` writes the query as canonical text, with absolute times. Reading that text gives the same query.
//! 4. [`SessionQuery::names_to_resolve`] says what the server has to look up, such as the owner of a name, and
//!    [`SessionQuery::compile`] makes the filter that the index answers.
//!
//! [`complete`] says what can stand at a place of a text, and [`find_terms`] where its terms are. Both read unfinished texts,
//! too.
//!
//! The crate is pure: no I/O and no clock. Nothing of a text reaches a database.

mod ast;
mod check;
mod compile;
mod complete;
mod fault;
mod lexer;
mod limits;
mod named;
mod nearest;
mod parser;
mod print;
mod query;
mod span;
mod terms;
#[cfg(test)]
mod tests;
mod token;
mod values;

pub use complete::{
    Completion, CompletionItem, CompletionKind, CountedValue, ValueSource, complete, find_completed_field,
};
pub use fault::{Fault, FaultCode, Faults};
pub use limits::{MAX_BYTES, MAX_DEPTH, MAX_FAULTS, MAX_TERMS, MAX_VALUES};
pub use named::{Meaning, NAMED_CONDITIONS, NamedCondition};
pub use query::{Lookup, LookupResult, Resolved, SessionQuery, TextPattern};
pub use terms::{TermPlace, find_terms};

use domain::time::Micros;
use fault::FaultList;
use jiff::tz::TimeZone;
use span::TextSpan;

/// The time of a request, where its caller is.
#[derive(Debug, Clone)]
pub struct LocalTime {
    /// The time.
    pub now: Micros,
    /// The time zone of the caller.
    pub zone: TimeZone,
}

/// Reads a filter. An empty text matches every session.
///
/// # Errors
/// All faults of the text.
pub fn read(text: &str, local: &LocalTime) -> Result<SessionQuery, Faults> {
    let mut faults = FaultList::new(text);
    if text.len() > MAX_BYTES {
        let end = (0..=MAX_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let message = format!("the filter has more than {MAX_BYTES} bytes");
        faults.add(TextSpan::new(end, text.len()), FaultCode::TooLong, message).hint("write a shorter one");
        return faults.into_result(SessionQuery::EVERY);
    }
    let node = parser::parse(&mut faults);
    let condition = check::check(node.as_ref(), local, &mut faults);
    if faults.is_empty() {
        check::check_size(&condition, &mut faults);
    }
    faults.into_result(SessionQuery { condition })
}
