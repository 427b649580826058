//! Tokens: the smallest parts of a text with a meaning.

use crate::ast::Operator;
use crate::span::TextSpan;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Where it is.
    pub(crate) span: TextSpan,
    /// What it is.
    pub(crate) kind: TokenKind,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A word where a term is expected: the name of a field, or a word to search for.
    Word(String),
    /// A quoted text where a term is expected.
    Phrase(String),
    /// A text where a value is expected.
    Value {
        text: String,
        is_quoted: bool,
    },
    /// `..`, where a value is expected.
    Range,
    Operator(Operator),
    Open,
    Close,
    Comma,
    And,
    Or,
    /// `NOT`, `-` or `!`.
    Not,
}

impl TokenKind {
    /// The keyword that a word is, in any case.
    pub(crate) fn find_keyword(word: &str) -> Option<TokenKind> {
        [("and", TokenKind::And), ("or", TokenKind::Or), ("not", TokenKind::Not)]
            .into_iter()
            .find_map(|(name, kind)| word.eq_ignore_ascii_case(name).then_some(kind))
    }
}
