//! The syntax tree: what the text says, before anything is known of fields and values.

use crate::span::TextSpan;

/// A part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxNode {
    /// Where it is, with its parentheses.
    pub span: TextSpan,
    /// What it is.
    pub kind: NodeKind,
}

impl SyntaxNode {
    /// A term that could not be read.
    pub(crate) fn faulty(span: TextSpan) -> SyntaxNode {
        SyntaxNode { span, kind: NodeKind::Faulty }
    }
}

/// What a part of the text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// All of these.
    And(Vec<SyntaxNode>),
    /// One of these.
    Or(Vec<SyntaxNode>),
    /// Not this.
    Not(Box<SyntaxNode>),
    /// A field is compared with a value.
    Comparison(Comparison),
    /// A word or phrase that is searched for.
    Word(Scalar),
    /// A term that could not be read. Its fault was reported.
    Faulty,
}

/// A field, an operator and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The name of the field.
    pub field: Scalar,
    /// The operator.
    pub operator: Operator,
    /// Where the operator is.
    pub operator_span: TextSpan,
    /// The value.
    pub value: Operand,
}

/// One text of a value, without quotes and escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Where it is, with its quotes.
    pub span: TextSpan,
    /// The text.
    pub text: String,
    /// Whether it stands in quotes.
    pub is_quoted: bool,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// Where it is.
    pub span: TextSpan,
    /// What it is.
    pub kind: OperandKind,
}

/// The form of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperandKind {
    /// Any value: `*`.
    Any,
    /// One text.
    One(Scalar),
    /// One of several texts.
    List(Vec<Scalar>),
    /// From one text up to another. At least one of them is there.
    Range(Option<Scalar>, Option<Scalar>),
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `:`
    Has,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `IN`
    In,
}

impl Operator {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Operator::Has => ":",
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::AtMost => "<=",
            Operator::Greater => ">",
            Operator::AtLeast => ">=",
            Operator::In => "IN",
        }
    }
}
