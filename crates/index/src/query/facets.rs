//! Facets: how many sessions of a list have each value of a field.

use super::conditions::Conditions;
use super::tally::{Matching, Tally, count_cells};
use crate::dictionary::Term;
use crate::organizations::{CELLS, CellMask, Organizations};
use crate::sessions::Index;
use domain::session::{FieldValue, Filter, ListScope, PRESENT, SessionKind, Spread, ValueField};
use domain::time::Micros;
use std::collections::HashMap;

/// A value of a field, and the number of sessions that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// The value.
    pub value: FieldValue,
    /// How many sessions of the list have it.
    pub count: u64,
}

impl Index {
    /// The number of sessions of a list with each value of some fields, for each field in order; the most frequent
    /// value first.
    pub fn facets<const N: usize>(
        &self,
        scope: &ListScope,
        filter: &Filter,
        now: Micros,
        fields: [ValueField; N],
    ) -> [Vec<Facet>; N] {
        let mut counted = self.count_values(scope, filter, now, &fields).into_iter();
        fields.map(|_| counted.next().unwrap_or_default())
    }

    /// The same for any number of fields.
    pub fn count_values(
        &self,
        scope: &ListScope,
        filter: &Filter,
        now: Micros,
        fields: &[ValueField],
    ) -> Vec<Vec<Facet>> {
        debug_assert!(!self.needs_advance(now), "the index is moved to the time of the question first");
        let mut counts = fields.iter().map(|_| HashMap::<FieldValue, u64>::new()).collect::<Vec<_>>();
        let mut add = |field: ValueField, value: &dyn Fn() -> FieldValue, count: u64| {
            for (counts, _) in counts.iter_mut().zip(fields).filter(|(_, wanted)| **wanted == field) {
                *counts.entry(value()).or_default() += count;
            }
        };
        let conditions = Conditions::new(&self.rows, scope, filter, now);
        let question = Question { conditions: &conditions, scope, now };
        let (terms, cells) = question.count(fields);
        for (term, count) in terms {
            add(term.field(), &|| self.rows.dictionary.value(term), count);
        }
        for (cell, count) in cells {
            let text = |name: &str| FieldValue::Text(name.to_owned());
            let organization = self.rows.organizations.organization_at(cell).id;
            add(ValueField::Organization, &|| FieldValue::Id(organization.0), count);
            add(ValueField::Kind, &|| text(Organizations::kind(cell).name()), count);
            if CellMask::ARCHIVED.has(cell as usize % CELLS) {
                add(ValueField::Archived, &|| text(PRESENT), count);
            }
        }
        for summary in self.recent_matching(scope, filter, now) {
            let mut values = Vec::new();
            summary.visit_values(now, |field, value| values.push((field, value)));
            values.sort_unstable();
            values.dedup();
            for (field, value) in values {
                add(field, &|| value.to_value(), 1);
            }
        }
        counts.into_iter().map(sort_counts).collect()
    }
}

/// The most frequent value first.
fn sort_counts(counts: HashMap<FieldValue, u64>) -> Vec<Facet> {
    let mut facets = counts.into_iter().map(|(value, count)| Facet { value, count }).collect::<Vec<_>>();
    facets.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
    facets
}

/// Whether the cell of a row says its value of a field.
pub(super) fn is_of_cell(field: ValueField) -> bool {
    matches!(field, ValueField::Organization | ValueField::Kind | ValueField::Archived)
}

/// What is asked: conditions in a scope.
struct Question<'a> {
    conditions: &'a Conditions<'a>,
    scope: &'a ListScope,
    now: Micros,
}

/// Counts of values, and of cells.
type Counts = (Vec<(Term, u64)>, Vec<(u32, u64)>);

impl Question<'_> {
    /// Counts the rows with each value of some fields, and those of each cell when a field needs them.
    fn count(&self, fields: &[ValueField]) -> Counts {
        let rows = self.conditions.rows;
        let (of_cell, of_terms): (Vec<_>, Vec<_>) =
            fields.iter().copied().partition(|field| is_of_cell(*field));
        let known = of_terms.iter().all(|field| field.spread() == Spread::Few);
        let known = known.then(|| self.count_of_organization(&of_terms)).flatten();
        if self.conditions.is_whole
            && of_cell.is_empty()
            && let Some(known) = known
        {
            return (known, Vec::new());
        }
        let matching = Matching::new(self.conditions);
        let cells = if of_cell.is_empty() { Vec::new() } else { count_cells(rows, &matching) };
        if of_terms.is_empty() {
            return (Vec::new(), cells);
        }
        let terms = match known {
            Some(known) => self.count_with_known(known, &matching, &of_terms),
            None => Tally::new(rows, &matching, &of_terms).into_counts(),
        };
        (terms, cells)
    }

    /// The number of rows of the cells of one organization with each value of some fields, which are counted as
    /// sessions come and go.
    fn count_of_organization(&self, fields: &[ValueField]) -> Option<Vec<(Term, u64)>> {
        let ListScope::Organization(id) = self.scope else { return None };
        let organization = self.conditions.rows.organizations.get(*id);
        let values = organization.into_iter().flat_map(|organization| &organization.values);
        let values = values.filter(|(term, _)| fields.contains(&term.field()));
        let count = |counts: &[u32; CELLS]| {
            let counts = counts.iter().enumerate().filter(|(cell, _)| self.conditions.mask.has(*cell));
            counts.map(|(_, count)| u64::from(*count)).sum()
        };
        let counts = values.map(|(term, counts)| (*term, count(counts)));
        Some(counts.filter(|(_, count)| *count > 0).collect())
    }

    /// Counts the matching rows, or takes the others of the organization's cells from what is known: whichever are fewer.
    fn count_with_known(
        &self,
        known: Vec<(Term, u64)>,
        matching: &Matching,
        fields: &[ValueField],
    ) -> Vec<(Term, u64)> {
        let rows = self.conditions.rows;
        let cells = Conditions::new(rows, self.scope, &self.conditions.mask.to_filter(), self.now);
        let all = cells.known_total().unwrap_or(u64::MAX);
        if matching.len() * 2 <= all {
            return Tally::new(rows, matching, fields).into_counts();
        }
        let others = Matching::new(&cells).subtract(rows, matching);
        let gone = Tally::new(rows, &others, fields).into_counts().into_iter().collect::<HashMap<_, _>>();
        let counts =
            known.into_iter().map(|(term, count)| (term, count - gone.get(&term).copied().unwrap_or(0)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl CellMask {
    /// The filter that selects these cells.
    fn to_filter(self) -> Filter {
        let kinds = [SessionKind::Device, SessionKind::Agent, SessionKind::Login];
        let has = |mask: CellMask| self.and(mask) != CellMask::ALL.not();
        let kinds = kinds.into_iter().filter(|kind| has(CellMask::with_kind(*kind)));
        let kinds = Filter::has_text(ValueField::Kind, kinds.map(SessionKind::name));
        let live = CellMask::with_kind(SessionKind::Agent).and(CellMask::ARCHIVED.not());
        let mut all = vec![kinds];
        if !has(CellMask::ARCHIVED) {
            all.push(Filter::flag(ValueField::Archived, false));
        }
        if !has(live) {
            let agents = Filter::has_text(ValueField::Kind, [SessionKind::Agent.name()]);
            let archived = Filter::flag(ValueField::Archived, true);
            all.push(Filter::Or(vec![archived, Filter::Not(Box::new(agents))]));
        }
        Filter::And(all)
    }
}
