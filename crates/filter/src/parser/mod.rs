//! The parser, by recursive descent: a level has terms that are joined by AND or by OR. Both on one level are refused,
//! because people of other languages read that in either way. The parser goes on after a fault, so that all faults are
//! reported at once.

mod operand;
mod readings;

use crate::ast::{Comparison, NodeKind, Scalar, SyntaxNode};
use crate::fault::{FaultCode, FaultList};
use crate::lexer::tokenize;
use crate::limits::MAX_DEPTH;
use crate::span::TextSpan;
use crate::token::{Token, TokenKind};
use readings::write_readings;

/// Parses a text. Without a term, every session is meant.
pub(crate) fn parse(faults: &mut FaultList<'_>) -> Option<SyntaxNode> {
    let tokens = tokenize(faults);
    let mut parser = Parser { tokens, at: 0, faults, depth: 0 };
    parser.parse_level(false)
}

/// How two terms are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    /// They stand side by side.
    Side,
    And,
    Or,
}

struct Parser<'f, 't> {
    tokens: Vec<Token>,
    at: usize,
    faults: &'f mut FaultList<'t>,
    depth: usize,
}

/// The terms of one level, with the joints between them.
#[derive(Default)]
pub(crate) struct Level {
    pub(crate) terms: Vec<SyntaxNode>,
    pub(crate) joints: Vec<(Joint, TextSpan)>,
}

