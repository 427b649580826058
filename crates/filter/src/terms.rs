//! The places of the terms in a text, for whoever paints it.

use crate::ast::{NodeKind, SyntaxNode};
use crate::fault::FaultList;
use crate::parser::parse;
use crate::span::TextSpan;
use serde::Serialize;

/// A term of a text: a comparison, or a word to search for. Places are in code points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TermPlace {
    /// Where it begins.
    pub at: usize,
    /// How long it is.
    pub length: usize,
    /// Where its value begins; `None` of a word.
    pub value_at: Option<usize>,
    /// Whether it is negated.
    pub is_negated: bool,
}

/// The terms of a text, which may have faults. Those that cannot be read are left out.
pub fn find_terms(text: &str) -> Vec<TermPlace> {
    let mut terms = Vec::new();
    if text.len() <= crate::MAX_BYTES
        && let Some(node) = parse(&mut FaultList::new(text))
    {
        visit_terms(&node, text, false, &mut terms);
    }
    terms
}

fn visit_terms(node: &SyntaxNode, text: &str, is_negated: bool, terms: &mut Vec<TermPlace>) {
    let value = match &node.kind {
        NodeKind::And(nodes) | NodeKind::Or(nodes) => {
            return nodes.iter().for_each(|node| visit_terms(node, text, is_negated, terms));
        }
        NodeKind::Not(node) => return visit_terms(node, text, !is_negated, terms),
        NodeKind::Faulty => return,
        NodeKind::Comparison(comparison) => Some(comparison.value.span),
        NodeKind::Word(_) => None,
    };
    let (at, length) = node.span.code_points(text);
    let value_at = value.map(|value| TextSpan::empty_at(value.start).code_points(text).0);
    terms.push(TermPlace { at, length, value_at, is_negated });
}
