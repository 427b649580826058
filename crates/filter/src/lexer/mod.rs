//! The lexer. What a character means depends on what is expected: where a value is expected, almost everything up to the
//! next white space belongs to it, so that addresses, times and paths need no quotes.

mod quoted;

use crate::ast::Operator;
use crate::fault::{FaultCode, FaultList};
use crate::span::TextSpan;
use crate::token::{Token, TokenKind};

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Term,
    /// The value of a comparison.
    Value,
    /// More of the same value, if no white space comes before: a range.
    MoreOfValue,
    /// Values up to a closing parenthesis.
    List,
}

/// The operators, longest first, each with what it means here. Those of other languages are refused.
const OPERATORS: &[(&str, Operator, bool)] = &[
    ("===", Operator::Equal, false),
    ("!==", Operator::NotEqual, false),
    (":>=", Operator::AtLeast, false),
    (":<=", Operator::AtMost, false),
    ("==", Operator::Equal, false),
    ("=~", Operator::Has, false),
    ("!~", Operator::NotEqual, false),
    ("<>", Operator::NotEqual, false),
    ("=>", Operator::AtLeast, false),
    ("=<", Operator::AtMost, false),
    (":>", Operator::Greater, false),
    (":<", Operator::Less, false),
    (":=", Operator::Equal, false),
    ("!=", Operator::NotEqual, true),
    ("<=", Operator::AtMost, true),
    (">=", Operator::AtLeast, true),
    (":", Operator::Has, true),
    ("=", Operator::Equal, true),
    ("<", Operator::Less, true),
    (">", Operator::Greater, true),
];

/// Divides a text into tokens.
pub(crate) fn tokenize(faults: &mut FaultList<'_>) -> Vec<Token> {
    let mut lexer = Lexer { text: faults.text, faults, at: 0, mode: Mode::Term, tokens: Vec::new() };
    while lexer.read_token() {}
    lexer.tokens
}

struct Lexer<'f, 't> {
    text: &'t str,
    faults: &'f mut FaultList<'t>,
    at: usize,
    mode: Mode,
    tokens: Vec<Token>,
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// Whether a character ends a text without quotes, everywhere.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_quote(c) || matches!(c, '(' | ')' | ',')
}

