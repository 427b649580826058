//! Lists that consist of disjoint parts: each part is asked, and the answers are put together.

use domain::ids::SessionId;
use domain::page::{ListRange, OrderedRange, PageDirection};
use domain::session::{ListPart, SessionOrder, ValueField};
use domain::time::Micros;
use index::{
    Facet, Histogram, HistogramSeries, HistogramSplit, Index, OrderedSelection, Selection, SessionRef,
};
use std::cmp::Reverse;
use std::collections::HashMap;

/// A range of the sessions of some parts, newest first, and the number of all of them.
pub(super) fn select(index: &Index, parts: &[ListPart], now: Micros, range: ListRange) -> Selection {
    if let [part] = parts {
        return index.select(&part.scope, &part.filter, now, range);
    }
    let (skipped, limit, of_each) = match range {
        ListRange::Offset { offset, limit } => {
            let until = offset.saturating_add(limit.into());
            let limit_of_each = u32::try_from(until).unwrap_or(u32::MAX);
            (offset, limit, ListRange::Offset { offset: 0, limit: limit_of_each })
        }
        ListRange::Before { limit, .. } | ListRange::After { limit, .. } => (0, limit, range),
    };
    let selections = parts.iter().map(|part| index.select(&part.scope, &part.filter, now, of_each));
    let mut all = Selection { sessions: Vec::new(), total: 0, more: false };
    for selection in selections {
        all.sessions.extend(selection.sessions);
        all.total += selection.total;
        all.more |= selection.more;
    }
    let place = |session: &SessionRef| {
        let key = session.key;
        Reverse((key.id.creation_time(), key.id.tail(), key.kind, key.organization))
    };
    all.sessions.sort_unstable_by_key(place);
    all.sessions.drain(..all.sessions.len().min(usize::try_from(skipped).unwrap_or(usize::MAX)));
    let beyond = all.sessions.len().saturating_sub(limit as usize);
    all.more |= beyond > 0;
    match range {
        // The nearest of the newer ones are the last.
        ListRange::After { .. } => drop(all.sessions.drain(..beyond)),
        _ => all.sessions.truncate(limit as usize),
    }
    all
}

/// A range of the sessions of some parts in an order, and the number of all of them.
pub(super) fn select_ordered(
    index: &Index,
    parts: &[ListPart],
    now: Micros,
    order: SessionOrder,
    range: &OrderedRange,
) -> OrderedSelection {
    let mut all = OrderedSelection { sessions: Vec::new(), total: 0, more: false };
    for part in parts {
        let selection = index.select_ordered(&part.scope, &part.filter, now, order, range);
        all.sessions.extend(selection.sessions);
        all.total += selection.total;
        all.more |= selection.more;
    }
    all.sessions.sort_by(|one, other| order.compare(&one.position, &other.position));
    let beyond = all.sessions.len().saturating_sub(range.limit as usize);
    all.more |= beyond > 0;
    match range.direction {
        PageDirection::Forward => all.sessions.truncate(range.limit as usize),
        PageDirection::Backward => drop(all.sessions.drain(..beyond)),
    }
    all
}

/// The number of sessions of some parts.
pub(super) fn count(index: &Index, parts: &[ListPart], now: Micros) -> u64 {
    parts.iter().map(|part| index.count(&part.scope, &part.filter, now)).sum()
}

/// The session with an id in one of some parts.
pub(super) fn find(index: &Index, parts: &[ListPart], now: Micros, id: SessionId) -> Option<SessionRef> {
    parts.iter().find_map(|part| index.find(&part.scope, &part.filter, now, id))
}

/// The number of sessions of some parts with each value of some fields, for each field in order; the most frequent value
/// first.
pub(super) fn facets(
    index: &Index,
    parts: &[ListPart],
    now: Micros,
    fields: &[ValueField],
) -> Vec<Vec<Facet>> {
    if let [part] = parts {
        return index.count_values(&part.scope, &part.filter, now, fields);
    }
    let mut counts = fields.iter().map(|_| HashMap::new()).collect::<Vec<_>>();
    for part in parts {
        let found = index.count_values(&part.scope, &part.filter, now, fields);
        for (counts, facets) in counts.iter_mut().zip(found) {
            for facet in facets {
                *counts.entry(facet.value).or_insert(0) += facet.count;
            }
        }
    }
    let sort = |counts: HashMap<_, _>| {
        let mut facets = counts.into_iter().map(|(value, count)| Facet { value, count }).collect::<Vec<_>>();
        facets.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
        facets
    };
    counts.into_iter().map(sort).collect()
}

/// How many sessions of some parts started, ended and were open over time.
pub(super) fn histogram(
    index: &Index,
    parts: &[ListPart],
    now: Micros,
    boundaries: &[Micros],
    split: Option<HistogramSplit>,
) -> Vec<HistogramSeries> {
    let mut all = Histogram { series: Vec::new() };
    for part in parts {
        all.add(index.histogram(&part.scope, &part.filter, now, boundaries, split));
    }
    all.series
}
