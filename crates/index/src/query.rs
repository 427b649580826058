//! Questions: pages, totals and facets.

mod conditions;
mod evaluate;
mod facets;
mod newer;
mod nodes;
mod pages;
mod spans;
mod tally;

pub use facets::Facet;

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
