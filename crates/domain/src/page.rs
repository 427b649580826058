//! Pages of a list.

use crate::time::Micros;

/// How much of a list is asked for, and from where. Lists are ordered by the time of creation, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many; at least 1.
    pub limit: u32,
    /// Only what was created strictly before this time.
    pub before: Option<Micros>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Whether older ones follow.
    pub more: bool,
}
