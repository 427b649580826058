//! Counts of the values that visible sessions have.

use super::{limit_parts, parts};
use crate::app::App;
use crate::failure::Failure;
use domain::session::{Filter, ValueField};
use domain::time::Micros;
use index::{Facet, HistogramSeries, HistogramSplit};
use store::VisibleSessions;

/// The values of a field, as many as were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueCounts {
    /// The field.
    pub field: ValueField,
    /// The most frequent values.
    pub values: Vec<Facet>,
    /// How many other values there are.
    pub others: usize,
}

/// What one field is counted over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedField {
    /// The field.
    pub field: ValueField,
    /// The filter of the sessions that are counted.
    pub filter: Filter,
}

/// Counts the visible sessions of a filter over time. Each boundary ends a bucket and begins the next one.
pub async fn count_over_time(
    app: &App,
    visible: &VisibleSessions,
    filter: &Filter,
    boundaries: &[Micros],
    split: Option<HistogramSplit>,
) -> Result<Vec<HistogramSeries>, Failure> {
    let (all, now) = (limit_parts(visible.parts(), filter), app.now());
    app.sessions.read(now, |index| parts::histogram(index, &all, now, boundaries, split)).await
}

/// Counts the visible sessions of a filter, and the values of some fields, each over its own filter. All of it is of one
/// moment.
pub async fn count_values(
    app: &App,
    visible: &VisibleSessions,
    filter: &Filter,
    fields: &[CountedField],
    most: usize,
) -> Result<(u64, Vec<ValueCounts>), Failure> {
    let limit = |filter: &Filter| limit_parts(visible.parts(), filter);
    let (all, now) = (limit(filter), app.now());
    app.sessions
        .read(now, |index| {
            let total = parts::count(index, &all, now);
            // Neighbors with one filter are counted in one pass.
            let counts = fields.chunk_by(|one, next| one.filter == next.filter).flat_map(|some| {
                let names = some.iter().map(|counted| counted.field).collect::<Vec<_>>();
                let found = parts::facets(index, &limit(&some[0].filter), now, &names);
                names.into_iter().zip(found)
            });
            let cut = |(field, mut values): (ValueField, Vec<Facet>)| {
                let others = values.len().saturating_sub(most);
                values.truncate(most);
                ValueCounts { field, values, others }
            };
            (total, counts.map(cut).collect())
        })
        .await
}