impl Parser<'_, '_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    /// The place after the last token that was taken.
    fn here(&self) -> TextSpan {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        TextSpan::empty_at(last.map_or(0, |token| token.span.end))
    }

    /// Parses terms up to the end; in parentheses up to the closing one.
    fn parse_level(&mut self, in_parentheses: bool) -> Option<SyntaxNode> {
        let mut level = Level::default();
        let mut joint: Option<(Joint, TextSpan)> = None;
        while let Some(token) = self.peek() {
            let span = token.span;
            match token.kind {
                TokenKind::Close if in_parentheses => break,
                TokenKind::Close => {
                    self.at += 1;
                    self.faults
                        .add(span, FaultCode::Parenthesis, "this parenthesis closes nothing")
                        .hint("remove it, or open one before");
                }
                TokenKind::And | TokenKind::Or => {
                    let next = if token.kind == TokenKind::And { Joint::And } else { Joint::Or };
                    self.at += 1;
                    if level.terms.is_empty() || joint.is_some() {
                        self.report_missing_term(span);
                    }
                    joint = joint.or(Some((next, span)).filter(|_| !level.terms.is_empty()));
                }
                _ => {
                    let Some(term) = self.parse_unary() else { continue };
                    let side_by_side = (Joint::Side, TextSpan::empty_at(term.span.start));
                    if !level.terms.is_empty() {
                        level.joints.push(joint.take().unwrap_or(side_by_side));
                    }
                    level.terms.push(term);
                }
            }
        }
        if let Some((_, span)) = joint {
            self.report_missing_term(span);
        }
        self.join_level(level)
    }

    fn report_missing_term(&mut self, span: TextSpan) {
        let word = span.slice(self.faults.text).to_owned();
        self.faults
            .add(span, FaultCode::MissingTerm, format!("“{word}” needs a term on both sides"))
            .hint(format!("remove it, or quote it to search for the word: \"{word}\""));
    }

    /// One node of the terms of a level.
    fn join_level(&mut self, mut level: Level) -> Option<SyntaxNode> {
        let first_or = level.joints.iter().find(|(joint, _)| *joint == Joint::Or).map(|(_, span)| *span);
        let has_and = level.joints.iter().any(|(joint, _)| *joint != Joint::Or);
        if let Some(span) = first_or.filter(|_| has_and) {
            let readings = write_readings(&level, self.faults.text);
            let message = "AND and OR side by side need parentheses";
            let fault = self.faults.add(span, FaultCode::MixedAndOr, message);
            fault.suggestions = readings;
        }
        let span = level.terms.first()?.span.extend_to(level.terms.last()?.span);
        let kind = match (level.terms.len(), first_or) {
            (1, _) => return level.terms.pop(),
            (_, None) => NodeKind::And(level.terms),
            (_, Some(_)) => NodeKind::Or(level.terms),
        };
        Some(SyntaxNode { span, kind })
    }

    /// Parses one term, which may be negated; `None` for a token that is no part of a term.
    fn parse_unary(&mut self) -> Option<SyntaxNode> {
        if self.peek()?.kind != TokenKind::Not {
            return self.parse_primary();
        }
        let span = self.next()?.span;
        let follows = self.peek().map(|token| token.span.start);
        let word = span.slice(self.faults.text).to_owned();
        if word.len() == 1 && follows != Some(span.end) {
            self.faults
                .add(span, FaultCode::MissingTerm, format!("“{word}” stands alone"))
                .hint(format!("write it before a term, without a space, or quote it: \"{word}\""));
            return Some(SyntaxNode::faulty(span));
        }
        let ends = self.peek().is_none_or(|token| {
            matches!(token.kind, TokenKind::Close | TokenKind::And | TokenKind::Or | TokenKind::Comma)
        });
        if ends {
            self.faults
                .add(span, FaultCode::MissingTerm, format!("“{word}” needs a term after it"))
                .hint(format!("remove it, or quote it to search for the word: \"{word}\""));
            return Some(SyntaxNode::faulty(span));
        }
        let term = self.descend(span, Self::parse_unary)?;
        Some(SyntaxNode { span: span.extend_to(term.span), kind: NodeKind::Not(Box::new(term)) })
    }

    /// Parses something one level deeper. Too deep, the rest of the text is left out.
    fn descend(
        &mut self,
        span: TextSpan,
        parse: impl FnOnce(&mut Self) -> Option<SyntaxNode>,
    ) -> Option<SyntaxNode> {
        if self.depth >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} parentheses and negations in each other");
            self.faults.add(span, FaultCode::TooDeep, message).hint("write a simpler filter");
            self.at = self.tokens.len();
            return Some(SyntaxNode::faulty(span));
        }
        self.depth += 1;
        let node = parse(self);
        self.depth -= 1;
        node
    }

    fn parse_primary(&mut self) -> Option<SyntaxNode> {
        let Token { span, kind } = self.next()?;
        match kind {
            TokenKind::Open => self.parse_group(span),
            TokenKind::Word(text) => self.parse_term(Scalar { span, text, is_quoted: false }),
            TokenKind::Phrase(text) => self.parse_term(Scalar { span, text, is_quoted: true }),
            TokenKind::Operator(_) => {
                self.faults
                    .add(span, FaultCode::Incomplete, "there is no field before this operator")
                    .hint("quote the word to search for it");
                self.parse_value(span);
                Some(SyntaxNode::faulty(span))
            }
            TokenKind::Comma => {
                self.faults
                    .add(span, FaultCode::Unexpected, "a comma stands only in a list")
                    .hint("a list has parentheses: tags:(smoke, nightly)");
                None
            }
            // The lexer has reported these.
            _ => None,
        }
    }

    fn parse_group(&mut self, open: TextSpan) -> Option<SyntaxNode> {
        let first = self.at;
        let inside = self.descend(open, |parser| parser.parse_level(true));
        match self.peek() {
            Some(Token { span: close, kind: TokenKind::Close }) => {
                let span = open.extend_to(*close);
                self.at += 1;
                if self.at == first + 1 {
                    self.faults
                        .add(span, FaultCode::Parenthesis, "nothing stands in these parentheses")
                        .hint("remove them");
                }
                Some(SyntaxNode { span, ..inside.unwrap_or(SyntaxNode::faulty(span)) })
            }
            // The rest of the text was left out.
            _ if self.faults.has(FaultCode::TooDeep) => inside,
            _ => {
                self.report_open_parenthesis(open);
                inside
            }
        }
    }

    fn report_open_parenthesis(&mut self, open: TextSpan) {
        self.faults.add(open, FaultCode::Parenthesis, "this parenthesis is not closed").hint("add )");
    }

    /// Parses a comparison, or a word to search for.
    fn parse_term(&mut self, word: Scalar) -> Option<SyntaxNode> {
        let Some(Token { span: operator_span, kind: TokenKind::Operator(operator) }) = self.peek().cloned()
        else {
            return Some(SyntaxNode { span: word.span, kind: NodeKind::Word(word) });
        };
        self.at += 1;
        if word.is_quoted {
            self.faults
                .add(word.span, FaultCode::Unexpected, "a field has no quotes")
                .hint("remove the quotes, or the operator");
        }
        let Some(value) = self.parse_value(operator_span) else {
            return Some(SyntaxNode::faulty(word.span.extend_to(operator_span)));
        };
        let span = word.span.extend_to(value.span);
        let comparison = Comparison { field: word, operator, operator_span, value };
        Some(SyntaxNode { span, kind: NodeKind::Comparison(comparison) })
    }
}
