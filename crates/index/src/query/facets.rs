//! Facets: how many sessions of a list have each value of a field.

use super::conditions::Conditions;
use crate::dictionary::Term;
use crate::organizations::CellMask;
use crate::rows::{Rows, split};
use crate::sessions::Index;
use domain::session::{Filter, ListScope, Value, ValueField};
use domain::time::Micros;
use roaring::RoaringBitmap;
use std::collections::HashMap;

/// A value of a field, and the number of sessions that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// The value.
    pub value: Value,
    /// How many sessions of the list have it.
    pub count: u64,
}

impl Index {
    /// The number of sessions of a list with each value of some fields, for each field in order; the most frequent
    /// value first.
    pub fn facets(
        &self,
        scope: &ListScope,
        filter: &Filter,
        now: Micros,
        fields: &[ValueField],
    ) -> Vec<Vec<Facet>> {
        debug_assert!(!self.needs_advance(now), "the index is moved to the time of the question first");
        let conditions = Conditions::new(&self.rows, scope, filter);
        let matching = conditions.matching();
        let mut counts = fields.iter().map(|_| HashMap::new()).collect::<Vec<HashMap<Value, u64>>>();
        for (term, count) in count_terms(&self.rows, scope, &matching, fields) {
            let field = self.rows.dictionary.field(term);
            for (counts, _) in counts.iter_mut().zip(fields).filter(|(_, wanted)| **wanted == field) {
                counts.insert(self.rows.dictionary.value(term), count);
            }
        }
        if let Some(at) = fields.iter().position(|field| *field == ValueField::Organization) {
            counts[at] = count_organizations(&self.rows, &matching);
        }
        for summary in self.recent_matching(scope, filter, now) {
            let mut values = Vec::new();
            summary.visit_values(now, |field, value| values.push((field, value)));
            values.sort_unstable();
            values.dedup();
            for (field, value) in values {
                for (counts, _) in counts.iter_mut().zip(fields).filter(|(_, wanted)| **wanted == field) {
                    *counts.entry(value.to_value()).or_default() += 1;
                }
            }
        }
        counts.into_iter().map(sort_counts).collect()
    }
}

/// Counts the rows of a set in each organization. The organization of a row is not a value of its record.
fn count_organizations(rows: &Rows, matching: &RoaringBitmap) -> HashMap<Value, u64> {
    let counts = rows.organizations.all().iter().map(|organization| {
        let count = organization.rows(CellMask::ALL).map(|cell| cell.count_within(matching)).sum::<u64>();
        (Value::Id(organization.id.0), count)
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The most frequent value first.
fn sort_counts(counts: HashMap<Value, u64>) -> Vec<Facet> {
    let mut facets = counts.into_iter().map(|(value, count)| Facet { value, count }).collect::<Vec<_>>();
    facets.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
    facets
}

/// Counts the rows of a set with each value of some fields.
fn count_terms(
    rows: &Rows,
    scope: &ListScope,
    matching: &RoaringBitmap,
    fields: &[ValueField],
) -> Vec<(Term, u64)> {
    let terms = candidates(rows, scope, fields);
    // Reading the record of a row costs about as much as looking for a few rows in a set.
    let by_set = terms.iter().map(|term| 8 + rows.postings[*term as usize].len().min(matching.len()) / 64);
    if matching.len() < by_set.sum::<u64>() {
        return count_records(rows, matching, fields);
    }
    let counts = terms.into_iter().map(|term| (term, rows.postings[term as usize].count_within(matching)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The values that rows of the scope may have.
fn candidates(rows: &Rows, scope: &ListScope, fields: &[ValueField]) -> Vec<Term> {
    let of_fields = |term: &Term| fields.contains(&rows.dictionary.field(*term));
    let few = fields.iter().all(|field| field.info().spread == domain::session::Spread::Few);
    match scope {
        ListScope::Organization(id) if few => {
            let organization = rows.organizations.get(*id);
            organization.into_iter().flat_map(|one| one.values.keys().copied()).filter(of_fields).collect()
        }
        _ => fields.iter().flat_map(|field| rows.dictionary.terms_of(*field).iter().copied()).collect(),
    }
}

fn count_records(rows: &Rows, matching: &RoaringBitmap, fields: &[ValueField]) -> Vec<(Term, u64)> {
    let mut counts: HashMap<Term, u64> = HashMap::new();
    for row in matching {
        let (block, number) = split(row);
        rows.blocks[usize::from(block)].visit_terms(number, |term| {
            if fields.contains(&rows.dictionary.field(term)) {
                *counts.entry(term).or_default() += 1;
            }
        });
    }
    counts.into_iter().collect()
}
