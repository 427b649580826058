//! A checked query: what the text means, and what has to be looked up before it can be answered.

use crate::ast::Operator;
use crate::named::NamedCondition;
use domain::ids::{PrincipalId, SessionId};
use domain::network::Network;
use domain::session::{Field, FieldWord, NumberField, SpanField, TimeField, ValueField};
use domain::time::Micros;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A filter that was read and checked. Its times are absolute; lengths of time and `me` stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionQuery {
    pub(crate) condition: Condition,
}

/// A condition on sessions. Lists of conditions are flat: no `All` is directly in an `All`, and none has one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// The field has a value. Of a flag: it is true.
    Present(Field),
    /// The field has one of the values.
    Values(ValueField, Vec<ValuePattern>),
    Ids(Vec<SessionId>),
    /// The operators of this and the next two are comparisons of order.
    Time(TimeField, Operator, Micros),
    /// The operator can be [`Operator::Equal`], too.
    Number(NumberField, Operator, i64),
    /// In microseconds.
    Span(SpanField, Operator, i64),
    ActiveAt(Micros),
    Title(TextPattern),
    /// A condition with a name, and what it means.
    Named(NamedCondition, Box<Condition>),
    /// The session started others. It is only the meaning of a condition with a name.
    Parents,
    Word(String),
}

/// What a value has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValuePattern {
    Text(TextPattern),
    Network(Network),
    Id(Uuid),
    /// The caller.
    Me,
    Word(FieldWord),
}

/// What a text has to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextPattern {
    /// Exactly this text.
    Exact(String),
    /// A text that begins with this one.
    Prefix(String),
    /// A text that contains this one, in any case. Only of titles.
    Contains(String),
}

/// What only the server can look up. It answers with a [`LookupResult`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// Users and service users by address or name: [`LookupResult::ids`].
    Owner(TextPattern),
    /// Agents by name: [`LookupResult::ids`].
    Agent(TextPattern),
    /// Organizations by name: [`LookupResult::ids`].
    Organization(TextPattern),
    /// Sessions by title: [`LookupResult::sessions`].
    Title(TextPattern),
    /// A word or phrase: [`LookupResult::sessions`] by titles and previews, [`LookupResult::ids`] of owners and
    /// [`LookupResult::device_names`] by their names.
    Word(String),
    /// The sessions that started others: [`LookupResult::sessions`]. They are the values of [`ValueField::Parent`] that the list
    /// has.
    Parents,
}

/// What a look-up has found. Empty, it matches no session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LookupResult {
    /// Ids of what was looked up.
    pub ids: BTreeSet<Uuid>,
    /// Ids of sessions.
    pub sessions: BTreeSet<SessionId>,
    /// Names of devices.
    pub device_names: BTreeSet<String>,
}

/// What a query needs to become a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The caller.
    pub me: PrincipalId,
    /// What the look-ups have found. One that is missing has found nothing.
    pub results: BTreeMap<Lookup, LookupResult>,
}

impl SessionQuery {
    /// The query that matches every session.
    pub const EVERY: SessionQuery = SessionQuery { condition: Condition::All(Vec::new()) };

    /// The query without the conditions that concern one field alone, for counts of the values that one could choose there.
    #[must_use]
    pub fn without_field(&self, field: ValueField) -> SessionQuery {
        let conditions = match &self.condition {
            Condition::All(inner) => inner.clone(),
            other => vec![other.clone()],
        };
        let others = conditions.into_iter().filter(|one| !one.concerns_only(field));
        SessionQuery { condition: Condition::all(others) }
    }

    /// What has to be looked up, each once.
    pub fn names_to_resolve(&self) -> BTreeSet<Lookup> {
        let mut lookups = BTreeSet::new();
        self.condition.visit_lookups(&mut |lookup| {
            lookups.insert(lookup);
        });
        lookups
    }
}

impl Condition {
    /// All of some conditions, flat.
    pub(crate) fn all(conditions: impl IntoIterator<Item = Condition>) -> Condition {
        let flat = conditions.into_iter().flat_map(|condition| match condition {
            Condition::All(inner) => inner,
            other => vec![other],
        });
        one_or(flat.collect(), Condition::All)
    }

