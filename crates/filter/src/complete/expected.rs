//! What is expected at a cursor.

use crate::ast::Operator;
use crate::fault::FaultList;
use crate::lexer::tokenize;
use crate::named::PREFIXES;
use crate::span::TextSpan;
use crate::token::{Token, TokenKind};
use domain::session::Field;

/// What is expected, with the part of the text that it would replace, and what is typed of it before the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing that can be completed.
    Nothing(TextSpan),
    /// A term, perhaps after others.
    Term { span: TextSpan, typed: String, after_term: bool },
    /// The name of a field that already has an operator.
    Field { span: TextSpan, typed: String },
    /// The operator of a field.
    Operator { span: TextSpan, field: Field },
    /// A value.
    Value { span: TextSpan, subject: Subject, operator: Operator, typed: String },
}

/// What stands before an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Field(Field),
    /// `is` or `has`.
    Prefix(&'static str),
}

impl Expected {
    pub(super) fn span(&self) -> TextSpan {
        match self {
            Expected::Nothing(span)
            | Expected::Term { span, .. }
            | Expected::Field { span, .. }
            | Expected::Operator { span, .. }
            | Expected::Value { span, .. } => *span,
        }
    }
}

/// What is expected at a byte of a text.
pub(super) fn find_expected(text: &str, cursor: usize) -> Expected {
    let tokens = tokenize(&mut FaultList::new(text));
    // The token that the cursor is in, or directly after.
    let current = tokens.iter().position(|token| token.span.start < cursor && cursor <= token.span.end);
    let before = current.unwrap_or_else(|| tokens.partition_point(|token| token.span.end <= cursor));
    let here = TextSpan::empty_at(cursor);
    match current.map(|at| (&tokens[at], &tokens[at].kind)) {
        Some((token, TokenKind::Value { is_quoted, .. })) => {
            let span = if *is_quoted { limit_quoted(token.span, text, cursor) } else { token.span };
            let start = span.start + usize::from(*is_quoted);
            let typed = TextSpan::new(start, cursor.max(start)).slice(text);
            expect_value(&tokens[..before], span, typed)
        }
        Some((_, TokenKind::Operator(_) | TokenKind::Range)) => expect_value(&tokens[..=before], here, ""),
        Some((_, TokenKind::Phrase(_) | TokenKind::Close)) => Expected::Nothing(here),
        Some((token, TokenKind::Not)) if token.span.slice(text).len() == 1 => {
            Expected::Term { span: here, typed: String::new(), after_term: false }
        }
        Some((token, TokenKind::Word(_) | TokenKind::And | TokenKind::Or | TokenKind::Not)) => {
            let typed = TextSpan::new(token.span.start, cursor).slice(text).to_owned();
            let next = tokens.get(before + 1).map(|token| &token.kind);
            match next {
                Some(TokenKind::Operator(_)) => Expected::Field { span: token.span, typed },
                _ => {
                    let after_term = ends_term(&tokens[..before]);
                    Expected::Term { span: token.span, typed, after_term }
                }
            }
        }
        Some((_, TokenKind::Open | TokenKind::Comma)) => expect_more(&tokens[..=before], here),
        None => expect_more(&tokens[..before], here),
    }
}

/// A quoted text that does not end reaches to the end of the text: only what is before the cursor is replaced.
fn limit_quoted(span: TextSpan, text: &str, cursor: usize) -> TextSpan {
    let quoted = span.slice(text);
    let is_closed = quoted.len() > 1 && quoted.ends_with(&quoted[..1]);
    if is_closed { span } else { TextSpan::new(span.start, cursor) }
}

/// Whether a term can be joined to what stands before.
fn ends_term(before: &[Token]) -> bool {
    before.last().is_some_and(|token| {
        matches!(
            token.kind,
            TokenKind::Word(_)
                | TokenKind::Phrase(_)
                | TokenKind::Value { .. }
                | TokenKind::Range
                | TokenKind::Close
        )
    })
}

/// What is expected after some tokens and white space, or after a parenthesis or comma.
fn expect_more(before: &[Token], here: TextSpan) -> Expected {
    match before.last().map(|token| &token.kind) {
        Some(TokenKind::Operator(_)) => expect_value(before, here, ""),
        Some(TokenKind::Open | TokenKind::Comma | TokenKind::Or) if is_in_list(before) => {
            expect_value(before, here, "")
        }
        // In a list, a comma comes next.
        Some(TokenKind::Value { .. }) if is_in_list(before) => Expected::Nothing(here),
        Some(TokenKind::Word(word)) => match Field::parse(word) {
            Some(field) => Expected::Operator { span: here, field },
            None => Expected::Term { span: here, typed: String::new(), after_term: true },
        },
        _ => Expected::Term { span: here, typed: String::new(), after_term: ends_term(before) },
    }
}

fn expect_value(before: &[Token], span: TextSpan, typed: &str) -> Expected {
    let Some((field, operator)) = find_operator(before) else { return Expected::Nothing(span) };
    let prefix = PREFIXES.into_iter().find(|prefix| prefix.eq_ignore_ascii_case(field));
    let subject = prefix.map(Subject::Prefix).or_else(|| Field::parse(field).map(Subject::Field));
    match subject {
        Some(subject) => Expected::Value { span, subject, operator, typed: typed.to_owned() },
        None => Expected::Nothing(span),
    }
}

/// The name before the operator whose value some tokens end in, and the operator.
fn find_operator(before: &[Token]) -> Option<(&str, Operator)> {
    let comparison = match trim_list(before) {
        [comparison @ .., Token { kind: TokenKind::Open, .. }] if is_in_list(before) => comparison,
        _ => trim_end(before, |kind| matches!(kind, TokenKind::Value { .. } | TokenKind::Range)),
    };
    match comparison {
        [
            ..,
            Token { kind: TokenKind::Word(name), .. },
            Token { kind: TokenKind::Operator(operator), .. },
        ] => Some((name, *operator)),
        _ => None,
    }
}

/// Whether some tokens end in a list: its parenthesis follows an operator.
fn is_in_list(before: &[Token]) -> bool {
    use TokenKind::{Open, Operator};
    matches!(trim_list(before), [.., Token { kind: Operator(_), .. }, Token { kind: Open, .. }])
}

/// Some tokens without the values of a list at their end.
fn trim_list(tokens: &[Token]) -> &[Token] {
    trim_end(tokens, |kind| matches!(kind, TokenKind::Value { .. } | TokenKind::Comma | TokenKind::Or))
}

fn trim_end(tokens: &[Token], is_left_out: impl Fn(&TokenKind) -> bool) -> &[Token] {
    let length = tokens.iter().rposition(|token| !is_left_out(&token.kind)).map_or(0, |last| last + 1);
    &tokens[..length]
}
