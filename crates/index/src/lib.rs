//! The session index: which sessions match a filter, how many, and with which values. It holds a [`Summary`] of every
//! session of every kind in memory and answers exactly. It is pure: no I/O and no clock.
//!
//! The newest sessions are kept as they are, and [`Filter::matches`] judges each. When they have settled, they become
//! rows of a block: up to 65,536 sessions in the order of lists. Each value of a field has the set of its rows, and
//! everything that is known of a row has a column, in as few bits as it needs. A question is answered block by block,
//! because the sets of a block fit into the processor's cache: a page walks back from its cursor until it is full, a
//! total is the size of an intersection, and facets count what the rows have in their columns. A page in another order keeps
//! the nearest rows of all that match, and a histogram counts the times of the rows in buckets.
//!
//! A session that comes late, such as an import, is appended to the block that it belongs to, and the block knows its
//! place among the others. A value that no session has any more is forgotten, and its number is used again.
//!
//! The tests compare it with a plain loop over [`Filter::matches`].
//!
//! [`Summary`]: domain::session::Summary
//! [`Filter::matches`]: domain::session::Filter::matches

mod arena;
mod bit_fields;
mod bits;
mod block;
mod block_sets;
mod column;
mod dictionary;
mod groups;
mod late;
mod organizations;
mod packed_rows;
mod packed_table;
mod posting;
mod query;
mod rows;
mod sessions;
mod sizes;
mod summaries;
mod term_sets;
#[cfg(test)]
mod tests;

pub use query::{
    Facet, Histogram, HistogramBucket, HistogramSeries, HistogramSplit, MAX_BUCKETS, OrderedSelection,
    OrderedSession, Selection,
};
pub use sessions::{Index, Memory, SessionRef, estimate_bytes};
