//! Questions: pages, totals and facets.

mod block_counts;
mod conditions;
mod evaluate;
mod facets;
mod histogram;
mod nearest;
mod newer;
mod nodes;
mod number_order;
mod ordered;
mod pages;
mod spans;
mod tally;
mod value_order;

pub use facets::Facet;
pub use histogram::{Histogram, HistogramBucket, HistogramSeries, HistogramSplit, MAX_BUCKETS};
pub use ordered::{OrderedSelection, OrderedSession};

use crate::sessions::SessionRef;

/// A range of a list with its total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The sessions of the range, newest first.
    pub sessions: Vec<SessionRef>,
    /// The number of sessions in the whole list.
    pub total: u64,
    /// Whether more sessions follow in the direction of the range: older ones, or newer ones.
    pub more: bool,
}
