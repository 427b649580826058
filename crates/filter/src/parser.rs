//! The parser. AND binds tighter than OR, but a text with both on one level is refused: people of other languages read
//! it in either way. It goes on after a fault, so that all faults are reported at once.

use crate::ast::{Comparison, Node, NodeKind, Scalar, Value, ValueKind};
use crate::fault::{FaultCode, FaultList};
use crate::lexer::tokenize;
use crate::limits::{MAX_DEPTH, MAX_VALUES};
use crate::readings::write_readings;
use crate::span::Span;
use crate::token::{Token, TokenKind};

/// Parses a text. Without a term, every session is meant.
pub(crate) fn parse(faults: &mut FaultList<'_>) -> Option<Node> {
    let tokens = tokenize(faults);
    let mut parser = Parser { tokens, at: 0, faults, depth: 0 };
    parser.parse_level(None)
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
    pub(crate) terms: Vec<Node>,
    pub(crate) joints: Vec<(Joint, Span)>,
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
    fn here(&self) -> Span {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        Span::before(last.map_or(0, |token| token.span.end))
    }

    /// Parses terms up to the end, or up to the parenthesis that closes `open`.
    fn parse_level(&mut self, open: Option<Span>) -> Option<Node> {
        let mut level = Level::default();
        let mut joint: Option<(Joint, Span)> = None;
        while let Some(token) = self.peek() {
            let span = token.span;
            match token.kind {
                TokenKind::Close if open.is_some() => break,
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
                    if !level.terms.is_empty() {
                        level.joints.push(joint.unwrap_or((Joint::Side, Span::before(term.span.start))));
                    }
                    joint = None;
                    level.terms.push(term);
                }
            }
        }
        if let Some((_, span)) = joint {
            self.report_missing_term(span);
        }
        self.join_level(level)
    }

    fn report_missing_term(&mut self, span: Span) {
        let word = span.slice(self.faults.text).to_owned();
        self.faults
            .add(span, FaultCode::MissingTerm, format!("“{word}” needs a term on both sides"))
            .hint(format!("remove it, or quote it to search for the word: \"{word}\""));
    }

    /// One node of the terms of a level.
    fn join_level(&mut self, mut level: Level) -> Option<Node> {
        let first_or = level.joints.iter().find(|(joint, _)| *joint == Joint::Or).map(|(_, span)| *span);
        let has_and = level.joints.iter().any(|(joint, _)| *joint != Joint::Or);
        if let Some(span) = first_or.filter(|_| has_and) {
            let readings = write_readings(&level, self.faults.text);
            let message = "AND and OR side by side need parentheses";
            let fault = self.faults.add(span, FaultCode::MixedAndOr, message);
            fault.suggestions = readings;
        }
        let span = level.terms.first()?.span.to(level.terms.last()?.span);
        let kind = match (level.terms.len(), first_or) {
            (1, _) => return level.terms.pop(),
            (_, None) => NodeKind::And(level.terms),
            (_, Some(_)) => NodeKind::Or(level.terms),
        };
        Some(Node { span, kind })
    }

    /// Parses one term, which may be negated; `None` for a token that is no part of a term.
    fn parse_unary(&mut self) -> Option<Node> {
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
            return Some(Node::faulty(span));
        }
        let ends = self.peek().is_none_or(|token| {
            matches!(token.kind, TokenKind::Close | TokenKind::And | TokenKind::Or | TokenKind::Comma)
        });
        if ends {
            self.faults
                .add(span, FaultCode::MissingTerm, format!("“{word}” needs a term after it"))
                .hint(format!("remove it, or quote it to search for the word: \"{word}\""));
            return Some(Node::faulty(span));
        }
        let term = self.descend(span, Self::parse_unary)?;
        Some(Node { span: span.to(term.span), kind: NodeKind::Not(Box::new(term)) })
    }

    /// Parses something one level deeper. Too deep, the rest of the text is left out.
    fn descend(&mut self, span: Span, parse: impl FnOnce(&mut Self) -> Option<Node>) -> Option<Node> {
        if self.depth >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} parentheses and negations in each other");
            self.faults.add(span, FaultCode::TooDeep, message).hint("write a simpler filter");
            self.at = self.tokens.len();
            return Some(Node::faulty(span));
        }
        self.depth += 1;
        let node = parse(self);
        self.depth -= 1;
        node
    }

    fn parse_primary(&mut self) -> Option<Node> {
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
                Some(Node::faulty(span))
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

    fn parse_group(&mut self, open: Span) -> Option<Node> {
        let first = self.at;
        let inside = self.descend(open, |parser| parser.parse_level(Some(open)));
        match self.peek() {
            Some(Token { span: close, kind: TokenKind::Close }) => {
                let span = open.to(*close);
                self.at += 1;
                if self.at == first + 1 {
                    self.faults
                        .add(span, FaultCode::Parenthesis, "nothing stands in these parentheses")
                        .hint("remove them");
                }
                Some(Node { span, ..inside.unwrap_or(Node::faulty(span)) })
            }
            // The rest of the text was left out.
            _ if self.faults.has(FaultCode::TooDeep) => inside,
            _ => {
                self.report_open_parenthesis(open);
                inside
            }
        }
    }

    fn report_open_parenthesis(&mut self, open: Span) {
        self.faults.add(open, FaultCode::Parenthesis, "this parenthesis is not closed").hint("add )");
    }

    /// Parses a comparison, or a word to search for.
    fn parse_term(&mut self, word: Scalar) -> Option<Node> {
        let Some(Token { span: operator_span, kind: TokenKind::Operator(operator) }) = self.peek().cloned()
        else {
            return Some(Node { span: word.span, kind: NodeKind::Word(word) });
        };
        self.at += 1;
        if word.is_quoted {
            self.faults
                .add(word.span, FaultCode::Unexpected, "a field has no quotes")
                .hint("remove the quotes, or the operator");
        }
        let Some(value) = self.parse_value(operator_span) else {
            return Some(Node::faulty(word.span.to(operator_span)));
        };
        let span = word.span.to(value.span);
        let comparison = Comparison { field: word, operator, operator_span, value };
        Some(Node { span, kind: NodeKind::Comparison(comparison) })
    }

    /// Parses the value after an operator.
    fn parse_value(&mut self, operator: Span) -> Option<Value> {
        match self.peek().map(|token| (token.span, &token.kind)) {
            Some((open, TokenKind::Open)) => {
                self.at += 1;
                self.parse_list(open)
            }
            Some((_, TokenKind::Value { .. } | TokenKind::Range)) => self.parse_range(),
            _ => {
                let text = operator.slice(self.faults.text).to_owned();
                self.faults
                    .add(operator, FaultCode::Incomplete, format!("there is no value after “{text}”"))
                    .hint("add a value, or * for any");
                None
            }
        }
    }

    /// Parses one text, or a range.
    fn parse_range(&mut self) -> Option<Value> {
        let from = self.take_scalar();
        let Some(range) = self.peek().filter(|token| token.kind == TokenKind::Range).map(|token| token.span)
        else {
            let one = from?;
            let span = one.span;
            let is_any = one.text == "*" && !one.is_quoted;
            return Some(Value { span, kind: if is_any { ValueKind::Any } else { ValueKind::One(one) } });
        };
        self.at += 1;
        let until = self.take_scalar();
        let start = from.as_ref().map_or(range, |from| from.span);
        let span = start.to(until.as_ref().map_or(range, |until| until.span));
        let again = self.peek().filter(|token| token.kind == TokenKind::Range).map(|token| token.span);
        if from.is_none() && until.is_none() || again.is_some() {
            self.faults
                .add(again.unwrap_or(span), FaultCode::Incomplete, "a range has one or two ends")
                .hint("write it as in created:-7d.. or usage.acus:1..5");
            return None;
        }
        Some(Value { span, kind: ValueKind::Range(from, until) })
    }

    fn take_scalar(&mut self) -> Option<Scalar> {
        let Token { span, kind: TokenKind::Value { text, is_quoted } } = self.peek()?.clone() else {
            return None;
        };
        self.at += 1;
        Some(Scalar { span, text, is_quoted })
    }

    /// Parses the values after an opening parenthesis; `None` without any.
    fn parse_list(&mut self, open: Span) -> Option<Value> {
        let mut values = Vec::new();
        let mut expects_value = true;
        loop {
            if let Some(value) = self.take_scalar() {
                if !expects_value {
                    self.faults
                        .add(value.span, FaultCode::Unexpected, "there is no comma before this value")
                        .hint("separate the values of a list by commas");
                }
                if values.len() == MAX_VALUES {
                    let message = format!("more than {MAX_VALUES} values in a list");
                    self.faults.add(value.span, FaultCode::TooManyValues, message).hint("write fewer values");
                }
                values.push(value);
                expects_value = false;
                continue;
            }
            let Some(Token { span, kind }) = self.next() else {
                self.report_open_parenthesis(open);
                break;
            };
            match kind {
                TokenKind::Comma | TokenKind::Or if !expects_value => expects_value = true,
                TokenKind::Close if !expects_value => break,
                TokenKind::Comma | TokenKind::Or | TokenKind::Close => {
                    self.faults
                        .add(span, FaultCode::Incomplete, "a value is missing in this list")
                        .hint("write a list as in state:(queued, holding)");
                    if kind == TokenKind::Close {
                        break;
                    }
                }
                _ => {
                    self.faults
                        .add(span, FaultCode::Unexpected, "this cannot stand in a list")
                        .hint("a list has single values");
                }
            }
        }
        let span = open.to(self.here());
        (!values.is_empty()).then_some(Value { span, kind: ValueKind::List(values) })
    }
}
