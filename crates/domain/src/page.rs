//! Pages of a list.

use crate::ids::SessionId;
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

/// Which stretch of a list of sessions is asked for. Newest first; sessions that were created at the same time, in two
/// organizations, by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// After so many.
    Offset {
        /// So many.
        offset: u64,
        /// At most this many; 0 asks for the total only.
        limit: u32,
    },
    /// Those that come after a session in the order of the list.
    Before {
        /// When it was created and which it is; nothing for the beginning.
        position: Option<(Micros, SessionId)>,
        /// At most this many.
        limit: u32,
    },
}

/// A stretch of a list and how long the whole list was at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
    /// Whether more follow.
    pub more: bool,
}