    /// One of some conditions, flat.
    pub(crate) fn any(conditions: impl IntoIterator<Item = Condition>) -> Condition {
        let flat = conditions.into_iter().flat_map(|condition| match condition {
            Condition::Any(inner) => inner,
            other => vec![other],
        });
        one_or(flat.collect(), Condition::Any)
    }

    /// The opposite. That of an opposite is the condition itself.
    pub(crate) fn negate(self) -> Condition {
        match self {
            Condition::Not(inner) => *inner,
            other => Condition::Not(Box::new(other)),
        }
    }

    /// The number of comparisons and words.
    pub(crate) fn count_terms(&self) -> usize {
        match self {
            Condition::All(inner) | Condition::Any(inner) => inner.iter().map(Condition::count_terms).sum(),
            Condition::Not(inner) => inner.count_terms(),
            _ => 1,
        }
    }

    /// How deep parentheses and negations are nested when it is written.
    pub(crate) fn measure_depth(&self) -> usize {
        let deepest = |inner: &[Condition]| {
            let with_parentheses =
                |one: &Condition| one.measure_depth() + usize::from(one.needs_parentheses());
            inner.iter().map(with_parentheses).max().unwrap_or(0)
        };
        match self {
            Condition::All(inner) | Condition::Any(inner) => deepest(inner),
            Condition::Not(inner) => 1 + deepest(std::slice::from_ref(inner.as_ref())),
            _ => 0,
        }
    }

    /// Whether it stands in parentheses within another condition.
    pub(crate) fn needs_parentheses(&self) -> bool {
        matches!(self, Condition::All(_) | Condition::Any(_))
    }

    fn concerns_only(&self, field: ValueField) -> bool {
        match self {
            Condition::All(inner) | Condition::Any(inner) => {
                !inner.is_empty() && inner.iter().all(|one| one.concerns_only(field))
            }
            Condition::Not(inner) | Condition::Named(_, inner) => inner.concerns_only(field),
            Condition::Present(of) => *of == Field::Value(field),
            Condition::Values(of, _) => *of == field,
            _ => false,
        }
    }

    fn visit_lookups(&self, visit: &mut impl FnMut(Lookup)) {
        match self {
            Condition::All(inner) | Condition::Any(inner) => {
                inner.iter().for_each(|condition| condition.visit_lookups(visit));
            }
            Condition::Not(inner) | Condition::Named(_, inner) => inner.visit_lookups(visit),
            Condition::Parents => visit(Lookup::Parents),
            Condition::Values(field, patterns) => {
                let texts = patterns.iter().filter_map(ValuePattern::as_text);
                texts.filter_map(|text| Lookup::from_name(*field, text)).for_each(visit);
            }
            Condition::Title(pattern) => visit(Lookup::Title(pattern.clone())),
            Condition::Word(word) => visit(Lookup::Word(word.clone())),
            Condition::Present(_)
            | Condition::Ids(_)
            | Condition::Time(..)
            | Condition::Number(..)
            | Condition::Span(..)
            | Condition::ActiveAt(_) => {}
        }
    }
}

fn one_or(mut conditions: Vec<Condition>, several: impl FnOnce(Vec<Condition>) -> Condition) -> Condition {
    match conditions.len() {
        1 => conditions.remove(0),
        _ => several(conditions),
    }
}

impl ValuePattern {
    fn as_text(&self) -> Option<&TextPattern> {
        match self {
            ValuePattern::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Lookup {
    /// The look-up of a name as a value of a field; `None` when sessions have the text itself.
    pub(crate) fn from_name(field: ValueField, name: &TextPattern) -> Option<Lookup> {
        match field {
            ValueField::Owner => Some(Lookup::Owner(name.clone())),
            ValueField::Agent => Some(Lookup::Agent(name.clone())),
            ValueField::Organization => Some(Lookup::Organization(name.clone())),
            _ => None,
        }
    }
}

impl TextPattern {
    /// The text.
    pub fn text(&self) -> &str {
        match self {
            TextPattern::Exact(text) | TextPattern::Prefix(text) | TextPattern::Contains(text) => text,
        }
    }

    /// Whether a text is as it has to be.
    pub fn accepts(&self, text: &str) -> bool {
        match self {
            TextPattern::Exact(exact) => text == exact,
            TextPattern::Prefix(prefix) => text.starts_with(prefix),
            TextPattern::Contains(part) => text.to_lowercase().contains(&part.to_lowercase()),
        }
    }
}
