//! Facets: how many sessions of a list have each value of a field.

use super::conditions::Conditions;
use crate::dictionary::Term;
use crate::organizations::{CELLS, CellMask};
use crate::rows::{SealedRows, split};
use crate::sessions::Index;
use domain::session::{FieldValue, Filter, ListScope, Spread, ValueField};
use domain::time::Micros;
use roaring::RoaringBitmap;
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
        debug_assert!(!self.needs_advance(now), "the index is moved to the time of the question first");
        let conditions = Conditions::new(&self.rows, scope, filter);
        let mut counts = fields.map(|_| HashMap::<FieldValue, u64>::new());
        for (term, count) in count_terms(&self.rows, scope, &conditions, &fields) {
            let field = self.rows.dictionary.field(term);
            for (counts, _) in counts.iter_mut().zip(fields).filter(|(_, wanted)| *wanted == field) {
                counts.insert(self.rows.dictionary.value(term), count);
            }
        }
        if let Some(at) = fields.iter().position(|field| *field == ValueField::Organization) {
            counts[at] = count_organizations(&self.rows, conditions.matching());
        }
        for summary in self.recent_matching(scope, filter, now) {
            let mut values = Vec::new();
            summary.visit_values(now, |field, value| values.push((field, value)));
            values.sort_unstable();
            values.dedup();
            for (field, value) in values {
                for (counts, _) in counts.iter_mut().zip(fields).filter(|(_, wanted)| *wanted == field) {
                    *counts.entry(value.to_value()).or_default() += 1;
                }
            }
        }
        counts.map(sort_counts)
    }
}

/// Counts the rows of a set in each organization. The organization of a row is not a value of its record.
fn count_organizations(rows: &SealedRows, matching: &RoaringBitmap) -> HashMap<FieldValue, u64> {
    let counts = rows.organizations.all().iter().map(|organization| {
        let count = organization.rows(CellMask::ALL).map(|cell| cell.count_within(matching)).sum::<u64>();
        (FieldValue::Id(organization.id.0), count)
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The most frequent value first.
fn sort_counts(counts: HashMap<FieldValue, u64>) -> Vec<Facet> {
    let mut facets = counts.into_iter().map(|(value, count)| Facet { value, count }).collect::<Vec<_>>();
    facets.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
    facets
}

/// Counts the rows that match conditions with each value of some fields.
fn count_terms(
    rows: &SealedRows,
    scope: &ListScope,
    conditions: &Conditions<'_>,
    fields: &[ValueField],
) -> Vec<(Term, u64)> {
    let few = fields.iter().all(|field| field.info().spread == Spread::Few);
    let organization = match scope {
        ListScope::Organization(id) if few => Some(rows.organizations.get(*id)),
        _ => None,
    };
    let Some(organization) = organization else {
        let terms = fields.iter().flat_map(|field| rows.dictionary.terms_of(*field).iter().copied());
        return count_matching(rows, conditions.matching(), terms.collect());
    };
    let values = organization.into_iter().flat_map(|organization| &organization.values);
    let values = values.filter(|(term, _)| fields.contains(&rows.dictionary.field(**term)));
    match conditions.cells {
        Some((mask, _)) => {
            let count = |counts: &[u32; CELLS]| {
                let counts = counts.iter().enumerate().filter(|(cell, _)| mask.has(*cell));
                counts.map(|(_, count)| u64::from(*count)).sum()
            };
            values.map(|(term, counts)| (*term, count(counts))).filter(|(_, count)| *count > 0).collect()
        }
        None => count_matching(rows, conditions.matching(), values.map(|(term, _)| *term).collect()),
    }
}

/// Counts the rows of a set with each of some values.
fn count_matching(rows: &SealedRows, matching: &RoaringBitmap, terms: Vec<Term>) -> Vec<(Term, u64)> {
    let posting = |term: Term| &rows.postings[term as usize];
    // In nanoseconds, about: reading the record of a row, which is not in the processor's cache, and looking for a row of
    // one set in another.
    let by_records = matching.len() * 150;
    let by_sets = terms.iter().map(|term| 100 + posting(*term).len().min(matching.len()));
    let counts = if by_records < by_sets.sum::<u64>() {
        let counts = count_records(rows, matching);
        terms.into_iter().map(|term| (term, u64::from(counts[term as usize]))).collect::<Vec<_>>()
    } else {
        terms.into_iter().map(|term| (term, posting(term).count_within(matching))).collect()
    };
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// The number of rows of a set with each value.
fn count_records(rows: &SealedRows, matching: &RoaringBitmap) -> Vec<u32> {
    let mut counts = vec![0; rows.dictionary.len()];
    for row in matching {
        let (block, number) = split(row);
        rows.blocks[usize::from(block)].visit_terms(number, |term| counts[term as usize] += 1);
    }
    counts
}
