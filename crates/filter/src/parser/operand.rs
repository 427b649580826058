//! What stands after an operator: one text, a list or a range.

use super::Parser;
use crate::ast::{Operand, OperandKind, Scalar};
use crate::fault::FaultCode;
use crate::limits::MAX_VALUES;
use crate::span::TextSpan;
use crate::token::{Token, TokenKind};

impl Parser<'_, '_> {
    /// Parses the value after an operator.
    pub(super) fn parse_value(&mut self, operator: TextSpan) -> Option<Operand> {
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
    fn parse_range(&mut self) -> Option<Operand> {
        let from = self.take_scalar();
        let Some(range) = self.peek().filter(|token| token.kind == TokenKind::Range).map(|token| token.span)
        else {
            let one = from?;
            let span = one.span;
            let is_any = one.text == "*" && !one.is_quoted;
            return Some(Operand {
                span,
                kind: if is_any { OperandKind::Any } else { OperandKind::One(one) },
            });
        };
        self.at += 1;
        let until = self.take_scalar();
        let start = from.as_ref().map_or(range, |from| from.span);
        let span = start.extend_to(until.as_ref().map_or(range, |until| until.span));
        let again = self.peek().filter(|token| token.kind == TokenKind::Range).map(|token| token.span);
        if from.is_none() && until.is_none() || again.is_some() {
            self.faults
                .add(again.unwrap_or(span), FaultCode::Incomplete, "a range has one or two ends")
                .hint("write it as in created:-7d.. or usage.acus:1..5");
            return None;
        }
        Some(Operand { span, kind: OperandKind::Range(from, until) })
    }

    fn take_scalar(&mut self) -> Option<Scalar> {
        let Token { span, kind: TokenKind::Value { text, is_quoted } } = self.peek()?.clone() else {
            return None;
        };
        self.at += 1;
        Some(Scalar { span, text, is_quoted })
    }

    /// Parses the values after an opening parenthesis; `None` without any.
    fn parse_list(&mut self, open: TextSpan) -> Option<Operand> {
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
        let span = open.extend_to(self.here());
        (!values.is_empty()).then_some(Operand { span, kind: OperandKind::List(values) })
    }
}