impl<'t> Lexer<'_, 't> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Adds a token of the next `length` bytes.
    fn push(&mut self, length: usize, kind: TokenKind) {
        self.tokens.push(Token { span: TextSpan::new(self.at, self.at + length), kind });
        self.at += length;
    }

    /// Reads the next token. Returns whether there was one.
    fn read_token(&mut self) -> bool {
        let rest = self.rest();
        let skipped = rest.len() - rest.trim_start().len();
        self.at += skipped;
        if skipped > 0 && self.mode == Mode::MoreOfValue {
            self.mode = Mode::Term;
        }
        let Some(next) = self.rest().chars().next() else { return false };
        match (self.mode, next) {
            (Mode::Value, '(') => {
                self.push(1, TokenKind::Open);
                self.mode = Mode::List;
            }
            (Mode::List, ')') => {
                self.push(1, TokenKind::Close);
                self.mode = Mode::Term;
            }
            (_, '(') => self.push(1, TokenKind::Open),
            (_, ')') => self.push(1, TokenKind::Close),
            (_, ',') => self.push(1, TokenKind::Comma),
            (Mode::Term, _) => return self.read_term(next),
            (mode, _) => return self.read_value(mode, next, skipped > 0),
        }
        if matches!(self.mode, Mode::Value | Mode::MoreOfValue) {
            self.mode = Mode::Term;
        }
        true
    }

    /// Reads a token where a term is expected.
    fn read_term(&mut self, next: char) -> bool {
        if is_quote(next) {
            let start = self.at;
            let text = self.read_quoted(next);
            self.tokens.push(Token { span: TextSpan::new(start, self.at), kind: TokenKind::Phrase(text) });
        } else if let Some((text, operator, is_ours)) = self.find_operator() {
            if !is_ours {
                self.refuse_operator(text, operator.text());
            }
            self.push(text.len(), TokenKind::Operator(operator));
            self.mode = Mode::Value;
        } else if let Some((text, kind, ours)) = self.find_foreign_keyword() {
            self.refuse_operator(text, ours);
            self.push(text.len(), kind);
        } else if matches!(next, '-' | '!') {
            self.push(1, TokenKind::Not);
        } else {
            self.read_word();
        }
        true
    }

    fn find_operator(&self) -> Option<(&'static str, Operator, bool)> {
        OPERATORS.iter().copied().find(|(text, ..)| self.rest().starts_with(text))
    }

    fn find_foreign_keyword(&self) -> Option<(&'static str, TokenKind, &'static str)> {
        [("&&", TokenKind::And, "AND"), ("||", TokenKind::Or, "OR")]
            .into_iter()
            .find(|(text, ..)| self.rest().starts_with(text))
    }

    fn refuse_operator(&mut self, text: &str, ours: &str) {
        let span = TextSpan::new(self.at, self.at + text.len());
        let message = format!("there is no operator “{text}”");
        self.faults
            .add(span, FaultCode::ForeignOperator, message)
            .hint(format!("write {ours}"))
            .suggest(vec![ours.to_owned()]);
    }

    /// Reads a word where a term is expected: a keyword, a field, or a word to search for.
    fn read_word(&mut self) {
        let rest = self.rest();
        let ends = |(at, c): (usize, char)| {
            let rest = &rest[at..];
            is_separator(c)
                || matches!(c, ':' | '=' | '<' | '>')
                || ["!=", "!~", "&&", "||"].iter().any(|operator| rest.starts_with(operator))
        };
        let length = rest.char_indices().find(|next| ends(*next)).map_or(rest.len(), |(at, _)| at);
        let word = &rest[..length];
        let span = TextSpan::new(self.at, self.at + length);
        if word.starts_with("..") {
            self.faults
                .add(span, FaultCode::Unexpected, "a range has no spaces")
                .hint("write it as in created:-7d..-1d");
        }
        if let Some(keyword) = TokenKind::find_keyword(word) {
            return self.push(length, keyword);
        }
        if word.eq_ignore_ascii_case("in") {
            if rest[length..].trim_start().starts_with('(') {
                self.push(length, TokenKind::Operator(Operator::In));
                self.mode = Mode::Value;
                return;
            }
            self.faults
                .add(span, FaultCode::Incomplete, "IN needs a list in parentheses")
                .hint(format!("write state IN (queued, holding), or \"{word}\" to search for the word"))
                .suggest(vec![format!("\"{word}\"")]);
        }
        self.push(length, TokenKind::Word(word.to_owned()));
    }

    /// Reads a token where a value is expected.
    fn read_value(&mut self, mode: Mode, next: char, after_space: bool) -> bool {
        if mode == Mode::MoreOfValue {
            self.expect_range();
        }
        if self.rest().starts_with("..") {
            self.push(2, TokenKind::Range);
            self.continue_value();
            return true;
        }
        if is_quote(next) {
            let start = self.at;
            let kind = TokenKind::Value { text: self.read_quoted(next), is_quoted: true };
            self.tokens.push(Token { span: TextSpan::new(start, self.at), kind });
            self.continue_value();
            return true;
        }
        let rest = self.rest();
        let ends = |(at, c): (usize, char)| is_separator(c) || rest[at..].starts_with("..");
        let length = rest.char_indices().find(|next| ends(*next)).map_or(rest.len(), |(at, _)| at);
        let text = &rest[..length];
        let keyword = TokenKind::find_keyword(text);
        match (mode, keyword) {
            (Mode::List, Some(TokenKind::Or)) => self.push(length, TokenKind::Or),
            // The value is missing: `state: AND …`.
            (Mode::Value, Some(keyword)) if after_space => {
                self.push(length, keyword);
                self.mode = Mode::Term;
            }
            _ => {
                self.check_value_start(text);
                self.push(length, TokenKind::Value { text: text.to_owned(), is_quoted: false });
                self.continue_value();
            }
        }
        true
    }

    fn continue_value(&mut self) {
        if self.mode == Mode::Value {
            self.mode = Mode::MoreOfValue;
        }
    }

    /// Two texts of one value have `..` between them.
    fn expect_range(&mut self) {
        let after_text = matches!(self.tokens.last(), Some(Token { kind: TokenKind::Value { .. }, .. }));
        if after_text && !self.rest().starts_with("..") {
            let span = TextSpan::empty_at(self.at);
            self.faults
                .add(span, FaultCode::Quotation, "a quoted text and another text need a space between them")
                .hint("quote the whole value");
        }
    }

    /// A value that begins like an operator is a mistake, unless it is quoted or an address such as `::1`.
    fn check_value_start(&mut self, text: &str) {
        if text.starts_with([':', '=', '<', '>', '!']) && !text.starts_with("::") {
            let span = TextSpan::new(self.at, self.at + text.len());
            self.faults
                .add(span, FaultCode::Unexpected, format!("no value begins like “{text}”"))
                .hint("quote it, or write one operator, or - before the field for NOT");
        }
    }
}
